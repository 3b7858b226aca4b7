//! One table of the file while it is being read: takes its keys, and reports what is left.

use std::cell::RefCell;
use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{Variables, expand};
use super::problem::Problem;
use super::quantity;

/// What all sections of one file share.
pub(crate) struct Reader<'a> {
    text: &'a str,
    variables: Variables<'a>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str, variables: Variables<'a>) -> Self {
        Self {
            text,
            variables,
            problems: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Notes a problem at a byte of the file.
    pub(crate) fn report(&self, path: String, at: Option<usize>, message: String) {
        let line = at.and_then(|at| self.text.get(..at));
        self.problems.borrow_mut().push(Problem {
            path,
            line: line.map(|before| before.matches('\n').count() + 1),
            message,
        });
    }
}

/// A string of the file.
pub(crate) struct Text {
    /// With its variables replaced. It may hold a secret: do not show it.
    pub(crate) value: String,
    /// As it stands in the file.
    pub(crate) written: String,
}

/// One table. Every key that is asked for is known; [`Section::finish`] reports the others.
pub(crate) struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    table: Option<&'a DeTable<'a>>,
    at: usize,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// A table; none reads like an empty one.
    pub(crate) const fn new(
        reader: &'a Reader<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
        at: usize,
    ) -> Self {
        Self {
            reader,
            path,
            table,
            at,
            known: Vec::new(),
        }
    }

    /// Whether the key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A table inside this one.
    pub(crate) fn section(&mut self, key: &'static str) -> Self {
        let (table, at) = match self.take(key) {
            None => (None, self.at),
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => (Some(table), value.span().start),
                other => {
                    self.wrong_type(
                        key,
                        value,
                        other,
                        &format!("a table: write [{}]", self.path_of(key)),
                    );
                    (None, self.at)
                }
            },
        };
        Section::new(self.reader, self.path_of(key), table, at)
    }

    /// Tables that stand under `[[key]]`.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(
                key,
                value,
                value.get_ref(),
                &format!("a list of tables: write [[{key}]]"),
            );
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            if let DeValue::Table(table) = item.get_ref() {
                let path = self.path_of(key);
                sections.push(Section::new(
                    self.reader,
                    path,
                    Some(table),
                    item.span().start,
                ));
            } else {
                self.wrong_type(
                    key,
                    item,
                    item.get_ref(),
                    &format!("a table: write [[{key}]]"),
                );
            }
        }
        sections
    }

    /// A string with its variables replaced; none if it is missing or wrong.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text> {
        let value = self.take(key)?;
        let DeValue::String(_) = value.get_ref() else {
            self.wrong_type(key, value, value.get_ref(), "a string in quotes");
            return None;
        };
        self.expanded(key, value)
    }

    /// A list of strings, or one string.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<Text>> {
        let value = self.take(key)?;
        let items = match value.get_ref() {
            DeValue::String(_) => std::slice::from_ref(value),
            DeValue::Array(items) => items,
            other => {
                self.wrong_type(key, value, other, "a string in quotes, or a list of them");
                return None;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let DeValue::String(_) = item.get_ref() {
                texts.extend(self.expanded(key, item));
            } else {
                self.wrong_type(key, item, item.get_ref(), "a list of strings in quotes");
            }
        }
        Some(texts)
    }

    /// A path; none if it is missing or empty.
    pub(crate) fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.text(key)?;
        (!text.value.is_empty()).then(|| text.value.into())
    }

    /// The first line of a file that holds a secret; none if no file is named or it cannot be read.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<SecretString> {
        let path = self.file(key)?;
        match fs::read_to_string(&path) {
            Ok(content) => {
                let line = content.lines().next().unwrap_or_default();
                if line.is_empty() {
                    self.problem(key, format!("the file {} is empty", path.display()));
                    return None;
                }
                Some(line.to_owned().into())
            }
            Err(error) => {
                self.problem(
                    key,
                    format!("cannot read the file {}: {error}", path.display()),
                );
                None
            }
        }
    }

    /// true or false.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.take(key) else {
            return default;
        };
        if let DeValue::Boolean(flag) = value.get_ref() {
            return *flag;
        }
        self.wrong_type(key, value, value.get_ref(), "true or false");
        default
    }

    /// A whole number within limits.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some(value) = self.take(key) else {
            return default;
        };
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(key, value, value.get_ref(), "a whole number");
            return default;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if limits.contains(&number) => number,
            _ => {
                let (least, most) = (limits.start(), limits.end());
                self.problem(key, format!("{number} is not from {least} to {most}"));
                default
            }
        }
    }

    /// A duration.
    pub(crate) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let Some(text) = self.text(key) else {
            return default;
        };
        quantity::duration(&text.value).unwrap_or_else(|| {
            self.problem(
                key,
                format!(
                    "{:?} is not a duration; write it as \"500ms\", \"30s\", \"2m\" or \"1h\"",
                    text.written
                ),
            );
            default
        })
    }

    /// A size in bytes within limits.
    pub(crate) fn size(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some(text) = self.text(key) else {
            return default;
        };
        match quantity::size(&text.value) {
            Some(size) if limits.contains(&size) => size,
            Some(_) => {
                let (least, most) = (limits.start(), limits.end());
                self.problem(
                    key,
                    format!("{:?} is not from {least} to {most} bytes", text.written),
                );
                default
            }
            None => {
                self.problem(
                    key,
                    format!(
                        "{:?} is not a size; write it as \"64KB\", \"16MB\" or \"1GiB\"",
                        text.written
                    ),
                );
                default
            }
        }
    }

    /// One word of several; the first is the default.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text.value) {
            return *choice;
        }
        let known = words.iter().map(|(word, _)| *word);
        let list: Vec<String> = known.clone().map(|word| format!("{word:?}")).collect();
        let hint = suggestion(&text.written, known);
        self.problem(
            key,
            format!("{:?} is not one of {}{hint}", text.written, list.join(", ")),
        );
        default
    }

    /// Notes a problem at a key, or at the table where the key is missing.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) {
        let at = self
            .table
            .and_then(|table| table.get(key))
            .map_or(self.at, |value| value.span().start);
        self.reader
            .report(self.path_of(key), Some(at), message.into());
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self) {
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let hint = suggestion(name, self.known.iter().copied());
            let message = if hint.is_empty() {
                format!("unknown key; known here: {}", self.known.join(", "))
            } else {
                format!("unknown key{hint}")
            };
            self.reader
                .report(self.path_of(name), Some(key.span().start), message);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn expanded(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let written = value.get_ref().as_str()?;
        let at = value.span().start;
        match expand(written, self.reader.variables) {
            Ok(value) => Some(Text {
                value,
                written: written.to_owned(),
            }),
            Err(why) => {
                self.reader.report(self.path_of(key), Some(at), why);
                None
            }
        }
    }

    fn wrong_type(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        found: &DeValue<'_>,
        expected: &str,
    ) {
        let found = found.type_str();
        let message = format!("this is of type {found}, it must be {expected}");
        self.reader
            .report(self.path_of(key), Some(value.span().start), message);
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// `; did you mean "tables"?` for the nearest known word, or nothing.
pub(crate) fn suggestion<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> String {
    known
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| format!("; did you mean {candidate:?}?"))
        .unwrap_or_default()
}

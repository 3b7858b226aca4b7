//! A table as the events add up to it.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::message::{Body, Op, Row};
use crate::workload::Table;

/// The rows of one table. A row is kept as its JSON text with sorted columns, so equal rows are equal texts.
pub(super) struct Rebuilt {
    table: &'static Table,
    /// By key: the text of the key's columns, or of the whole row where there is no key. And how many there are.
    rows: HashMap<String, (String, u64)>,
    /// Whether the table's shape has been told.
    described: bool,
    /// Whether the shape has the column that comes and goes.
    extra: bool,
    /// Whether rows may come again, and changes before the rows.
    lenient: bool,
}

impl Rebuilt {
    pub(super) fn new(table: &'static Table) -> Self {
        Self {
            table,
            rows: HashMap::new(),
            described: false,
            extra: false,
            lenient: false,
        }
    }

    /// The texts of its rows by key, each with how many there are.
    pub(super) const fn rows(&self) -> &HashMap<String, (String, u64)> {
        &self.rows
    }

    /// Takes the next event of the table, and whether it had the column that comes and goes. A lenient reader takes rows
    /// that are there, and changes of rows that are not.
    pub(super) fn apply(
        &mut self,
        body: &Body<'_>,
        extra: Option<bool>,
        lenient: bool,
    ) -> Result<()> {
        self.lenient = lenient && !self.table.key.is_empty();
        if body.op == Op::Schema {
            self.extra = extra == Some(true);
        }
        ensure!(
            self.described || body.op == Op::Schema,
            "it comes before its table's schema"
        );
        ensure!(
            extra.is_none_or(|extra| extra == self.extra),
            "its columns are not those of its table's schema"
        );
        match body.op {
            Op::Schema => self.describe(body),
            Op::Insert | Op::Read => {
                ensure!(
                    body.before.is_none() && body.absent.is_empty(),
                    "a new row with a past"
                );
                let row = body.after.as_ref().context("no row")?;
                self.check_columns(row, &[])?;
                self.check_key(body, row)?;
                self.insert(row)
            }
            Op::Update => self.update(body),
            Op::Delete => {
                ensure!(body.after.is_none(), "a deleted row that is there");
                let before = body.before.as_ref().context("no old row")?;
                self.check_key(body, before)?;
                self.remove(before).map(drop)
            }
            Op::Truncate => {
                ensure!(
                    (&body.key, &body.before, &body.after) == (&None, &None, &None),
                    "a truncation with a row"
                );
                self.rows.clear();
                Ok(())
            }
            Op::Message => Ok(()),
        }
    }

    fn describe(&mut self, body: &Body<'_>) -> Result<()> {
        let columns = body.columns.as_ref().context("a schema without columns")?;
        let names = columns.iter().map(|column| column.name.as_str());
        ensure!(
            names.eq(self.table.columns.iter().map(|(name, _)| *name)),
            "its columns are not the table's"
        );
        let mut key: Vec<_> = columns
            .iter()
            .filter_map(|column| Some((column.key?, column.name.as_str())))
            .collect();
        key.sort_unstable();
        ensure!(
            key.iter()
                .map(|(_, name)| *name)
                .eq(self.table.key.iter().copied()),
            "its key is not the table's: {key:?}"
        );
        self.described = true;
        if body.resnapshot {
            self.rows.clear();
        }
        Ok(())
    }

    fn update(&mut self, body: &Body<'_>) -> Result<()> {
        let after = body.after.as_ref().context("no new row")?;
        self.check_columns(after, &body.absent)?;
        self.check_key(body, after)?;
        if self.table.full_identity {
            ensure!(
                body.before.is_some() && body.absent.is_empty(),
                "the log holds the whole old row"
            );
        }
        // Without an old row the key has not changed.
        let old = self.remove(body.before.as_ref().unwrap_or(after))?;
        let mut row = after.clone();
        if let Some(old) = old.filter(|_| !body.absent.is_empty()) {
            let mut old: Row = serde_json::from_str(&old)?;
            for name in &body.absent {
                let value = old.remove(name).context("an absent column that never was");
                match value {
                    Err(_) if self.lenient => {}
                    value => drop(row.insert(name.clone(), value?)),
                }
            }
        }
        self.insert(&row)
    }

    fn insert(&mut self, row: &Row) -> Result<()> {
        let key = self.key_of(row)?;
        let text = serde_json::to_string(row)?;
        if self.lenient {
            self.rows.insert(key, (text, 1));
            return Ok(());
        }
        let (found, count) = self.rows.entry(key).or_insert_with(|| (text, 0));
        ensure!(
            *count == 0 || self.table.key.is_empty(),
            "there is a row with this key already: {found}"
        );
        *count += 1;
        Ok(())
    }

    /// Removes the row that `old` names, which must be `old` where the log holds whole old rows.
    fn remove(&mut self, old: &Row) -> Result<Option<String>> {
        let key = self.key_of(old)?;
        if self.lenient {
            return Ok(self.rows.remove(&key).map(|(text, _)| text));
        }
        let Some((text, count)) = self.rows.get_mut(&key) else {
            bail!("there is no such row");
        };
        if self.table.full_identity {
            let old = serde_json::to_string(old)?;
            ensure!(*text == old, "the old row is not {text}");
        }
        *count -= 1;
        if *count > 0 {
            return Ok(Some(text.clone()));
        }
        Ok(self.rows.remove(&key).map(|(text, _)| text))
    }

    /// The text that tells a row from others.
    fn key_of(&self, row: &Row) -> Result<String> {
        if self.table.key.is_empty() {
            return Ok(serde_json::to_string(row)?);
        }
        let mut key = Vec::with_capacity(self.table.key.len());
        for name in self.table.key {
            key.push(
                row.get(*name)
                    .with_context(|| format!("no column {name:?}"))?,
            );
        }
        Ok(serde_json::to_string(&key)?)
    }

    /// The event's key must be that of the row.
    fn check_key(&self, body: &Body<'_>, row: &Row) -> Result<()> {
        let Some(key) = &body.key else {
            ensure!(self.table.key.is_empty(), "the key is missing");
            return Ok(());
        };
        ensure!(
            key.len() == self.table.key.len() && !key.is_empty(),
            "the key has other columns"
        );
        for name in self.table.key {
            ensure!(key.get(*name) == row.get(*name), "the key is not the row's");
        }
        Ok(())
    }

    fn check_columns(&self, row: &Row, absent: &[String]) -> Result<()> {
        let is_there = |name: &str| row.contains_key(name) != absent.iter().any(|one| one == name);
        ensure!(
            row.len() + absent.len() == self.table.columns.len()
                && self.table.columns.iter().all(|(name, _)| is_there(name)),
            "its columns are not the table's"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Dialect;

    /// Applies events, which have only what is special about them, to the table `accounts`, whose key is `id`.
    fn apply(name: &str, events: &[&str]) -> Result<usize> {
        let table = Dialect::Postgres
            .tables()
            .iter()
            .find(|table| table.name == name)
            .unwrap();
        let mut rebuilt = Rebuilt::new(table);
        rebuilt.described = true;
        for event in events {
            let source = r#""source":{"connector":"c","kind":"postgres","pos":"p"}"#;
            let event = format!("{{{event},{source}}}");
            let mut body: Body<'_> = serde_json::from_str(&event)?;
            let extra = body.take_extra()?;
            rebuilt.apply(&body, extra, false)?;
        }
        Ok(rebuilt.rows.len())
    }

    const ONE: &str = r#""op":"insert","key":{"id":1},"after":{"id":1,"title":"a","body":"b"}"#;

    #[test]
    fn a_row_that_comes_twice_is_found() {
        assert_eq!(apply("documents", &[ONE]).unwrap(), 1);
        let error = apply("documents", &[ONE, ONE]).unwrap_err().to_string();
        assert!(error.contains("already"), "{error}");
    }

    #[test]
    fn a_lost_insert_is_found_by_what_follows() {
        let delete = r#""op":"delete","key":{"id":1},"before":{"id":1,"title":"a","body":"b"}"#;
        assert_eq!(apply("documents", &[ONE, delete]).unwrap(), 0);
        let error = apply("documents", &[delete]).unwrap_err().to_string();
        assert!(error.contains("no such row"), "{error}");
    }

    #[test]
    fn a_lost_update_is_found_by_the_next_old_row() {
        let update = r#""op":"update","key":{"id":1},"before":{"id":1,"title":"z","body":"b"},"after":{"id":1,"title":"y","body":"b"}"#;
        let error = apply("documents", &[ONE, update]).unwrap_err().to_string();
        assert!(error.contains("the old row is not"), "{error}");
    }

    #[test]
    fn columns_that_were_not_logged_keep_their_values() {
        let insert = r#""op":"insert","key":{"code":"x"},"after":{"code":"x","stock":1,"description":"long"}"#;
        let update = r#""op":"update","key":{"code":"x"},"after":{"code":"x","stock":2},"absent":["description"]"#;
        assert_eq!(apply("parts", &[insert, update, update]).unwrap(), 1);
        let unnamed = r#""op":"update","key":{"code":"x"},"after":{"code":"x","stock":2}"#;
        assert!(apply("parts", &[insert, unnamed]).is_err());
    }

    #[test]
    fn a_column_is_in_the_rows_while_the_schema_has_it() {
        let with =
            r#""op":"insert","key":{"id":1},"after":{"id":1,"title":"a","body":"b","extra":null}"#;
        let error = apply("documents", &[with]).unwrap_err().to_string();
        assert!(error.contains("its table's schema"), "{error}");
        let columns =
            r#"[{"name":"extra"},{"name":"id","key":0},{"name":"title"},{"name":"body"}]"#;
        let schema = format!(r#""op":"schema","columns":{columns}"#);
        assert_eq!(apply("documents", &[&schema, with]).unwrap(), 1);
        assert!(apply("documents", &[&schema, ONE]).is_err());
    }

    #[test]
    fn equal_rows_without_a_key_are_counted() {
        let insert = r#""op":"insert","after":{"name":"n","weight":1}"#;
        let delete = r#""op":"delete","before":{"name":"n","weight":1}"#;
        assert_eq!(apply("tags", &[insert, insert, delete]).unwrap(), 1);
        assert_eq!(apply("tags", &[insert, insert, delete, delete]).unwrap(), 0);
        assert!(apply("tags", &[insert, delete, delete]).is_err());
    }
}

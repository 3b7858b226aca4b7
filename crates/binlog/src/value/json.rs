//! JSON: MySQL's binary form written as the server's own text, and MariaDB's text.
//!
//! A value is a byte for its type and what belongs to it. Containers have their counts, their sizes and
//! tables of where keys and values are, relative to the container; small ones in two bytes, large ones in
//! four. (`sql-common/json_binary.h`)
//!
//! The text is the one that the server prints for the same value: a snapshot reads that.

mod diff;
mod document;
mod text;
mod tree;

use adit_decode::limits::MYSQL_JSON_DEPTH_MAX;
use adit_event::{CellFormat, ValueError, ValueWriter};

use super::error;
use crate::charset::{Charset, NotText};

pub(crate) use diff::apply;
use document::is_document;

const NAME: &str = "json";

/// JSON of MySQL.
#[derive(Debug)]
pub(super) struct Json;

impl CellFormat for Json {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        match str::from_utf8(cell) {
            Ok(text) if is_document(cell) => out.json(text),
            _ => return Err(bad("it is no JSON", cell)),
        }
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut budget = Budget::of(cell);
        write(Value::of(cell)?, 0, &mut budget, &mut |part| out.json(part))
    }
}

/// JSON of MariaDB: text that is valid JSON, by a constraint that may be switched off for a session.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) charset: Charset,
}

impl CellFormat for Document {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let converted;
        let text = match self.charset.borrow(cell) {
            Some(text) => text,
            None => {
                converted = self.charset.to_text(cell).map_err(|NotText { offset }| {
                    error(NAME, "bytes that are no text", offset, cell)
                })?;
                &converted
            }
        };
        if is_document(text.as_bytes()) {
            out.json(text);
        } else {
            out.text(text);
        }
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_text(cell, out)
    }
}

/// How much of a document is left to be read. Its parts have bytes of their own, so that reading more
/// than there is means that parts lie over each other: damage, of which little could become very much.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) const fn of(document: &[u8]) -> Self {
        Self {
            left: document.len(),
        }
    }

    /// Takes the bytes of a key.
    fn key(&mut self, key: &str) -> Result<(), ValueError> {
        self.take(key.len())
    }

    /// Takes the bytes of a value, those of containers left out, and of its entry in a table at least one.
    fn value(&mut self, value: Value<'_>) -> Result<(), ValueError> {
        self.take(match value {
            Value::String(text) => 1 + text.len(),
            Value::Opaque(_, bytes) => 1 + bytes.len(),
            _ => 1,
        })
    }

    fn take(&mut self, len: usize) -> Result<(), ValueError> {
        let left = self.left.checked_sub(len);
        self.left = left.ok_or_else(|| bad("values that lie over each other", &[]))?;
        Ok(())
    }
}

/// One value in binary form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Double(f64),
    String(&'a str),
    /// A value of another SQL type: its type's number and its bytes.
    Opaque(u8, &'a [u8]),
    Array(Container<'a>),
    Object(Container<'a>),
}

/// An array or an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Container<'a> {
    bytes: &'a [u8],
    count: usize,
    large: bool,
    object: bool,
}

const fn bad(problem: &'static str, bytes: &[u8]) -> ValueError {
    error(NAME, problem, 0, bytes)
}

fn le(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let mut value = [0u8; 8];
    value
        .get_mut(..len)?
        .copy_from_slice(bytes.get(at..at.checked_add(len)?)?);
    Some(u64::from_le_bytes(value))
}

/// A length in groups of seven bits, and the bytes behind it.
fn sized(bytes: &[u8]) -> Option<&[u8]> {
    let mut len: usize = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = bytes.get(index + 1..)?;
            return rest.get(..len);
        }
    }
    None
}

impl<'a> Value<'a> {
    /// Reads a whole document.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, ValueError> {
        match bytes.split_first() {
            // A NULL that became a value of a column that has none.
            None => Ok(Self::Null),
            Some((kind, rest)) => Self::parse(*kind, rest),
        }
    }

    fn parse(kind: u8, bytes: &'a [u8]) -> Result<Self, ValueError> {
        let cut = || bad("it ends inside a value", bytes);
        let number = |len| le(bytes, 0, len).ok_or_else(cut);
        Ok(match kind {
            0 | 1 => Self::Object(Container::parse(bytes, kind == 1, true)?),
            2 | 3 => Self::Array(Container::parse(bytes, kind == 3, false)?),
            4 => Self::literal(number(1)?, bytes)?,
            5 => Self::Integer(signed(number(2)?, 2)),
            6 => Self::Unsigned(number(2)?),
            7 => Self::Integer(signed(number(4)?, 4)),
            8 => Self::Unsigned(number(4)?),
            9 => Self::Integer(signed(number(8)?, 8)),
            10 => Self::Unsigned(number(8)?),
            11 => Self::Double(f64::from_bits(number(8)?)),
            12 => {
                let text = sized(bytes).ok_or_else(cut)?;
                let text = str::from_utf8(text);
                Self::String(text.map_err(|_| bad("a string is not UTF-8", bytes))?)
            }
            15 => {
                let (code, rest) = bytes.split_first().ok_or_else(cut)?;
                Self::Opaque(*code, sized(rest).ok_or_else(cut)?)
            }
            _ => return Err(bad("a type that is not known", bytes)),
        })
    }

    fn literal(value: u64, bytes: &[u8]) -> Result<Self, ValueError> {
        match value {
            0 => Ok(Self::Null),
            1 => Ok(Self::Bool(true)),
            2 => Ok(Self::Bool(false)),
            _ => Err(bad("a literal that is not known", bytes)),
        }
    }
}

const fn signed(value: u64, len: u32) -> i64 {
    let shift = 64 - 8 * len;
    (value << shift).cast_signed() >> shift
}

impl<'a> Container<'a> {
    fn parse(bytes: &'a [u8], large: bool, object: bool) -> Result<Self, ValueError> {
        let cut = || bad("it ends inside a container", bytes);
        let width = if large { 4 } else { 2 };
        let count = le(bytes, 0, width).ok_or_else(cut)?;
        let size = le(bytes, width, width).ok_or_else(cut)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let bytes = bytes.get(..size).ok_or_else(cut)?;
        let container = Self {
            bytes,
            count,
            large,
            object,
        };
        // So that no loop over the count is longer than the bytes.
        match count.checked_mul(container.entry_len()) {
            Some(len) if len <= bytes.len() => Ok(container),
            _ => Err(cut()),
        }
    }

    const fn width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    /// Bytes of all table entries of one element.
    const fn entry_len(&self) -> usize {
        let key = if self.object { self.width() + 2 } else { 0 };
        key + 1 + self.width()
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The key with this index.
    pub(super) fn key(&self, index: usize) -> Result<&'a str, ValueError> {
        let cut = || bad("it ends inside a key", self.bytes);
        let width = self.width();
        let entry = 2 * width + index * (width + 2);
        let offset = le(self.bytes, entry, width).ok_or_else(cut)?;
        let len = le(self.bytes, entry + width, 2).ok_or_else(cut)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let key = self.bytes.get(offset..).and_then(|rest| rest.get(..len));
        str::from_utf8(key.ok_or_else(cut)?).map_err(|_| bad("a key is not UTF-8", self.bytes))
    }

    /// The value with this index.
    pub(super) fn value(&self, index: usize) -> Result<Value<'a>, ValueError> {
        let cut = || bad("it ends inside a value", self.bytes);
        let width = self.width();
        let keys = if self.object {
            self.count * (width + 2)
        } else {
            0
        };
        let entry = 2 * width + keys + index * (1 + width);
        let kind = *self.bytes.get(entry).ok_or_else(cut)?;
        let inline = self
            .bytes
            .get(entry + 1..entry + 1 + width)
            .ok_or_else(cut)?;
        let is_inline = matches!(kind, 4..=6) || self.large && matches!(kind, 7 | 8);
        if is_inline {
            return Value::parse(kind, inline);
        }
        let offset = le(inline, 0, width).ok_or_else(cut)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        // Values lie behind the tables, so that none contains itself.
        if offset < 2 * width + self.count * self.entry_len() {
            return Err(bad("a value lies inside the tables", self.bytes));
        }
        Value::parse(kind, self.bytes.get(offset..).ok_or_else(cut)?)
    }
}

/// Writes a value as the server prints it.
fn write(
    value: Value<'_>,
    depth: usize,
    budget: &mut Budget,
    take: &mut dyn FnMut(&str),
) -> Result<(), ValueError> {
    match value {
        Value::Array(container) => {
            deeper(depth, container.bytes)?;
            take("[");
            for index in 0..container.count() {
                if index > 0 {
                    take(", ");
                }
                let element = container.value(index)?;
                budget.value(element)?;
                write(element, depth + 1, budget, take)?;
            }
            take("]");
        }
        Value::Object(container) => {
            deeper(depth, container.bytes)?;
            take("{");
            for index in 0..container.count() {
                if index > 0 {
                    take(", ");
                }
                let (key, member) = (container.key(index)?, container.value(index)?);
                budget.key(key)?;
                budget.value(member)?;
                text::string(key, take);
                take(": ");
                write(member, depth + 1, budget, take)?;
            }
            take("}");
        }
        scalar => text::scalar(scalar, take)?,
    }
    Ok(())
}

fn deeper(depth: usize, bytes: &[u8]) -> Result<(), ValueError> {
    if depth >= MYSQL_JSON_DEPTH_MAX {
        return Err(bad("containers inside each other beyond the limit", bytes));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

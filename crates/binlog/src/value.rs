//! Cells of row images: where they end, and what values they are.
//!
//! [`split`] takes one cell off a row image. What it holds is read by the column's `CellFormat`, of
//! which there is a file for each family of types. Each reads the cell as the log has it (the binary
//! form), and as the text protocol returns it in a session whose `character_set_results` is NULL and
//! whose time zone is UTC (the text form); the same value gives the same JSON from both.

mod bit;
mod bytes;
mod column;
mod decimal;
mod enumeration;
mod float;
mod integer;
pub(crate) mod json;
mod network;
mod spatial;
mod string;
mod temporal;

use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use adit_event::ValueError;

use crate::event::{ColumnType, TypeCode};

pub(crate) use column::bits;
pub use column::{ColumnFacts, ColumnSpec, Declared, column_facts};

/// Takes one cell that is not NULL off a row image: the value's bytes, without the length in front.
pub(crate) fn split<'a>(
    column: ColumnType,
    reader: &mut Reader<'a>,
) -> Result<&'a [u8], DecodeError> {
    let field = "binlog row.cell";
    let meta = usize::from(column.meta);
    let len = match column.code {
        TypeCode::TINY | TypeCode::YEAR => 1,
        TypeCode::SHORT => 2,
        TypeCode::INT24 | TypeCode::DATE | TypeCode::NEWDATE => 3,
        TypeCode::LONG | TypeCode::FLOAT => 4,
        TypeCode::LONGLONG | TypeCode::DOUBLE => 8,
        code @ (TypeCode::TIME | TypeCode::DATETIME | TypeCode::TIMESTAMP) => {
            temporal::maria::len(code, column.meta)
        }
        TypeCode::TIMESTAMP2 => 4 + meta.div_ceil(2),
        TypeCode::DATETIME2 => 5 + meta.div_ceil(2),
        TypeCode::TIME2 => 3 + meta.div_ceil(2),
        TypeCode::NEWDECIMAL => decimal::len(column.meta),
        TypeCode::BIT => (meta >> 8) + usize::from(meta & 0xff > 0),
        TypeCode::ENUM | TypeCode::SET => meta,
        TypeCode::VARCHAR
        | TypeCode::VAR_STRING
        | TypeCode::VARCHAR_COMPRESSED
        | TypeCode::STRING => {
            if meta < 256 {
                usize::from(reader.u8(field)?)
            } else {
                usize::from(reader.u16_le(field)?)
            }
        }
        TypeCode::BLOB
        | TypeCode::TINY_BLOB
        | TypeCode::MEDIUM_BLOB
        | TypeCode::LONG_BLOB
        | TypeCode::BLOB_COMPRESSED
        | TypeCode::GEOMETRY
        | TypeCode::JSON
        | TypeCode::VECTOR => match meta {
            1 => usize::from(reader.u8(field)?),
            2 => usize::from(reader.u16_le(field)?),
            3 => reader.u24_le(field)? as usize,
            4 => reader.u32_le(field)? as usize,
            _ => {
                let why = "its length has neither 1 nor 2, 3 or 4 bytes";
                return Err(reader.error(DecodeErrorKind::Invalid { why }, field));
            }
        },
        TypeCode::NULL => 0,
        TypeCode(tag) => {
            return Err(reader.error(DecodeErrorKind::UnknownTag { tag }, field));
        }
    };
    reader.bytes(len, field)
}

/// A cell that is not what its column says.
const fn error(
    expected: &'static str,
    problem: &'static str,
    offset: usize,
    cell: &[u8],
) -> ValueError {
    ValueError {
        expected,
        problem,
        offset,
        len: cell.len(),
    }
}

/// A cell in text form that must be ASCII.
fn ascii<'a>(expected: &'static str, cell: &'a [u8]) -> Result<&'a str, ValueError> {
    match str::from_utf8(cell) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(error(expected, "something else than ASCII", 0, cell)),
    }
}

/// A cell of exactly `N` bytes.
fn exactly<const N: usize>(expected: &'static str, cell: &[u8]) -> Result<[u8; N], ValueError> {
    cell.try_into()
        .map_err(|_| error(expected, "another length than its type has", 0, cell))
}

/// Text that is put together on the stack.
struct Scratch<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Scratch<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if let Some(space) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            space.copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            debug_assert!(false, "scratch takes everything");
        }
    }

    /// A number with leading zeros.
    fn padded(&mut self, value: u64, digits: usize) {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value);
        for _ in text.len()..digits {
            self.push(b'0');
        }
        self.extend(text.as_bytes());
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

impl<const N: usize> std::fmt::Write for Scratch<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.extend(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod garbage;

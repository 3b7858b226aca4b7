//! A row as pgoutput sends it.

use std::fmt;

use adit_decode::limits::POSTGRES_COLUMNS_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use bytes::Bytes;

/// A row: one cell per published column, in the order of the relation's columns.
///
/// The bytes are checked once, when parsed, and kept as they are on the wire, a slice of the
/// message they came in; [`cells`](Self::cells) then cannot fail.
///
/// | field | type |
/// |---|---|
/// | columns | 16-bit count |
/// | per column: tag | `n` null, `u` unchanged TOAST, `t` text, `b` binary |
/// | … for `t` and `b`: length | 32 bits |
/// | … value | that many bytes |
///
/// Source: PostgreSQL manual, "Logical Replication Message Formats", TupleData,
/// <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.
#[derive(Clone, PartialEq, Eq)]
pub struct TupleData {
    bytes: Bytes,
}

impl TupleData {
    /// Checks bytes that hold one tuple and nothing else.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&bytes);
        skip(&mut r)?;
        r.finish("pgoutput tuple")?;
        Ok(Self { bytes })
    }

    /// Reads a tuple where `r`, a reader over the whole of `message`, stands.
    pub(crate) fn read(r: &mut Reader<'_>, message: &Bytes) -> Result<Self, DecodeError> {
        let start = r.offset();
        skip(r)?;
        Ok(Self {
            bytes: message.slice(start..r.offset()),
        })
    }

    /// The tuple in the layout above.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The cells, in column order.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        match self.bytes.split_first_chunk() {
            Some((columns, rest)) => Cells {
                rest,
                left: u16::from_be_bytes(*columns),
            },
            None => Cells { rest: &[], left: 0 },
        }
    }
}

/// Shows the size, not the values: they are a customer's.
impl fmt::Debug for TupleData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (columns, bytes) = (self.cells().len(), self.bytes.len());
        write!(f, "TupleData({columns} columns, {bytes} bytes)")
    }
}

/// One column's value in a [`TupleData`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL; also a column outside the key, in a tuple that holds only the key.
    Null,
    /// A large value, stored out of line, that the update did not touch: the log does not have it.
    Unchanged,
    /// The value in its type's text form, in the connection's `client_encoding`.
    Text(&'a [u8]),
    /// The value in its type's binary (`send`) form.
    Binary(&'a [u8]),
}

/// Shows the size, not the value: it is a customer's.
impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Text(value) => write!(f, "Text({} bytes)", value.len()),
            Self::Binary(value) => write!(f, "Binary({} bytes)", value.len()),
        }
    }
}

/// The iterator over a tuple's cells, made by [`TupleData::cells`].
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Cells<'a> {
    fn value(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize_from(u32::from_be_bytes(*len)))?;
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        // The tuple was checked when it was parsed: each `?` above and below always succeeds, and
        // no other tag occurs.
        match tag {
            b't' => self.value().map(Cell::Text),
            b'b' => self.value().map(Cell::Binary),
            b'u' => Some(Cell::Unchanged),
            _ => Some(Cell::Null),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.left);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// Moves `r` past a tuple, checking all of it.
fn skip(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    const COLUMNS: &str = "pgoutput tuple.columns";
    const TAG: &str = "pgoutput tuple.tag";
    let before = r.offset();
    let columns = r.u16(COLUMNS)?;
    if usize::from(columns) > POSTGRES_COLUMNS_MAX {
        let (value, max) = (usize::from(columns), POSTGRES_COLUMNS_MAX);
        let kind = DecodeErrorKind::AboveLimit { value, max };
        return Err(DecodeError::new(kind, before, COLUMNS));
    }
    for _ in 0..columns {
        let before = r.offset();
        match r.u8(TAG)? {
            b'n' | b'u' => {}
            b't' | b'b' => {
                let len = r.u32("pgoutput tuple.length")?;
                r.bytes(usize_from(len), "pgoutput tuple.value")?;
            }
            tag => {
                let kind = DecodeErrorKind::UnknownTag { tag };
                return Err(DecodeError::new(kind, before, TAG));
            }
        }
    }
    Ok(())
}

/// A length from the wire. One that does not fit an address is longer than any input.
fn usize_from(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_come_in_column_order() {
        let bytes = Bytes::from_static(b"\0\x04t\0\0\0\x02hinub\0\0\0\0");
        let tuple = TupleData::parse(bytes.clone()).unwrap();
        let cells: Vec<_> = tuple.cells().collect();
        let expected = [
            Cell::Text(b"hi"),
            Cell::Null,
            Cell::Unchanged,
            Cell::Binary(b""),
        ];
        assert!(cells == expected);
        assert_eq!(tuple.cells().len(), 4);
        assert_eq!(tuple.bytes(), &bytes);
    }

    #[test]
    fn a_tuple_may_have_no_columns() {
        let tuple = TupleData::parse(Bytes::from_static(b"\0\0")).unwrap();
        assert_eq!(tuple.cells().count(), 0);
    }

    #[test]
    fn debug_output_does_not_show_values() {
        let tuple = TupleData::parse(Bytes::from_static(b"\0\x01t\0\0\0\x06secret")).unwrap();
        assert_eq!(format!("{tuple:?}"), "TupleData(1 columns, 13 bytes)");
        let cells: Vec<_> = tuple.cells().collect();
        assert_eq!(format!("{cells:?}"), "[Text(6 bytes)]");
    }

    #[test]
    fn malformed_tuples_are_errors_with_field_and_offset() {
        let check = |bytes: &'static [u8], message: &str| {
            let error = TupleData::parse(Bytes::from_static(bytes)).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        check(
            b"\xff\xff",
            "pgoutput tuple.columns: 65535 is above the limit of 1600 (offset 0)",
        );
        check(
            b"\0\x02nz",
            "pgoutput tuple.tag: unknown tag 0x7a (offset 3)",
        );
        check(
            b"\0\x01t\xff\xff\xff\xffabc",
            "pgoutput tuple.value: needed 4294967295 bytes, 3 left (offset 7)",
        );
        check(b"\0\x01n!", "pgoutput tuple: 1 bytes left over (offset 3)");
    }

    proptest! {
        #[test]
        fn a_tuple_that_parses_has_as_many_cells_as_it_says(
            columns in 0_u8..8,
            rest in prop::collection::vec(prop::sample::select(&b"nutb\0\0\0\0\x01"[..]), 0..64),
        ) {
            let bytes = [&[0, columns], &rest[..]].concat();
            if let Ok(tuple) = TupleData::parse(bytes.into()) {
                prop_assert_eq!(tuple.cells().count(), usize::from(columns));
            }
        }
    }
}

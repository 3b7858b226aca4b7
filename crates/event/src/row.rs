//! Row images: the database's own bytes, cell after cell.
//!
//! ## Layout
//! | bytes | meaning |
//! |---|---|
//! | u16 | number of cells |
//! | per cell: u8 | `n` null, `u` unchanged (a TOAST value that was not logged), `a` absent (not in the row image), `t` text form, `b` binary form |
//! | `t` and `b`: u32, bytes | length, then the value as the database writes it |
//!
//! Integers are big-endian. It is the layout of pgoutput's `TupleData`, so that a PostgreSQL tuple
//! is a row without being copied; other sources write it with [`RowBuilder`].

use bytes::{BufMut, Bytes, BytesMut};

/// One row image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    data: Bytes,
}

/// One value of a row image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// Not logged because the change did not touch it (PostgreSQL TOAST).
    Unchanged,
    /// Not part of the row image (MySQL's MINIMAL and NOBLOB).
    Absent,
    /// The value in the database's text form.
    Text(&'a [u8]),
    /// The value in the database's binary form.
    Binary(&'a [u8]),
}

impl Row {
    /// Takes bytes in the layout of this module.
    ///
    /// They are not checked here: [`Row::cells`] stops at the first byte that does not fit, and the
    /// encoder refuses a row whose cells are not as many as its relation's columns.
    #[must_use]
    pub const fn new(data: Bytes) -> Self {
        Self { data }
    }

    /// The cells in column order.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        let (count, rest) = match self.data.split_first_chunk::<2>() {
            Some((count, rest)) => (u16::from_be_bytes(*count), rest),
            None => (0, &[][..]),
        };
        Cells { left: count, rest }
    }

    /// The size of the image in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether the image holds no bytes at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

/// Walks over the cells of a [`Row`].
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    left: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        if self.left == 0 {
            return None;
        }
        let (&tag, rest) = self.rest.split_first()?;
        self.left -= 1;
        match tag {
            b't' | b'b' => {
                let (len, rest) = rest.split_first_chunk::<4>()?;
                let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
                let (value, rest) = rest.split_at_checked(len)?;
                self.rest = rest;
                Some(if tag == b't' {
                    Cell::Text(value)
                } else {
                    Cell::Binary(value)
                })
            }
            b'n' => {
                self.rest = rest;
                Some(Cell::Null)
            }
            b'u' => {
                self.rest = rest;
                Some(Cell::Unchanged)
            }
            b'a' => {
                self.rest = rest;
                Some(Cell::Absent)
            }
            _ => {
                self.left = 0;
                None
            }
        }
    }
}

/// Writes one row image, cell by cell, at the end of a buffer.
#[derive(Debug)]
pub struct RowBuilder<'a> {
    out: &'a mut BytesMut,
}

impl<'a> RowBuilder<'a> {
    /// Starts a row of `columns` cells.
    #[must_use]
    pub fn new(out: &'a mut BytesMut, columns: u16) -> Self {
        out.put_u16(columns);
        Self { out }
    }

    /// Adds SQL NULL.
    pub fn null(&mut self) {
        self.out.put_u8(b'n');
    }

    /// Adds a value in text form. Values are at most 1 GiB, the limit of every database's own.
    pub fn text(&mut self, value: &[u8]) {
        self.value(b't', value);
    }

    /// Adds a value in binary form.
    pub fn binary(&mut self, value: &[u8]) {
        self.value(b'b', value);
    }

    /// Adds a column that the log left out.
    pub fn absent(&mut self) {
        self.out.put_u8(b'a');
    }

    fn value(&mut self, tag: u8, value: &[u8]) {
        self.out.put_u8(tag);
        self.out
            .put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.out.put_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_row_reads_back() {
        let mut out = BytesMut::new();
        let mut row = RowBuilder::new(&mut out, 4);
        row.text(b"one");
        row.null();
        row.absent();
        row.binary(&[1, 2]);
        let row = Row::new(out.freeze());
        let cells: Vec<_> = row.cells().collect();
        assert_eq!(
            cells,
            [
                Cell::Text(b"one"),
                Cell::Null,
                Cell::Absent,
                Cell::Binary(&[1, 2])
            ]
        );
    }

    #[test]
    fn a_cut_row_yields_fewer_cells_and_does_not_panic() {
        let mut out = BytesMut::new();
        let mut row = RowBuilder::new(&mut out, 2);
        row.text(b"one");
        row.text(b"two");
        let whole = out.freeze();
        for end in 0..whole.len() {
            assert!(Row::new(whole.slice(..end)).cells().count() < 2);
        }
    }
}

//! Rows of a query, in the text protocol.
//!
//! An answer is the number of columns, a packet that describes each, an EOF packet, the rows, and an EOF
//! packet. A value in a row is its length, length-encoded, and its text; the byte 0xfb is NULL.

use bytes::Bytes;

use super::error::LinkError;
use super::wire::Wire;

/// The rows of one query, as they come.
#[derive(Debug)]
pub struct RowStream<'a> {
    wire: &'a mut Wire,
    ended: bool,
}

/// One row.
#[derive(Debug, Clone)]
pub struct TextRow {
    payload: Bytes,
}

impl<'a> RowStream<'a> {
    /// Reads what comes in front of the rows.
    pub(super) async fn open(wire: &'a mut Wire) -> Result<Self, LinkError> {
        let first = wire.payload().await?;
        let columns = match first.split_first() {
            Some((0x00, _)) => {
                wire.answered();
                return Ok(Self { wire, ended: true });
            }
            Some((0xff, _)) => {
                wire.answered();
                return Err(super::server_error(&first));
            }
            Some((0xfb, _)) => return Err(protocol("it asks for a file")),
            _ => lenenc(&first).map(|(columns, _)| columns),
        };
        let columns = columns.ok_or_else(|| protocol("the number of columns cannot be read"))?;
        for _ in 0..columns {
            wire.payload().await?;
        }
        let end = wire.payload().await?;
        if !is_eof(&end) {
            return Err(protocol("the columns have no end"));
        }
        Ok(Self { wire, ended: false })
    }

    /// The next row; none at the end. The server waits for as long as nobody asks.
    ///
    /// # Errors
    /// When the server reports one, or the connection breaks.
    pub async fn next_row(&mut self) -> Result<Option<TextRow>, LinkError> {
        if self.ended {
            return Ok(None);
        }
        let payload = self.wire.payload().await?;
        let failed = payload.first() == Some(&0xff);
        if !failed && !is_eof(&payload) {
            return Ok(Some(TextRow { payload }));
        }
        self.ended = true;
        self.wire.answered();
        if failed {
            return Err(super::server_error(&payload));
        }
        Ok(None)
    }
}

impl TextRow {
    /// The values, NULL as none. Fewer than there are columns if the row is damaged.
    pub fn cells(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut rest = &*self.payload;
        std::iter::from_fn(move || {
            if let Some((0xfb, tail)) = rest.split_first() {
                rest = tail;
                return Some(None);
            }
            let (len, tail) = lenenc(rest)?;
            let (cell, tail) = tail.split_at_checked(usize::try_from(len).ok()?)?;
            rest = tail;
            Some(Some(cell))
        })
    }

    /// The bytes that it was sent in.
    pub(super) const fn len(&self) -> usize {
        self.payload.len()
    }

    /// The same, on their own.
    #[must_use]
    pub fn to_cells(&self) -> Vec<Option<Bytes>> {
        let own = |cell| self.payload.slice_ref(cell);
        self.cells().map(|cell| cell.map(own)).collect()
    }
}

/// The packet that ends columns, rows, and a log.
pub(super) fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&0xfe) && payload.len() < 9
}

/// A length-encoded integer at the front, and what follows it.
fn lenenc(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let len = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xfb | 0xff => return None,
        small => return Some((u64::from(*small), rest)),
    };
    let (number, rest) = rest.split_at_checked(len)?;
    let mut value = [0u8; 8];
    value.get_mut(..len)?.copy_from_slice(number);
    Some((u64::from_le_bytes(value), rest))
}

const fn protocol(why: &'static str) -> LinkError {
    LinkError::Protocol {
        doing: "reading the answer to a query",
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_cells_are_slices_and_nulls() {
        let row = TextRow {
            payload: Bytes::from_static(b"\x03abc\xfb\x00\xfc\x01\x00x"),
        };
        let cells: Vec<_> = row.cells().collect();
        assert_eq!(cells, [Some(&b"abc"[..]), None, Some(b""), Some(b"x")]);
        let cut = TextRow {
            payload: Bytes::from_static(b"\x05abc"),
        };
        assert_eq!(cut.cells().count(), 0);
    }
}

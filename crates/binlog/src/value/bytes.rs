//! BINARY, VARBINARY and BLOB.

use std::borrow::Cow;
use std::io::Read as _;

use adit_event::{CellFormat, ValueError, ValueWriter};
use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::error;

/// VARBINARY, BLOB.
#[derive(Debug)]
pub(super) struct Bytes;

impl CellFormat for Bytes {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.bytes(cell);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.bytes(cell);
        Ok(())
    }
}

/// BINARY(n): the log leaves out NULs at its end.
#[derive(Debug)]
pub(super) struct FixedBytes {
    pub(super) len: usize,
}

impl CellFormat for FixedBytes {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_binary(cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        // At most 255 bytes.
        let mut whole = [0u8; 256];
        match whole.get_mut(..self.len) {
            Some(space) if cell.len() < self.len => {
                if let Some(start) = space.get_mut(..cell.len()) {
                    start.copy_from_slice(cell);
                }
                out.bytes(space);
            }
            _ => out.bytes(cell),
        }
        Ok(())
    }
}

/// The value in a cell of MariaDB's compressed columns (`VARCHAR(n) COMPRESSED`).
///
/// Its first byte has the method in the high half, 0 for none and 8 for zlib, the number of bytes of the
/// expanded length in bits 0 to 2, and in bit 3 whether zlib's header is left out.
/// (`Field_longstr::uncompress`, `sql/field.cc`.)
pub(super) fn expand(cell: &[u8]) -> Result<Cow<'_, [u8]>, ValueError> {
    const NAME: &str = "compressed value";
    let Some((head, rest)) = cell.split_first() else {
        return Ok(Cow::Borrowed(cell));
    };
    let problem = |problem| error(NAME, problem, 0, cell);
    match head >> 4 {
        0 => Ok(Cow::Borrowed(rest)),
        8 => {
            let (len, packed) = rest
                .split_at_checked(usize::from(head & 7))
                .ok_or_else(|| problem("it ends inside its length"))?;
            let len = len
                .iter()
                .fold(0u64, |len, byte| len << 8 | u64::from(*byte));
            let mut out = Vec::new();
            let read = if head & 8 != 0 {
                DeflateDecoder::new(packed)
                    .take(len + 1)
                    .read_to_end(&mut out)
            } else {
                ZlibDecoder::new(packed).take(len + 1).read_to_end(&mut out)
            };
            match read {
                Ok(read) if read as u64 == len => Ok(Cow::Owned(out)),
                _ => Err(problem("it cannot be expanded")),
            }
        }
        _ => Err(problem("it is compressed in a way that is not known")),
    }
}

/// A value of another format, compressed in the log.
#[derive(Debug)]
pub(super) struct Compressed<F>(pub(super) F);

impl<F: CellFormat> CellFormat for Compressed<F> {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.0.write_text(cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.0.write_binary(&expand(cell)?, out)
    }
}

//! BIT(n): a string of n zeros and ones. Both forms are its bytes, big-endian.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{Scratch, error};

/// BIT(n).
#[derive(Debug)]
pub(super) struct Bit {
    pub(super) bits: usize,
}

impl CellFormat for Bit {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_binary(cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        if self.bits > 64 || cell.len() != self.bits.div_ceil(8) {
            return Err(error("bit", "another length than its type has", 0, cell));
        }
        let mut text = Scratch::<64>::new();
        for bit in (0..self.bits).rev() {
            let byte = cell.get(cell.len() - 1 - bit / 8).copied().unwrap_or(0);
            text.push(b'0' + (byte >> (bit % 8) & 1));
        }
        out.plain(text.as_str());
        Ok(())
    }
}

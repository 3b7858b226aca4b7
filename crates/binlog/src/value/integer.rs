//! Whole numbers and YEAR.
//!
//! Binary form: little-endian, two's complement where signed; YEAR one byte, the years since 1900, 0 for
//! the year 0.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{ascii, error, exactly};

/// TINYINT to BIGINT.
#[derive(Debug)]
pub(super) struct Integer {
    pub(super) unsigned: bool,
}

const NAME: &str = "integer";

impl CellFormat for Integer {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = ascii(NAME, cell)?;
        let bad = |_| error(NAME, "not a whole number of 64 bits", 0, cell);
        // Not as it is: ZEROFILL has zeros in front.
        let mut buffer = itoa::Buffer::new();
        if self.unsigned {
            out.integer(buffer.format(text.parse::<u64>().map_err(bad)?));
        } else {
            out.integer(buffer.format(text.parse::<i64>().map_err(bad)?));
        }
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut bytes = [0u8; 8];
        let negative = !self.unsigned && cell.last().is_some_and(|byte| byte & 0x80 != 0);
        if negative {
            bytes = [0xff; 8];
        }
        match (cell.len(), bytes.get_mut(..cell.len())) {
            (1..=4 | 8, Some(low)) => low.copy_from_slice(cell),
            _ => return Err(error(NAME, "another length than its type has", 0, cell)),
        }
        if cell.len() < 8 {
            out.small_integer(i64::from_le_bytes(bytes));
        } else if self.unsigned {
            out.integer(itoa::Buffer::new().format(u64::from_le_bytes(bytes)));
        } else {
            out.integer(itoa::Buffer::new().format(i64::from_le_bytes(bytes)));
        }
        Ok(())
    }
}

/// The same, of at most 32 bits, in text form.
#[derive(Debug)]
pub(super) struct SmallInteger {
    pub(super) unsigned: bool,
}

impl CellFormat for SmallInteger {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = ascii(NAME, cell)?;
        let bad = |_| error(NAME, "not a whole number of 32 bits", 0, cell);
        out.small_integer(text.parse().map_err(bad)?);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        Integer {
            unsigned: self.unsigned,
        }
        .write_binary(cell, out)
    }
}

/// YEAR.
#[derive(Debug)]
pub(super) struct Year;

impl CellFormat for Year {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        SmallInteger { unsigned: true }.write_text(cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let [year] = exactly("year", cell)?;
        out.small_integer(if year == 0 { 0 } else { 1900 + i64::from(year) });
        Ok(())
    }
}

//! ENUM and SET.
//!
//! Binary form: the number of the label, from 1 on, 0 for a value that was none; a bit for each
//! label of a set, the first the lowest. Little-endian. Text form: labels in the column's character
//! set, those of a set with commas between.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::error;
use crate::charset::Charset;

/// ENUM.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) labels: Vec<String>,
    pub(super) charset: Charset,
}

/// SET.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) labels: Vec<String>,
    pub(super) charset: Charset,
}

fn number(name: &'static str, cell: &[u8]) -> Result<u64, ValueError> {
    let mut bytes = [0u8; 8];
    match bytes.get_mut(..cell.len()) {
        Some(low) if !cell.is_empty() => low.copy_from_slice(cell),
        _ => return Err(error(name, "another length than its type has", 0, cell)),
    }
    Ok(u64::from_le_bytes(bytes))
}

fn text(name: &'static str, charset: Charset, cell: &[u8]) -> Result<String, ValueError> {
    let bad = |_| error(name, "bytes that are no text", 0, cell);
    charset.to_text(cell).map_err(bad)
}

impl CellFormat for Enum {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.text(&text("enum", self.charset, cell)?);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let number = number("enum", cell)?;
        let label = match number.checked_sub(1) {
            None => Some(""),
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|index| self.labels.get(index))
                .map(String::as_str),
        };
        let label = label.ok_or_else(|| error("enum", "a number without a label", 0, cell))?;
        out.text(label);
        Ok(())
    }
}

impl CellFormat for Set {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = text("set", self.charset, cell)?;
        out.begin_array();
        for label in text.split(',').filter(|_| !text.is_empty()) {
            out.element();
            out.text(label);
        }
        out.end_array();
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let bits = number("set", cell)?;
        let known = u32::try_from(self.labels.len()).ok();
        let beyond = known.and_then(|known| bits.checked_shr(known)).unwrap_or(0);
        if beyond != 0 {
            return Err(error("set", "a bit without a label", 0, cell));
        }
        let labels = self.labels.iter().enumerate().take(64);
        let chosen = labels.filter(|(bit, _)| bits >> bit & 1 == 1);
        // The text form of a set of one empty label is that of a set of none.
        let one = bits.count_ones() == 1;
        out.begin_array();
        for (_, label) in chosen.filter(|(_, label)| !(one && label.is_empty())) {
            out.element();
            out.text(label);
        }
        out.end_array();
        Ok(())
    }
}

//! CHAR, VARCHAR and TEXT, in any character set.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::error;
use crate::charset::{Charset, NotText};

/// Text. The log leaves out spaces at the end of CHAR, and so does the text protocol.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) charset: Charset,
}

impl CellFormat for Text {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let bad = |NotText { offset }| {
            let problem = "bytes that are no text in the column's character set";
            error("text", problem, offset, cell)
        };
        match self.charset.borrow(cell) {
            Some(text) => out.text(text),
            None => out.text_in_parts(|take| self.charset.convert(cell, take).map_err(bad))?,
        }
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_text(cell, out)
    }
}

//! Vectors: pgvector's vector and halfvec.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::number::json_number;
use super::scanner::{Scanner, utf8};

/// `[1,2.5,-3e-07]`: at least one number, each in its shortest form.
#[derive(Debug)]
pub(super) struct Vector;

impl CellFormat for Vector {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "vector";
        let mut scanner = Scanner::new(NAME, cell);
        scanner.need(b'[', "no opening bracket")?;
        out.begin_array();
        loop {
            let before = scanner.rest();
            json_number(&mut scanner)?;
            let digits = before.len() - scanner.rest().len();
            out.element();
            out.float(utf8(NAME, before.get(..digits).unwrap_or_default())?);
            if !scanner.eat(b',') {
                break;
            }
        }
        scanner.need(b']', "neither a comma nor the closing bracket")?;
        scanner.end()?;
        out.end_array();
        Ok(())
    }
}

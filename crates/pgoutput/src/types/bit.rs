//! Bits: boolean, bit and bit varying.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::{Scanner, utf8};

/// boolean.
#[derive(Debug)]
pub(super) struct Boolean;

impl CellFormat for Boolean {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        match cell {
            b"t" => out.boolean(true),
            b"f" => out.boolean(false),
            _ => return Err(Scanner::new("boolean", cell).error("neither t nor f")),
        }
        Ok(())
    }
}

/// bit and bit varying.
#[derive(Debug)]
pub(super) struct Bits;

impl CellFormat for Bits {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "bit string";
        let mut scanner = Scanner::new(NAME, cell);
        scanner.take_while(|byte| matches!(byte, b'0' | b'1'));
        if scanner.peek().is_some() {
            return Err(scanner.error("neither 0 nor 1"));
        }
        out.plain(utf8(NAME, cell)?);
        Ok(())
    }
}

//! Text: the text types, and every type that keeps PostgreSQL's own text form.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::{Scanner, utf8};

/// Text of any kind, which must be UTF-8.
#[derive(Debug)]
pub(super) struct Text;

impl CellFormat for Text {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.text(utf8("text", cell)?);
        Ok(())
    }
}

/// `"char"`: one byte, or nothing.
///
/// PostgreSQL 16 and later write a byte above 127 as a backslash and three octal digits. Earlier
/// ones send the byte itself, whatever the encoding; it becomes the same here.
#[derive(Debug)]
pub(super) struct Char;

impl CellFormat for Char {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let byte = match cell {
            &[byte] if !byte.is_ascii() => byte,
            _ => return Text.write_text(cell, out),
        };
        let octal = [
            b'\\',
            b'0' + (byte >> 6),
            b'0' + (byte >> 3 & 7),
            b'0' + (byte & 7),
        ];
        Text.write_text(&octal, out)
    }
}

/// uuid.
#[derive(Debug)]
pub(super) struct Uuid;

impl CellFormat for Uuid {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "uuid";
        let mut scanner = Scanner::new(NAME, cell);
        for (index, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            if index > 0 {
                scanner.need(b'-', "no hyphen where there should be one")?;
            }
            if scanner.take_while(|byte| byte.is_ascii_hexdigit()).len() != digits {
                return Err(scanner.error("a wrong number of hex digits"));
            }
        }
        scanner.end()?;
        out.plain(utf8(NAME, cell)?);
        Ok(())
    }
}

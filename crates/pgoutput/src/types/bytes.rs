//! Bytes: bytea.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::Scanner;

/// What `bytea_output = hex` puts before the digits.
const PREFIX: &[u8] = b"\\x";

/// bytea in its hex form.
#[derive(Debug)]
pub(super) struct Bytea;

impl CellFormat for Bytea {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut scanner = Scanner::new("bytea", cell);
        if !scanner.eat_all(PREFIX) {
            return Err(scanner.error("not in hex form: the session's bytea_output must be hex"));
        }
        out.bytes_from_hex(scanner.rest())
            .map_err(|error| ValueError {
                offset: error.offset + PREFIX.len(),
                len: cell.len(),
                ..error
            })
    }
}

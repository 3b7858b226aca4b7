//! hstore.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::quoted::quoted;
use super::scanner::{Scanner, utf8};

/// `"a"=>"1", "b"=>NULL`: names with strings or nulls.
#[derive(Debug)]
pub(super) struct Hstore;

const NAME: &str = "hstore";

impl CellFormat for Hstore {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut scanner = Scanner::new(NAME, cell);
        let mut scratch = Vec::new();
        out.begin_object();
        while scanner.peek().is_some() {
            if scanner.offset() > 0 && !scanner.eat_all(b", ") {
                return Err(scanner.error("no comma between pairs"));
            }
            out.name(utf8(NAME, quoted(&mut scanner, &mut scratch)?)?);
            if !scanner.eat_all(b"=>") {
                return Err(scanner.error("no => behind a name"));
            }
            if scanner.eat_all(b"NULL") {
                out.null();
            } else {
                out.text(utf8(NAME, quoted(&mut scanner, &mut scratch)?)?);
            }
        }
        out.end_object();
        Ok(())
    }
}

//! Arrays of any type.

use std::sync::Arc;

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::quoted::quoted;
use super::scanner::Scanner;

/// PostgreSQL's MAXDIM.
const DIMENSIONS_MAX: usize = 6;

/// `{{1,NULL},{"a b","c"}}`, perhaps with bounds before it (`[0:1][1:2]=`), which an event does not
/// show: a JSON array has none.
#[derive(Debug)]
pub(super) struct Array {
    element: Arc<dyn CellFormat>,
    delimiter: u8,
}

impl Array {
    /// An array whose elements are `element`s with `delimiter` (`pg_type.typdelim`) between them.
    pub(super) const fn new(element: Arc<dyn CellFormat>, delimiter: u8) -> Self {
        Self { element, delimiter }
    }

    fn element<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        scratch: &mut Vec<u8>,
        out: &mut ValueWriter<'_>,
    ) -> Result<(), ValueError> {
        let at = scanner.error("");
        let element = if scanner.peek() == Some(b'"') {
            quoted(scanner, scratch)?
        } else {
            let bare = scanner.take_while(|byte| byte != self.delimiter && byte != b'}');
            if bare == b"NULL" {
                out.null();
                return Ok(());
            }
            if bare.is_empty() || bare.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'{')) {
                return Err(ValueError {
                    problem: "an element that should be quoted",
                    ..at
                });
            }
            bare
        };
        // The element knows what is wrong with it; where it is, only the array knows.
        self.element
            .write_text(element, out)
            .map_err(|error| ValueError {
                offset: at.offset,
                len: at.len,
                ..error
            })
    }
}

impl CellFormat for Array {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut scanner = Scanner::new("array", cell);
        let bounds = bounds(&mut scanner)?;
        scanner.need(b'{', "no opening brace")?;
        out.begin_array();
        if bounds.is_none() && scanner.eat(b'}') {
            out.end_array();
            return scanner.end();
        }
        let mut scratch = Vec::new();
        let mut depth = 1;
        // How deep the elements are: the bounds say it, else the first element does.
        let mut dimensions = bounds;
        loop {
            out.element();
            if scanner.eat(b'{') {
                depth += 1;
                if depth > dimensions.unwrap_or(DIMENSIONS_MAX) {
                    return Err(scanner.error("braces deeper than the array's dimensions"));
                }
                out.begin_array();
                continue;
            }
            if *dimensions.get_or_insert(depth) != depth {
                return Err(scanner.error("elements at different depths"));
            }
            self.element(&mut scanner, &mut scratch, out)?;
            while !scanner.eat(self.delimiter) {
                scanner.need(b'}', "neither a delimiter nor a closing brace")?;
                out.end_array();
                depth -= 1;
                if depth == 0 {
                    return scanner.end();
                }
            }
        }
    }
}

/// Reads `[2:4][-1:0]=` where it is there and says how many dimensions it names.
fn bounds(scanner: &mut Scanner<'_>) -> Result<Option<usize>, ValueError> {
    let mut dimensions = 0;
    while scanner.eat(b'[') {
        dimensions += 1;
        for behind in [b':', b']'] {
            scanner.eat(b'-');
            if scanner.digits().is_empty() || !scanner.eat(behind) || dimensions > DIMENSIONS_MAX {
                return Err(scanner.error("not the bounds of an array"));
            }
        }
    }
    if dimensions == 0 {
        return Ok(None);
    }
    scanner.need(b'=', "no equals sign behind the bounds")?;
    Ok(Some(dimensions))
}

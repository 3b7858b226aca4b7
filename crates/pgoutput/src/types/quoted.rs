//! Strings in double quotes inside a cell, as arrays and hstore have them.

use adit_event::ValueError;

use super::scanner::Scanner;

/// Reads a quoted string and says what it holds: a slice of the cell where nothing in it is
/// escaped, else a copy in `scratch` (whose capacity is used again by the next one).
pub(super) fn quoted<'s, 'a: 's>(
    scanner: &mut Scanner<'a>,
    scratch: &'s mut Vec<u8>,
) -> Result<&'s [u8], ValueError> {
    scanner.need(b'"', "no quoted string where there should be one")?;
    let mut copied = false;
    scratch.clear();
    loop {
        let clean = scanner.take_while(|byte| byte != b'"' && byte != b'\\');
        match scanner.byte() {
            Some(b'"') if !copied => return Ok(clean),
            Some(b'"') => {
                scratch.extend_from_slice(clean);
                return Ok(scratch);
            }
            Some(_) => {
                copied = true;
                scratch.extend_from_slice(clean);
                let Some(escaped) = scanner.byte() else {
                    return Err(scanner.error("a backslash at the end"));
                };
                scratch.push(escaped);
            }
            None => return Err(scanner.error("a quoted string without its end")),
        }
    }
}

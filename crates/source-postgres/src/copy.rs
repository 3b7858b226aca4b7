//! Rows in the text format of COPY.
//!
//! One row a line; columns separated by tabs; `\N` is NULL; a backslash escapes. Source: PostgreSQL
//! manual, COPY, "Text Format".

use adit_event::{Row, RowBuilder};
use bytes::BytesMut;
use memchr::memchr2;

/// Reads one line, without copying more than the row.
///
/// # Errors
/// When the line is not what COPY writes for this many columns; the text says why.
pub(crate) fn row(line: &[u8], columns: u16, out: &mut BytesMut) -> Result<Row, &'static str> {
    let line = line.strip_suffix(b"\n").ok_or("the line does not end")?;
    let mut builder = RowBuilder::new(out, columns);
    let mut scratch = Vec::new();
    let mut rest = line;
    for column in 0..columns {
        let field = if column + 1 == columns {
            std::mem::take(&mut rest)
        } else {
            let tab = memchr::memchr(b'\t', rest).ok_or("a line has too few columns")?;
            let (field, tail) = rest
                .split_at_checked(tab)
                .ok_or("a line has too few columns")?;
            rest = tail.get(1..).unwrap_or_default();
            field
        };
        if field == b"\\N" {
            builder.null();
        } else if memchr2(b'\\', b'\t', field).is_none() {
            builder.text(field);
        } else {
            unescape(field, &mut scratch)?;
            builder.text(&scratch);
        }
    }
    if !rest.is_empty() {
        return Err("a line has too many columns");
    }
    Ok(Row::new(out.split().freeze()))
}

fn unescape(field: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.clear();
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'\t' {
            return Err("a line has too many columns");
        }
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        // Servers write the letters for control characters, and a character itself otherwise.
        out.push(match rest.next() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(b'\\') => b'\\',
            _ => return Err("a backslash is followed by something that COPY does not write"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use adit_event::Cell;

    use super::*;

    fn cells(line: &[u8], columns: u16) -> Result<Vec<Option<Vec<u8>>>, &'static str> {
        let row = row(line, columns, &mut BytesMut::new())?;
        let value = |cell| match cell {
            Cell::Text(text) => Some(text.to_vec()),
            _ => None,
        };
        Ok(row.cells().map(value).collect())
    }

    #[test]
    fn fields_nulls_and_escapes_are_told_apart() {
        assert_eq!(
            cells(b"1\t\\N\t\ta\\tb\\\\N\\n\t\\\\N\n", 5).unwrap(),
            [
                Some(b"1".to_vec()),
                None,
                Some(vec![]),
                Some(b"a\tb\\N\n".to_vec()),
                Some(b"\\N".to_vec())
            ]
        );
    }

    #[test]
    fn an_empty_line_is_a_row_without_columns_or_with_an_empty_one() {
        assert_eq!(cells(b"\n", 0).unwrap(), []);
        assert_eq!(cells(b"\n", 1).unwrap(), [Some(vec![])]);
    }

    #[test]
    fn lines_that_do_not_fit_are_refused() {
        for (line, columns) in [
            (&b"1"[..], 1),
            (b"1\t2\n", 1),
            (b"1\n", 2),
            (b"1\n", 0),
            (b"\\x\n", 1),
            (b"\\\n", 1),
        ] {
            assert!(
                cells(line, columns).is_err(),
                "{line:?} with {columns} columns"
            );
        }
    }
}

//! Names and texts inside SQL, which knows no parameters in the text protocol.

/// An identifier: ``a`b`` becomes ```a``b```.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text literal for a session whose `sql_mode` has no `NO_BACKSLASH_ESCAPES`.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Bytes as a hexadecimal literal, which means the same whatever the session's settings.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    text.push('\'');
    text
}

/// A table with its database.
pub(crate) fn table(schema: &str, table: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(
            identifier("a`; DROP TABLE b; --"),
            "`a``; DROP TABLE b; --`"
        );
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'"), r"'\\'''");
        assert_eq!(hex(&[0, 0xab]), "x'00ab'");
        assert_eq!(table("d.b", "ta`ble"), "`d.b`.`ta``ble`");
    }
}

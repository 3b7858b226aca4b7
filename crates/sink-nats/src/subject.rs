//! From names to subjects: the template, and the encoding that keeps each name inside its token.
//!
//! A table may be called `a.b`, `*`, `two words` or nothing at all. In a NATS subject these mean structure, so each name becomes exactly one
//! token: `.`, `*`, `>`, `%`, white space and control characters are percent-encoded in upper-case hex, byte by byte of their UTF-8; so is a
//! `$` at the front (`$schema`, `$JS` and their like belong to the protocols); an empty name is a lone `%`. [`decode_token`] is the inverse.

use std::fmt::Write as _;

/// The longest subject that is published, in bytes.
///
/// NATS takes control lines of up to 4096 bytes and recommends short subjects. Two PostgreSQL names of 63 bytes take 378 bytes at worst, so
/// only a template that repeats its placeholders gets here; it is an error rather than a cut, because two cut names could become one.
pub const SUBJECT_LEN_MAX: usize = 1024;

/// The placeholders a template may hold.
const PLACEHOLDERS: [(&str, Placeholder); 5] = [
    ("connector", Placeholder::Connector),
    ("database", Placeholder::Database),
    ("schema", Placeholder::Schema),
    ("table", Placeholder::Table),
    ("op", Placeholder::Op),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Connector,
    Database,
    Schema,
    Table,
    Op,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(String),
    Name(Placeholder),
}

/// What a subject is made of. All are the names as the database has them; [`SubjectTemplate::render`] encodes them.
#[derive(Debug, Clone, Copy)]
pub struct SubjectNames<'a> {
    /// Database the change was made in.
    pub database: &'a str,
    /// Schema of the table.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
    /// The operation, as in the envelope's `op`.
    pub op: &'a str,
}

/// Why a template or a subject made from it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// A placeholder that is not known.
    #[error(
        "subject template {template:?}: unknown placeholder {{{name}}}; known are {{connector}}, {{database}}, {{schema}}, {{table}} and {{op}}"
    )]
    UnknownPlaceholder {
        /// The template.
        template: String,
        /// The unknown name.
        name: String,
    },
    /// A token that NATS does not take, or a placeholder that is only part of one.
    #[error("subject template {template:?}: token {token:?} {why}")]
    Token {
        /// The template.
        template: String,
        /// The token.
        token: String,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },
    /// A subject that is longer than [`SUBJECT_LEN_MAX`].
    #[error(
        "subject for table {schema:?}.{table:?} has {len} bytes, at most {SUBJECT_LEN_MAX} are published: shorten the subject template"
    )]
    TooLong {
        /// Schema of the table.
        schema: String,
        /// The table.
        table: String,
        /// Length in bytes.
        len: usize,
    },
    /// A token that [`encode_token`] cannot have made.
    #[error("{token:?} is not an encoded name: {why}")]
    Decode {
        /// The token.
        token: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A parsed subject template of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTemplate {
    connector: String,
    tokens: Vec<Token>,
}

impl SubjectTemplate {
    /// Parses `template` for the connector of that name.
    ///
    /// # Errors
    /// An unknown placeholder, an empty or illegal token, or a placeholder glued to other text: each name is one whole token.
    pub fn parse(template: &str, connector: &str) -> Result<Self, SubjectError> {
        let tokens = template
            .split('.')
            .map(|token| parse_token(template, token))
            .collect::<Result<_, _>>()?;
        let mut encoded = String::new();
        encode_token(connector, &mut encoded);
        Ok(Self {
            connector: encoded,
            tokens,
        })
    }

    /// Writes the subject of an event to the end of `out`.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`]; `out` is then as it was.
    pub fn render(&self, names: &SubjectNames<'_>, out: &mut String) -> Result<(), SubjectError> {
        let start = out.len();
        for (index, token) in self.tokens.iter().enumerate() {
            if index > 0 {
                out.push('.');
            }
            match token {
                Token::Literal(text) => out.push_str(text),
                Token::Name(Placeholder::Connector) => out.push_str(&self.connector),
                Token::Name(Placeholder::Database) => encode_token(names.database, out),
                Token::Name(Placeholder::Schema) => encode_token(names.schema, out),
                Token::Name(Placeholder::Table) => encode_token(names.table, out),
                Token::Name(Placeholder::Op) => encode_token(names.op, out),
            }
        }
        check_len(start, names.schema, names.table, out)
    }

    /// Writes the subject of a table's `schema` events, `{prefix}.{connector}.$schema.{schema}.{table}`, to the end of `out`.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`]; `out` is then as it was.
    pub fn render_schema(
        &self,
        schema: &str,
        table: &str,
        out: &mut String,
    ) -> Result<(), SubjectError> {
        let start = out.len();
        self.schema_prefix(out);
        encode_token(schema, out);
        out.push('.');
        encode_token(table, out);
        check_len(start, schema, table, out)
    }

    /// The subjects a stream must have to take everything this template makes: the template with `*` for each name but the connector's
    /// (so that two connectors' streams do not overlap), and the schema events.
    #[must_use]
    pub fn stream_subjects(&self) -> Vec<String> {
        let events = self
            .tokens
            .iter()
            .map(|token| match token {
                Token::Literal(text) => text.as_str(),
                Token::Name(Placeholder::Connector) => self.connector.as_str(),
                Token::Name(_) => "*",
            })
            .collect::<Vec<_>>()
            .join(".");
        let mut schemas = String::new();
        self.schema_prefix(&mut schemas);
        schemas.push_str("*.*");
        if covers(&events, &schemas) {
            vec![events]
        } else {
            vec![events, schemas]
        }
    }

    /// The literal tokens before the first placeholder, the connector and `$schema`, each with its dot.
    fn schema_prefix(&self, out: &mut String) {
        for token in &self.tokens {
            let Token::Literal(text) = token else { break };
            out.push_str(text);
            out.push('.');
        }
        out.push_str(&self.connector);
        out.push_str(".$schema.");
    }
}

fn parse_token(template: &str, token: &str) -> Result<Token, SubjectError> {
    let refuse = |why| SubjectError::Token {
        template: template.to_owned(),
        token: token.to_owned(),
        why,
    };
    if let Some(name) = token
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        && !name.contains(['{', '}'])
    {
        return match PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
            Some((_, placeholder)) => Ok(Token::Name(*placeholder)),
            None => Err(SubjectError::UnknownPlaceholder {
                template: template.to_owned(),
                name: name.to_owned(),
            }),
        };
    }
    if token.is_empty() {
        return Err(refuse("is empty"));
    }
    if token.contains(['{', '}']) {
        return Err(refuse(
            "mixes a placeholder with other text: a placeholder must be a whole token",
        ));
    }
    if token.starts_with('$') {
        return Err(refuse("starts with $, which NATS keeps for itself"));
    }
    if token.chars().any(must_encode) {
        return Err(refuse(
            "holds a wildcard, a percent sign, white space or a control character",
        ));
    }
    Ok(Token::Literal(token.to_owned()))
}

fn check_len(
    start: usize,
    schema: &str,
    table: &str,
    out: &mut String,
) -> Result<(), SubjectError> {
    let len = out.len() - start;
    if len <= SUBJECT_LEN_MAX {
        return Ok(());
    }
    out.truncate(start);
    Err(SubjectError::TooLong {
        schema: schema.to_owned(),
        table: table.to_owned(),
        len,
    })
}

/// Writes `name` as one subject token to the end of `out`.
pub fn encode_token(name: &str, out: &mut String) {
    if name.is_empty() {
        out.push('%');
        return;
    }
    for (at, c) in name.char_indices() {
        if must_encode(c) || (at == 0 && c == '$') {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                push_hex('%', byte, out);
            }
        } else {
            out.push(c);
        }
    }
}

/// The name that [`encode_token`] made `token` from.
///
/// # Errors
/// The token is empty, or holds something that encoding never makes.
pub fn decode_token(token: &str) -> Result<String, SubjectError> {
    let refuse = |why| SubjectError::Decode {
        token: token.to_owned(),
        why,
    };
    match token {
        "%" => return Ok(String::new()),
        "" => return Err(refuse("an empty name is a lone %")),
        _ => {}
    }
    let name = decode_hex(token, '%')
        .ok_or_else(|| refuse("% is not followed by two upper-case hex digits of UTF-8"))?;
    let mut again = String::with_capacity(token.len());
    encode_token(&name, &mut again);
    if again == token {
        Ok(name)
    } else {
        Err(refuse(
            "it holds characters that are always, or never, percent-encoded",
        ))
    }
}

/// Writes `name` as a part of a key-value key to the end of `out`: as subject tokens, but keys allow fewer characters, so that everything
/// beyond `A-Z a-z 0-9 _ -` becomes `=XX`, and an empty name a lone `=`.
pub fn encode_key(name: &str, out: &mut String) {
    if name.is_empty() {
        out.push('=');
        return;
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            push_hex('=', byte, out);
        }
    }
}

/// The key under which something is kept of a connector's table; `connector` is encoded already.
pub(crate) fn table_key(connector: &str, schema: &str, table: &str) -> String {
    let mut key = connector.to_owned();
    for name in [schema, table] {
        key.push('.');
        encode_key(name, &mut key);
    }
    key
}

/// Schema and table of a key that [`table_key`] made; `None` if it did not.
pub(crate) fn table_of(connector: &str, key: &str) -> Option<(String, String)> {
    let (schema, table) = key
        .strip_prefix(connector)?
        .strip_prefix('.')?
        .split_once('.')?;
    Some((decode_key(schema)?, decode_key(table)?))
}

/// The name that [`encode_key`] made `part` from; `None` if it did not.
#[must_use]
pub fn decode_key(part: &str) -> Option<String> {
    if part == "=" {
        return Some(String::new());
    }
    decode_hex(part, '=').filter(|name| {
        let mut again = String::with_capacity(part.len());
        encode_key(name, &mut again);
        again == part
    })
}

/// Whether every subject that `inner` matches is matched by `outer`. Both may hold wildcards.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

fn must_encode(c: char) -> bool {
    matches!(c, '.' | '*' | '>' | '%') || c.is_whitespace() || c.is_control()
}

fn push_hex(mark: char, byte: u8, out: &mut String) {
    out.push(mark);
    write!(out, "{byte:02X}").expect("writing to a String cannot fail");
}

fn decode_hex(text: &str, mark: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if char::from(byte) == mark {
            bytes.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(name: &str) -> String {
        let mut out = String::new();
        encode_token(name, &mut out);
        out
    }

    fn subject(template: &str, schema: &str, table: &str) -> String {
        let mut out = String::new();
        let names = SubjectNames {
            database: "db",
            schema,
            table,
            op: "insert",
        };
        SubjectTemplate::parse(template, "shop")
            .unwrap()
            .render(&names, &mut out)
            .unwrap();
        out
    }

    #[test]
    fn a_name_is_one_token_whatever_it_holds() {
        for (name, expected) in [
            ("orders", "orders"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            (">", "%3E"),
            ("100%", "100%25"),
            ("two words", "two%20words"),
            ("a\r\nPUB x 1", "a%0D%0APUB%20x%201"),
            ("nb\u{a0}sp", "nb%C2%A0sp"),
            ("Größe", "Größe"),
            ("$schema", "%24schema"),
            ("a$b", "a$b"),
            ("", "%"),
        ] {
            assert_eq!(token(name), expected);
            assert_eq!(decode_token(expected).as_deref(), Ok(name));
        }
    }

    #[test]
    fn a_token_that_was_not_encoded_is_refused() {
        for wrong in ["", "a.b", "%2", "%2e", "%zz", "%41", "$x", "a b", "%FF"] {
            assert!(decode_token(wrong).is_err(), "{wrong:?} decoded");
        }
    }

    #[test]
    fn the_template_is_filled_in() {
        assert_eq!(
            subject("cdc.{connector}.{schema}.{table}", "public", "a.b"),
            "cdc.shop.public.a%2Eb"
        );
        assert_eq!(subject("{database}.{op}", "public", "t"), "db.insert");
        let mut out = String::new();
        SubjectTemplate::parse("cdc.x.{connector}.{table}", "shop")
            .unwrap()
            .render_schema("public", "T 1", &mut out)
            .unwrap();
        assert_eq!(out, "cdc.x.shop.$schema.public.T%201");
    }

    #[test]
    fn the_stream_covers_events_and_schemas_of_this_connector_only() {
        let template = SubjectTemplate::parse("cdc.{connector}.{schema}.{table}", "shop").unwrap();
        assert_eq!(
            template.stream_subjects(),
            ["cdc.shop.*.*", "cdc.shop.$schema.*.*"]
        );
        let literal = SubjectTemplate::parse("all", "shop").unwrap();
        assert_eq!(literal.stream_subjects(), ["all", "all.shop.$schema.*.*"]);
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        let error = |template| {
            SubjectTemplate::parse(template, "shop")
                .unwrap_err()
                .to_string()
        };
        assert!(
            error("cdc.{shcema}").contains("{shcema}")
                && error("cdc.{shcema}").contains("{schema}")
        );
        for wrong in [
            "",
            "cdc..x",
            "cdc.*",
            "cdc.>",
            "a b",
            "x{table}",
            "{schema}_{table}",
            "$JS.x",
            "a%b",
            ".",
        ] {
            assert!(
                SubjectTemplate::parse(wrong, "shop").is_err(),
                "{wrong:?} was taken"
            );
        }
    }

    #[test]
    fn a_subject_that_is_too_long_is_an_error_and_not_cut() {
        let template = SubjectTemplate::parse("{table}.{table}", "shop").unwrap();
        let names = SubjectNames {
            database: "d",
            schema: "s",
            table: &".".repeat(200),
            op: "insert",
        };
        let mut out = "kept".to_owned();
        assert!(matches!(
            template.render(&names, &mut out),
            Err(SubjectError::TooLong { len: 1201, .. })
        ));
        assert_eq!(out, "kept");
    }

    #[test]
    fn covering_follows_the_wildcards() {
        for (outer, inner, expected) in [
            ("cdc.>", "cdc.shop.*.*", true),
            ("cdc.*.*.*", "cdc.shop.*.*", true),
            ("cdc.shop.*.*", "cdc.shop.*.*", true),
            ("cdc.shop.*", "cdc.shop.*.*", false),
            ("cdc.shop.a.*", "cdc.shop.*.*", false),
            ("cdc.shop.*.*", "cdc.>", false),
            (">", "x", true),
            ("x.>", "x", false),
        ] {
            assert_eq!(covers(outer, inner), expected, "{outer} over {inner}");
        }
    }

    proptest! {
        #[test]
        fn encoding_is_reversible_and_never_leaves_its_token(name in any::<String>()) {
            let token = token(&name);
            prop_assert!(!token.is_empty());
            prop_assert!(!token.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '\0']));
            prop_assert_eq!(decode_token(&token), Ok(name.clone()));
            let mut key = String::new();
            encode_key(&name, &mut key);
            prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte)));
            prop_assert_eq!(decode_key(&key), Some(name));
        }

        #[test]
        fn decoding_anything_never_panics_and_accepts_only_its_own(text in any::<String>()) {
            if let Ok(name) = decode_token(&text) {
                prop_assert_eq!(token(&name), text);
            }
        }
    }
}

//! Text, bytes, JSON and XML.

use crate::kind::Kind;

/// All 256 bytes in their order.
const ALL_BYTES: &str = "(select decode(string_agg(lpad(to_hex(i), 2, '0'), '' order by i), 'hex') from generate_series(0, 255) i)";
/// The same in base64.
const ALL_BYTES_BASE64: &str = "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==\"";

pub(crate) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new(
            "text",
            "text",
            &[
                ("''", r#""""#),
                ("'null'", r#""null""#),
                (r"'\N'", r#""\\N""#),
                (r"'\.'", r#""\\.""#),
                (r#"'"quoted" and ''single'''"#, r#""\"quoted\" and 'single'""#),
                (r"'back\slash \\ \t'", r#""back\\slash \\\\ \\t""#),
                (r"E'tab\tnew\nline\rreturn'", r#""tab\tnew\nline\rreturn""#),
                (r"E'\x01\x08\x0b\x0c\x1b\x1f\x7f'", "\"\\u0001\\b\\u000b\\f\\u001b\\u001f\u{7f}\""),
                ("'späti 😀 \u{202e}漢字\u{feff}'", "\"späti 😀 \u{202e}漢字\u{feff}\""),
                ("'</script>&'", r#""</script>&""#),
            ],
        )
        // Large enough to be kept in another table (TOAST), compressed and not.
        .and("repeat('ab', 500000)".to_owned(), format!("\"{}\"", "ab".repeat(500_000)))
        .and(
            "(select string_agg(md5(i::text), '' order by i) from generate_series(1, 3) i)".to_owned(),
            "\"c4ca4238a0b923820dcc509a6f75849bc81e728d9d4c2f636f067f89cc14862ceccbc87e4b5ce2fe28308fd9f2a7baf3\"".to_owned(),
        ),
        Kind::new("varchar", "text", &[("'a  '", r#""a  ""#)]),
        Kind::new("varchar(3)", "text", &[("'äöü'", r#""äöü""#)]),
        Kind::new("char(5)", "text", &[("'ab'", r#""ab   ""#), ("''", r#""     ""#), ("'12345'", r#""12345""#)]),
        Kind::new("bpchar", "text", &[("'ab  '", r#""ab  ""#)]),
        Kind::new("\"char\"", "text", &[("'a'", r#""a""#), ("''", r#""""#), ("(-1)::\"char\"", r#""\\377""#)]),
        Kind::new("name", "text", &[("'a name'", r#""a name""#)]),
        Kind::new("bytea", "bytes", &[("''", r#""""#), (r"'\x00'", r#""AA==""#), (ALL_BYTES, ALL_BYTES_BASE64)]),
        Kind::new("uuid", "uuid", &[("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#)]),
        Kind::new(
            "json",
            "json",
            &[
                (r#"'{"a" : [1, 2.50E+10, "ü\u00e9", null, {"b":{}}],  "a":2}'"#, r#"{"a" : [1, 2.50E+10, "ü\u00e9", null, {"b":{}}],  "a":2}"#),
                ("E'[\\n1\\n]'", "[\n1\n]"),
                ("'null'", "null"),
                (r#"'"text"'"#, r#""text""#),
                ("'-0.0'", "-0.0"),
            ],
        ),
        Kind::new(
            "jsonb",
            "json",
            &[
                (r#"'{"b": 1, "a": [true, null, "\n\"\\"]}'"#, r#"{"a": [true, null, "\n\"\\"], "b": 1}"#),
                ("'123456789012345678901234567890.1230'", "123456789012345678901234567890.1230"),
                ("'[]'", "[]"),
                ("'null'", "null"),
                (r#"'"\u00e9 😀"'"#, "\"é 😀\""),
            ],
        )
        .and("'1e400'".to_owned(), format!("1{}", "0".repeat(400)))
        .and(
            format!("'{}1{}'", "[".repeat(1_000), "]".repeat(1_000)),
            format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000)),
        ),
        Kind::new("jsonpath", "other", &[("'$.a[*]'", r#""$.\"a\"[*]""#)]),
        Kind::new("xml", "other", &[("'<a b=\"c\">&lt;ü</a>'", r#""<a b=\"c\">&lt;ü</a>""#)]),
        Kind::new("tsvector", "other", &[("'''a b'':1A c:2'", r#""'a b':1A 'c':2""#), ("''", r#""""#)]),
        Kind::new("tsquery", "other", &[("'a & !b'", r#""'a' & !'b'""#)]),
        Kind::new("citext", "text", &[("'Hello \"W\"'", r#""Hello \"W\"""#)]),
    ]
}

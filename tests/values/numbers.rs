//! Numbers, booleans, bits and money.

use crate::kind::Kind;

pub(crate) fn kinds() -> Vec<Kind> {
    // The most digits that a numeric takes before and behind its point.
    let digits_before = "9".repeat(131_072);
    let digits_behind = "1".repeat(16_383);
    vec![
        Kind::new(
            "boolean",
            "boolean",
            &[("true", "true"), ("false", "false")],
        ),
        Kind::new(
            "smallint",
            "integer",
            &[("-32768", "-32768"), ("0", "0"), ("32767", "32767")],
        ),
        Kind::new(
            "integer",
            "integer",
            &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")],
        ),
        Kind::new(
            "bigint",
            "integer",
            &[
                ("-9223372036854775808", "-9223372036854775808"),
                ("9223372036854775807", "9223372036854775807"),
                ("9007199254740993", "9007199254740993"),
            ],
        ),
        Kind::new(
            "oid",
            "integer",
            &[("0::oid", "0"), ("'4294967295'::oid", "4294967295")],
        ),
        Kind::new(
            "numeric",
            "decimal",
            &[
                ("'NaN'", "\"NaN\""),
                ("0", "\"0\""),
                ("-0.00", "\"0.00\""),
                ("1.50", "\"1.50\""),
                (
                    "-123456789012345678901234567890.000000000000000001",
                    "\"-123456789012345678901234567890.000000000000000001\"",
                ),
            ],
        )
        .and(
            format!("'{digits_before}'::numeric"),
            format!("\"{digits_before}\""),
        )
        .and(
            format!("'-0.{digits_behind}'::numeric"),
            format!("\"-0.{digits_behind}\""),
        ),
        Kind::new(
            "numeric",
            "decimal",
            &[
                ("'Infinity'", "\"Infinity\""),
                ("'-Infinity'", "\"-Infinity\""),
            ],
        )
        .since(14),
        Kind::new(
            "numeric(10,4)",
            "decimal",
            &[("1.5", "\"1.5000\""), ("-999999.99994", "\"-999999.9999\"")],
        ),
        Kind::new("numeric(3,-3)", "decimal", &[("123456", "\"123000\"")]).since(15),
        Kind::new(
            "real",
            "float",
            &[
                ("'NaN'", "\"NaN\""),
                ("'Infinity'", "\"Infinity\""),
                ("'-Infinity'", "\"-Infinity\""),
                ("'-0'", "-0"),
                ("0.1", "0.1"),
                ("'1e-45'", "1e-45"),
                ("'3.4028235e38'", "3.4028235e+38"),
                ("16777216", "1.6777216e+07"),
            ],
        ),
        Kind::new(
            "double precision",
            "float",
            &[
                ("'NaN'", "\"NaN\""),
                ("'Infinity'", "\"Infinity\""),
                ("'-Infinity'", "\"-Infinity\""),
                ("'-0'", "-0"),
                ("0.1::float8 + 0.2::float8", "0.30000000000000004"),
                ("'5e-324'", "5e-324"),
                ("'2.2250738585072011e-308'", "2.225073858507201e-308"),
                ("'1.7976931348623157e308'", "1.7976931348623157e+308"),
                ("1e22::float8", "1e+22"),
            ],
        ),
        Kind::new(
            "money",
            "other",
            &[
                ("'-92233720368547758.08'", "\"-$92,233,720,368,547,758.08\""),
                ("'92233720368547758.07'", "\"$92,233,720,368,547,758.07\""),
                ("0::money", "\"$0.00\""),
            ],
        ),
        Kind::new("bit", "bit", &[("B'1'", "\"1\"")]),
        Kind::new("bit(9)", "bit", &[("B'101010101'", "\"101010101\"")]),
        Kind::new(
            "bit varying",
            "bit",
            &[("B''", "\"\""), ("B'0001'", "\"0001\"")],
        ),
    ]
}

use super::*;

#[test]
fn integers_keep_all_their_digits() {
    check_all(
        oid::INT2,
        &[("-32768", "-32768"), ("32767", "32767"), ("0", "0")],
    );
    check_all(
        oid::INT4,
        &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")],
    );
    check_all(
        oid::INT8,
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("0", "0"),
            ("-1", "-1"),
        ],
    );
    check_all(oid::OID, &[("0", "0"), ("4294967295", "4294967295")]);
}

#[test]
fn integers_out_of_range_or_with_needless_characters_are_refused() {
    for oid in [oid::INT2, oid::INT4, oid::INT8, oid::OID] {
        check_all_refused(
            oid,
            &[
                "", "-", "+1", "01", "00", "-0", "1 ", " 1", "1.0", "0x1", "NaN",
            ],
        );
        check_all_refused(oid, &["9223372036854775808", "-9223372036854775809"]);
        check_all_refused(oid, &["99999999999999999999999999999999"]);
    }
    check_all_refused(oid::INT2, &["32768", "-32769"]);
    check_all_refused(oid::INT4, &["2147483648", "-2147483649"]);
    check_all_refused(oid::OID, &["4294967296", "-1"]);
}

#[test]
fn floats_pass_through_in_their_shortest_form() {
    for oid in [oid::FLOAT4, oid::FLOAT8] {
        check_all(
            oid,
            &[
                ("0", "0"),
                ("-0", "-0"),
                ("1.5", "1.5"),
                ("1e+06", "1e+06"),
                ("1e-07", "1e-07"),
                ("5e-324", "5e-324"),
                ("1.7976931348623157e+308", "1.7976931348623157e+308"),
                ("3.4028235e+38", "3.4028235e+38"),
                ("NaN", "\"NaN\""),
                ("Infinity", "\"Infinity\""),
                ("-Infinity", "\"-Infinity\""),
            ],
        );
        check_all_refused(
            oid,
            &[
                "", "1.", ".5", "1e", "1e+", "inf", "nan", "+1", "1_000", "1.5x",
            ],
        );
    }
}

#[test]
fn numeric_is_exact_and_has_the_columns_scale() {
    check_all(
        oid::NUMERIC,
        &[
            ("0", "\"0\""),
            ("0.00", "\"0.00\""),
            ("-1.50", "\"-1.50\""),
            ("0.000001", "\"0.000001\""),
            (
                "123456789012345678901234567890.1234567890",
                "\"123456789012345678901234567890.1234567890\"",
            ),
            ("NaN", "\"NaN\""),
            ("Infinity", "\"Infinity\""),
            ("-Infinity", "\"-Infinity\""),
        ],
    );
    check_all_refused(
        oid::NUMERIC,
        &[
            "", "-", "1e5", "1.", ".1", "--1", "01", "1,5", "infinity", "-NaN",
        ],
    );
}

#[test]
fn numbers_stay_strings_where_json_has_no_such_number() {
    let options = ValueOptions {
        integers_as_strings: true,
        decimals_as_numbers: true,
        ..ValueOptions::default()
    };
    for (oid, cell, json) in [
        (oid::NUMERIC, "1.50", "1.50"),
        (oid::NUMERIC, "NaN", "\"NaN\""),
        (oid::NUMERIC, "-Infinity", "\"-Infinity\""),
        (oid::INT8, "9223372036854775807", "\"9223372036854775807\""),
        (oid::INT4, "1", "1"),
    ] {
        let mut out = Vec::new();
        let mut writer = ValueWriter::new(&mut out, options);
        format(&builtin(oid).unwrap(), -1)
            .write_text(cell.as_bytes(), &mut writer)
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}

#[test]
fn a_numeric_modifier_is_precision_and_scale() {
    let numeric = builtin(oid::NUMERIC).unwrap();
    for (typmod, precision, scale) in [
        (655_366, Some(10), Some(2)),
        // numeric(5,-2), from PostgreSQL 15 on.
        (329_730, Some(5), Some(-2)),
        ((1000 << 16 | 1000) + 4, Some(1000), Some(1000)),
        ((1000 << 16 | (-1000 & 0x7ff)) + 4, Some(1000), Some(-1000)),
        (-1, None, None),
        (i32::MIN, None, None),
    ] {
        let column = column_type(&numeric, typmod);
        assert_eq!((column.precision, column.scale), (precision, scale));
    }
    assert!(column_type(&numeric, i32::MAX).precision.is_some());
}

#[test]
fn booleans_are_true_and_false() {
    check_all(oid::BOOL, &[("t", "true"), ("f", "false")]);
    check_all_refused(oid::BOOL, &["", "true", "T", "1"]);
}

#[test]
fn bit_strings_stay_strings() {
    for oid in [oid::BIT, oid::VARBIT] {
        check_all(oid, &[("101", "\"101\""), ("", "\"\""), ("0", "\"0\"")]);
        check_all_refused(oid, &["2", "10 ", "xA"]);
    }
}

#[test]
fn text_is_escaped_and_must_be_utf8() {
    for oid in [oid::TEXT, oid::VARCHAR, oid::BPCHAR, oid::NAME, oid::XML] {
        check_all(
            oid,
            &[
                ("", "\"\""),
                ("abc  ", "\"abc  \""),
                ("a\"b\\c\nd\t\u{1}", r#""a\"b\\c\nd\t\u0001""#),
                ("é😀", "\"é😀\""),
            ],
        );
        let error = json_of(&builtin(oid).unwrap(), -1, b"ab\xff").unwrap_err();
        assert_eq!((error.offset, error.len), (2, 3));
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}

#[test]
fn a_quoted_char_above_ascii_is_the_same_from_every_release() {
    check_all(
        oid::CHAR,
        &[("a", "\"a\""), ("", "\"\""), (r"\377", r#""\\377""#)],
    );
    let char = builtin(oid::CHAR).unwrap();
    assert_eq!(json_of(&char, -1, b"\xff").unwrap(), r#""\\377""#);
    assert_eq!(json_of(&char, -1, b"\x80").unwrap(), r#""\\200""#);
}

#[test]
fn uuids_are_checked() {
    check_all(
        oid::UUID,
        &[(
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
        )],
    );
    check_all_refused(
        oid::UUID,
        &[
            "",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        ],
    );
}

#[test]
fn bytes_become_base64() {
    check_all(oid::BYTEA, &[(r"\x00ff", "\"AP8=\""), (r"\x", "\"\"")]);
    check_all_refused(oid::BYTEA, &["", "abc", r"\000", r"\x0", r"\x0g", r"\X00"]);
}

#[test]
fn json_is_embedded_as_it_is() {
    for oid in [oid::JSON, oid::JSONB] {
        check_all(
            oid,
            &[
                (r#"{"a": 1}"#, r#"{"a": 1}"#),
                ("{\"a\": 1,\n\"b\":2}", "{\"a\": 1,\n\"b\":2}"),
                (" [ ] ", " [ ] "),
                ("{}", "{}"),
                ("null", "null"),
                ("\"x\"", "\"x\""),
                ("-1.5e-7", "-1.5e-7"),
                (
                    r#"[true,false,null,[],{},{"é":[{"b":"\u0041\n"}]}]"#,
                    r#"[true,false,null,[],{},{"é":[{"b":"\u0041\n"}]}]"#,
                ),
            ],
        );
        check_all_refused(
            oid,
            &[
                "",
                " ",
                "{",
                "[",
                "]",
                "[1",
                "[1}",
                "{]",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "[1,]",
                "[,1]",
                "1 2",
                "nul",
                "truefalse",
                "\"",
                "\"\\\"",
                "\"\\x\"",
                "\"\\u12\"",
                "\"\n\"",
                "{1:2}",
                "'a'",
                "01",
                "{\"a\":1 \"b\":2}",
                "[1 2]",
                "[[1]",
            ],
        );
    }
}

#[test]
fn json_may_be_nested_as_deep_as_postgresql_allows() {
    let json = builtin(oid::JSON).unwrap();
    for depth in [1, 63, 64, 65, 127, 128, 129, 20_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(json_of(&json, -1, arrays.as_bytes()).unwrap(), arrays);
        let mixed = format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        assert_eq!(json_of(&json, -1, mixed.as_bytes()).unwrap(), mixed);
        let wrong = format!("{}1{}", "[{\"a\":".repeat(depth), "]}".repeat(depth));
        assert!(json_of(&json, -1, wrong.as_bytes()).is_err());
        let open = format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth - 1));
        assert!(json_of(&json, -1, open.as_bytes()).is_err());
    }
}

#[test]
fn dates_are_iso_8601() {
    check_all(
        oid::DATE,
        &[
            ("2026-11-23", "\"2026-11-23\""),
            ("0001-01-01", "\"0001-01-01\""),
            ("9999-12-31", "\"9999-12-31\""),
            ("10000-01-01", "\"+10000-01-01\""),
            ("294276-12-31", "\"+294276-12-31\""),
            ("5874897-12-31", "\"+5874897-12-31\""),
            ("0001-12-31 BC", "\"0000-12-31\""),
            ("0002-01-01 BC", "\"-0001-01-01\""),
            ("0044-03-15 BC", "\"-0043-03-15\""),
            ("4713-11-24 BC", "\"-4712-11-24\""),
            ("infinity", "\"infinity\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check_all_refused(
        oid::DATE,
        &[
            "",
            "11/23/2026",
            "23.11.2026",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "2026-01-00",
            "2026-1-01",
            "026-01-01",
            "02026-01-01",
            "0000-01-01",
            "12345678-01-01",
            "2026-01-01 ",
            "2026-01-01 AD",
            "2026-01-01 BC ",
            "-2026-01-01",
            "2026-01-01 00:00:00",
            "Infinity",
            "2026-01",
            "2026",
            "2026-11-2é",
        ],
    );
}

#[test]
fn times_have_the_columns_precision() {
    check_all(
        oid::TIME,
        &[
            ("00:00:00", "\"00:00:00.000000\""),
            ("13:37:00.1", "\"13:37:00.100000\""),
            ("23:59:59.999999", "\"23:59:59.999999\""),
            ("24:00:00", "\"24:00:00.000000\""),
        ],
    );
    let time = builtin(oid::TIME).unwrap();
    check(&time, 0, "24:00:00", "\"24:00:00\"");
    check(&time, 3, "13:37:00", "\"13:37:00.000\"");
    check(&time, 3, "13:37:00.12", "\"13:37:00.120\"");
    // Were the catalogue ahead of the log, digits would not be lost.
    check(&time, 0, "13:37:00.12", "\"13:37:00.12\"");
    check_all_refused(
        oid::TIME,
        &[
            "",
            "25:00:00",
            "24:00:01",
            "24:00:00.000001",
            "13:60:00",
            "13:37:60",
            "13:37",
            "1:37:00",
            "13:37:00.",
            "13:37:00.1234567",
            "13:37:00+00",
            "13:37:00 PM",
            "infinity",
        ],
    );
}

#[test]
fn timetz_keeps_its_offset() {
    check_all(
        oid::TIMETZ,
        &[
            ("13:37:00+00", "\"13:37:00.000000+00:00\""),
            ("23:59:59.999999+02", "\"23:59:59.999999+02:00\""),
            ("13:37:00.1+05:30", "\"13:37:00.100000+05:30\""),
            ("24:00:00+15:59", "\"24:00:00.000000+15:59\""),
            ("00:00:00-15:59:59", "\"00:00:00.000000-15:59:59\""),
            ("13:37:00-00:00:01", "\"13:37:00.000000-00:00:01\""),
        ],
    );
    check(
        &builtin(oid::TIMETZ).unwrap(),
        0,
        "13:37:00+02",
        "\"13:37:00+02:00\"",
    );
    check_all_refused(
        oid::TIMETZ,
        &[
            "13:37:00",
            "13:37:00+",
            "13:37:00+2",
            "13:37:00+16",
            "13:37:00Z",
            "13:37:00+02:",
            "13:37:00+02:00:00:00",
        ],
    );
}

#[test]
fn timestamps_are_iso_8601_without_an_offset() {
    check_all(
        oid::TIMESTAMP,
        &[
            (
                "2026-11-23 13:37:00.123456",
                "\"2026-11-23T13:37:00.123456\"",
            ),
            ("2026-11-23 13:37:00", "\"2026-11-23T13:37:00.000000\""),
            (
                "0044-03-15 13:37:00.12 BC",
                "\"-0043-03-15T13:37:00.120000\"",
            ),
            ("4713-11-24 00:00:00 BC", "\"-4712-11-24T00:00:00.000000\""),
            (
                "294276-12-31 23:59:59.999999",
                "\"+294276-12-31T23:59:59.999999\"",
            ),
            ("infinity", "\"infinity\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    let timestamp = builtin(oid::TIMESTAMP).unwrap();
    check(
        &timestamp,
        3,
        "2026-11-23 13:37:00.12",
        "\"2026-11-23T13:37:00.120\"",
    );
    check(
        &timestamp,
        0,
        "2026-11-23 13:37:00",
        "\"2026-11-23T13:37:00\"",
    );
    check_all_refused(
        oid::TIMESTAMP,
        &[
            "",
            "2026-11-23",
            "2026-11-23T13:37:00",
            "2026-11-23 13:37:00+00",
            "2026-11-23 24:00:00",
            "Mon Nov 23 13:37:00 2026",
            "2026-11-23 13:37:00 ",
            "2026-11-23 13:37:00 AD",
        ],
    );
}

#[test]
fn points_in_time_are_in_utc() {
    check_all(
        oid::TIMESTAMPTZ,
        &[
            (
                "2026-11-23 13:37:00.5+00",
                "\"2026-11-23T13:37:00.500000Z\"",
            ),
            (
                "0044-03-15 13:37:00.12+00 BC",
                "\"-0043-03-15T13:37:00.120000Z\"",
            ),
            (
                "294276-12-31 23:59:59.999999+00",
                "\"+294276-12-31T23:59:59.999999Z\"",
            ),
            ("infinity", "\"infinity\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check(
        &builtin(oid::TIMESTAMPTZ).unwrap(),
        0,
        "2026-11-23 13:37:00+00",
        "\"2026-11-23T13:37:00Z\"",
    );
    check_all_refused(
        oid::TIMESTAMPTZ,
        &[
            "2026-11-23 13:37:00",
            "2026-11-23 13:37:00+02",
            "2026-11-23 13:37:00-00",
            "2026-11-23 13:37:00+00:00",
            "2026-11-23 13:37:00+00:19:32",
            "2026-11-23 13:37:00+00BC",
            "2026-11-23 13:37:00Z",
        ],
    );
    let error = json_of(
        &builtin(oid::TIMESTAMPTZ).unwrap(),
        -1,
        b"2026-11-23 13:37:00+02",
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("time zone must be UTC")
    );
}

#[test]
fn intervals_are_iso_8601_durations() {
    check_all(
        oid::INTERVAL,
        &[
            ("PT0S", "\"PT0S\""),
            ("P1Y2M3DT4H5M6.7S", "\"P1Y2M3DT4H5M6.7S\""),
            ("P-1Y-2M3DT-0.5S", "\"P-1Y-2M3DT-0.5S\""),
            ("P1M", "\"P1M\""),
            ("PT1M", "\"PT1M\""),
            ("PT-0.000001S", "\"PT-0.000001S\""),
            ("P178000000Y", "\"P178000000Y\""),
            ("PT2562047788H54.775807S", "\"PT2562047788H54.775807S\""),
            ("infinity", "\"infinity\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check_all_refused(
        oid::INTERVAL,
        &[
            "",
            "P",
            "PT",
            "1 year",
            "1-2",
            "P1",
            "P1D1Y",
            "P1Y1Y",
            "P1YT",
            "P1H",
            "PT1D",
            "PT1.5H",
            "PT1.S",
            "PT1.1234567S",
            "P-Y",
            "P1W",
            "P1Y ",
            "Infinity",
        ],
    );
}

#[test]
fn types_without_a_form_of_their_own_keep_their_text() {
    for (oid, cell) in [
        (oid::MONEY, "-$92,233,720,368,547,758.08"),
        (oid::INET, "192.168.0.1/24"),
        (oid::CIDR, "::/0"),
        (oid::MACADDR, "08:00:2b:01:02:03"),
        (oid::POINT, "(1,2)"),
        (oid::INT4RANGE, "[1,5)"),
        (oid::INT8RANGE, "(,)"),
        (oid::NUMRANGE, "empty"),
        (oid::NUMMULTIRANGE, "{[1,2)}"),
        (oid::INT4MULTIRANGE, "{}"),
        (oid::TSVECTOR, "'a':1 'b':2"),
        (oid::INT2VECTOR, "1 2"),
        (oid::XID8, "18446744073709551615"),
        (oid::PG_LSN, "16/B374D848"),
        (oid::REGCLASS, "pg_class"),
    ] {
        let info = builtin(oid).unwrap();
        check(&info, -1, cell, &format!("\"{cell}\""));
        assert_eq!(logical(&info), Logical::Other);
    }
    check_all(
        oid::TSRANGE,
        &[(
            r#"["2020-01-01 00:00:00","2020-02-02 00:00:00")"#,
            r#""[\"2020-01-01 00:00:00\",\"2020-02-02 00:00:00\")""#,
        )],
    );
}

#[test]
fn logical_types_are_those_of_the_event_format() {
    for (oid, logical) in [
        (oid::INT2, Logical::Integer),
        (oid::INT4, Logical::Integer),
        (oid::INT8, Logical::Integer),
        (oid::OID, Logical::Integer),
        (oid::FLOAT4, Logical::Float),
        (oid::NUMERIC, Logical::Decimal),
        (oid::BOOL, Logical::Boolean),
        (oid::TEXT, Logical::Text),
        (oid::CHAR, Logical::Text),
        (oid::BYTEA, Logical::Bytes),
        (oid::DATE, Logical::Date),
        (oid::TIME, Logical::Time),
        (oid::TIMETZ, Logical::TimeTz),
        (oid::TIMESTAMP, Logical::Timestamp),
        (oid::TIMESTAMPTZ, Logical::TimestampTz),
        (oid::INTERVAL, Logical::Interval),
        (oid::UUID, Logical::Uuid),
        (oid::JSON, Logical::Json),
        (oid::JSONB, Logical::Json),
        (oid::BIT, Logical::Bit),
        (1009, Logical::Array),
    ] {
        assert_eq!(super::logical(&builtin(oid).unwrap()), logical);
    }
}

#[test]
fn builtin_knows_arrays_and_only_built_in_types() {
    let text_array = builtin(1009).unwrap();
    assert_eq!(text_array.name, "_text");
    let TypeKind::Array { element, delimiter } = text_array.kind else {
        panic!("no array");
    };
    assert_eq!((element.oid, delimiter), (oid::TEXT, b','));
    assert!(matches!(
        builtin(1020).unwrap().kind,
        TypeKind::Array {
            delimiter: b';',
            ..
        }
    ));
    assert_eq!(builtin(oid::DATERANGE).unwrap().kind, TypeKind::Range);
    assert_eq!(
        builtin(oid::DATEMULTIRANGE).unwrap().kind,
        TypeKind::Multirange
    );
    for unknown in [0, 1, 15, 16_384, u32::MAX] {
        assert_eq!(builtin(unknown), None);
    }
}

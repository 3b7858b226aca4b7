//! Whatever the bytes: no panic, and what is accepted is one JSON value.

use adit_decode::Reader;
use adit_event::{ValueOptions, ValueWriter};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{ColumnSpec, Declared, column_facts, json, split};
use crate::charset::Charset;
use crate::event::{ColumnType, TypeCode};

fn spec(code: u8, meta: u16, charset: &str, declared: Declared) -> ColumnSpec {
    ColumnSpec {
        column: ColumnType {
            code: TypeCode(code),
            meta,
            nullable: true,
        },
        unsigned: meta % 2 == 1,
        charset: Charset::by_name(charset).unwrap(),
        labels: vec!["a".to_owned(), String::new(), "é\"".to_owned()],
        declared,
    }
}

/// The types with the metadata that maps have, and any type with any metadata.
fn specs(code: u8, meta: u16) -> Vec<ColumnSpec> {
    let plain = |code: TypeCode, meta| spec(code.0, meta, "utf8mb4", Declared::Plain);
    let mut specs = vec![
        plain(TypeCode::TINY, 0),
        plain(TypeCode::SHORT, 1),
        plain(TypeCode::INT24, 0),
        plain(TypeCode::LONG, 1),
        plain(TypeCode::LONGLONG, 0),
        plain(TypeCode::LONGLONG, 1),
        plain(TypeCode::FLOAT, 4),
        plain(TypeCode::DOUBLE, 8),
        plain(TypeCode::YEAR, 0),
        plain(TypeCode::DATE, 0),
        plain(TypeCode::NEWDATE, 0),
        plain(TypeCode::NEWDECIMAL, 0x411e),
        plain(TypeCode::NEWDECIMAL, 0x0500),
        plain(TypeCode::NEWDECIMAL, 0x0a0a),
        plain(TypeCode::BIT, 0x0103),
        plain(TypeCode::BIT, 0x0800),
        plain(TypeCode::ENUM, 1),
        plain(TypeCode::SET, 1),
        plain(TypeCode::JSON, 4),
        plain(TypeCode::GEOMETRY, 4),
        plain(TypeCode::VECTOR, 4),
        plain(TypeCode::BLOB, 2),
        spec(TypeCode::BLOB.0, 4, "utf8mb4", Declared::Json),
        spec(TypeCode::BLOB_COMPRESSED.0, 2, "utf8mb4", Declared::Plain),
        spec(
            TypeCode::VARCHAR_COMPRESSED.0,
            11,
            "binary",
            Declared::Plain,
        ),
        spec(TypeCode::STRING.0, 16, "binary", Declared::Plain),
        spec(TypeCode::STRING.0, 16, "binary", Declared::Uuid),
        spec(TypeCode::STRING.0, 16, "binary", Declared::Inet6),
        spec(TypeCode::STRING.0, 4, "binary", Declared::Inet4),
        spec(TypeCode::VARCHAR.0, 8, "binary", Declared::Vector),
        spec(code, meta, "utf8mb4", Declared::Plain),
        spec(code, meta, "binary", Declared::Plain),
    ];
    for digits in [0, 1, 2, 3, 4, 5, 6, 7, 100, u16::MAX] {
        for code in [
            TypeCode::TIME,
            TypeCode::TIME2,
            TypeCode::DATETIME,
            TypeCode::DATETIME2,
            TypeCode::TIMESTAMP,
            TypeCode::TIMESTAMP2,
        ] {
            specs.push(plain(code, digits));
        }
    }
    for charset in [
        "ascii", "latin1", "cp1250", "swe7", "tis620", "big5", "gb2312", "gbk", "gb18030", "sjis",
        "cp932", "ujis", "eucjpms", "euckr", "ucs2", "utf16", "utf16le", "utf32", "utf8mb3",
    ] {
        specs.push(spec(TypeCode::VARCHAR.0, 100, charset, Declared::Plain));
        specs.push(spec(TypeCode::SET.0, 1, charset, Declared::Plain));
    }
    specs
}

fn try_all(cell: &[u8], code: u8, meta: u16) -> Result<(), TestCaseError> {
    for spec in specs(code, meta) {
        let format = column_facts(&spec).format;
        for binary in [true, false] {
            let mut out = Vec::new();
            let mut writer = ValueWriter::new(&mut out, ValueOptions::default());
            let written = if binary {
                format.write_binary(cell, &mut writer)
            } else {
                format.write_text(cell, &mut writer)
            };
            match written {
                Ok(()) => {
                    let json = serde_json::from_slice::<&RawValue>(&out);
                    prop_assert!(json.is_ok(), "{spec:?}: {cell:?} became {out:?}");
                }
                Err(error) => prop_assert!(error.offset <= error.len, "{spec:?}: {error}"),
            }
        }
        let mut reader = Reader::new(cell);
        if split(spec.column, &mut reader).is_err() {
            continue;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes(
        cell in prop::collection::vec(any::<u8>(), 0..40),
        code in any::<u8>(),
        meta in any::<u16>(),
    ) {
        try_all(&cell, code, meta)?;
    }

    #[test]
    fn likely_text(cell in r#"[\[\]{}",:\\ 0-9a-fTZe+.-]{0,40}"#, meta in 0u16..8) {
        try_all(cell.as_bytes(), 252, meta)?;
    }

    #[test]
    fn likely_moments(cell in "[0-9]{4,20}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,20})?") {
        try_all(cell.as_bytes(), 18, 6)?;
    }

    #[test]
    fn likely_json(
        kind in prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 11, 12, 15]),
        bytes in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 4, 5, 7, 10, 12, 15, 20, 33, 255]), 0..60),
        changes in prop::collection::vec(prop::sample::select(b"\0\x01\x02$.a\"[0]\x05\x07".to_vec()), 0..30),
    ) {
        let mut cell = vec![kind];
        cell.extend(&bytes);
        try_all(&cell, TypeCode::JSON.0, 4)?;
        if let Ok(text) = json::apply(&cell, &changes) {
            let json = serde_json::from_slice::<&RawValue>(&text);
            prop_assert!(json.is_ok());
        }
    }

    #[test]
    fn whole_numbers_are_the_same_in_both_forms(value in any::<i64>()) {
        for unsigned in [0, 1] {
            let format = column_facts(&spec(8, unsigned, "binary", Declared::Plain)).format;
            let text = if unsigned == 1 { value.cast_unsigned().to_string() } else { value.to_string() };
            let mut both = [Vec::new(), Vec::new()];
            let [ours, theirs] = &mut both;
            let options = ValueOptions::default();
            format.write_binary(&value.to_le_bytes(), &mut ValueWriter::new(ours, options)).unwrap();
            format.write_text(text.as_bytes(), &mut ValueWriter::new(theirs, options)).unwrap();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn doubles_read_back_the_same(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let format = column_facts(&spec(5, 8, "binary", Declared::Plain)).format;
        let mut out = Vec::new();
        format.write_binary(&value.to_le_bytes(), &mut ValueWriter::new(&mut out, ValueOptions::default())).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap().parse::<f64>().unwrap().to_bits(), bits);
        let mut document = vec![11];
        document.extend(bits.to_le_bytes());
        let text = json::apply(&document, &[]).unwrap();
        prop_assert_eq!(String::from_utf8(text).unwrap().parse::<f64>().unwrap().to_bits(), bits);
    }
}

//! Whatever the bytes: no panic, and what is accepted is one JSON value.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn every_type() -> Vec<TypeInfo> {
    let mut types: Vec<TypeInfo> = (0..10_000).filter_map(builtin).collect();
    for name in [
        "hstore",
        "citext",
        "ltree",
        "geometry",
        "geography",
        "vector",
        "halfvec",
        "sparsevec",
        "unheard_of",
    ] {
        let info = user_type(name, TypeKind::Base);
        types.push(array_of(info.clone()));
        types.push(info);
    }
    types
}

fn try_all(cell: &[u8], typmod: i32) -> Result<(), TestCaseError> {
    for info in every_type() {
        match json_of(&info, typmod, cell) {
            Ok(json) => {
                let parsed = serde_json::from_str::<&RawValue>(&json);
                prop_assert!(parsed.is_ok(), "{}: {cell:?} became {json}", info.name);
            }
            Err(error) => {
                prop_assert!(
                    error.offset <= error.len,
                    "{}: {cell:?}: {error}",
                    info.name
                );
                prop_assert_eq!(error.len, cell.len(), "{}: {:?}", info.name, cell);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes(cell in prop::collection::vec(any::<u8>(), 0..64), typmod in any::<i32>()) {
        try_all(&cell, typmod)?;
    }

    // The characters that the formats give meaning to.
    #[test]
    fn likely_text(
        cell in r#"[\[\]{}",:;=>\\ 0-9a-fA-FxTPYMDHSNUL.+e-]{0,40}"#,
        typmod in -1i32..8,
    ) {
        try_all(cell.as_bytes(), typmod)?;
    }

    #[test]
    fn likely_moments(
        cell in "[0-9]{4,7}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?)?(\\+00)?( BC)?",
        typmod in -1i32..8,
    ) {
        try_all(cell.as_bytes(), typmod)?;
    }

    #[test]
    fn likely_geometry(
        cell in "0[01](0[0-9A-F]|1[01])0000[02468ACE]0(0[0-4]000000)?[0-9A-F]{0,80}",
    ) {
        try_all(cell.as_bytes(), -1)?;
    }

    #[test]
    fn numbers_read_back_the_same(value in any::<i64>(), float in any::<f64>()) {
        let read = json_of(&builtin(oid::INT8).unwrap(), -1, value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.parse(), Ok(value));
        prop_assume!(float.is_finite());
        let read = json_of(&builtin(oid::FLOAT8).unwrap(), -1, format!("{float:e}").as_bytes());
        prop_assert_eq!(read.unwrap().parse(), Ok(float));
    }

    #[test]
    fn arrays_of_text_read_back_the_same(
        elements in prop::collection::vec(prop::option::of("\\PC{0,8}"), 1..6),
    ) {
        let quoted: Vec<String> = elements
            .iter()
            .map(|element| match element {
                Some(text) => format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")),
                None => "NULL".to_owned(),
            })
            .collect();
        let cell = format!("{{{}}}", quoted.join(","));
        let json = json_of(&builtin(1009).unwrap(), -1, cell.as_bytes()).unwrap();
        prop_assert_eq!(json, serde_json::to_string(&elements).unwrap());
    }
}

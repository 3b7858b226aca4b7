//! Arrays, and types that users and extensions make.

use super::*;

const INT4_ARRAY: u32 = 1007;
const TEXT_ARRAY: u32 = 1009;

#[test]
fn arrays_of_any_depth_become_json_arrays() {
    check_all(
        INT4_ARRAY,
        &[
            ("{}", "[]"),
            ("{1}", "[1]"),
            ("{1,NULL,-3}", "[1,null,-3]"),
            ("{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            ("{{{{{{1}}}}}}", "[[[[[[1]]]]]]"),
            ("[2:4]={1,2,3}", "[1,2,3]"),
            ("[-1:0][2:2]={{1},{2}}", "[[1],[2]]"),
        ],
    );
    check_all_refused(
        INT4_ARRAY,
        &[
            "",
            "{",
            "}",
            "{1",
            "{1,}",
            "{,1}",
            "{1,2}}",
            "{{1},2}",
            "{1,{2}}",
            "{{}}",
            "{1}x",
            "{{{{{{{1}}}}}}}",
            "{a}",
            "{1 }",
            "{\"1}",
            "{\"\\",
            "{1\"2}",
            "1,2",
            "[1:2]{1}",
            "[1:2]=",
            "[1]={1}",
            "[a:b]={1}",
            "[1:1][1:1]={1}",
            "[1:1]={{1}}",
            "[1:0]={}",
            "[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={{{{{{{1}}}}}}}",
        ],
    );
}

#[test]
fn quotes_and_backslashes_in_arrays_are_undone() {
    check_all(
        TEXT_ARRAY,
        &[
            (
                r#"{NULL,"NULL",NULL,"","a b","a,b","a\"b","a\\b","{x}",é}"#,
                r#"[null,"NULL",null,"","a b","a,b","a\"b","a\\b","{x}","é"]"#,
            ),
            ("{\"a\nb\",\"c\\\"d\",plain}", r#"["a\nb","c\"d","plain"]"#),
        ],
    );
    let error = json_of(&builtin(TEXT_ARRAY).unwrap(), -1, b"{a,\"b\xff\"}").unwrap_err();
    assert_eq!((error.expected, error.offset, error.len), ("text", 3, 8));
}

#[test]
fn elements_have_the_form_of_their_type() {
    for (oid, cell, json) in [
        (1000, "{t,f}", "[true,false]"),
        (1001, r#"{"\\xdead","\\x"}"#, r#"["3q0=",""]"#),
        (1002, r#"{a,""}"#, r#"["a",""]"#),
        (
            199,
            r#"{"{\"a\":\"b c\"}","[1,2]","null",1}"#,
            r#"[{"a":"b c"},[1,2],null,1]"#,
        ),
        (1231, "{1.50,NaN}", r#"["1.50","NaN"]"#),
        (
            1185,
            r#"{"2020-01-01 00:00:00+00"}"#,
            r#"["2020-01-01T00:00:00.000000Z"]"#,
        ),
        (1187, "{P1D}", r#"["P1D"]"#),
        (
            1020,
            "{(1,2),(0,0);NULL;(3,4),(1,1)}",
            r#"["(1,2),(0,0)",null,"(3,4),(1,1)"]"#,
        ),
        (1017, r#"{"(1,2)"}"#, r#"["(1,2)"]"#),
        (1006, r#"{"1 2"}"#, r#"["1 2"]"#),
        (3905, r#"{"[1,2)"}"#, r#"["[1,2)"]"#),
    ] {
        check(&builtin(oid).unwrap(), -1, cell, json);
    }
    // timestamp(0)[]
    check(
        &builtin(1115).unwrap(),
        0,
        r#"{"2020-01-01 00:00:00"}"#,
        r#"["2020-01-01T00:00:00"]"#,
    );
}

#[test]
fn an_enum_is_its_label() {
    let labels = vec!["sad".to_owned(), "it's \"ok\"".to_owned()];
    let mood = user_type(
        "mood",
        TypeKind::Enum {
            labels: labels.clone(),
        },
    );
    check(&mood, -1, "it's \"ok\"", r#""it's \"ok\"""#);
    let column = column_type(&mood, -1);
    assert_eq!((column.logical, column.labels), (Logical::Enum, labels));
    check(&array_of(mood), -1, r#"{sad,NULL}"#, r#"["sad",null]"#);
}

#[test]
fn a_domain_is_its_base_type_with_its_own_modifier() {
    let price = user_type(
        "price",
        TypeKind::Domain {
            base: Arc::new(builtin(oid::NUMERIC).unwrap()),
            typmod: 655_366,
        },
    );
    let dear = user_type(
        "dear",
        TypeKind::Domain {
            base: Arc::new(price),
            typmod: -1,
        },
    );
    check(&dear, -1, "1.50", "\"1.50\"");
    let column = column_type(&dear, -1);
    assert_eq!(column.logical, Logical::Decimal);
    assert_eq!((column.precision, column.scale), (Some(10), Some(2)));

    let instants = user_type(
        "instants",
        TypeKind::Domain {
            base: Arc::new(builtin(1115).unwrap()),
            typmod: 0,
        },
    );
    assert_eq!(logical(&instants), Logical::Array);
    check(
        &array_of(instants),
        -1,
        r#"{"{\"2020-01-01 00:00:00\"}"}"#,
        r#"[["2020-01-01T00:00:00"]]"#,
    );
}

#[test]
fn composites_ranges_and_unknown_types_keep_their_text() {
    for kind in [
        TypeKind::Composite,
        TypeKind::Range,
        TypeKind::Multirange,
        TypeKind::Pseudo,
        TypeKind::Base,
    ] {
        let info = user_type("thing", kind);
        check(&info, -1, r#"(1,"a,b",)"#, r#""(1,\"a,b\",)""#);
        assert_eq!(logical(&info), Logical::Other);
        check(
            &array_of(info),
            -1,
            r#"{"(1,\"a\"\"b\")"}"#,
            r#"["(1,\"a\"\"b\")"]"#,
        );
    }
    // The name alone does not make an extension's type.
    check(
        &user_type("hstore", TypeKind::Composite),
        -1,
        "(1)",
        "\"(1)\"",
    );
}

#[test]
fn hstore_becomes_an_object() {
    let hstore = user_type("hstore", TypeKind::Base);
    assert_eq!(logical(&hstore), Logical::Object);
    check(&hstore, -1, "", "{}");
    check(
        &hstore,
        -1,
        r#"""=>"", "a"=>"1", "b"=>NULL, "c d"=>"x\"y\\z", "NULL"=>"NULL""#,
        r#"{"":"","a":"1","b":null,"c d":"x\"y\\z","NULL":"NULL"}"#,
    );
    check(
        &array_of(hstore.clone()),
        -1,
        r#"{"\"a\"=>\"b\\\"c\"",NULL}"#,
        r#"[{"a":"b\"c"},null]"#,
    );
    check_refused(
        &hstore,
        &[
            "a=>1",
            "\"a\"",
            "\"a\"=>",
            "\"a\"=>null",
            "\"a\"=>\"1\",",
            "\"a\"=>\"1\",\"b\"=>\"2\"",
            "\"a\"=>\"1\" ",
            ", \"a\"=>\"1\"",
            "\"a\"=>\"1",
            "\"a\\",
        ],
    );
}

#[test]
fn citext_is_text_and_ltree_keeps_its_text() {
    let citext = user_type("citext", TypeKind::Base);
    assert_eq!(logical(&citext), Logical::Text);
    check(&citext, -1, "Ab", "\"Ab\"");
    check(
        &user_type("ltree", TypeKind::Base),
        -1,
        "Top.Sci",
        "\"Top.Sci\"",
    );
}

#[test]
fn vectors_become_arrays_of_numbers() {
    for name in ["vector", "halfvec"] {
        let vector = user_type(name, TypeKind::Base);
        assert_eq!(logical(&vector), Logical::Vector);
        check(
            &vector,
            4,
            "[1,2.5,1e-07,-3.4028235e+38]",
            "[1,2.5,1e-07,-3.4028235e+38]",
        );
        check(&vector, 1, "[-0]", "[-0]");
        check_refused(
            &vector,
            &[
                "", "[]", "[1", "[1,]", "[1 ,2]", "[NaN]", "1,2", "[1]]", "[[1]]",
            ],
        );
    }
    let sparse = user_type("sparsevec", TypeKind::Base);
    check(&sparse, 5, "{1:1,3:2}/5", "\"{1:1,3:2}/5\"");
}

#[test]
fn geometry_is_an_srid_and_plain_wkb() {
    let geometry = user_type("geometry", TypeKind::Base);
    assert_eq!(logical(&geometry), Logical::Geometry);
    for (what, ewkb, srid, wkb) in [
        (
            "POINT(1 2) in 4326",
            "0101000020E6100000000000000000F03F0000000000000040",
            4326,
            "0101000000000000000000F03F0000000000000040",
        ),
        (
            "POINT(1 2) without an SRID",
            "0101000000000000000000F03F0000000000000040",
            0,
            "0101000000000000000000F03F0000000000000040",
        ),
        (
            "POINT(1 2), big-endian, in 4326",
            "0020000001000010E63FF00000000000004000000000000000",
            4326,
            "00000000013FF00000000000004000000000000000",
        ),
        (
            "POINT Z(1 2 3) in 4326",
            "01010000A0E6100000000000000000F03F00000000000000400000000000000840",
            4326,
            "01E9030000000000000000F03F00000000000000400000000000000840",
        ),
        (
            "POINT ZM(1 2 3 1)",
            "01010000C0000000000000F03F00000000000000400000000000000840000000000000F03F",
            0,
            "01B90B0000000000000000F03F00000000000000400000000000000840000000000000F03F",
        ),
        (
            "MULTIPOINT M(1 2 3) in 4326",
            "0104000060E6100000010000000101000040000000000000F03F00000000000000400000000000000840",
            4326,
            "01D40700000100000001D1070000000000000000F03F00000000000000400000000000000840",
        ),
        (
            "LINESTRING(0 0, 1 1)",
            "01020000000200000000000000000000000000000000000000000000000000F03F000000000000F03F",
            0,
            "01020000000200000000000000000000000000000000000000000000000000F03F000000000000F03F",
        ),
        (
            "GEOMETRYCOLLECTION Z(POINT Z(1 2 3), LINESTRING Z(0 0 0, 1 1 1)) in 4326",
            "01070000A0E6100000020000000101000080000000000000F03F000000000000004000000000000008400102000080020000\
             00000000000000000000000000000000000000000000000000000000000000F03F000000000000F03F000000000000F03F",
            4326,
            "01EF0300000200000001E9030000000000000000F03F0000000000000040000000000000084001EA03000002000000000000\
             000000000000000000000000000000000000000000000000000000F03F000000000000F03F000000000000F03F",
        ),
        (
            "COMPOUNDCURVE(CIRCULARSTRING(0 0, 1 1, 1 0), (1 0, 0 1))",
            "01090000000200000001080000000300000000000000000000000000000000000000000000000000F03F000000000000F03F\
             000000000000F03F0000000000000000010200000002000000000000000000F03F0000000000000000000000000000000000\
             0000000000F03F",
            0,
            "01090000000200000001080000000300000000000000000000000000000000000000000000000000F03F000000000000F03F\
             000000000000F03F0000000000000000010200000002000000000000000000F03F0000000000000000000000000000000000\
             0000000000F03F",
        ),
        (
            "TRIANGLE((0 0, 0 9, 9 0, 0 0)) in 4326",
            "0111000020E61000000100000004000000000000000000000000000000000000000000000000000000000000000000224000\
             00000000002240000000000000000000000000000000000000000000000000",
            4326,
            "0111000000010000000400000000000000000000000000000000000000000000000000000000000000000022400000000000\
             002240000000000000000000000000000000000000000000000000",
        ),
        (
            "GEOMETRYCOLLECTION EMPTY in 4326",
            "0107000020E610000000000000",
            4326,
            "010700000000000000",
        ),
        (
            "POLYGON EMPTY",
            "010300000000000000",
            0,
            "010300000000000000",
        ),
    ] {
        // The same bytes as bytea, to get base64 without an encoder here.
        let base64 = json_of(
            &builtin(oid::BYTEA).unwrap(),
            -1,
            format!("\\x{wkb}").as_bytes(),
        )
        .unwrap();
        assert_eq!(
            json_of(&geometry, -1, ewkb.as_bytes()).unwrap(),
            format!("{{\"srid\":{srid},\"wkb\":{base64}}}"),
            "{what}"
        );
        // Every truncation is an error.
        for end in 0..ewkb.len() {
            assert!(
                json_of(&geometry, -1, &ewkb.as_bytes()[..end]).is_err(),
                "{what}: {end}"
            );
        }
    }
}

#[test]
fn broken_geometry_is_refused() {
    let bomb = "010700000001000000".repeat(1000);
    check_refused(
        &user_type("geography", TypeKind::Base),
        &[
            "",
            "01",
            "POINT(1 2)",
            "0201000000000000000000F03F0000000000000040",
            "0163000000",
            "0101000000000000000000F03F000000000000004000",
            "010200000FFFFFFFFF",
            "0102000000FFFFFFFF",
            "0107000000FFFFFFFF",
            "0103000000FFFFFFFF",
            &bomb,
        ],
    );
}

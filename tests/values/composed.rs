//! Arrays, enums, domains and composites.

use crate::kind::Kind;

pub(crate) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new(
            "mood",
            "enum",
            &[
                ("'sad'", r#""sad""#),
                ("'so so'", r#""so so""#),
                ("'quote''s \"x\"'", r#""quote's \"x\"""#),
                ("'😀'", r#""😀""#),
            ],
        ),
        Kind::new("moods", "enum", &[("'sad'", r#""sad""#)]),
        Kind::new("positive", "integer", &[("7", "7")]),
        Kind::new("very_positive", "integer", &[("8", "8")]),
        Kind::new("price", "decimal", &[("1.5", r#""1.50""#)]),
        Kind::new(
            "moment",
            "timestamp",
            &[("'2026-11-23 13:37:00'", r#""2026-11-23T13:37:00.000""#)],
        ),
        Kind::new(
            "numbers",
            "array",
            &[("'{1,NULL}'", "[1,null]"), ("'{}'", "[]")],
        ),
        Kind::new(
            "pair",
            "other",
            &[
                ("row(1, 'x \"y\"')::pair", r#""(1,\"x \"\"y\"\"\")""#),
                ("row(null, '')::pair", r#""(,\"\")""#),
            ],
        ),
        Kind::new(
            "nested",
            "other",
            &[(
                "row(row(1, 'x'), '{1,2}')::nested",
                r#""(\"(1,x)\",\"{1,2}\")""#,
            )],
        ),
        Kind::new(
            "int[]",
            "array",
            &[
                ("'{}'", "[]"),
                ("'{NULL,1,-2147483648}'", "[null,1,-2147483648]"),
                ("'{{1,2},{3,NULL}}'", "[[1,2],[3,null]]"),
                ("'{{{{{{1}}}}}}'", "[[[[[[1]]]]]]"),
                ("'[0:1]={1,2}'", "[1,2]"),
                ("'[-1:0][2:3]={{1,2},{3,4}}'", "[[1,2],[3,4]]"),
            ],
        ),
        Kind::new(
            "text[]",
            "array",
            &[(
                r#"array['a b', 'c"d', 'NULL', null, '', '\', '{}', 'x,y', E'\n']"#,
                r#"["a b","c\"d","NULL",null,"","\\","{}","x,y","\n"]"#,
            )],
        ),
        Kind::new("varchar(3)[]", "array", &[("'{ab}'", r#"["ab"]"#)]),
        Kind::new("char(3)[]", "array", &[("'{ab}'", r#"["ab "]"#)]),
        Kind::new(
            "bigint[]",
            "array",
            &[("'{9223372036854775807}'", "[9223372036854775807]")],
        ),
        Kind::new(
            "float8[]",
            "array",
            &[("'{NaN,Infinity,-0,0.1}'", r#"["NaN","Infinity",-0,0.1]"#)],
        ),
        Kind::new(
            "numeric(5,2)[]",
            "array",
            &[("'{1.5,NaN}'", r#"["1.50","NaN"]"#)],
        ),
        Kind::new(
            "boolean[]",
            "array",
            &[("'{t,f,NULL}'", "[true,false,null]")],
        ),
        Kind::new(
            "bytea[]",
            "array",
            &[(r"array['\x00ff'::bytea, '']", r#"["AP8=",""]"#)],
        ),
        Kind::new(
            "date[]",
            "array",
            &[(
                "'{infinity,2026-01-01,\"0044-03-15 BC\"}'",
                r#"["infinity","2026-01-01","-0043-03-15"]"#,
            )],
        ),
        Kind::new(
            "timestamp(3)[]",
            "array",
            &[(
                "'{2026-01-01 00:00:00.5}'",
                r#"["2026-01-01T00:00:00.500"]"#,
            )],
        ),
        Kind::new(
            "timestamptz[]",
            "array",
            &[(
                "'{2026-01-01 00:00:00+01}'",
                r#"["2025-12-31T23:00:00.000000Z"]"#,
            )],
        ),
        Kind::new("interval[]", "array", &[("'{1 day}'", r#"["P1D"]"#)]),
        Kind::new(
            "uuid[]",
            "array",
            &[(
                "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
                r#"["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]"#,
            )],
        ),
        Kind::new(
            "jsonb[]",
            "array",
            &[(
                r#"array['{"a": [1, "x"]}'::jsonb, 'null', null]"#,
                r#"[{"a": [1, "x"]},null,null]"#,
            )],
        ),
        Kind::new("bit(3)[]", "array", &[("'{101}'", r#"["101"]"#)]),
        Kind::new(
            "inet[]",
            "array",
            &[("'{::1,10.0.0.1}'", r#"["::1","10.0.0.1"]"#)],
        ),
        // The only type whose elements a semicolon separates.
        Kind::new(
            "box[]",
            "array",
            &[(
                "'{(1,1),(0,0);(2,2),(1,1)}'",
                r#"["(1,1),(0,0)","(2,2),(1,1)"]"#,
            )],
        ),
        Kind::new("point[]", "array", &[("'{\"(0,1)\"}'", r#"["(0,1)"]"#)]),
        Kind::new(
            "int4range[]",
            "array",
            &[("'{\"[1,3)\",empty}'", r#"["[1,3)","empty"]"#)],
        ),
        Kind::new(
            "int4multirange[]",
            "array",
            &[(
                "array['{[1,3),[5,6)}'::int4multirange]",
                r#"["{[1,3),[5,6)}"]"#,
            )],
        )
        .since(14),
        Kind::new(
            "mood[]",
            "array",
            &[(
                "array['so so', 'quote''s \"x\"']::mood[]",
                r#"["so so","quote's \"x\""]"#,
            )],
        ),
        Kind::new(
            "pair[]",
            "array",
            &[(
                "array[row(1, 'x y')::pair, null]",
                r#"["(1,\"x y\")",null]"#,
            )],
        ),
        Kind::new("price[]", "array", &[("'{1.5}'", r#"["1.50"]"#)]),
        Kind::new(
            "numbers[]",
            "array",
            &[("'{\"{1,2}\",\"{}\"}'", "[[1,2],[]]")],
        ),
        Kind::new(
            "hstore[]",
            "array",
            &[("array['a=>1'::hstore, '']", r#"[{"a":"1"},{}]"#)],
        ),
        Kind::new("citext[]", "array", &[("'{Ab}'", r#"["Ab"]"#)]),
        Kind::new("ltree[]", "array", &[("'{a.b}'", r#"["a.b"]"#)]),
        Kind::new("oid[]", "array", &[("'{4294967295}'", "[4294967295]")]),
        Kind::new("name[]", "array", &[("'{x}'", r#"["x"]"#)]),
        Kind::new("money[]", "array", &[("'{1000}'", r#"["$1,000.00"]"#)]),
        Kind::new(
            "tsvector[]",
            "array",
            &[("array['a:1'::tsvector]", r#"["'a':1"]"#)],
        ),
    ]
}

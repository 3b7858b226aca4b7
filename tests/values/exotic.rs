//! Networks, geometry, ranges, names of the server's own things, and types of extensions.

use crate::kind::Kind;

const HSTORE: &str = r#"'a=>1, b=>NULL, "c d\"=>"=>"x\"y\\, z", e=>""'"#;

pub(crate) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new(
            "inet",
            "other",
            &[
                ("'192.168.0.1'", r#""192.168.0.1""#),
                ("'192.168.0.1/24'", r#""192.168.0.1/24""#),
                ("'::1'", r#""::1""#),
                ("'2001:db8::/32'", r#""2001:db8::/32""#),
            ],
        ),
        Kind::new(
            "cidr",
            "other",
            &[
                ("'10.0.0.0/8'", r#""10.0.0.0/8""#),
                ("'1.2.3.4'", r#""1.2.3.4/32""#),
            ],
        ),
        Kind::new(
            "macaddr",
            "other",
            &[("'08-00-2B-01-02-03'", r#""08:00:2b:01:02:03""#)],
        ),
        Kind::new(
            "macaddr8",
            "other",
            &[("'08:00:2b:01:02:03:04:05'", r#""08:00:2b:01:02:03:04:05""#)],
        ),
        Kind::new(
            "point",
            "other",
            &[
                ("'(0.1,-2e300)'", r#""(0.1,-2e+300)""#),
                ("'(NaN,Infinity)'", r#""(NaN,Infinity)""#),
            ],
        ),
        Kind::new("line", "other", &[("'{1,2,3}'", r#""{1,2,3}""#)]),
        Kind::new(
            "lseg",
            "other",
            &[("'[(0,0),(1,1)]'", r#""[(0,0),(1,1)]""#)],
        ),
        Kind::new("box", "other", &[("'(0,0),(1,1)'", r#""(1,1),(0,0)""#)]),
        Kind::new(
            "path",
            "other",
            &[
                ("'((0,0),(1,1))'", r#""((0,0),(1,1))""#),
                ("'[(0,0),(1,1)]'", r#""[(0,0),(1,1)]""#),
            ],
        ),
        Kind::new(
            "polygon",
            "other",
            &[("'((0,0),(1,1),(1,0))'", r#""((0,0),(1,1),(1,0))""#)],
        ),
        Kind::new("circle", "other", &[("'<(0,0),1.5>'", r#""<(0,0),1.5>""#)]),
        Kind::new(
            "int4range",
            "other",
            &[
                ("'[1,9]'", r#""[1,10)""#),
                ("'empty'", r#""empty""#),
                ("'(,)'", r#""(,)""#),
            ],
        ),
        Kind::new(
            "int8range",
            "other",
            &[("'[-9223372036854775808,)'", r#""[-9223372036854775808,)""#)],
        ),
        Kind::new("numrange", "other", &[("'(1.50,2]'", r#""(1.50,2]""#)]),
        Kind::new(
            "daterange",
            "other",
            &[("'[2026-01-01,infinity)'", r#""[2026-01-01,infinity)""#)],
        ),
        Kind::new(
            "tsrange",
            "other",
            &[(
                "'[2026-01-01 00:00:00.5,2026-01-02)'",
                r#""[\"2026-01-01 00:00:00.5\",\"2026-01-02 00:00:00\")""#,
            )],
        ),
        Kind::new(
            "tstzrange",
            "other",
            &[(
                "'(2026-01-01 00:00+01,]'",
                r#""(\"2025-12-31 23:00:00+00\",)""#,
            )],
        ),
        Kind::new(
            "float_range",
            "other",
            &[("'[0.1,1e300]'", r#""[0.1,1e+300]""#)],
        ),
        Kind::new(
            "int4multirange",
            "other",
            &[
                ("'{[1,3),[5,9)}'", r#""{[1,3),[5,9)}""#),
                ("'{}'", r#""{}""#),
            ],
        )
        .since(14),
        Kind::new(
            "nummultirange",
            "other",
            &[("'{(1.5,2]}'", r#""{(1.5,2]}""#)],
        )
        .since(14),
        Kind::new(
            "datemultirange",
            "other",
            &[(
                "'{[2026-01-01,2026-01-02]}'",
                r#""{[2026-01-01,2026-01-03)}""#,
            )],
        )
        .since(14),
        Kind::new(
            "tstzmultirange",
            "other",
            &[(
                "'{[2026-01-01 00:00+00,)}'",
                r#""{[\"2026-01-01 00:00:00+00\",)}""#,
            )],
        )
        .since(14),
        Kind::new("pg_lsn", "other", &[("'16/B374D848'", r#""16/B374D848""#)]),
        Kind::new("xid", "other", &[("'4294967295'", r#""4294967295""#)]),
        Kind::new(
            "xid8",
            "other",
            &[("'18446744073709551615'", r#""18446744073709551615""#)],
        ),
        Kind::new("cid", "other", &[("'7'", r#""7""#)]),
        Kind::new("tid", "other", &[("'(0,1)'", r#""(0,1)""#)]),
        Kind::new(
            "pg_snapshot",
            "other",
            &[("'10:20:10,14,15'", r#""10:20:10,14,15""#)],
        ),
        Kind::new(
            "txid_snapshot",
            "other",
            &[("'10:20:10,14,15'", r#""10:20:10,14,15""#)],
        ),
        Kind::new("oidvector", "other", &[("'1 2'", r#""1 2""#)]),
        Kind::new("int2vector", "other", &[("'-1 2'", r#""-1 2""#)]),
        Kind::new("regclass", "other", &[("'pg_class'", r#""pg_class""#)]),
        Kind::new(
            "regtype",
            "other",
            &[("'timestamptz'", r#""timestamp with time zone""#)],
        ),
        Kind::new("regproc", "other", &[("'now'", r#""now""#)]),
        Kind::new(
            "regnamespace",
            "other",
            &[("'pg_catalog'", r#""pg_catalog""#)],
        ),
        Kind::new("refcursor", "other", &[("'a cursor'", r#""a cursor""#)]),
        Kind::new(
            "aclitem",
            "other",
            &[("'postgres=r/postgres'", r#""postgres=r/postgres""#)],
        ),
        Kind::new(
            "hstore",
            "object",
            &[
                (HSTORE, r#"{"a":"1","b":null,"e":"","c d\"=>":"x\"y\\, z"}"#),
                ("''", "{}"),
                ("'ü=>\"NULL\"'", r#"{"ü":"NULL"}"#),
            ],
        ),
        Kind::new(
            "ltree",
            "other",
            &[
                ("'Top.Science.Astronomy'", r#""Top.Science.Astronomy""#),
                ("''", r#""""#),
            ],
        ),
        Kind::new(
            "lquery",
            "other",
            &[("'Top.*{1,2}.!a@'", r#""Top.*{1,2}.!a@""#)],
        ),
        Kind::new(
            "cube",
            "other",
            &[("'(1,2),(3,4.5)'", r#""(1, 2),(3, 4.5)""#)],
        ),
        Kind::new(
            "isbn",
            "other",
            &[("'978-0-393-04002-9'", r#""0-393-04002-X""#)],
        ),
        Kind::new(
            "strange",
            "other",
            &[("'any \"thing\"'", r#""any \"thing\"""#)],
        ),
        Kind::new(
            "sparsevec",
            "other",
            &[("'{1:1.5,3:-2}/5'", r#""{1:1.5,3:-2}/5""#)],
        ),
        Kind::new(
            "vector",
            "vector",
            &[("'[1,2.5,-3e-10]'", "[1,2.5,-3e-10]")],
        ),
        Kind::new("halfvec", "vector", &[("'[0.5]'", "[0.5]")]),
        Kind::new(
            "geometry",
            "geometry",
            &[
                (
                    "'0101000020E6100000000000000000F03F0000000000000040'",
                    r#"{"srid":4326,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}"#,
                ),
                (
                    "'0101000000000000000000F03F0000000000000040'",
                    r#"{"srid":0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}"#,
                ),
            ],
        ),
        Kind::new(
            "geography",
            "geometry",
            &[(
                "'0101000020E6100000000000000000F03F0000000000000040'",
                r#"{"srid":4326,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}"#,
            )],
        ),
    ]
}

mod captures;

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

fn column(name: &str, column_type: &str) -> ColumnInfo {
    let is_text = ["char", "text", "enum", "set"];
    ColumnInfo {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        charset: is_text
            .iter()
            .any(|word| column_type.contains(word))
            .then(|| "utf8mb4".to_owned()),
        nullable: name != "sum",
        json: false,
    }
}

fn info(columns: &[(&str, &str)]) -> TableInfo {
    TableInfo {
        columns: columns
            .iter()
            .map(|(name, kind)| column(name, kind))
            .collect(),
        key: Vec::new(),
    }
}

/// A map without names: an `int`, a `varchar(10)` in utf8mb4, a `decimal(5,2)` that is not nullable.
fn map(optional: &[u8]) -> TableMap<'_> {
    TableMap {
        table_id: 1,
        schema: "shop",
        table: "orders",
        types: &[3, 15, 246],
        type_metadata: &[40, 0, 5, 2],
        nullable: &[0b011],
        optional,
    }
}

fn told(relation: Result<Relation, ShapeError>) -> String {
    let relation = match relation {
        Ok(relation) => relation,
        Err(error) => return error.to_string(),
    };
    let mut out = String::new();
    for column in relation.columns() {
        write!(out, "{} {}", column.name, column.type_name).unwrap();
        if let Some(place) = column.key {
            write!(out, " key {place}").unwrap();
        }
        out.push('\n');
    }
    out
}

fn check(map: &TableMap<'_>, info: Option<&TableInfo>, expected: &Expect) {
    expected.assert_eq(&told(relation(map, info, Flavor::Mysql)));
}

const FITTING: [(&str, &str); 3] = [
    ("id", "int(11)"),
    ("name", "varchar(10)"),
    ("sum", "decimal(5,2)"),
];

#[test]
fn columns_without_names_are_those_of_the_catalogue_in_its_order() {
    check(
        &map(&[]),
        Some(&info(&FITTING)),
        &expect![[r#"
            id int(11)
            name varchar(10)
            sum decimal(5,2)
        "#]],
    );
}

#[test]
fn columns_that_do_not_fit_stop() {
    check(
        &map(&[]),
        None,
        &expect![[
            r#"table "shop"."orders" is not there any more, and the log does not name its columns; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
    check(
        &map(&[]),
        Some(&info(&FITTING[..2])),
        &expect![[
            r#"the rows of table "shop"."orders" were written with other columns than the table has now: 3 columns in the log, 2 in the table; the log does not name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
    for (place, kind) in [
        (0, "bigint"),
        (1, "varchar(11)"),
        (1, "text"),
        (1, "varbinary(10)"),
        (2, "decimal(5,1)"),
        (2, "geometry"),
    ] {
        let mut info = info(&FITTING);
        info.columns[place] = column(FITTING[place].0, kind);
        assert!(
            matches!(
                relation(&map(&[]), Some(&info), Flavor::Mysql),
                Err(ShapeError::DoesNotFit { .. })
            ),
            "{kind}"
        );
    }
    let mut other = info(&FITTING);
    other.columns[0].column_type = "bigint unsigned".to_owned();
    check(
        &map(&[]),
        Some(&other),
        &expect![[
            r#"the rows of table "shop"."orders" were written with other columns than the table has now: column "id" has type number 3 in the log and 8 in the table; the log does not name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
    let mut other = info(&FITTING);
    other.columns[1].nullable = false;
    check(
        &map(&[]),
        Some(&other),
        &expect![[
            r#"the rows of table "shop"."orders" were written with other columns than the table has now: column "name" may be NULL in only one of log and table; the log does not name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
    let mut other = info(&FITTING);
    other.columns[2].column_type = "hyperloglog".to_owned();
    check(
        &map(&[]),
        Some(&other),
        &expect![[
            r#"column "sum" of table "shop"."orders" has the type "hyperloglog", which is not known here"#
        ]],
    );
}

/// Signedness, names, the collation of strings and the primary key, as FULL has them.
const FULL: &[u8] = b"\x01\x01\x80\x02\x01\x2d\x04\x0c\x02id\x04name\x03sum\x08\x02\x02\x00";

/// The first two of them, as MINIMAL has them.
const MINIMAL: &[u8] = b"\x01\x01\x80\x02\x01\x2d";

#[test]
fn signs_and_character_sets_have_to_fit_where_the_map_tells_them() {
    let fitting = info(&[("id", "int unsigned"), FITTING[1], FITTING[2]]);
    check(
        &map(MINIMAL),
        Some(&fitting),
        &expect![[r#"
        id int unsigned
        name varchar(10)
        sum decimal(5,2)
    "#]],
    );
    check(
        &map(MINIMAL),
        Some(&info(&FITTING)),
        &expect![[
            r#"the rows of table "shop"."orders" were written with other columns than the table has now: column "id" is unsigned in only one of log and table; the log does not name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
    let mut other = fitting;
    other.columns[1].charset = Some("gb18030".to_owned());
    check(
        &map(MINIMAL),
        Some(&other),
        &expect![[
            r#"the rows of table "shop"."orders" were written with other columns than the table has now: column "name" has another character set in the table; the log does not name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"#
        ]],
    );
}

#[test]
fn columns_with_names_need_no_catalogue_and_come_before_it() {
    let mut full = map(FULL);
    full.nullable = &[0b010];
    check(
        &full,
        None,
        &expect![[r#"
            id int unsigned key 1
            name varchar(10)
            sum decimal(5,2) key 0
        "#]],
    );
    // The catalogue is newer: two columns have other types, and a new one is the first.
    let newer = info(&[
        ("new", "int"),
        ("sum", "decimal(5,2)"),
        ("name", "varchar(20)"),
        ("id", "int(10) unsigned zerofill"),
    ]);
    check(
        &full,
        Some(&newer),
        &expect![[r#"
            id int unsigned key 1
            name varchar(10)
            sum decimal(5,2) key 0
        "#]],
    );
}

#[test]
fn a_key_of_the_catalogue_counts_where_the_map_has_none_and_all_its_columns() {
    let without_key = &FULL[..FULL.len() - 4];
    for (key, expected) in [
        (
            &["name", "id"][..],
            expect![[r#"
            id int unsigned key 1
            name varchar(10) key 0
            sum decimal(5,2)
        "#]],
        ),
        (
            &["id", "gone"],
            expect![[r#"
            id int unsigned
            name varchar(10)
            sum decimal(5,2)
        "#]],
        ),
    ] {
        let mut info = info(&FITTING);
        info.key = key.iter().map(|&name| name.to_owned()).collect();
        let mut map = map(without_key);
        map.nullable = &[0b100];
        check(&map, Some(&info), &expected);
    }
}

#[test]
fn an_unknown_collation_or_type_says_which() {
    let mut optional = FULL.to_vec();
    optional[5] = 250;
    optional[3..6].copy_from_slice(&[2, 1, 100]);
    check(
        &map(&optional),
        None,
        &expect![[
            r#"column "name" of table "shop"."orders" has the collation number 100, which is not known here"#
        ]],
    );
    // The catalogue has its name.
    check(
        &map(&optional),
        Some(&info(&FITTING)),
        &expect![[r#"
        id int unsigned
        name varchar(10)
        sum decimal(5,2)
    "#]],
    );
    let info = info(&[("id", "hyperloglog")]);
    expect![[r#"column "id" of table "shop"."orders" has the type "hyperloglog", which is not known here"#]].assert_eq(&told(catalogue_relation(
        "shop",
        "orders",
        &info,
        Flavor::Mysql,
    )));
}

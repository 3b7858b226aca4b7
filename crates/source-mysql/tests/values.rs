//! Values of every type are the same, whether a snapshot read them or the log told of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod support;

use std::collections::BTreeMap;

use adit_pipeline::SnapshotMode;
use serde_json::Value;
use support::server::{Server, on_every_server};
use support::stream::{Kept, Published};
use support::{Running, options};

on_every_server! {
    values_of_every_type_are_the_same_from_snapshot_and_log = crate::same;
}

/// Since which versions a type is there, of MySQL and of MariaDB.
type Since = [Option<(u32, u32)>; 2];

const EVERYWHERE: Since = [Some((5, 6)), Some((10, 5))];

/// A table: its name, its columns, and rows of them.
type Table = (Since, &'static str, &'static str, &'static [&'static str]);

const TABLES: &[Table] = &[
    (
        EVERYWHERE,
        "integers",
        "t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, \
         b BIGINT, bu BIGINT UNSIGNED, z INT(8) ZEROFILL, y YEAR, o BOOLEAN",
        &[
            "-128, 255, -32768, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, \
             42, 2155, true",
            "127, 0, 32767, 8388607, 0, 2147483647, 0, 9223372036854775807, 0, 0, 0, false",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
        ],
    ),
    (
        EVERYWHERE,
        "numbers",
        "f FLOAT, f2 FLOAT(7, 4), d DOUBLE, d2 DOUBLE(10, 3), e DECIMAL(65, 30), n DECIMAL(5, 2) ZEROFILL, b BIT(1), \
         c BIT(64), g BIT(13)",
        &[
            "1.1, 123.4567, 1.1, 1234567.891, '-12345678901234567890123456789012345.123456789012345678901234567890', \
             1.5, 1, 18446744073709551615, b'1010'",
            "3.402823466e38, -0.0001, 1.7976931348623157e308, -0.001, 0, 0, 0, 1, 0",
            "1e-40, 1, 5e-324, 0.1, '0.000000000000000000000000000001', 999.99, NULL, NULL, NULL",
        ],
    ),
    (
        EVERYWHERE,
        "times",
        "d DATE, t TIME, t3 TIME(3), t6 TIME(6), m DATETIME NULL, m1 DATETIME(1) NULL, m6 DATETIME(6) NULL, \
         s TIMESTAMP NULL, s2 TIMESTAMP(2) NULL, s6 TIMESTAMP(6) NULL",
        &[
            "'2026-11-23', '13:37:00', '13:37:00.123', '13:37:00.123456', '2026-11-23 13:37:00', '2026-11-23 13:37:00.1', \
             '2026-11-23 13:37:00.123456', '2026-11-23 13:37:00', '2026-11-23 13:37:00.12', '2026-11-23 13:37:00.123456'",
            "'0000-00-00', '-838:59:59', '-838:59:59', '-00:00:00.000001', '0000-00-00', '0000-00-00', '0000-00-00', \
             '0000-00-00', '0000-00-00', '0000-00-00'",
            "'2026-00-10', '838:59:59', '00:00:00', '838:59:59', '2026-00-10 00:00:01', '9999-12-31 23:59:59.9', \
             '0001-01-01 00:00:00.000001', '1970-01-01 00:00:01', '2038-01-19 03:14:07', '2024-02-29 23:59:59.999999'",
        ],
    ),
    (
        EVERYWHERE,
        "texts",
        "c CHAR(10) CHARACTER SET latin1, c4 CHAR(200) CHARACTER SET utf8mb4, v VARCHAR(300) CHARACTER SET latin1, \
         u TEXT CHARACTER SET utf8mb4, w MEDIUMTEXT CHARACTER SET utf16, g VARCHAR(20) CHARACTER SET gbk, \
         s VARCHAR(20) CHARACTER SET sjis, k VARCHAR(20) CHARACTER SET koi8r, p VARCHAR(20) CHARACTER SET cp1250, \
         x VARCHAR(20) CHARACTER SET ucs2",
        &[
            "'é€', '日本😀', 'é€', '日本😀', '日本😀', '中', '日本', 'яб', 'čž', '日'",
            "' a ', ' a ', ' a ', ' a ', ' a ', ' a ', ' a ', ' a ', X'81', X'D800'",
            r"'\0\n\\\'', '', '', '', '', '\\', '~', '', '', ''",
        ],
    ),
    (
        EVERYWHERE,
        "bytes",
        "b BINARY(4), v VARBINARY(300), t TINYBLOB, l LONGBLOB, c CHAR(3) CHARACTER SET binary",
        &[
            r"'a\0', 'a\0', X'00FF', X'00FF', 'x'",
            r"'\0\0', '', '', REPEAT('\0', 1000), ''",
            "NULL, NULL, NULL, NULL, NULL",
        ],
    ),
    (
        EVERYWHERE,
        "labels",
        r"e ENUM('one', 'tw''o', 'th\\ree', '日', ''), s SET('x', 'y''', 'z\\', '日'), l ENUM('ä', 'ö') CHARACTER SET latin1",
        &[
            "'one', 'x', 'ä'",
            r"'tw''o', 'x,y''', 'ö'",
            r"'th\\ree', 'z\\,日', 2",
            "0, 0, 'nonsense'",
            "5, 15, NULL",
        ],
    ),
    (
        EVERYWHERE,
        "shapes",
        "g GEOMETRY, p POINT",
        &[
            "ST_GeomFromText('POINT(10 20)', 4326), ST_GeomFromText('POINT(1 2)')",
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(0 0, 1 1))'), NULL",
        ],
    ),
    (
        [Some((5, 7)), Some((10, 5))],
        "documents",
        "j JSON",
        &[
            r#"'{"z": [1, -1, 65536, 18446744073709551615, 1.5, 1e100, true, null], "": {}, "a": "é😀\\n"}'"#,
            "'null'",
            "NULL",
        ],
    ),
    (
        [Some((5, 7)), None],
        "documents_of_mysql",
        "j JSON",
        &[
            "JSON_ARRAY(CAST('2015-01-15 23:24:25.12' AS DATETIME(2)), CAST('-23:24:25' AS TIME), 1.50, 1e15, 1e-16)",
            "JSON_ARRAY(-0e0, b'1010', REPEAT(_binary'x', 100), 1234567890123456.7e0)",
        ],
    ),
    (
        [None, Some((10, 5))],
        "documents_of_mariadb",
        "j JSON",
        &["'{\"\t\":1}'", "' [ 1.50 ] '"],
    ),
    (
        [None, Some((10, 5))],
        "addresses",
        "i INET6",
        &["'::'", "'::ffff:1.2.3.0'", "'1:0:2::'"],
    ),
    (
        [None, Some((10, 7))],
        "uuids",
        "u UUID",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'123E4567-E89B-12D3-A456-426614174000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffff00'",
        ],
    ),
    (
        [None, Some((10, 5))],
        "packed",
        "v VARCHAR(300) COMPRESSED CHARACTER SET utf8mb4, b BLOB COMPRESSED",
        &[
            "'short', 'short'",
            "REPEAT('ä', 300), REPEAT('b', 10000)",
            "'', ''",
        ],
    ),
    (
        [Some((9, 0)), None],
        "vectors_of_mysql",
        "v VECTOR(3)",
        &["TO_VECTOR('[1, -2.5, 3e10]')", "NULL"],
    ),
    (
        [None, Some((11, 7))],
        "vectors_of_mariadb",
        "v VECTOR(3)",
        &["VEC_FromText('[1, -2.5, 3e10]')", "NULL"],
    ),
];

/// The tables that this server can have.
async fn tables(server: &Server) -> Vec<&'static Table> {
    let version = server.query("SELECT VERSION()").await[0][0]
        .clone()
        .unwrap();
    let mut numbers = version
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    let flavor = usize::from(server.is_mariadb());
    let all = TABLES.iter();
    all.filter(|(since, ..)| since[flavor].is_some_and(|since| since <= version))
        .collect()
}

async fn same(server: Server) {
    let tables = tables(&server).await;
    let mut inserts = vec!["SET SESSION sql_mode = '', time_zone = '+00:00'".to_owned()];
    let mut creates = vec![
        "SET SESSION sql_mode = ''".to_owned(),
        "CREATE DATABASE shop CHARACTER SET utf8mb4".to_owned(),
    ];
    for (_, name, columns, rows) in &tables {
        creates.push(format!(
            "CREATE TABLE shop.{name} (id INT AUTO_INCREMENT PRIMARY KEY, {columns})"
        ));
        for row in *rows {
            inserts.push(format!("INSERT INTO shop.{name} VALUES (NULL, {row})"));
        }
    }
    creates.push("CREATE TABLE shop.end (id INT PRIMARY KEY)".to_owned());
    server.sql(&creates).await;
    server.sql(&inserts).await;
    let options = options("values", &server.url(), &["shop.*"], SnapshotMode::Initial);
    let running = Running::start(options, &Kept::default()).placed().await;
    server.sql(&inserts).await;
    server.sql(&["INSERT INTO shop.end VALUES (1)"]).await;
    let events = running.until_key("end", 1).await.stop().await;

    let (read, inserted) = (rows(&events, "read"), rows(&events, "insert"));
    for (_, name, _, expected) in &tables {
        assert_eq!(read[*name].len(), expected.len(), "{name}");
        assert_eq!(read[*name], inserted[*name], "{name}");
    }
    let schemas = events.iter().filter(|event| event.body["op"] == "schema");
    assert_eq!(
        schemas.count(),
        tables.len() + 1,
        "log and catalogue tell of different shapes"
    );
}

/// The rows of events of this kind by table, without their number.
fn rows<'a>(events: &'a [Published], op: &str) -> BTreeMap<&'a str, Vec<Value>> {
    let mut rows: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.body["op"] == op) {
        let mut row = event.body["after"].clone();
        row.as_object_mut().unwrap().remove("id");
        let table = event.body["table"].as_str().unwrap();
        rows.entry(table).or_default().push(row);
    }
    rows
}

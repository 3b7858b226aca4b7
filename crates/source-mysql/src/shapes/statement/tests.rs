use adit_binlog::table::TableInfo;

use super::*;

fn column(name: &str, column_type: &str, charset: Option<&str>, nullable: bool) -> ColumnInfo {
    ColumnInfo {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        charset: charset.map(ToOwned::to_owned),
        nullable,
        json: false,
    }
}

/// `t (id bigint PRIMARY KEY, name varchar(20), at datetime(6) NOT NULL)`
fn before() -> Shape {
    Shape {
        info: TableInfo {
            columns: vec![
                column("id", "bigint", None, false),
                column("name", "varchar(20)", Some("latin1"), true),
                column("at", "datetime(6)", None, false),
            ],
            key: vec!["id".to_owned()],
        },
        index: Some("PRIMARY".to_owned()),
        charset: Some("utf8mb4".to_owned()),
    }
}

fn told(shape: &Shape) -> String {
    let columns = shape.info.columns.iter().map(|column| {
        let charset = column.charset.as_deref().unwrap_or_default();
        let null = if column.nullable { "" } else { "!" };
        let json = if column.json { " json" } else { "" };
        format!(
            "{}{null} {} {charset}{json}",
            column.name, column.column_type
        )
        .trim_end()
        .to_owned()
    });
    let columns: Vec<_> = columns.collect();
    format!("{} key {}", columns.join(", "), shape.info.key.join("+"))
}

fn altered(sql: &str) -> Option<String> {
    apply(sql, Some(&before()), Flavor::Mysql).map(|shape| told(&shape))
}

#[track_caller]
fn becomes(sql: &str, expected: &str) {
    assert_eq!(altered(sql).as_deref(), Some(expected), "{sql}");
}

#[test]
fn columns_come_go_and_change() {
    becomes(
        "ALTER TABLE shop.t ADD COLUMN n int unsigned NOT NULL DEFAULT 0 AFTER id, ADD note text, ALGORITHM=INSTANT",
        "id! bigint, n! int unsigned, name varchar(20) latin1, at! datetime(6), note text utf8mb4 key id",
    );
    becomes(
        "alter table t drop column NAME, add `odd``one` decimal(10,2) first",
        "odd`one decimal(10,2), id! bigint, at! datetime(6) key id",
    );
    becomes(
        "ALTER TABLE t RENAME COLUMN name TO title, RENAME COLUMN id TO nr",
        "nr! bigint, title varchar(20) latin1, at! datetime(6) key nr",
    );
    becomes(
        "ALTER TABLE t CHANGE name label varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL FIRST",
        "label! varchar(40) utf8mb4, id! bigint, at! datetime(6) key id",
    );
    becomes(
        "ALTER TABLE t MODIFY id int NOT NULL AUTO_INCREMENT, MODIFY COLUMN at date AFTER id",
        "id! int, at date, name varchar(20) latin1 key id",
    );
    becomes(
        "ALTER TABLE t ADD s enum('a','b ') NOT NULL COMMENT 'x', ADD UNIQUE KEY u (name), ADD KEY k (at)",
        "id! bigint, name varchar(20) latin1, at! datetime(6), s! enum('a','b') utf8mb4 key id",
    );
    becomes(
        "ALTER TABLE t ALTER COLUMN name SET DEFAULT 'x', DROP FOREIGN KEY f, DROP INDEX k",
        "id! bigint, name varchar(20) latin1, at! datetime(6) key id",
    );
    becomes(
        "RENAME TABLE t TO u",
        "id! bigint, name varchar(20) latin1, at! datetime(6) key id",
    );
}

#[test]
fn what_may_concern_the_shape_and_is_not_understood_makes_it_unknown() {
    for sql in [
        "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
        "ALTER TABLE t DROP PRIMARY KEY",
        "ALTER TABLE t DROP COLUMN id",
        "ALTER TABLE t DROP COLUMN missing",
        "ALTER TABLE t ADD COLUMN name int",
        "ALTER TABLE t ADD COLUMN ts timestamp",
        "ALTER TABLE t ADD COLUMN f float(30)",
        "ALTER TABLE t ADD COLUMN b blob(20)",
        "ALTER TABLE t ADD SYSTEM VERSIONING",
        "ALTER TABLE t ADD COLUMN e enum('it''s')",
        "ALTER TABLE t ADD COLUMN n national varchar(3)",
        "ALTER TABLE t PARTITION BY HASH (id) PARTITIONS 4",
        "ALTER TABLE t ADD COLUMN a int; DROP TABLE u",
        "TRUNCATE t",
        "not SQL at all",
    ] {
        assert_eq!(altered(sql), None, "{sql}");
    }
    assert_eq!(apply("ALTER TABLE t ADD a int", None, Flavor::Mysql), None);
}

#[test]
fn tables_are_created() {
    let created = |sql, flavor| apply(sql, None, flavor).map(|shape| told(&shape));
    let sql = "CREATE TABLE IF NOT EXISTS `t` (a int, b char(3) COLLATE latin1_bin, c json, d year, PRIMARY KEY (a, b)) \
               ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
    assert_eq!(
        created(sql, Flavor::Mysql).as_deref(),
        Some("a! int, b! char(3) latin1, c json, d year key a+b")
    );
    assert_eq!(
        created(sql, Flavor::Mariadb).as_deref(),
        Some("a! int, b! char(3) latin1, c longtext utf8mb4 json, d year key a+b")
    );
    // The database decides.
    assert_eq!(created("CREATE TABLE t (a text)", Flavor::Mysql), None);
    assert_eq!(created("CREATE TABLE t LIKE u", Flavor::Mysql), None);
    assert_eq!(
        created("CREATE TABLE t (a int) AS SELECT 1 b", Flavor::Mysql),
        None
    );
    assert_eq!(
        created(
            "CREATE TABLE t (a int UNIQUE, b int NOT NULL UNIQUE)",
            Flavor::Mysql
        )
        .as_deref(),
        Some("a int, b! int key b")
    );
}

#[test]
fn what_concerns_the_storage_alone_changes_nothing() {
    let same = "id! bigint, name varchar(20) latin1, at! datetime(6) key id";
    becomes("ALTER TABLE `shop`.`t` ENGINE = InnoDB", same);
    becomes("alter table t force", same);
    becomes(
        "ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE 8, COMMENT 'a, b'",
        same,
    );
    becomes(
        "ALTER TABLE t ENGINE=InnoDB, ADD d decimal(10,2), FORCE",
        "id! bigint, name varchar(20) latin1, at! datetime(6), d decimal(10,2) key id",
    );
    assert_eq!(altered("ALTER TABLE t ENGINE"), None);
    assert_eq!(
        altered("ALTER TABLE t ENGINE=InnoDB CONVERT TO CHARACTER SET utf8mb4"),
        None
    );
}

//! The four settings of `REPLICA IDENTITY`: what is known of old rows, and of values that were not logged.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::path::{DataPath, Event};

/// A text that is kept outside its row and is not logged unless it changes. Random, so that it is not compressed away.
const BIG: &str = "(select string_agg(md5(i::text), '' order by i) from generate_series(1, 400) i)";

/// A table, its events from the snapshot on, as [`Event::summary`] shows them.
struct Setting {
    table: &'static str,
    identity: &'static str,
    changes: &'static [&'static str],
    events: &'static [&'static str],
}

const SETTINGS: [Setting; 4] = [
    Setting {
        table: "by_default",
        identity: "default",
        changes: &CHANGES,
        events: &[
            r#"read k:{"id":1} b:- a:{"id":1,"code":"a","n":1,"big":BIG}"#,
            r#"insert k:{"id":2} b:- a:{"id":2,"code":"b","n":null,"big":BIG}"#,
            r#"update k:{"id":1} b:- a:{"id":1,"code":"a","n":2} absent:big"#,
            r#"update k:{"id":1} b:- a:{"id":1,"code":"c","n":2} absent:big"#,
            r#"update k:{"id":3} b:{"id":1} a:{"id":3,"code":"c","n":2} absent:big"#,
            r#"update k:{"id":3} b:- a:{"id":3,"code":"c","n":2,"big":"small"}"#,
            r#"delete k:{"id":3} b:{"id":3} a:-"#,
            r#"delete k:{"id":2} b:{"id":2} a:-"#,
        ],
    },
    Setting {
        table: "by_full",
        identity: "full",
        changes: &CHANGES,
        events: &[
            r#"read k:{"id":1} b:- a:{"id":1,"code":"a","n":1,"big":BIG}"#,
            r#"insert k:{"id":2} b:- a:{"id":2,"code":"b","n":null,"big":BIG}"#,
            r#"update k:{"id":1} b:{"id":1,"code":"a","n":1,"big":BIG} a:{"id":1,"code":"a","n":2,"big":BIG}"#,
            r#"update k:{"id":1} b:{"id":1,"code":"a","n":2,"big":BIG} a:{"id":1,"code":"c","n":2,"big":BIG}"#,
            r#"update k:{"id":3} b:{"id":1,"code":"c","n":2,"big":BIG} a:{"id":3,"code":"c","n":2,"big":BIG}"#,
            r#"update k:{"id":3} b:{"id":3,"code":"c","n":2,"big":BIG} a:{"id":3,"code":"c","n":2,"big":"small"}"#,
            r#"delete k:{"id":3} b:{"id":3,"code":"c","n":2,"big":"small"} a:-"#,
            r#"delete k:{"id":2} b:{"id":2,"code":"b","n":null,"big":BIG} a:-"#,
        ],
    },
    Setting {
        table: "by_index",
        identity: "using index by_index_code",
        changes: &CHANGES,
        events: &[
            r#"read k:{"code":"a"} b:- a:{"id":1,"code":"a","n":1,"big":BIG}"#,
            r#"insert k:{"code":"b"} b:- a:{"id":2,"code":"b","n":null,"big":BIG}"#,
            r#"update k:{"code":"a"} b:- a:{"id":1,"code":"a","n":2} absent:big"#,
            r#"update k:{"code":"c"} b:{"code":"a"} a:{"id":1,"code":"c","n":2} absent:big"#,
            r#"update k:{"code":"c"} b:- a:{"id":3,"code":"c","n":2} absent:big"#,
            r#"update k:{"code":"c"} b:- a:{"id":3,"code":"c","n":2,"big":"small"}"#,
            r#"delete k:{"code":"c"} b:{"code":"c"} a:-"#,
            r#"delete k:{"code":"b"} b:{"code":"b"} a:-"#,
        ],
    },
    // The server itself refuses updates and deletes of a published table without an identity.
    Setting {
        table: "by_nothing",
        identity: "nothing",
        changes: &[CHANGES[0], "truncate TABLE"],
        events: &[
            r#"read k:{"id":1} b:- a:{"id":1,"code":"a","n":1,"big":BIG}"#,
            r#"insert k:{"id":2} b:- a:{"id":2,"code":"b","n":null,"big":BIG}"#,
            "truncate k:- b:- a:-",
        ],
    },
];

const CHANGES: [&str; 7] = [
    "insert into TABLE values (2, 'b', null, BIG)",
    "update TABLE set n = 2 where id = 1",
    "update TABLE set code = 'c' where id = 1",
    "update TABLE set id = 3 where id = 1",
    "update TABLE set big = 'small' where id = 3",
    "delete from TABLE where id = 3",
    "delete from TABLE where id = 2",
];

pub(crate) async fn check(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    let mut ddl = String::new();
    for Setting {
        table, identity, ..
    } in &SETTINGS
    {
        ddl.push_str(&format!(
            "create table {table} (id int primary key, code text not null, n int, big text);
             alter table {table} alter big set storage external;
             create unique index {table}_code on {table} (code);
             alter table {table} replica identity {identity};
             insert into {table} values (1, 'a', 1, {BIG});\n"
        ));
    }
    path.pg.exec(&ddl).await?;
    let client = path.pg.client("postgres").await?;
    let big: String = client
        .query_one(&format!("select {BIG}"), &[])
        .await?
        .get(0);
    path.start()?;
    let mut reader = path.reader().await?;
    let mut events = path.to_the_end(&mut reader).await?;
    for Setting { table, changes, .. } in &SETTINGS {
        for change in *changes {
            let sql = change.replace("TABLE", table).replace("BIG", BIG);
            path.pg.exec(&sql).await?;
        }
    }
    events.extend(path.to_the_end(&mut reader).await?);
    path.stop().await?;

    for Setting {
        table,
        events: expected,
        ..
    } in &SETTINGS
    {
        let of_table = events
            .iter()
            .filter(|event| event.table == *table && event.op != "schema");
        let found: Vec<String> = of_table
            .map(|event: &Event| event.summary().replace(&format!("\"{big}\""), "BIG"))
            .collect();
        ensure!(
            found == *expected,
            "PostgreSQL {version}, {table}: found\n{found:#?}\nexpected\n{expected:#?}"
        );
    }
    Ok(())
}

//! Schema events: at the start and at every change, also inside a transaction.

use adit_lab::pg::Version;
use adit_lab::wait_for;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::path::{DataPath, Event, WITHIN};

/// What a reader sees of tables' shapes and rows.
fn told(events: &[Event]) -> Vec<String> {
    let one = |event: &Event| {
        if event.op == "schema" {
            let columns = event
                .columns
                .iter()
                .map(|column| format!("{} {}", column.name, column.type_name));
            format!("schema {}", columns.collect::<Vec<_>>().join(", "))
        } else {
            format!("{} {}", event.op, event.after().unwrap_or("-"))
        }
    };
    events.iter().map(one).collect()
}

const STATEMENTS: [&str; 11] = [
    "insert into t values (2, 'b')",
    "alter table t add c int default 7",
    "insert into t values (3, 'c')",
    "begin; insert into t values (4, 'd'); alter table t rename a to renamed; insert into t values (5, 'e');
     alter table t alter renamed type varchar(9), alter c type numeric(5,1); insert into t values (6, 'f'); commit",
    "update t set c = 8 where id = 1",
    "alter table t drop c; alter table t add c text; insert into t values (7, 'g', 'text')",
    "begin; savepoint s; alter table t drop c; insert into t values (8, 'h'); rollback to s; insert into t values (9, 'i', 'j'); commit",
    "begin; alter table t add never int; rollback",
    "insert into t values (10, 'k', null)",
    "alter table t drop constraint t_pkey; alter table t replica identity full",
    "insert into t values (11, null, null)",
];

pub(crate) async fn changes(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg
        .exec("create table t (id int primary key, a text); insert into t values (1, 'a')")
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut events = reader.until("the row", |event| event.op == "read").await?;
    for statement in STATEMENTS {
        path.pg.exec(statement).await?;
    }
    events.extend(path.to_the_end(&mut reader).await?);
    events.retain(|event| event.table == "t");
    let expected = [
        "schema id integer, a text",
        r#"read {"id":1,"a":"a"}"#,
        r#"insert {"id":2,"a":"b"}"#,
        "schema id integer, a text, c integer",
        r#"insert {"id":3,"a":"c","c":7}"#,
        r#"insert {"id":4,"a":"d","c":7}"#,
        "schema id integer, renamed text, c integer",
        r#"insert {"id":5,"renamed":"e","c":7}"#,
        "schema id integer, renamed character varying(9), c numeric(5,1)",
        r#"insert {"id":6,"renamed":"f","c":"7.0"}"#,
        r#"update {"id":1,"renamed":"a","c":"8.0"}"#,
        "schema id integer, renamed character varying(9), c text",
        r#"insert {"id":7,"renamed":"g","c":"text"}"#,
        r#"insert {"id":9,"renamed":"i","c":"j"}"#,
        r#"insert {"id":10,"renamed":"k","c":null}"#,
        "schema id integer, renamed character varying(9), c text",
        r#"insert {"id":11,"renamed":null,"c":null}"#,
    ];
    ensure!(
        told(&events) == expected,
        "PostgreSQL {version}: {:#?}",
        told(&events)
    );
    let keys: Vec<_> = events
        .iter()
        .filter(|event| event.op == "schema")
        .map(|event| event.columns.first().and_then(|id| id.key))
        .collect();
    ensure!(
        keys == [Some(0), Some(0), Some(0), Some(0), Some(0), None],
        "{keys:?}"
    );

    // The last shape is kept where readers can look it up.
    let schemas = path
        .nats
        .jetstream()
        .await?
        .get_key_value("adit_schemas")
        .await?;
    wait_for("the last shape", WITHIN, async || {
        let kept = schemas.get("shop.public.t").await?;
        let kept: Value = serde_json::from_slice(&kept.context("no shape is kept")?)?;
        let at = |place: &str| kept.pointer(place).and_then(Value::as_str);
        Ok(at("/columns/2/name") == Some("c") && at("/columns/2/type") == Some("text"))
    })
    .await?;

    // A start without any change says nothing anew.
    path.stop().await?;
    path.start()?;
    path.pg
        .exec("insert into t values (12, null, null)")
        .await?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    ensure!(
        told(&events) == [r#"insert {"id":12,"renamed":null,"c":null}"#],
        "{:?}",
        told(&events)
    );
    Ok(())
}

/// While adit is away a table gets new columns and loses them with their types; its log is read when both are gone.
pub(crate) async fn types_gone(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg
        .exec("create table t (id int primary key); create table gone (id int primary key, v text)")
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.to_the_end(&mut reader).await?;
    path.stop().await?;
    path.pg
        .exec(
            "create type mood as enum ('sad', 'ok'); alter table t add m mood, add n int;
             insert into t values (1, 'sad', 1); insert into gone values (1, 'x'); update gone set v = 'y';
             alter table t drop m; drop type mood; drop table gone; insert into t values (2, 2)",
        )
        .await?;
    path.start()?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let rows: Vec<_> = told(&events)
        .into_iter()
        .filter(|line| !line.starts_with("schema"))
        .collect();
    let expected = [
        r#"insert {"id":1,"m":"sad","n":1}"#,
        r#"insert {"id":1,"v":"x"}"#,
        r#"update {"id":1,"v":"y"}"#,
        r#"insert {"id":2,"n":2}"#,
    ];
    ensure!(rows == expected, "PostgreSQL {version}: {rows:#?}");
    Ok(())
}

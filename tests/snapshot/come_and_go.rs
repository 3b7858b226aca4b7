//! Tables that come and go while adit runs.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::hammer::{Hammer, table};
use crate::path::{DataPath, Event};
use crate::replica::Replica;

/// Rows that a new table has before adit can know of it.
const ROWS: usize = 5_000;
/// Changes of it that must be streamed.
const CHANGES: usize = 1_000;

pub(crate) async fn comes(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "snapshot.chunk_rows = 500").await?;
    path.pg.exec(&table("old", 100)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica.apply(&path.to_the_end(&mut reader).await?)?;

    let old = Hammer::start(&path.pg, "old");
    path.pg.exec(&table("new", ROWS)).await?;
    let new = Hammer::start(&path.pg, "new");
    replica
        .follow(&mut reader, "rows of the new table", |replica| {
            replica.read > ROWS / 2
        })
        .await?;
    let before = replica.changed;
    replica
        .follow(&mut reader, "changes", |replica| {
            replica.changed >= before + CHANGES
        })
        .await?;
    old.stop().await?;
    new.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "old").await?;
    replica.compare(&path, "new").await?;
    // Each table is described once.
    ensure!(replica.schemas == 2, "{} descriptions", replica.schemas);
    Ok(())
}

pub(crate) async fn made_again(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg.exec(&table("t", 10)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.slot().await?;
    path.pg.exec("insert into t values (11, 11, 'old')").await?;
    path.to_the_end(&mut reader).await?;
    path.pg
        .exec("drop table t; create table t (name text primary key, n numeric(5,2)); insert into t values ('a', 1), ('b', null)")
        .await?;
    path.wait_until(
        "select count(*) from pg_publication_tables where tablename = 't'",
        "1",
    )
    .await?;
    path.pg
        .exec("update t set n = 2 where name = 'a'; insert into t values ('c', 3)")
        .await?;
    // They come with the snapshot, or behind it.
    let is_c = |event: &Event| event.key() == Some(r#"{"name":"c"}"#);
    let mut events = reader.until("the last row", is_c).await?;
    events.extend(path.to_the_end(&mut reader).await?);
    events.retain(|event| event.table == "t");
    path.stop().await?;
    let schema = events.first().filter(|event| event.op == "schema");
    let columns: Vec<_> = schema
        .iter()
        .flat_map(|event| &event.columns)
        .map(|column| &column.name)
        .collect();
    ensure!(
        columns == ["name", "n"] && schema.is_some_and(|schema| schema.resnapshot),
        "{schema:?}"
    );
    let mut replica = Replica::default();
    replica.apply(&events)?;
    // What was changed before the snapshot was taken is in it; what came after it is streamed.
    let last = |key: &str| {
        events
            .iter()
            .rfind(|event| event.key() == Some(key))
            .and_then(|event| event.after())
    };
    ensure!(
        last(r#"{"name":"a"}"#) == Some(r#"{"name":"a","n":"2.00"}"#),
        "{events:?}"
    );
    ensure!(
        last(r#"{"name":"b"}"#) == Some(r#"{"name":"b","n":null}"#),
        "{events:?}"
    );
    ensure!(
        last(r#"{"name":"c"}"#) == Some(r#"{"name":"c","n":"3.00"}"#),
        "{events:?}"
    );
    Ok(())
}

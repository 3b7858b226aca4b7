//! Tables that come and go while adit runs.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::hammer::{Hammer, table};
use crate::path::{DataPath, Event};
use crate::replica::Replica;

/// Rows that a new table has before adit can know of it.
const ROWS: usize = 5_000;
/// The same where adit is killed while it reads them.
const ROWS_UNTIL_KILLED: usize = 20_000;
/// Changes of it that must be streamed.
const CHANGES: usize = 1_000;

pub(crate) async fn comes(version: Version) -> Result<()> {
    let replica = comes_to(version, "", 0).await?;
    // Each table is described once.
    ensure!(replica.schemas == 2, "{} descriptions", replica.schemas);
    Ok(())
}

/// Here the server sends changes of the new table before adit has read it.
pub(crate) async fn comes_to_all(version: Version) -> Result<()> {
    let publication = "create publication adit_shop for all tables";
    comes_to(version, publication, 0).await?;
    Ok(())
}

pub(crate) async fn comes_and_adit_is_killed(version: Version) -> Result<()> {
    let replica = comes_to(version, "", 2).await?;
    // Once when it came; and after a kill in front of the first note of what is read.
    ensure!(
        (1..=3).contains(&replica.resnapshots),
        "{} snapshots",
        replica.resnapshots
    );
    Ok(())
}

/// Makes a table while adit runs and kills adit `kills` times while it reads that table.
async fn comes_to(version: Version, publication: &str, kills: usize) -> Result<Replica> {
    let mut path = DataPath::new(version, "snapshot.chunk_rows = 500").await?;
    path.pg.exec(publication).await?;
    path.pg.exec(&table("old", 100)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica.apply(&path.to_the_end(&mut reader).await?)?;

    let old = Hammer::start(&path.pg, "old");
    let rows = if kills == 0 { ROWS } else { ROWS_UNTIL_KILLED };
    path.pg.exec(&table("new", rows)).await?;
    let new = Hammer::start(&path.pg, "new");
    replica.lenient = kills > 0;
    let mut seen = 0;
    for _ in 0..kills {
        // Not by the reader, which may be behind by more than what is left of the snapshot.
        path.row_read("new", seen).await?;
        path.kill().await?;
        seen = path.last_seq().await?;
        path.start()?;
    }
    replica
        .follow(&mut reader, "the new table's snapshot", |replica| {
            replica.resnapshots > 0
        })
        .await?;
    let enough = replica.read + rows / 2;
    replica
        .follow(&mut reader, "rows of the new table", |replica| {
            replica.read >= enough
        })
        .await?;
    path.snapshot_over().await?;
    let enough = replica.changed + CHANGES;
    replica
        .follow(&mut reader, "changes", |replica| replica.changed >= enough)
        .await?;
    old.stop().await?;
    new.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "old").await?;
    replica.compare(&path, "new").await?;
    Ok(replica)
}

/// A renamed table is another to its readers: its old name's rows stay as they were, its new name's come afresh.
pub(crate) async fn renamed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg.exec(&table("before", 10)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    path.slot().await?;
    path.pg.exec("insert into before (n) values (1)").await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.pg
        .exec("alter table before rename to after; insert into after (n) values (2); delete from after where id = 3")
        .await?;
    replica
        .follow(&mut reader, "the snapshot", |replica| {
            replica.resnapshots == 1
        })
        .await?;
    path.pg.exec("update after set n = 9 where id < 5").await?;
    let last = |event: &Event| {
        event.op == "update" && event.table == "after" && event.key() == Some(r#"{"id":4}"#)
    };
    replica.apply(&reader.until("the last update", last).await?)?;
    path.stop().await?;
    replica.compare(&path, "after").await
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

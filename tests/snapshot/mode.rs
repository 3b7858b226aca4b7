//! When a snapshot is taken.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::hammer::table;
use crate::path::{DataPath, Event};
use crate::replica::Replica;

fn summaries(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::summary).collect()
}

pub(crate) async fn never(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "snapshot.mode = \"never\"").await?;
    path.pg.exec(&table("t", 10)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.slot().await?;
    path.pg.exec("insert into t values (100, 1, null)").await?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let expected = [
        "schema k:- b:- a:-",
        r#"insert k:{"id":100} b:- a:{"id":100,"n":1,"note":null}"#,
    ];
    ensure!(summaries(&events) == expected, "{:?}", summaries(&events));
    Ok(())
}

pub(crate) async fn only(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "snapshot.mode = \"only\"").await?;
    path.pg.exec(&table("t", 1_000)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let status = path.ended().await?;
    ensure!(status.success(), "adit ended with {status}: {}", path.log());
    let mut replica = Replica::default();
    replica
        .follow(&mut reader, "rows", |replica| replica.read == 1_000)
        .await?;
    replica.compare(&path, "t").await?;
    let slots = path
        .ask("select count(*) from pg_replication_slots")
        .await?;
    ensure!(slots == "0", "{slots} slots are left");

    // Once more, as the tables are now.
    path.pg.exec("delete from t where id > 500").await?;
    path.start()?;
    let status = path.ended().await?;
    ensure!(status.success(), "adit ended with {status}: {}", path.log());
    replica
        .follow(&mut reader, "rows", |replica| replica.read == 1_500)
        .await?;
    replica.compare(&path, "t").await
}

pub(crate) async fn when_needed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "snapshot.mode = \"when_needed\"").await?;
    path.pg.exec(&table("t", 100)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    path.slot().await?;
    path.pg.exec("update t set n = 0 where id < 5").await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;

    path.wait_until("select bool_or(active) from pg_replication_slots", "false")
        .await?;
    path.pg
        .exec(
            "select pg_drop_replication_slot('adit_shop');
             insert into t values (1000, 1, 'while away'); delete from t where id < 10; update t set n = -1 where id = 50",
        )
        .await?;
    path.start()?;
    replica
        .follow(&mut reader, "another snapshot", |replica| {
            replica.resnapshots > 0
        })
        .await?;
    path.pg
        .exec("insert into t values (1001, 2, 'back')")
        .await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "t").await
}

//! The first snapshot: several connections, many chunks, writers meanwhile, and what cuts it short.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::hammer::{Hammer, table};
use crate::path::DataPath;
use crate::replica::Replica;

/// Many small chunks, so that several connections are at work at any time.
const CHUNKS: &str = "snapshot.workers = 3\nsnapshot.chunk_rows = 500";
/// Rows before adit starts: some seconds of work.
const ROWS: usize = 30_000;
/// Changes that must come while the writers are at work.
const CHANGES: usize = 1_000;
/// Rows that are read before the snapshot is cut short.
const READ_BEFORE: usize = 500;

pub(crate) async fn under_fire(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    let hammer = Hammer::start(&path.pg, "hot");
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica
        .follow(&mut reader, "changes", |replica| replica.changed >= CHANGES)
        .await?;
    hammer.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;

    replica.compare(&path, "hot").await?;
    ensure!(
        replica.read > ROWS / 2,
        "only {} rows were read",
        replica.read
    );
    // The table, and the one that the end is written to.
    ensure!(
        replica.resnapshots == 0,
        "{} tables were begun afresh",
        replica.resnapshots
    );
    ensure!(replica.schemas == 1, "{} descriptions", replica.schemas);
    Ok(())
}

pub(crate) async fn killed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    let hammer = Hammer::start(&path.pg, "hot");
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    // Twice: also the snapshot that makes up for the first is cut short.
    for life in 1..=2 {
        let enough = |replica: &Replica| {
            replica.resnapshots + 1 == life && replica.read >= life * READ_BEFORE
        };
        replica.follow(&mut reader, "rows", enough).await?;
        path.kill().await?;
        path.start()?;
    }
    replica
        .follow(&mut reader, "the third snapshot", |replica| {
            replica.resnapshots == 2
        })
        .await?;
    let before = replica.read;
    ensure!(
        before < 2 * ROWS,
        "the snapshots were complete before the kill: {before} rows"
    );
    replica
        .follow(&mut reader, "changes", |replica| replica.changed >= CHANGES)
        .await?;
    hammer.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "hot").await?;
    ensure!(
        replica.resnapshots == 2,
        "{} tables were begun afresh",
        replica.resnapshots
    );
    Ok(())
}

pub(crate) async fn server_killed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    let hammer = Hammer::start(&path.pg, "hot");
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica
        .follow(&mut reader, "rows", |replica| replica.read >= READ_BEFORE)
        .await?;
    path.pg.kill().await?;
    path.pg.restart().await?;
    replica
        .follow(&mut reader, "the second snapshot", |replica| {
            replica.resnapshots == 1
        })
        .await?;
    ensure!(
        replica.read < ROWS,
        "the snapshot was complete before the kill"
    );
    replica
        .follow(&mut reader, "changes", |replica| replica.changed >= CHANGES)
        .await?;
    hammer.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "hot").await?;
    ensure!(path.adit.starts() == 1, "adit ended");
    Ok(())
}

/// Changes of a table that rewrite it or rename what is read. To a snapshot that is older, a rewritten table is empty.
const ALTERATIONS: [&str; 4] = [
    "alter table hot alter n type bigint",
    "alter table hot rename n to m; alter table hot rename m to n",
    "alter table hot alter n type int",
    "alter table hot add extra int default 5; alter table hot drop extra",
];

pub(crate) async fn altered(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    // Between the slot and the reading, and while the table is read.
    path.slot().await?;
    for statement in ALTERATIONS {
        path.pg.exec(statement).await?;
    }
    path.pg.exec("insert into hot (n) values (1)").await?;
    let mut replica = Replica::default();
    let enough = |replica: &Replica| replica.changed == 1 || replica.read > ROWS;
    replica.follow(&mut reader, "all rows", enough).await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "hot").await
}

/// Transactions that are open when the slot is made end before it is ready, or are streamed whole.
pub(crate) async fn open_transactions(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg.exec(&table("t", 10)).await?;
    let first = path.pg.client("postgres").await?;
    let second = path.pg.client("postgres").await?;
    first
        .batch_execute("begin; insert into t (n) values (1); update t set n = 5 where id = 5")
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.wait_until("select count(*) from pg_replication_slots", "1")
        .await?;
    second
        .batch_execute("begin; insert into t (n) values (2); delete from t where id = 6")
        .await?;
    first
        .batch_execute("insert into t (n) values (3); commit")
        .await?;
    second
        .batch_execute("insert into t (n) values (4); commit")
        .await?;
    let mut replica = Replica::default();
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "t").await
}

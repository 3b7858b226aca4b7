//! The first snapshot: several connections, many chunks, writers meanwhile, and what cuts it short.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::hammer::{Hammer, table};
use crate::path::{DataPath, Reader};
use crate::replica::Replica;

/// Many small chunks, so that several connections are at work at any time.
const CHUNKS: &str = "snapshot.workers = 3\nsnapshot.chunk_rows = 500";
/// Rows before adit starts: some seconds of work.
const ROWS: usize = 30_000;
/// Changes that must come while the writers are at work.
const CHANGES: usize = 1_000;
/// What adit may read of the database where its snapshot is cut short, in bytes per second: several seconds of work.
const SLOW: u32 = 250_000;
/// Rows that are read before that: what the three connections read first, and more, which waits until that is noted.
const READ_BEFORE: usize = 3_000;

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

/// How often the table is begun afresh when its snapshot is cut short so often: before version 14 it is read as one piece,
/// and nothing of that counts; later it goes on where it was.
const fn afresh(version: Version, cuts: usize) -> usize {
    match version {
        Version::V13 => cuts,
        _ => 0,
    }
}

pub(crate) async fn killed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    let hammer = Hammer::start(&path.pg, "hot");
    path.throttle(CHUNKS, SLOW).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica.lenient = true;
    // Twice: also the snapshot that goes on is cut short.
    for cut in 1..=2 {
        let enough = replica.read + READ_BEFORE;
        replica
            .follow(&mut reader, "rows", |replica| replica.read >= enough)
            .await?;
        path.kill().await?;
        path.start()?;
        let end = ROWS * (1 + afresh(version, cut));
        ensure!(replica.read < end, "the snapshot was complete before");
    }
    path.hurry();
    goes_on(path, reader, replica, hammer, afresh(version, 2)).await
}

pub(crate) async fn server_killed(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, CHUNKS).await?;
    path.pg.exec(&table("hot", ROWS)).await?;
    let hammer = Hammer::start(&path.pg, "hot");
    path.throttle(CHUNKS, SLOW).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let mut replica = Replica::default();
    replica.lenient = true;
    replica
        .follow(&mut reader, "rows", |replica| replica.read >= READ_BEFORE)
        .await?;
    path.pg.kill().await?;
    path.pg.restart().await?;
    ensure!(replica.read < ROWS, "the snapshot was complete before");
    path.hurry();
    goes_on(path, reader, replica, hammer, afresh(version, 1)).await
}

/// The snapshot comes to its end, and then changes come.
async fn goes_on(
    mut path: DataPath,
    mut reader: Reader,
    mut replica: Replica,
    hammer: Hammer,
    afresh: usize,
) -> Result<()> {
    path.snapshot_over().await?;
    let enough = replica.changed + CHANGES;
    replica
        .follow(&mut reader, "changes", |replica| replica.changed >= enough)
        .await?;
    hammer.stop().await?;
    replica.apply(&path.to_the_end(&mut reader).await?)?;
    path.stop().await?;
    replica.compare(&path, "hot").await?;
    // What is read as one piece is also begun again when the server, just started, ends the connection once more.
    let begun = replica.resnapshots;
    ensure!(
        begun == afresh || (afresh > 0 && begun > afresh),
        "begun afresh {begun} times, not {afresh}"
    );
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

//! What runs out where adit runs, and databases of unusual size.

use std::process::Command;
use std::time::Duration;

use adit_lab::workload::Options;
use adit_lab::{Nats, mysql, nats, pg, wait_for};
use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::support::database::{Database, Kind};
use crate::support::{self, STREAM, Stage};

/// Longest wait for something that is to happen.
const WITHIN: Duration = Duration::from_secs(120);
/// What the process may write to one file, in bytes: the log has room there, and no large transaction.
const FILE_MAX: &str = "--fsize=500000:";
/// File descriptors that are taken already when adit runs.
const DESCRIPTORS: &str = "--nofile=10:";
/// What the broker takes, and the size of a value that it does not take with the rest of its event.
const PAYLOAD_MAX: &str = "max_payload: 100KB";
const LARGE: usize = 100 << 10;
/// Longest wait for thousands of tables, and what adit may need of memory for them, in bytes.
const MANY_WITHIN: Duration = Duration::from_secs(300);
const MEMORY_MAX: u64 = 256 << 20;

const POSTGRES: Kind = Kind::Postgres(pg::Version::V17);
const MYSQL: Kind = Kind::mysql(mysql::Version::Mysql9_7);
const MARIADB: Kind = Kind::mysql(mysql::Version::Maria11_8);

fn options() -> Result<Options> {
    let mut options = Options::new(support::seed()?);
    options.writers = 2;
    options.initial_rows = 100;
    Ok(options)
}

/// Changes a limit of adit's process.
fn limit(stage: &Stage, limit: &str) -> Result<()> {
    let pid = stage.adit.pid()?.to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, limit])
        .status()?;
    ensure!(status.success(), "prlimit {limit}: {status}");
    Ok(())
}

/// A file that may not grow is to adit what a full disk is.
#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_a_large_transaction_is_waited_out() -> Result<()> {
    let mut options = options()?;
    options.writers = 4;
    options.pause_max = Duration::from_millis(10);
    let mut stage = Stage::set(POSTGRES, nats::Version::V2_15, &options).await?;
    // Else the signal would end it.
    stage.prefix("trap '' XFSZ")?;
    stage.adit.start()?;
    wait_for("the log", WITHIN, async || stage.is_streaming().await)
        .await
        .ok();
    limit(&stage, FILE_MAX)?;
    let workload = stage.write(&options);
    stage
        .says("make room there or set another spill_dir", WITHIN)
        .await?;
    limit(&stage, "--fsize=unlimited:")?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_descriptors_are_waited_out() -> Result<()> {
    let mut options = options()?;
    options.rows_max = 2_000;
    let mut stage = Stage::set(POSTGRES, nats::Version::V2_15, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    limit(&stage, DESCRIPTORS)?;
    stage.to_database.cut();
    stage.to_nats.cut();
    stage.says("Too many open files", WITHIN).await?;
    limit(&stage, "--nofile=1024:")?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_file_descriptors_at_the_start_are_told() -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(POSTGRES, nats::Version::V2_15, &options).await?;
    for before in ["ulimit -n 10", "ulimit -n 17"] {
        stage.prefix(before)?;
        stage.adit.start()?;
        let paragraph = stage.gives_up(WITHIN).await?;
        for word in ["Too many open files", "ulimit -n"] {
            ensure!(paragraph.contains(word), "{word:?} is not in:\n{paragraph}");
        }
        stage.end_lease().await.ok();
    }
    let workload = stage.write(&options);
    stage.prefix("ulimit -n 1024")?;
    stage.adit.start()?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

/// A row that the broker does not take stops the run in front of it, until the broker takes it.
mod a_row_larger_than_the_broker_takes_stops_the_run {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn on_postgres_17() -> Result<()> {
        too_large(POSTGRES).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_mysql_9_7() -> Result<()> {
        too_large(MYSQL).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_mariadb_11_8() -> Result<()> {
        too_large(MARIADB).await
    }
}

async fn too_large(kind: Kind) -> Result<()> {
    let database = Database::start(kind).await?;
    let nats = Nats::builder(nats::Version::V2_15).conf(PAYLOAD_MAX);
    let mut stage = Stage::between(kind, database, nats.start().await?, &options()?).await?;
    let text = match kind {
        Kind::Postgres(_) => "text",
        Kind::Mysql { .. } => "longtext",
    };
    exec(
        &stage,
        &format!("create table large (id int primary key, v {text})"),
    )
    .await?;
    stage.adit.start()?;
    wait_for("the snapshot", WITHIN, async || {
        stage.is_snapshot_over().await
    })
    .await?;
    // One transaction, then one behind it.
    let sql = format!("insert into large values (1, 'a'), (2, repeat('b', {LARGE})), (3, 'c')");
    exec(&stage, &sql).await?;
    exec(&stage, "insert into large values (4, 'd')").await?;
    let paragraph = stage.gives_up(WITHIN).await?;
    let words = [
        ".large\" at position ",
        " bytes, and at most 102400 ",
        "raise max_payload",
    ];
    for word in words {
        ensure!(paragraph.contains(word), "{word:?} is not in:\n{paragraph}");
    }
    stage.nats.reload(PAYLOAD_MAX, "max_payload: 1MB").await?;
    stage.adit.start()?;
    let ids = ids(&stage, "large", 4).await?;
    ensure!(ids == [1, 2, 3, 4], "{ids:?}");
    stage.stop_adit().await
}

/// Runs a statement where the workload's tables are.
async fn exec(stage: &Stage, sql: &str) -> Result<()> {
    match &stage.database {
        Database::Postgres(server) => server.exec(sql).await,
        Database::Mysql(server) => server.exec_in("shop", sql).await,
    }
}

/// Column `id` of the first `count` rows in the stream that are of this table.
async fn ids(stage: &Stage, table: &str, count: usize) -> Result<Vec<i64>> {
    let events = events(stage, table, count).await?;
    let ids = events
        .iter()
        .filter_map(|event| event.pointer("/after/id")?.as_i64());
    Ok(ids.collect())
}

/// The first `count` events in the stream that are of this table.
async fn events(stage: &Stage, table: &str, count: usize) -> Result<Vec<Value>> {
    let stream = stage.nats.jetstream().await?.get_stream(STREAM).await?;
    let config = OrderedConfig {
        filter_subject: format!("cdc.torture.*.{table}"),
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let messages = consumer.messages().await?.take(count);
    let events = messages.map(|message| Ok(serde_json::from_slice(&message?.payload)?));
    timeout(WITHIN, events.try_collect()).await?
}

mod databases_with_thousands_of_tables_are_captured {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn on_postgres_17() -> Result<()> {
        many_tables(POSTGRES, 10_000).await
    }

    /// The catalogue is slower there, and tables take longer to make.
    #[tokio::test(flavor = "multi_thread")]
    async fn on_mysql_9_7() -> Result<()> {
        many_tables(MYSQL, 2_000).await
    }
}

/// Tables with one row each, and a change in the last one.
async fn many_tables(kind: Kind, count: usize) -> Result<()> {
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options()?).await?;
    if let Database::Mysql(server) = &stage.database {
        server
            .exec("set global innodb_file_per_table = off")
            .await?;
    }
    for from in (0..count).step_by(1_000) {
        let tables = from..from + 1_000;
        let sql: String = tables
            .map(|i| {
                format!(
                    "create table many_{i} (id int primary key); insert into many_{i} values ({i});"
                )
            })
            .collect();
        exec(&stage, &sql).await?;
    }
    let begun = Instant::now();
    stage.adit.start()?;
    stage.says("snapshot complete", MANY_WITHIN).await?;
    println!(
        "{kind}: {count} tables in {:?} and {} bytes of memory",
        begun.elapsed(),
        stage.adit.memory_peak()?
    );
    // Locks on all of them at the same time are more than a server has room for.
    let log = stage.adit.log();
    ensure!(!log.contains("WARN"), "it did not go through:\n{log}");
    let last = format!("many_{}", count - 1);
    exec(&stage, &format!("insert into {last} values ({count})")).await?;
    let (ids, expected) = (ids(&stage, &last, 2).await?, i64::try_from(count)?);
    ensure!(ids == [expected - 1, expected], "{ids:?}");
    let memory = stage.adit.memory_peak()?;
    ensure!(memory <= MEMORY_MAX, "{memory} bytes of memory");
    stage.stop_adit().await
}

mod wide_tables_are_captured {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn on_postgres_17() -> Result<()> {
        wide(POSTGRES, 1_500).await
    }

    /// InnoDB takes 1 017 columns.
    #[tokio::test(flavor = "multi_thread")]
    async fn on_mysql_9_7() -> Result<()> {
        wide(MYSQL, 1_000).await
    }
}

/// A table with so many columns, one row before the start and one after it.
async fn wide(kind: Kind, columns: usize) -> Result<()> {
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options()?).await?;
    let names: String = (1..columns).map(|i| format!(", c{i} int")).collect();
    let values: String = (1..columns).map(|i| format!(", {i}")).collect();
    let sql = format!("create table wide (id int primary key{names})");
    exec(&stage, &sql).await?;
    exec(&stage, &format!("insert into wide values (1{values})")).await?;
    stage.adit.start()?;
    wait_for("the snapshot", WITHIN, async || {
        stage.is_snapshot_over().await
    })
    .await?;
    exec(&stage, &format!("insert into wide values (2{values})")).await?;
    for (place, event) in (1..).zip(events(&stage, "wide", 2).await?) {
        let row = event.pointer("/after").and_then(Value::as_object);
        let row = row.context("an event without a row")?;
        ensure!(row.len() == columns, "{} columns", row.len());
        for i in 1..columns {
            ensure!(row.get(&format!("c{i}")) == Some(&i.into()), "column {i}");
        }
        ensure!(row.get("id") == Some(&place.into()), "{:?}", row.get("id"));
    }
    stage.stop_adit().await
}

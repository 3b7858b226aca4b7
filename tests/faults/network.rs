//! What networks do: connections that end after any byte, that are open at one end only, that are slow.

use std::time::Duration;

use adit_lab::workload::Options;
use adit_lab::{Direction, mysql, nats, pg, wait_for};
use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::support::database::Kind;
use crate::support::{self, Stage};

const WITHIN: Duration = Duration::from_secs(180);
/// Numbers of bytes after which a connection ends: within the first messages of a login, and far into the stream.
const CUTS: [u64; 14] = [
    1, 2, 5, 6, 9, 13, 40, 100, 321, 1_000, 4_095, 16_385, 65_537, 300_000,
];
/// For how long nothing comes through: longer than adit is patient with either server.
const SILENCE: Duration = Duration::from_secs(25);
/// A slow line, and what adit may need of memory although everything waits.
const SLOW: u32 = 100_000;
const DELAY: Duration = Duration::from_millis(100);
const MEMORY_MAX: u64 = 64 << 20;

/// Makes a module for each name, with a test for each kind of database.
macro_rules! on_each_kind {
    ($($name:ident = $test:path;)*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres_17() -> anyhow::Result<()> {
                $test(super::pg::Version::V17.into()).await
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql_9_7() -> anyhow::Result<()> {
                $test(super::Kind::mysql(super::mysql::Version::Mysql9_7)).await
            }
        })*
    };
}

on_each_kind! {
    a_connection_that_ends_after_any_byte_is_made_again = super::ends;
    a_connection_that_is_open_at_one_end_only_is_given_up = super::half_open;
    a_slow_line_only_delays = super::slow;
}

fn options() -> Result<Options> {
    let mut options = Options::new(support::seed()?);
    options.writers = 2;
    options.initial_rows = 300;
    options.rows_max = 2_000;
    Ok(options)
}

async fn ends(kind: Kind) -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    for bytes in CUTS {
        for direction in [Direction::ToServer, Direction::ToClient] {
            for proxy in [&stage.to_database, &stage.to_nats] {
                proxy.drop_after(direction, bytes);
            }
        }
        stage
            .wait_for_progress(WITHIN)
            .await
            .with_context(|| format!("cut after {bytes} bytes, ADIT_SEED={}", options.seed))?;
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

async fn half_open(kind: Kind) -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    // As after a firewall forgot the connection: nobody is told that it is over.
    stage.to_nats.pause();
    stage.says("publishing was interrupted", WITHIN).await?;
    stage.to_nats.resume();
    stage.wait_for_progress(WITHIN).await?;
    if kind != pg::Version::V17.into() {
        // PostgreSQL may be silent for as long as it decodes, and any server while it answers a query: there the system's
        // keepalives decide, which the proxy answers. The binary log has a heartbeat.
        wait_for("the stream", WITHIN, async || stage.is_streaming().await).await?;
        stage.wait_for_progress(WITHIN).await?;
        stage.to_database.pause();
        stage
            .says("reading the database's log failed", WITHIN)
            .await?;
        stage.to_database.resume();
        stage.wait_for_progress(WITHIN).await?;
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

async fn slow(kind: Kind) -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options).await?;
    for proxy in [&stage.to_database, &stage.to_nats] {
        proxy.throttle(Some(SLOW));
        proxy.delay(DELAY);
    }
    let workload = stage.write(&options);
    stage.adit.start()?;
    let starts = stage.adit.starts();
    stage.wait_for_progress(WITHIN).await?;
    sleep(SILENCE).await;
    let memory = stage.adit.memory_peak()?;
    ensure!(memory <= MEMORY_MAX, "{memory} bytes of memory");
    for text in [
        "publishing was interrupted",
        "reading the database's log failed",
    ] {
        ensure!(
            !stage.adit.log().contains(text),
            "a slow line was given up: {text}"
        );
    }
    for proxy in [&stage.to_database, &stage.to_nats] {
        proxy.throttle(None);
        proxy.delay(Duration::ZERO);
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    ensure!(stage.adit.starts() == starts, "it was started again");
    Ok(())
}

//! The same proof as the torture test's for single hard cases, with nothing killed.

mod support;

use std::time::Duration;

use adit_lab::workload::Options;
use adit_lab::{nats, pg, wait_for};
use anyhow::{Result, ensure};
use support::Stage;

const WITHIN: Duration = Duration::from_secs(240);
/// What adit may need at most, whatever the size of a transaction.
const MEMORY_MAX: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_writers_misses_no_row_and_repeats_none() -> Result<()> {
    for postgres in [pg::Version::V15, pg::Version::V18] {
        let mut options = Options::new(support::seed()?);
        options.pause_max = Duration::from_millis(10);
        options.rows_max = 1_000;
        let mut stage = Stage::set(postgres, nats::Version::V2_12, &options).await?;
        let workload = stage.write(&options);
        stage.adit.start()?;
        wait_for("the end of the snapshot", WITHIN, async || {
            stage.is_streaming().await
        })
        .await?;
        let written = stage.settle(workload, WITHIN).await?;
        stage.stop_adit().await?;
        let summary = stage.check().await?;
        ensure!(
            summary.resnapshots == 0
                && summary.writers == 1
                && summary.transactions < written.commits,
            "PostgreSQL {postgres}, ADIT_SEED={}: the writers did not meet the snapshot: {written:?} {summary:?}",
            options.seed
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_200_000_rows_arrives_whole_in_little_memory() -> Result<()> {
    // One server that sends it while it is open, and one that keeps it until the commit.
    for postgres in [pg::Version::V17, pg::Version::V13] {
        let mut options = Options::new(support::seed()?);
        options.writers = 1;
        options.pause_max = Duration::from_millis(10);
        options.rows_max = 200_000;
        options.initial_rows = 50;
        let mut stage = Stage::set(postgres, nats::Version::V2_15, &options).await?;
        stage.adit.start()?;
        wait_for("the end of the snapshot", WITHIN, async || {
            Ok(stage.stream_len().await? >= 8 * 50)
        })
        .await?;
        let workload = stage.write(&options);
        wait_for("the large transaction", WITHIN, async || {
            Ok(stage.stream_len().await? > 200_000)
        })
        .await?;
        let written = stage.settle(workload, WITHIN).await?;
        let memory = stage.adit.memory_peak()?;
        println!(
            "PostgreSQL {postgres}: {} MiB at most, {written:?}",
            memory >> 20
        );
        stage.stop_adit().await?;
        stage.check().await?;
        ensure!(
            written.largest == 200_000 && memory <= MEMORY_MAX,
            "PostgreSQL {postgres}: {memory} bytes of memory, {written:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_wakes_after_another_took_over_writes_nothing() -> Result<()> {
    let mut options = Options::new(support::seed()?);
    options.initial_rows = 500;
    options.rows_max = 5_000;
    let mut stage = Stage::set(pg::Version::V17, nats::Version::V2_15, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    for _ in 0..3 {
        stage.wait_for_progress(WITHIN).await?;
        stage.adit.pause().await?;
        let mut next = stage.another_adit()?;
        stage.end_lease().await?;
        next.start()?;
        let mut sleeper = std::mem::replace(&mut stage.adit, next);
        // The database keeps the slot for the sleeper until it has been silent for long enough.
        stage.wait_for_progress(WITHIN).await?;
        sleeper.resume().await?;
        // It notices by its lease or by the stream, whichever it looks at first.
        wait_for("the sleeper to give up", WITHIN, async || {
            Ok(sleeper.exited()?.is_some() || sleeper.log().contains("standing by"))
        })
        .await?;
        stage.wait_for_progress(WITHIN).await?;
        sleeper.kill().await?;
        stage.expect_alive()?;
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    let summary = stage.check().await?;
    ensure!(summary.writers == 4, "{summary:?}");
    Ok(())
}

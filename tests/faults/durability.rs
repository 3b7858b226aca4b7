//! A broker that loses what it had acknowledged, as after a power cut: JetStream acknowledges before it has written to the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_lab::workload::{Options, Workload};
use adit_lab::{mysql, nats, pg, wait_for};
use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::support::database::Kind;
use crate::support::{self, Stage};

const WITHIN: Duration = Duration::from_secs(120);
/// What is confirmed to the database is older than anything that the broker loses here.
const CONFIRM_LAG: &str = "confirm_lag = \"10m\"\n";
/// Messages that the broker acknowledged and loses, at least.
const LOST: u64 = 500;

/// The broker goes back while adit is down; the database still has what it lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_is_read_again_from_postgres_17() -> Result<()> {
    let mut run = Run::begin(pg::Version::V17.into(), CONFIRM_LAG).await?;
    run.stage.adit.kill().await?;
    run.go_back().await?;
    run.stage.adit.start()?;
    run.end().await
}

/// MySQL keeps its log by its own rules: no confirmation is to be held back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_is_read_again_from_mysql_9_7() -> Result<()> {
    let mut run = Run::begin(Kind::mysql(mysql::Version::Mysql9_7), "").await?;
    run.stage.adit.kill().await?;
    run.go_back().await?;
    run.stage.adit.start()?;
    run.end().await
}

/// adit is at work when the broker comes back without what it had acknowledged. Either the stream tells, and it stops; or the lease does, which
/// was lost too, and it begins anew by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lost_something_under_us_is_noticed() -> Result<()> {
    let mut run = Run::begin(pg::Version::V17.into(), CONFIRM_LAG).await?;
    run.go_back().await?;
    let has = run.stage.stream_len().await?;
    let mut status = None;
    wait_for("adit's end, or more messages", WITHIN, async || {
        status = run.stage.adit.exited()?;
        Ok(status.is_some() || run.stage.stream_len().await? > has)
    })
    .await
    .with_context(|| run.stage.adit.log())?;
    if let Some(status) = status {
        let log = run.stage.adit.log();
        ensure!(status.code() == Some(1), "{status:?}: {log}");
        ensure!(log.contains("start again"), "{log}");
        run.stage.adit.start()?;
    }
    run.end().await
}

/// What was lost is confirmed to the database, which has thrown it away.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_and_the_database_too_is_a_gap() -> Result<()> {
    let mut run = Run::begin(pg::Version::V17.into(), "").await?;
    run.stage.stop_adit().await?;
    run.go_back().await?;
    let adit = &mut run.stage.adit;
    adit.start()?;
    let mut status = None;
    wait_for("adit's end", WITHIN, async || {
        status = adit.exited()?;
        Ok(status.is_some())
    })
    .await?;
    ensure!(
        status.and_then(|status| status.code()) == Some(1),
        "{status:?}"
    );
    let log = adit.log();
    ensure!(
        log.contains("snapshot.mode") && log.contains("when_needed"),
        "{log}"
    );
    Ok(())
}

struct Run {
    stage: Stage,
    workload: Workload,
    /// What the broker had on its disk some time ago.
    before: PathBuf,
    seed: u64,
}

impl Run {
    /// Lets adit publish, copies what the broker has, and lets adit publish more.
    async fn begin(kind: Kind, settings: &'static str) -> Result<Self> {
        let mut options = Options::new(support::seed()?);
        options.writers = 2;
        options.initial_rows = 300;
        options.rows_max = 2_000;
        let mut stage = Stage::set(kind, nats::Version::V2_12, &options).await?;
        stage.configure(settings)?;
        let workload = stage.write(&options);
        stage.adit.start()?;
        wait_for("the stream", WITHIN, async || stage.is_streaming().await).await?;
        let before = stage.nats.folder().join("before");
        stage.nats.pause().await?;
        copy(&stage.nats.store(), &before).await?;
        stage.nats.resume().await?;
        let enough = stage.stream_len().await? + LOST;
        wait_for("more messages", WITHIN, async || {
            Ok(stage.stream_len().await? >= enough)
        })
        .await?;
        Ok(Self {
            stage,
            workload,
            before,
            seed: options.seed,
        })
    }

    /// The broker comes back with what it had before.
    async fn go_back(&mut self) -> Result<()> {
        let had = self.stage.stream_len().await?;
        let nats = &mut self.stage.nats;
        nats.kill().await?;
        let store = nats.store();
        tokio::fs::remove_dir_all(&store)
            .await
            .context("cannot remove the store")?;
        copy(&self.before, &store).await?;
        nats.restart().await?;
        let has = self.stage.stream_len().await?;
        ensure!(has + LOST <= had, "it had {had} messages and has {has}");
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        let at = || format!("ADIT_SEED={}", self.seed);
        self.stage
            .settle(self.workload, WITHIN)
            .await
            .with_context(at)?;
        self.stage.stop_adit().await.with_context(at)?;
        self.stage.check().await.with_context(at)?;
        Ok(())
    }
}

async fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .await?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}

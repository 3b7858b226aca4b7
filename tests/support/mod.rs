//! A whole installation for end-to-end tests: database, broker, a faulty network before each, and adit between them.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod database;
pub(crate) mod story;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_lab::checker::{self, Summary};
use adit_lab::workload::{self, Workload, Written};
use adit_lab::{Daemon, Nats, Proxy, nats, wait_for};
use anyhow::{Context, Result, bail, ensure};

use database::{Database, Kind};
use story::Story;

pub(crate) const CONNECTOR: &str = "torture";
pub(crate) const STREAM: &str = "CDC_TORTURE";

/// What adit promises for a clean stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Seed of a run: `ADIT_SEED`, or a new one.
pub(crate) fn seed() -> Result<u64> {
    match std::env::var("ADIT_SEED") {
        Ok(text) => text.parse().context("ADIT_SEED is not a number"),
        Err(_) => Ok(rand::random::<u32>().into()),
    }
}

/// The servers, the network, and adit.
pub(crate) struct Stage {
    kind: Kind,
    /// Lines of the configuration about NATS.
    settings: &'static str,
    /// What a shell does before it becomes adit.
    before: &'static str,
    pub(crate) database: Database,
    pub(crate) nats: Nats,
    pub(crate) to_database: Proxy,
    pub(crate) to_nats: Proxy,
    /// Runs, unless a test has just killed it.
    pub(crate) adit: Daemon,
}

impl Stage {
    /// Starts everything but adit, with the first rows in the database.
    pub(crate) async fn set(
        kind: impl Into<Kind>,
        nats: nats::Version,
        options: &workload::Options,
    ) -> Result<Self> {
        let kind = kind.into();
        Self::before(kind, Database::start(kind).await?, nats, options).await
    }

    /// Starts everything but adit in front of a database, and fills that with the first rows.
    pub(crate) async fn before(
        kind: Kind,
        database: Database,
        nats: nats::Version,
        options: &workload::Options,
    ) -> Result<Self> {
        Self::between(kind, database, Nats::start(nats).await?, options).await
    }

    /// The same in front of a broker that is set in a way of its own.
    pub(crate) async fn between(
        kind: Kind,
        database: Database,
        nats: Nats,
        options: &workload::Options,
    ) -> Result<Self> {
        let to_database = Proxy::start(database.addr()).await?;
        let to_nats = Proxy::start(nats.addr()).await?;
        Workload::prepare(database.server(), options).await?;
        let adit = adit(kind, &database, &to_database, &to_nats, "", "")?;
        Ok(Self {
            settings: "",
            before: "",
            kind,
            database,
            nats,
            to_database,
            to_nats,
            adit,
        })
    }

    /// Another process for the same connector, not yet started.
    pub(crate) fn another_adit(&self) -> Result<Daemon> {
        adit(
            self.kind,
            &self.database,
            &self.to_database,
            &self.to_nats,
            self.settings,
            self.before,
        )
    }

    /// Adds lines to the configuration about NATS, before adit is started.
    pub(crate) fn configure(&mut self, settings: &'static str) -> Result<()> {
        self.settings = settings;
        self.adit = self.another_adit()?;
        Ok(())
    }

    /// Lets a shell do something in the process that becomes adit, before adit is started.
    pub(crate) fn prefix(&mut self, before: &'static str) -> Result<()> {
        self.before = before;
        self.adit = self.another_adit()?;
        Ok(())
    }

    /// Starts the writers.
    pub(crate) fn write(&self, options: &workload::Options) -> Workload {
        Workload::start(self.database.server(), options)
    }

    /// Fails if adit has ended by itself, which nothing gives it a reason for.
    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        match self.adit.exited()? {
            None => Ok(()),
            Some(status) => bail!("adit ended by itself: {status}"),
        }
    }

    /// The lease of a killed adit ends after some seconds; this ends it at once.
    pub(crate) async fn end_lease(&self) -> Result<()> {
        let store = self
            .nats
            .jetstream()
            .await?
            .get_key_value("adit_leases")
            .await?;
        store.purge(CONNECTOR).await?;
        Ok(())
    }

    /// Whether the log is being streamed: the first snapshot is complete.
    pub(crate) async fn is_streaming(&self) -> Result<bool> {
        self.story().await?.is_streaming().await
    }

    /// Whether no table waits for its snapshot, as the checkpoint says.
    pub(crate) async fn is_snapshot_over(&self) -> Result<bool> {
        self.story().await?.is_snapshot_over().await
    }

    /// The checkpoint; null as long as there is none.
    pub(crate) async fn checkpoint(&self) -> Result<serde_json::Value> {
        self.story().await?.checkpoint().await
    }

    /// Waits until adit says something that it has not said before.
    pub(crate) async fn says(&self, text: &str, within: Duration) -> Result<()> {
        let count = || self.adit.log().matches(text).count();
        let before = count();
        let said = wait_for(text, within, async || Ok(count() > before)).await;
        said.with_context(|| format!("adit says:\n{}", self.adit.log()))
    }

    /// Waits until adit has ended by itself, as on an error that trying again cannot mend: the paragraph that it ends with.
    pub(crate) async fn gives_up(&mut self, within: Duration) -> Result<String> {
        let mut ended = None;
        let gave_up = wait_for("the end of adit", within, async || {
            ended = self.adit.exited()?;
            Ok(ended.is_some())
        })
        .await;
        let log = self.adit.log();
        gave_up.with_context(|| format!("adit says:\n{log}"))?;
        let code = ended.and_then(|status| status.code());
        ensure!(code == Some(1), "adit ended with {code:?}:\n{log}");
        let paragraph = log.lines().rfind(|line| line.starts_with("adit: "));
        Ok(paragraph.context("adit ended without a word")?.to_owned())
    }

    /// Waits until the stream has grown.
    pub(crate) async fn wait_for_progress(&mut self, within: Duration) -> Result<()> {
        let before = self.stream_len().await.unwrap_or(0);
        let grown = wait_for("one more event", within, async || {
            Ok(self.stream_len().await? > before)
        })
        .await;
        // Why it has not, if that is why.
        self.expect_alive()?;
        grown
    }

    /// The number of messages in the stream.
    pub(crate) async fn stream_len(&self) -> Result<u64> {
        self.story().await?.len().await
    }

    /// Stops the writers and waits until everything that they wrote is in the stream, however adit does it.
    pub(crate) async fn settle(&mut self, workload: Workload, within: Duration) -> Result<Written> {
        // While it goes on, rows may come behind the marker.
        wait_for("the end of the snapshot", within, async || {
            self.is_snapshot_over().await
        })
        .await?;
        let written = workload.finish().await?;
        wait_for("the marker in the stream", within, async || {
            self.story().await?.is_over().await
        })
        .await?;
        self.expect_alive()?;
        Ok(written)
    }

    /// Stops adit as a supervisor does.
    pub(crate) async fn stop_adit(&mut self) -> Result<()> {
        let (status, took) = self.adit.stop(2 * STOP_WITHIN).await?;
        ensure!(
            status.success(),
            "adit was asked to stop and ended with {status}"
        );
        ensure!(took <= STOP_WITHIN, "adit took {took:?} to stop");
        Ok(())
    }

    /// Reads the whole stream and compares it with the database.
    pub(crate) async fn check(&self) -> Result<Summary> {
        let jetstream = self.nats.jetstream().await?;
        checker::check(&jetstream, STREAM, CONNECTOR, self.database.server()).await
    }

    /// Keeps adit's log beyond the end of the test.
    pub(crate) fn keep_log(&self, name: &str) -> Result<PathBuf> {
        let path = adit_lab::root()?.join(format!("{name}.log"));
        fs::copy(self.adit.log_path(), &path)?;
        Ok(path)
    }

    async fn story(&self) -> Result<Story> {
        Ok(Story {
            jetstream: self.nats.jetstream().await?,
            dialect: self.database.server().dialect(),
        })
    }
}

fn adit(
    kind: Kind,
    database: &Database,
    to_database: &Proxy,
    to_nats: &Proxy,
    settings: &str,
    before: &str,
) -> Result<Daemon> {
    let script = format!("{before}\nexec \"$0\" run --log-format text");
    let program = env!("CARGO_BIN_EXE_adit");
    let adit = Daemon::new("adit", Path::new("sh"), &["-c", &script, program])?;
    let config = format!(
        "[[connector]]\nname = {CONNECTOR:?}\n\
         [connector.source]\n{}\
         spill_dir = {:?}\nspill_memory = \"1MB\"\n\
         [connector.snapshot]\nworkers = 2\nchunk_rows = 500\n\
         [connector.nats]\nurl = \"nats://{}\"\nstream = {STREAM:?}\n{settings}",
        database.source(to_database.addr(), kind),
        adit.folder().display().to_string(),
        to_nats.addr(),
    );
    fs::write(adit.folder().join("adit.toml"), config)?;
    Ok(adit)
}

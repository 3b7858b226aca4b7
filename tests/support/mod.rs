//! A whole installation for end-to-end tests: database, broker, a faulty network before each, and adit between them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_lab::checker::{self, Summary};
use adit_lab::workload::{self, LEDGER, Witness, Workload, Written};
use adit_lab::{Daemon, Nats, Postgres, Proxy, nats, pg, wait_for};
use anyhow::{Context, Result, bail, ensure};

pub(crate) const CONNECTOR: &str = "torture";
pub(crate) const STREAM: &str = "CDC_TORTURE";
const DATABASE: &str = "postgres";

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
    pub(crate) postgres: Postgres,
    pub(crate) nats: Nats,
    pub(crate) to_postgres: Proxy,
    pub(crate) to_nats: Proxy,
    /// Runs, unless a test has just killed it.
    pub(crate) adit: Daemon,
}

impl Stage {
    /// Starts everything but adit, with the first rows in the database.
    pub(crate) async fn set(
        postgres: pg::Version,
        nats: nats::Version,
        options: &workload::Options,
    ) -> Result<Self> {
        let postgres = Postgres::builder(postgres)
            // Every transaction but the smallest is streamed while it is open.
            .conf("logical_decoding_work_mem", "64kB")
            .conf("wal_sender_timeout", "10s")
            .start()
            .await?;
        let nats = Nats::start(nats).await?;
        let to_postgres = Proxy::start(postgres.addr()).await?;
        let to_nats = Proxy::start(nats.addr()).await?;
        Witness::start(&postgres.client(DATABASE).await?).await?;
        Workload::prepare(&postgres, DATABASE, options).await?;
        let adit = adit(&to_postgres, &to_nats)?;
        Ok(Self {
            postgres,
            nats,
            to_postgres,
            to_nats,
            adit,
        })
    }

    /// Another process for the same connector, not yet started.
    pub(crate) fn another_adit(&self) -> Result<Daemon> {
        adit(&self.to_postgres, &self.to_nats)
    }

    /// Starts the writers.
    pub(crate) fn write(&self, options: &workload::Options) -> Workload {
        Workload::start(&self.postgres, DATABASE, options)
    }

    /// Fails if adit has ended by itself, which nothing gives it a reason for.
    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        match self.adit.exited()? {
            None => Ok(()),
            Some(status) => bail!("adit ended by itself: {status}"),
        }
    }

    /// The lease of a killed adit ends after ten seconds; this ends it at once.
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
        let event = self.last_ledger_event().await?;
        Ok(is_insert(&event))
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
        let stream = self.nats.jetstream().await?.get_stream(STREAM).await?;
        Ok(stream.get_info().await?.state.last_sequence)
    }

    /// Stops the writers and waits until everything that they wrote is in the stream, however adit does it.
    pub(crate) async fn settle(&mut self, workload: Workload, within: Duration) -> Result<Written> {
        let written = workload.finish().await?;
        wait_for("the marker in the stream", within, async || {
            let event = self.last_ledger_event().await?;
            Ok(is_insert(&event) && event.pointer("/after/writer") == Some(&0.into()))
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
        let client = self.postgres.client(DATABASE).await?;
        checker::check(&self.nats.jetstream().await?, STREAM, CONNECTOR, &client).await
    }

    /// Keeps adit's log beyond the end of the test.
    pub(crate) fn keep_log(&self, name: &str) -> Result<PathBuf> {
        let path = adit_lab::root()?.join(format!("{name}.log"));
        fs::copy(self.adit.log_path(), &path)?;
        Ok(path)
    }

    async fn last_ledger_event(&self) -> Result<serde_json::Value> {
        let stream = self.nats.jetstream().await?.get_stream(STREAM).await?;
        let subject = format!("cdc.{CONNECTOR}.{}.{}", LEDGER.schema, LEDGER.name);
        let message = stream.get_last_raw_message_by_subject(&subject).await?;
        Ok(serde_json::from_slice(&message.payload)?)
    }
}

fn adit(to_postgres: &Proxy, to_nats: &Proxy) -> Result<Daemon> {
    let program = Path::new(env!("CARGO_BIN_EXE_adit"));
    let adit = Daemon::new("adit", program, &["run", "--log-format", "text"])?;
    let config = format!(
        "[[connector]]\nname = {CONNECTOR:?}\n\
         [connector.source]\nurl = \"postgres://postgres@{}/{DATABASE}\"\n\
         spill_dir = {:?}\nspill_memory = \"1MB\"\n\
         [connector.source.postgres]\nheartbeat = \"1s\"\n\
         [connector.snapshot]\nworkers = 2\nchunk_rows = 500\n\
         [connector.nats]\nurl = \"nats://{}\"\nstream = {STREAM:?}\n",
        to_postgres.addr(),
        adit.folder().display().to_string(),
        to_nats.addr(),
    );
    fs::write(adit.folder().join("adit.toml"), config)?;
    Ok(adit)
}

fn is_insert(event: &serde_json::Value) -> bool {
    event.get("op").is_some_and(|op| op == "insert")
}

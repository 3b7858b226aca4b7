//! The whole way: adit itself, from its start to the last event in the stream.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use adit_lab::{Daemon, Nats};
use anyhow::{Context, Result, bail, ensure};
use tokio::time::sleep;

use crate::backlog::Backlog;
use crate::broker::{self, STREAM};
use crate::report::Run;
use crate::usage;

/// How often the stream is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// An adit that brings nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time to stop; adit gives itself ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Publishes the backlog once.
///
/// # Errors
/// adit ends or hangs, or the stream does not hold each row once.
pub(crate) async fn measure(
    program: &Path,
    backlog: &impl Backlog,
    nats: &Nats,
    rows: u64,
    round: u32,
    atomic: bool,
) -> Result<Run> {
    let reader = format!("adit_{round}");
    backlog.open(&reader).await?;
    let broker = nats.pid().context("NATS does not run")?;
    let broker_before = usage::cpu(broker)?;
    let source_before = usage::cpu_if_any(backlog.process(&reader).await?)?;

    let start = Instant::now();
    let mut adit = Adit::start(program, &backlog.source(&reader), nats, atomic)?;
    // The first message is the table's shape.
    adit.until_stored(rows + 1).await?;
    let time = start.elapsed();

    let client = usage::cpu(adit.process.pid()?)?;
    let memory = adit.process.memory_peak()?;
    let broker = usage::cpu(broker)? - broker_before;
    let source = usage::cpu_if_any(backlog.process(&reader).await?)?
        .map(|after| after - source_before.unwrap_or_default());
    let payload = broker::payload(nats).await?;
    adit.stop().await?;
    let messages = broker::messages(nats).await?;
    ensure!(
        messages == rows + 1,
        "the stream has {messages} messages, not one for each of {rows} rows and one for the table"
    );
    backlog.close(&reader).await?;
    Ok(Run {
        time,
        client,
        source,
        broker: Some(broker),
        memory: Some(memory),
        payload: Some(payload),
    })
}

/// An adit that runs.
pub(crate) struct Adit<'a> {
    process: Daemon,
    nats: &'a Nats,
}

impl<'a> Adit<'a> {
    /// Starts it; `source` are the lines of its configuration that are about the database.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn start(
        program: &Path,
        source: &str,
        nats: &'a Nats,
        atomic: bool,
    ) -> Result<Self> {
        let mut process = Daemon::new("bench", program, &["run", "--config", "adit.toml"])?;
        let text = format!(
            "[[connector]]
name = \"bench\"
{source}nats.url = \"{}\"
nats.stream = \"{STREAM}\"
nats.atomic_transactions = {atomic}
",
            nats.url()
        );
        fs::write(process.folder().join("adit.toml"), text).context("cannot write adit.toml")?;
        process.start()?;
        Ok(Self { process, nats })
    }

    /// Waits until the stream holds so many messages.
    ///
    /// # Errors
    /// It ends or hangs.
    pub(crate) async fn until_stored(&mut self, messages: u64) -> Result<()> {
        let jetstream = self.nats.jetstream().await?;
        let mut stored = 0;
        let mut progress = Instant::now();
        while stored < messages {
            sleep(LOOK_EVERY).await;
            if let Some(status) = self.process.exited()? {
                bail!("adit ended with {status}:\n{}", self.process.log());
            }
            // Until adit has made it there is none.
            if let Ok(stream) = jetstream.get_stream(STREAM).await {
                let now = stream.cached_info().state.messages;
                if now > stored {
                    (stored, progress) = (now, Instant::now());
                }
            }
            if progress.elapsed() > PATIENCE {
                bail!(
                    "adit has stored nothing for {PATIENCE:?} after {stored} messages:\n{}",
                    self.process.log()
                );
            }
        }
        Ok(())
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    /// It does not end well, or not in time.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let (status, _) = self.process.stop(STOP_WITHIN).await?;
        ensure!(
            status.success(),
            "adit ended with {status}:\n{}",
            self.process.log()
        );
        Ok(())
    }
}

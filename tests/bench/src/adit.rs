//! The whole way: adit itself, from its start to the last event in the stream.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use adit_lab::{Daemon, Nats};
use anyhow::{Context, Result, bail, ensure};
use tokio::time::sleep;

use crate::backlog::{Backlog, PUBLICATION};
use crate::broker;
use crate::report::Run;
use crate::usage;
use crate::workload::TABLE;

const STREAM: &str = "CDC_BENCH";
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
    backlog: &Backlog,
    nats: &Nats,
    round: u32,
) -> Result<Run> {
    let slot = format!("adit_{round}");
    backlog.slot(&slot).await?;
    let mut adit = Daemon::new("bench", program, &["run", "--config", "adit.toml"])?;
    let text = format!(
        "[[connector]]
name = \"bench\"
source.url = \"{}\"
source.tables = [\"public.{TABLE}\"]
source.postgres.slot = \"{slot}\"
source.postgres.publication = \"{PUBLICATION}\"
snapshot.mode = \"never\"
nats.url = \"{}\"
nats.stream = \"{STREAM}\"
",
        backlog.server.url("postgres"),
        nats.url()
    );
    fs::write(adit.folder().join("adit.toml"), text).context("cannot write adit.toml")?;
    let broker_pid = nats.pid().context("NATS does not run")?;
    let before = usage::cpu(broker_pid)?;
    let jetstream = nats.jetstream().await?;

    let start = Instant::now();
    adit.start()?;
    let mut stored = 0;
    let mut progress = start;
    // The first message is the table's shape.
    while stored < backlog.rows + 1 {
        sleep(LOOK_EVERY).await;
        if let Some(status) = adit.exited()? {
            bail!("adit ended with {status}:\n{}", adit.log());
        }
        // Until adit has made it there is none.
        if let Ok(stream) = jetstream.get_stream(STREAM).await {
            let messages = stream.cached_info().state.messages;
            if messages > stored {
                (stored, progress) = (messages, Instant::now());
            }
        }
        if progress.elapsed() > PATIENCE {
            bail!(
                "adit has stored nothing for {PATIENCE:?} after {stored} messages:\n{}",
                adit.log()
            );
        }
    }
    let time = start.elapsed();

    let client = usage::cpu(adit.pid()?)?;
    let memory = adit.memory_peak()?;
    let broker = usage::cpu(broker_pid)? - before;
    let source = match backlog.walsender(&slot).await? {
        Some(pid) => Some(usage::cpu(pid)?),
        None => None,
    };
    let payload = broker::payload(nats, STREAM).await?;
    let (status, _) = adit.stop(STOP_WITHIN).await?;
    ensure!(
        status.success(),
        "adit ended with {status}:\n{}",
        adit.log()
    );
    let messages = jetstream
        .get_stream(STREAM)
        .await?
        .cached_info()
        .state
        .messages;
    ensure!(
        messages == backlog.rows + 1,
        "the stream has {messages} messages, not one for each of {} rows and one for the table",
        backlog.rows
    );
    backlog.drop_slot(&slot).await?;
    Ok(Run {
        time,
        client,
        source,
        broker: Some(broker),
        memory: Some(memory),
        payload: Some(payload),
    })
}

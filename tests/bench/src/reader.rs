//! The ceiling of PostgreSQL: `pg_recvlogical` reads the same log and throws it away.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::sleep;

use crate::backlog::{Backlog, PUBLICATION};
use crate::report::Run;
use crate::usage;

const PROGRAM: &str = "pg_recvlogical";
/// How often the processes' times are read: what they use after the last look is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Which `pg_recvlogical` it is.
///
/// # Errors
/// There is none.
pub(crate) async fn version() -> Result<String> {
    let output = Command::new(PROGRAM)
        .arg("--version")
        .output()
        .await
        .with_context(|| {
            format!("cannot run {PROGRAM}: install PostgreSQL's client programs (Debian: postgresql-client)")
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{PROGRAM} --version: {}", output.status);
    }
    Ok(text.trim().to_owned())
}

/// Reads the backlog once.
///
/// # Errors
/// `pg_recvlogical` fails.
pub(crate) async fn measure(backlog: &Backlog, round: u32) -> Result<Run> {
    let slot = format!("reader_{round}");
    backlog.slot(&slot).await?;
    let start = Instant::now();
    let mut reader = Command::new(PROGRAM)
        .args(["--host", "127.0.0.1", "--username", "postgres"])
        .args(["--port", &backlog.server.port().to_string()])
        .args(["--dbname", "postgres", "--slot", &slot])
        .args(["--start", "--no-loop", "--endpos", &backlog.end])
        .args(["-o", "proto_version=1"])
        .args(["-o", &format!("publication_names={PUBLICATION}")])
        .args(["--file", "/dev/null"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {PROGRAM}"))?;
    let pid = reader.id().context("pg_recvlogical has ended at once")?;
    let mut walsender = None;
    let mut source = Duration::ZERO;
    let mut client = Duration::ZERO;
    let status = loop {
        tokio::select! {
            status = reader.wait() => break status?,
            () = sleep(LOOK_EVERY) => {}
        }
        client = usage::cpu(pid).unwrap_or(client);
        match walsender {
            Some(walsender) => source = usage::cpu(walsender).unwrap_or(source),
            None => walsender = backlog.walsender(&slot).await?,
        }
    };
    let time = start.elapsed();
    if !status.success() {
        bail!("{PROGRAM} ended with {status}");
    }
    backlog.drop_slot(&slot).await?;
    Ok(Run {
        time,
        client,
        source: Some(source),
        broker: None,
        memory: None,
        payload: None,
    })
}

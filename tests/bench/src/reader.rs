//! The ceiling of the database: its own program reads the same log and throws it away.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::sleep;

use crate::backlog::Backlog;
use crate::database::Kind;
use crate::report::Run;
use crate::usage;

/// How often the processes' times are read: what they use after the last look is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A file system in memory, where programs that cannot but write are to write.
const MEMORY: &str = "/dev/shm";

/// Which program it is.
///
/// # Errors
/// There is none.
pub(crate) async fn version(database: Kind) -> Result<String> {
    let output = Command::from(database.reader()?)
        .arg("--version")
        .output()
        .await
        .context("cannot run pg_recvlogical: install PostgreSQL's client programs (Debian: postgresql-client)")?;
    ensure!(
        output.status.success(),
        "asking {} for its version: {}",
        database.reader_name(),
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // Some print where they are.
    let text = text.rsplit_once("/bin/").map_or(&*text, |(_, name)| name);
    Ok(text.trim().to_owned())
}

/// Reads the backlog once.
///
/// # Errors
/// The program fails.
pub(crate) async fn measure(backlog: &impl Backlog, round: u32) -> Result<Run> {
    let name = format!("reader_{round}");
    backlog.open(&name).await?;
    let folder = tempfile::Builder::new()
        .prefix("adit-bench-")
        .tempdir_in(MEMORY)
        .with_context(|| format!("cannot make a folder in {MEMORY}"))?;
    let mut process = backlog.process(&name).await?;
    let before = usage::cpu_if_any(process)?.unwrap_or_default();
    let start = Instant::now();
    let mut program = Command::from(backlog.command(&name, folder.path())?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run the database's reader")?;
    let pid = program.id().context("the reader has ended at once")?;
    let (mut source, mut client) = (before, Duration::ZERO);
    let status = loop {
        tokio::select! {
            status = program.wait() => break status?,
            () = sleep(LOOK_EVERY) => {}
        }
        client = usage::cpu(pid).unwrap_or(client);
        match process {
            Some(process) => source = usage::cpu(process).unwrap_or(source),
            None => process = backlog.process(&name).await?,
        }
    };
    let time = start.elapsed();
    if let Some(process) = process {
        // A server is still there, a process for one reader is not.
        source = usage::cpu(process).unwrap_or(source);
    }
    if !status.success() {
        bail!("the reader ended with {status}");
    }
    backlog.close(&name).await?;
    Ok(Run {
        time,
        client,
        source: Some(source - before),
        broker: None,
        memory: None,
        payload: None,
    })
}

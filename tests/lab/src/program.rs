//! Other programs, run to their end, and other blocking work.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command to its end; its output if it succeeds, an error with what it said if not.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}: {remedy}"))?;
    if !output.status.success() {
        bail!(
            "{program}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs blocking work off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("the lab's blocking work panicked")?
}

//! SIGTERM and SIGINT: the first asks for a clean stop, the second ends at once.

use std::process;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::failure;

/// A token that the first signal cancels.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn stop_token() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("installing signal handlers")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("installing signal handlers")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut signalled = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = signalled().await;
        info!(
            signal = name,
            "stopping: outstanding events are stored and confirmed first; a second signal ends at once"
        );
        token.cancel();
        let name = signalled().await;
        warn!(signal = name, "ending at once");
        process::exit(i32::from(failure::FAILED));
    });
    Ok(stop)
}

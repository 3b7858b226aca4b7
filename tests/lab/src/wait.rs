use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Pause between two looks: short enough not to slow a test, long enough to leave the processor to what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` answers `Ok(true)`.
///
/// `Ok(false)` and errors both mean "not yet", so that the condition may ask a server that is down.
///
/// # Errors
///
/// When `deadline` has passed: names `what` was waited for and the last error of the condition, if that was an error.
pub async fn wait_for(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + deadline;
    loop {
        let seen = tokio::time::timeout_at(end, condition()).await;
        match seen {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) if Instant::now() >= end => bail!("{what}: not within {deadline:?}"),
            Ok(Err(error)) if Instant::now() >= end => {
                return Err(error.context(format!("{what}: not within {deadline:?}")));
            }
            Err(_elapsed) => {
                bail!("{what}: not within {deadline:?} (the last look did not return)")
            }
            Ok(_) => sleep(LOOK_EVERY).await,
        }
    }
}

//! Whose turn it is: of several processes that run the same connector one works, the others wait.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::process;
use std::time::Duration;

use adit_pipeline::{RunError, chain, retry};
use adit_sink_nats::{Acquired, Error, Lease, Nats};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Connector;

/// How often a process that stands by asks whether it is its turn.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Whoever holds the lease matters for one decision only, which is put off for no longer than servers that were cut off need
/// to agree on a leader.
const ASK_MAX: Duration = Duration::from_secs(10);
/// A lease that cannot be given back ends by itself, so nobody waits long for that.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Who this process is, for others to read: machine, process and a random part.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    instance: String,
}

impl Holder {
    pub(crate) fn new() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host
            .or_else(|| std::env::var("HOSTNAME").ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        let host = host.as_deref().unwrap_or("host");
        Self {
            instance: format!("{host}-{}-{:08x}", process::id(), random() >> 32),
        }
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }
}

/// A number that no other process has, from the keys that the standard library draws for its maps.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Waits until the lease is ours; none when told to stop meanwhile.
///
/// # Errors
/// When NATS refuses for good.
pub(crate) async fn wait(
    connector: &Connector,
    nats: &Nats,
    holder: &Holder,
    stop: &CancellationToken,
) -> Result<Option<Turn>, RunError> {
    let name = &connector.name;
    let mut standing_by = false;
    loop {
        let ask =
            async || Lease::acquire(nats, name, holder.instance(), connector.nats.replicas).await;
        match retry(name, "taking the lease", stop, ask).await? {
            None => return Ok(None),
            Some(Acquired::Ours(lease)) => {
                if standing_by {
                    info!(connector = %name, "the lease is free: taking over");
                }
                return Ok(Some(Turn::new(lease)));
            }
            Some(Acquired::HeldBy(other)) if !standing_by => {
                info!(connector = %name, holder = other, "another process runs this connector: standing by");
                standing_by = true;
            }
            Some(Acquired::HeldBy(_)) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(ASK_EVERY) => {}
        }
    }
}

/// Our turn, until somebody else has the lease.
#[derive(Debug)]
pub(crate) struct Turn {
    lease: Option<Lease>,
}

impl Turn {
    pub(crate) const fn new(lease: Lease) -> Self {
        Self { lease: Some(lease) }
    }

    /// Renews the lease until somebody else has it. While NATS cannot be asked it counts as ours:
    /// nobody else can have taken it there, and what keeps two writers apart is the stream.
    pub(crate) async fn lost(&mut self, connector: &str) {
        let Some(lease) = &mut self.lease else {
            return std::future::pending().await;
        };
        loop {
            match lease.keep().await {
                Error::Conflict { .. } => {
                    self.lease = None;
                    return;
                }
                error => {
                    warn!(
                        connector,
                        error = chain(&error),
                        "the lease cannot be renewed yet"
                    );
                    sleep(ASK_EVERY).await;
                }
            }
        }
    }

    /// Whether [`Turn::lost`] has seen that somebody else has the lease.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lease.is_none()
    }

    /// Asks whether somebody else has the lease, as after a process was stopped for a while, or cut off.
    pub(crate) async fn is_taken(
        &mut self,
        connector: &Connector,
        nats: &Nats,
        holder: &Holder,
        stop: &CancellationToken,
    ) -> bool {
        let (name, replicas) = (&connector.name, connector.nats.replicas);
        let ask = async || Lease::acquire(nats, name, holder.instance(), replicas).await;
        let asked = retry(name, "asking who has the lease", stop, ask);
        match timeout(ASK_MAX, asked).await {
            Ok(Ok(Some(Acquired::HeldBy(_)))) => true,
            Ok(Ok(Some(Acquired::Ours(lease)))) => {
                self.lease = Some(lease);
                false
            }
            Ok(Ok(None) | Err(_)) | Err(_) => false,
        }
    }

    /// Gives the lease back.
    pub(crate) async fn end(&mut self, connector: &str) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        match timeout(RELEASE_MAX, lease.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(
                connector,
                error = chain(&error),
                "the lease was not given back; it ends by itself"
            ),
            Err(_) => warn!(
                connector,
                "the lease was not given back in time; it ends by itself"
            ),
        }
    }
}

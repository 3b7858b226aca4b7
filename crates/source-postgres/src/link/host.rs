//! Which server: hosts, addresses, TLS attempts and roles, in `libpq`'s order.
//!
//! ```text
//! for each pass (prefer-standby: standbys, then any)
//!   for each host                 — one that cannot be reached is left for the next
//!     for each of its addresses
//!       for each way sslmode allows (TLS, plain)
//!         connect, handshake, log in; then: has it the role asked for?
//! ```
//! A refusal that trying another server would only repeat (wrong password, no
//! such database) ends the search, as in `libpq`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::lookup_host;

use super::error::ConnectError;
use super::transport::{Encryption, Transport, encryptions};
use crate::config::{ConnectConfig, Host, Target, TargetSessionAttrs, socket_path};

/// More addresses of one name than are worth trying.
const ADDRESSES_MAX: usize = 16;

/// Where to connect to.
#[derive(Debug, Clone)]
pub(super) enum Address {
    /// An address the host's name resolved to.
    Tcp(SocketAddr),
    /// The path of the socket.
    Unix(PathBuf),
}

/// What a server says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// `pg_is_in_recovery()`
    pub(super) in_recovery: bool,
    /// `transaction_read_only`
    pub(super) read_only: bool,
}

impl Role {
    /// Asks for the two, in this order.
    pub(super) const QUERY: &str = "SELECT pg_catalog.pg_is_in_recovery()::pg_catalog.text, pg_catalog.current_setting('transaction_read_only')";

    /// From the answer to [`Self::QUERY`].
    pub(super) fn parse(in_recovery: Option<&str>, read_only: Option<&str>) -> Option<Self> {
        Some(Self {
            in_recovery: in_recovery? == "true",
            read_only: read_only? == "on",
        })
    }

    /// What this server is instead of what was wanted, if it does not fit.
    fn mismatch(self, wanted: TargetSessionAttrs) -> Option<&'static str> {
        let fits = match wanted {
            TargetSessionAttrs::Any => true,
            TargetSessionAttrs::ReadWrite => !self.read_only && !self.in_recovery,
            TargetSessionAttrs::ReadOnly => self.read_only || self.in_recovery,
            TargetSessionAttrs::Primary => !self.in_recovery,
            TargetSessionAttrs::Standby | TargetSessionAttrs::PreferStandby => self.in_recovery,
        };
        match self {
            _ if fits => None,
            Self {
                in_recovery: true, ..
            } => Some("a standby"),
            Self {
                read_only: true, ..
            } => Some("a read-only primary"),
            Self { .. } => Some("a primary that takes writes"),
        }
    }
}

/// Logging in over a connected transport: as a walsender or for SQL.
pub(super) trait Login: Sync {
    /// What a login yields.
    type Session: Send;

    /// Logs in.
    fn log_in(
        &self,
        transport: Transport,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Session, ConnectError>> + Send;

    /// Asks the server for its role.
    fn role(
        &self,
        session: &mut Self::Session,
        target: &Target,
    ) -> impl Future<Output = Result<Role, ConnectError>> + Send;
}

/// Finds the first server that fits and logs in to it.
pub(super) async fn connect<L: Login>(
    config: &ConnectConfig,
    login: &L,
) -> Result<L::Session, ConnectError> {
    let wanted = config.target_session_attrs();
    let passes: &[TargetSessionAttrs] = match wanted {
        TargetSessionAttrs::PreferStandby => {
            &[TargetSessionAttrs::PreferStandby, TargetSessionAttrs::Any]
        }
        _ => std::slice::from_ref(&wanted),
    };
    let mut failures = Vec::new();
    for pass in passes {
        // Only the last pass tells why: the first one's hosts are in it too.
        failures.clear();
        for target in config.targets() {
            let addresses = match within(config, target, resolve(target)).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            for address in &addresses {
                match attempt(config, login, target, address, *pass).await {
                    Ok(session) => return Ok(session),
                    Err(error) if is_final(&error) => return Err(error),
                    Err(error) => failures.push(error),
                }
            }
        }
    }
    match failures.pop() {
        Some(only) if failures.is_empty() => Err(only),
        last => {
            failures.extend(last);
            Err(ConnectError::NoHost { failures })
        }
    }
}

/// Whether another host is not worth trying: this one was reached, and what
/// it said will not be different there.
fn is_final(error: &ConnectError) -> bool {
    match error {
        ConnectError::Server { .. } => !error.is_transient(),
        ConnectError::CertificateFile { .. }
        | ConnectError::PasswordMissing { .. }
        | ConnectError::Authentication { .. } => true,
        _ => false,
    }
}

async fn resolve(target: &Target) -> Result<Vec<Address>, ConnectError> {
    let name = match &target.host {
        Host::Tcp(name) => name.as_str(),
        Host::Unix(folder) => {
            return Ok(vec![Address::Unix(socket_path(folder, target.port))]);
        }
    };
    let failed = |source| ConnectError::Resolve {
        target: target.clone(),
        source,
    };
    let addresses: Vec<Address> = lookup_host((name, target.port))
        .await
        .map_err(failed)?
        .take(ADDRESSES_MAX)
        .map(Address::Tcp)
        .collect();
    if addresses.is_empty() {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

/// One address, in each way `sslmode` allows, within the time limit.
async fn attempt<L: Login>(
    config: &ConnectConfig,
    login: &L,
    target: &Target,
    address: &Address,
    wanted: TargetSessionAttrs,
) -> Result<L::Session, ConnectError> {
    let work = async {
        let (first, second) = encryptions(config.tls().mode, address);
        match (
            try_once(config, login, target, address, first, wanted).await,
            second,
        ) {
            (Err(error), Some(second)) if other_encryption_may_do(&error) => {
                tracing::debug!(%target, error = %error, "trying again with the other way sslmode allows");
                try_once(config, login, target, address, second, wanted).await
            }
            (result, _) => result,
        }
    };
    within(config, target, work).await
}

/// Awaits it for as long as `connect_timeout` allows.
async fn within<T>(
    config: &ConnectConfig,
    target: &Target,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let Some(after) = config.connect_timeout() else {
        return work.await;
    };
    match tokio::time::timeout(after, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ConnectError::Timeout {
            target: target.clone(),
            after,
        }),
    }
}

/// Whether the weaker or stronger of sslmode's two ways may get in where the
/// first did not: `pg_hba.conf` can let in one and not the other (28000), and
/// a handshake can fail. A wrong password is not sent twice.
fn other_encryption_may_do(error: &ConnectError) -> bool {
    match error {
        ConnectError::Server { message, .. } => message.code == "28000",
        ConnectError::TlsHandshake { .. } => true,
        _ => false,
    }
}

async fn try_once<L: Login>(
    config: &ConnectConfig,
    login: &L,
    target: &Target,
    address: &Address,
    encryption: Encryption,
    wanted: TargetSessionAttrs,
) -> Result<L::Session, ConnectError> {
    let transport = Transport::open(config, target, address, encryption).await?;
    let mut session = login.log_in(transport, target).await?;
    if wanted == TargetSessionAttrs::Any {
        return Ok(session);
    }
    let role = login.role(&mut session, target).await?;
    match role.mismatch(wanted) {
        None => Ok(session),
        Some(found) => Err(ConnectError::WrongRole {
            target: target.clone(),
            wanted: wanted.as_str(),
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_fits_what_the_manual_says() {
        use TargetSessionAttrs as Wanted;
        let primary = Role {
            in_recovery: false,
            read_only: false,
        };
        let read_only = Role {
            in_recovery: false,
            read_only: true,
        };
        let standby = Role {
            in_recovery: true,
            read_only: true,
        };
        for (wanted, fits) in [
            (Wanted::Any, [true, true, true]),
            (Wanted::ReadWrite, [true, false, false]),
            (Wanted::ReadOnly, [false, true, true]),
            (Wanted::Primary, [true, true, false]),
            (Wanted::Standby, [false, false, true]),
            (Wanted::PreferStandby, [false, false, true]),
        ] {
            let found = [primary, read_only, standby].map(|role| role.mismatch(wanted).is_none());
            assert_eq!(found, fits, "{wanted:?}");
        }
    }

    #[test]
    fn a_role_that_was_not_told_is_none() {
        let standby = Role {
            in_recovery: true,
            read_only: true,
        };
        assert_eq!(Role::parse(Some("true"), Some("on")), Some(standby));
        assert_eq!(Role::parse(None, Some("on")), None);
        assert_eq!(Role::parse(Some("false"), None), None);
    }
}

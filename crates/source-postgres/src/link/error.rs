//! What can go wrong between us and the server, and whether it may heal.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::message::ServerMessage;
use crate::config::Target;

/// A failed connection attempt, or a connection that failed in use.
///
/// Every text says what was being done, with which server, what it answered
/// and what to do about it, and holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host's name has no address.
    #[error(
        "cannot find an address for {target}: check the host in the source url and the resolver of this machine"
    )]
    Resolve {
        /// The server.
        target: Target,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody accepted the connection.
    #[error(
        "cannot reach {target}: check that the server runs, that host and port in the source url are right, and that no firewall is between"
    )]
    Connect {
        /// The server.
        target: Target,
        /// What the operating system said.
        source: io::Error,
    },
    /// The attempt took too long.
    #[error("connecting to {target} took longer than {} s: check host, port and firewalls, or raise connect_timeout in the source url", after.as_secs_f32())]
    Timeout {
        /// The server.
        target: Target,
        /// The limit.
        after: Duration,
    },
    /// A certificate or key file cannot be used.
    #[error("cannot use {} as {what}: {why}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What it was to be.
        what: &'static str,
        /// What is wrong with it and how to mend it.
        why: String,
    },
    /// The settings make no TLS client.
    #[error("cannot set up tls for {target}: {why}")]
    TlsSetup {
        /// The server.
        target: Target,
        /// What is missing.
        why: String,
    },
    /// The server has no TLS and we may not go without.
    #[error(
        "{target} does not offer tls, and sslmode={mode} in the source url insists on it: set ssl = on in the server's postgresql.conf, or choose a weaker sslmode"
    )]
    TlsRefused {
        /// The server.
        target: Target,
        /// The mode that insists.
        mode: &'static str,
    },
    /// The handshake failed.
    #[error("tls handshake with {target} failed: {advice}")]
    TlsHandshake {
        /// The server.
        target: Target,
        /// What to do, by the cause.
        advice: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The server wants a password and we have none.
    #[error(
        "{target} asks for a password for user {user:?} and none is set: put it into the source url or into the source's password_file"
    )]
    PasswordMissing {
        /// The server.
        target: Target,
        /// The role.
        user: String,
    },
    /// The login could not be carried out.
    #[error("cannot log in to {target} as {user:?}: {why}")]
    Authentication {
        /// The server.
        target: Target,
        /// The role.
        user: String,
        /// What failed and what to do.
        why: String,
    },
    /// The server said no.
    #[error("{doing} on {target}: server said {message}{}", advice(message))]
    Server {
        /// What was being done.
        doing: String,
        /// The server.
        target: Target,
        /// Its answer.
        message: Box<ServerMessage>,
    },
    /// A server that lets us in, but is not of the kind asked for.
    #[error(
        "{target} is {found}, and target_session_attrs={wanted} in the source url asks for another: name a host of that kind, or wait for the failover to end"
    )]
    WrongRole {
        /// The server.
        target: Target,
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Of several hosts or addresses, none would do.
    #[error("none of the {} addresses in the source url can be used: {}", failures.len(), list(failures))]
    NoHost {
        /// One error for each, in the order tried; never empty.
        failures: Vec<Self>,
    },
    /// The connection broke.
    #[error("connection to {target} failed while {doing}: it will be opened again")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The server.
        target: Target,
        /// What the operating system said.
        source: io::Error,
    },
    /// The server closed the connection without a word.
    #[error("{target} closed the connection while {doing}: see the server's log for the reason")]
    Closed {
        /// What was being done.
        doing: &'static str,
        /// The server.
        target: Target,
    },
    /// The server sent what the protocol does not allow.
    #[error(
        "{target} broke the protocol while {doing}: {what}; check that the source url points at a PostgreSQL server and not at another service or an old pooler"
    )]
    Protocol {
        /// What was being done.
        doing: &'static str,
        /// The server.
        target: Target,
        /// What was found.
        what: String,
    },
    /// We asked for what the link cannot do.
    #[error("cannot send to {target}: {why}")]
    Misuse {
        /// The server.
        target: Target,
        /// What was asked.
        why: &'static str,
    },
}

impl ConnectError {
    /// Whether the same attempt may succeed later without anybody changing
    /// the configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::WrongRole { .. }
            | Self::Io { .. }
            | Self::Closed { .. } => true,
            // A bad certificate stays bad; a handshake cut short does not.
            Self::TlsHandshake { source, .. } => !is_tls_verdict(source),
            Self::Server { message, .. } => sqlstate_is_transient(&message.code),
            Self::NoHost { failures } => failures.iter().any(Self::is_transient),
            Self::CertificateFile { .. }
            | Self::TlsSetup { .. }
            | Self::TlsRefused { .. }
            | Self::PasswordMissing { .. }
            | Self::Authentication { .. }
            | Self::Protocol { .. }
            | Self::Misuse { .. } => false,
        }
    }

    /// The SQLSTATE, when the server itself refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { message, .. } => Some(&message.code),
            Self::NoHost { failures } => failures.iter().rev().find_map(Self::sqlstate),
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::CertificateFile { .. }
            | Self::TlsSetup { .. }
            | Self::TlsRefused { .. }
            | Self::TlsHandshake { .. }
            | Self::PasswordMissing { .. }
            | Self::Authentication { .. }
            | Self::WrongRole { .. }
            | Self::Io { .. }
            | Self::Closed { .. }
            | Self::Protocol { .. }
            | Self::Misuse { .. } => None,
        }
    }
}

/// Whether rustls itself, and not the network, ended the handshake.
pub(crate) fn is_tls_verdict(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Whether a server's refusal may heal by itself.
///
/// Codes: PostgreSQL manual, appendix "PostgreSQL Error Codes".
pub(crate) fn sqlstate_is_transient(code: &str) -> bool {
    match code {
        // in use: another walsender, not yet timed out, holds the slot
        "55006"
        // configuration_limit_exceeded: all slots in use, until one is dropped
        | "53400"
        // lock_not_available, query_canceled (by a timeout of the server)
        | "55P03" | "57014"
        // admin_shutdown, crash_shutdown, cannot_connect_now,
        // idle_session_timeout
        | "57P01" | "57P02" | "57P03" | "57P05"
        // transaction aborted by concurrency
        | "40001" | "40P01" => true,
        // Of the classes below: a protocol violation, and a WAL file that is
        // gone stay so.
        "08P01" | "58P01" => false,
        // connection exceptions; too many connections, out of memory, disk
        // full; system errors
        _ => matches!(code.get(..2), Some("08" | "53" | "58")),
    }
}

/// What an operator can do about a refusal, by its code.
fn advice(message: &ServerMessage) -> String {
    let known = match message.code.as_str() {
        "28P01" => "check user and password in the source url or the source's password_file",
        "28000" => {
            "let this user, database and address in with a line in the server's pg_hba.conf, and check that the role exists and may LOGIN"
        }
        "3D000" => "correct the database name in the source url, or create the database",
        "42501" => {
            "grant the missing right; replication needs a role with the REPLICATION attribute (ALTER ROLE name REPLICATION)"
        }
        "53300" => {
            "raise max_connections or max_wal_senders on the server, or close other connections; adit tries again"
        }
        "53400" => {
            "raise max_replication_slots on the server, or drop slots that are not used; adit tries again"
        }
        "55006" => {
            "another connection uses it, perhaps one that is not yet timed out (wal_sender_timeout); adit tries again"
        }
        "57P01" | "57P02" | "57P03" => {
            "the server is starting, stopping or recovering; adit tries again"
        }
        _ => "",
    };
    match (known, &message.hint) {
        ("", Some(hint)) => format!(" (hint: {hint})"),
        ("", None) => String::new(),
        (known, _) => format!("; {known}"),
    }
}

/// The failures with their causes: `source()` can name one of them only.
fn list(failures: &[ConnectError]) -> String {
    let texts: Vec<String> = failures.iter().map(with_cause).collect();
    texts.join("; ")
}

fn with_cause(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;

    fn target() -> Target {
        Target {
            host: Host::Tcp("db".to_owned()),
            port: 5432,
        }
    }

    fn refused(code: &str) -> ConnectError {
        ConnectError::Server {
            doing: "logging in".to_owned(),
            target: target(),
            message: Box::new(ServerMessage {
                severity: "FATAL".to_owned(),
                code: code.to_owned(),
                message: "no".to_owned(),
                hint: None,
            }),
        }
    }

    fn unreachable() -> ConnectError {
        ConnectError::Connect {
            target: target(),
            source: io::ErrorKind::ConnectionRefused.into(),
        }
    }

    #[test]
    fn what_heals_by_itself_is_transient() {
        for code in [
            "57P01", "57P02", "57P03", "53300", "53100", "08006", "08001", "55006", "53400",
            "58030",
        ] {
            assert!(refused(code).is_transient(), "{code}");
        }
        assert!(unreachable().is_transient());
        let cut = ConnectError::TlsHandshake {
            target: target(),
            advice: "",
            source: io::ErrorKind::UnexpectedEof.into(),
        };
        assert!(cut.is_transient());
    }

    #[test]
    fn what_somebody_has_to_mend_is_not_transient() {
        for code in [
            "28P01", "28000", "3D000", "42501", "42704", "55000", "08P01", "58P01", "", "é8",
        ] {
            assert!(!refused(code).is_transient(), "{code}");
        }
        let verdict = ConnectError::TlsHandshake {
            target: target(),
            advice: "",
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                rustls::Error::InvalidCertificate(rustls::CertificateError::Expired),
            ),
        };
        assert!(!verdict.is_transient());
    }

    #[test]
    fn one_host_that_may_come_back_keeps_the_search_alive() {
        let mixed = ConnectError::NoHost {
            failures: vec![unreachable(), refused("28P01")],
        };
        assert!(mixed.is_transient());
        assert_eq!(mixed.sqlstate(), Some("28P01"));
        let hopeless = ConnectError::NoHost {
            failures: vec![refused("28P01")],
        };
        assert!(!hopeless.is_transient());
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert_eq!(
            refused("3D000").to_string(),
            "logging in on db:5432: server said FATAL 3D000: no; correct the database name in the source url, or create the database"
        );
    }
}

//! What can go wrong on a connection.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error};

/// Why a connection failed, or what the server answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The server was not reached.
    #[error(
        "cannot reach {target}: check that the server runs, that host and port in source.url are right, and that no \
         firewall is between"
    )]
    Connect {
        /// Host and port, or the socket.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// The name has no address.
    #[error(
        "cannot find an address for {host:?}: check the host in source.url and the resolver of this machine"
    )]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error(
        "connecting to {target} took longer than {} s: check host, port and firewalls, or raise connect-timeout in \
         source.url", limit.as_secs_f32()
    )]
    TimedOut {
        /// Host and port, or the socket.
        target: String,
        /// How long it was waited.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection to the database server broke")]
    Broken(#[source] io::Error),
    /// The server closed the connection.
    #[error("the database server closed the connection")]
    Closed,
    /// The server refused.
    #[error("the server said: {message} (error {code}, SQLSTATE {sqlstate})")]
    Server {
        /// Its number.
        code: u16,
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its words.
        message: String,
    },
    /// The server does not let us in.
    #[error("{target} does not let user {user:?} in{advice}")]
    Refused {
        /// Host and port, or the socket.
        target: String,
        /// The user.
        user: String,
        /// What to do.
        advice: &'static str,
        /// What it said.
        source: Box<Self>,
    },
    /// The server has no TLS, and the URL demands it.
    #[error(
        "{target} does not offer TLS, which ssl-mode={mode} demands; set up TLS on the server, or choose another ssl-mode"
    )]
    NoTls {
        /// Host and port.
        target: String,
        /// The mode.
        mode: &'static str,
    },
    /// TLS failed.
    #[error("the TLS handshake with {target} failed: {}", advice(source))]
    Tls {
        /// Host and port.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the TLS settings cannot be used.
    #[error("cannot use {what} in {path}: {why}")]
    File {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: String,
        /// Why not.
        why: String,
    },
    /// The user cannot be authenticated in a safe way, or not at all.
    #[error("cannot log in as {user:?} by {plugin}: {why}")]
    Authentication {
        /// The user.
        user: String,
        /// The authentication plugin.
        plugin: String,
        /// What is the matter, and what to do.
        why: &'static str,
    },
    /// Bytes that are not what the protocol says.
    #[error("the server sent something unexpected while {doing}: {why}")]
    Protocol {
        /// What was being done.
        doing: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A command was given while the answer to another was under way.
    #[error(
        "the answer to an earlier query was not read to its end, so that this connection cannot be used any more"
    )]
    Unread,
    /// An answer that is larger than it can be.
    #[error("the server sent a packet of more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl LinkError {
    /// The server's error number, if it is one of its errors.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Refused { source, .. } => source.code(),
            _ => None,
        }
    }

    /// Whether trying again may help, where the server said nothing.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Resolve { .. }
                | Self::TimedOut { .. }
                | Self::Broken(_)
                | Self::Closed
        )
    }

    /// Whether another server of the URL may let us in where this one does not: it has no room, is going down, or has
    /// had enough of this host.
    pub(super) const fn may_differ_elsewhere(&self) -> bool {
        self.is_transient() || matches!(self.code(), Some(1040 | 1053 | 1129 | 1130 | 1203))
    }
}

/// What to do when the server does not let us in.
pub(super) const fn login_advice(code: u16, with_password: bool) -> &'static str {
    match code {
        // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
        1040 | 1203 | 1226 => {
            ": end other connections, or raise max_connections or the user's own limit"
        }
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        1045 | 1698 if !with_password => {
            ": no password is set; put it into source.url or into the source's password_file"
        }
        1045 | 1698 => {
            ": check user and password in source.url or the source's password_file, and that the user exists for this host"
        }
        // ER_HOST_IS_BLOCKED
        1129 => ": run FLUSH HOSTS on the server, or mariadb-admin flush-hosts",
        // ER_HOST_NOT_PRIVILEGED
        1130 => ": create the user for this host",
        // ER_MUST_CHANGE_PASSWORD_LOGIN
        1862 => ": give the user a new password by ALTER USER",
        // ER_ACCOUNT_HAS_BEEN_LOCKED, which is MariaDB's 4151
        3118 | 4151 => ": run ALTER USER … ACCOUNT UNLOCK",
        // ER_SECURE_TRANSPORT_REQUIRED
        3159 => ": set ssl-mode=required in source.url, or a mode that also verifies",
        _ => "",
    }
}

/// What to do about a failed handshake.
fn advice(source: &io::Error) -> &'static str {
    let Some(error) = source.get_ref().and_then(|error| error.downcast_ref()) else {
        return "check that the server's certificate is one that ssl-mode in the url accepts";
    };
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the server's certificate is for another name: use a name that is in it as the host, or ssl-mode=verify_ca"
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => {
            "the server's certificate is not valid at this time: renew it, or set this machine's clock"
        }
        Error::InvalidCertificate(_) => {
            "the server's certificate was issued by nobody we trust: give the certificate of its authority with ssl-ca"
        }
        Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => {
            "the server offers no TLS that is used here: it needs TLS 1.2 or later; the server may log more"
        }
        Error::AlertReceived(_) => {
            "the server refuses our certificate: check ssl-cert and ssl-key in the url, and ssl_ca of the server"
        }
        _ => "check that the server speaks TLS on this port; the server may log more",
    }
}

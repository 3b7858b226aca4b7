//! How to reach the server: the connection URL, as `libpq` reads it.
//!
//! The forms and the meaning of every parameter are those of the PostgreSQL
//! manual, "Connection URIs" and "Parameter Key Words"; where adit differs it
//! is said at the item. Nothing is read from the environment and no file is
//! opened here: certificates are read at each connect, so rotation works.

mod error;
mod mode;
mod parameter;
mod url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

pub use self::error::ConfigError;
pub use self::mode::{ChannelBindingMode, SslMode, TargetSessionAttrs};
use self::parameter::apply;
use self::url::UrlParts;

/// The port PostgreSQL listens on unless told otherwise.
const PORT_DEFAULT: u16 = 5432;
/// How long one attempt to connect and log in may take by default; `libpq`
/// waits for ever, which would hide a server that accepts and says nothing.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The name shown in `pg_stat_activity` unless the URL says another.
const APPLICATION_NAME_DEFAULT: &str = "adit";
/// More hosts than any cluster has; a bound on what a URL may ask for.
const HOSTS_MAX: usize = 64;

/// Everything needed to open a connection, parsed from a URL.
///
/// `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct ConnectConfig {
    targets: Vec<Target>,
    user: String,
    password: Option<SecretString>,
    database: String,
    settings: Settings,
}

/// What the URL's query parameters say, with the defaults filled in.
#[derive(Debug, Clone)]
struct Settings {
    application_name: String,
    options: Option<String>,
    connect_timeout: Option<Duration>,
    target_session_attrs: TargetSessionAttrs,
    channel_binding: ChannelBindingMode,
    tcp: TcpSettings,
    tls: TlsSettings,
}

/// One server to try: where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The machine or socket folder.
    pub host: Host,
    /// The TCP port; for a Unix socket, the number in the socket's name.
    pub port: u16,
}

/// A machine on the network, or a folder with a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an IP address (IPv6 without brackets).
    Tcp(String),
    /// The folder that holds the socket `.s.PGSQL.PORT`.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp(name) => write!(f, "{name}:{port}"),
            Host::Unix(folder) => write!(f, "{}", socket_path(folder, port).display()),
        }
    }
}

/// The path of the socket in this folder.
pub(crate) fn socket_path(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// How a dead TCP peer is noticed.
///
/// The defaults notice one within about a minute. adit sends status updates
/// all the time, and the kernel does not probe while data is unacknowledged,
/// so the user timeout matters as much as the probes.
#[derive(Debug, Clone)]
pub struct TcpSettings {
    /// Whether to probe at all; `keepalives`.
    pub keepalives: bool,
    /// Silence before the first probe; `keepalives_idle`.
    pub idle: Duration,
    /// Time between probes; `keepalives_interval`.
    pub interval: Duration,
    /// Unanswered probes before giving up; `keepalives_count`.
    pub count: u32,
    /// How long sent data may stay unacknowledged; `tcp_user_timeout`.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            keepalives: true,
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            count: 3,
            user_timeout: Some(Duration::from_secs(60)),
        }
    }
}

/// What the TLS layer needs; the files are opened at each connect.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// How far to go.
    pub mode: SslMode,
    /// Where trusted certificates come from; `sslrootcert`.
    pub roots: Option<RootCertificates>,
    /// Our certificate and key, for a server that asks; `sslcert`, `sslkey`.
    pub client: Option<ClientCertificate>,
}

/// Where trusted certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The operating system's store; `sslrootcert=system`.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// PEM files with our certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

impl ConnectConfig {
    /// The servers to try, in order; never empty.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The same, but for one server only.
    pub(crate) fn only(&self, target: Target) -> Self {
        Self {
            targets: vec![target],
            ..self.clone()
        }
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The password, if one was given.
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// The same configuration with another password, as read from a file.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// What `pg_stat_activity` shows for us.
    pub fn application_name(&self) -> &str {
        &self.settings.application_name
    }

    /// Command-line options for the server's session.
    pub fn options(&self) -> Option<&str> {
        self.settings.options.as_deref()
    }

    /// How long one attempt at one address may take; none: for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.settings.connect_timeout
    }

    /// Which of several servers will do.
    pub fn target_session_attrs(&self) -> TargetSessionAttrs {
        self.settings.target_session_attrs
    }

    /// Whether SCRAM is bound to the TLS session.
    pub fn channel_binding(&self) -> ChannelBindingMode {
        self.settings.channel_binding
    }

    /// How a dead peer is noticed.
    pub fn tcp(&self) -> &TcpSettings {
        &self.settings.tcp
    }

    /// What the TLS layer needs.
    pub fn tls(&self) -> &TlsSettings {
        &self.settings.tls
    }
}

impl FromStr for ConnectConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut parts = UrlParts::parse(text)?;
        let mut draft = Draft::default();
        for (name, value) in std::mem::take(&mut parts.parameters) {
            apply(&mut parts, &mut draft, &name, value)?;
        }
        let user = parts
            .user
            .filter(|user| !user.is_empty())
            .ok_or(ConfigError::NoUser)?;
        let database = parts
            .database
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| user.clone());
        let targets = targets(&parts.hosts, &parts.ports)?;
        Ok(Self {
            targets,
            user,
            password: parts.password,
            database,
            settings: draft.finish()?,
        })
    }
}

/// Parameters as they come in, before they are checked against each other.
#[derive(Debug, Default)]
struct Draft {
    application_name: Option<String>,
    options: Option<String>,
    connect_timeout: Option<Option<Duration>>,
    target_session_attrs: TargetSessionAttrs,
    channel_binding: ChannelBindingMode,
    tcp: TcpSettings,
    mode: Option<SslMode>,
    roots: Option<RootCertificates>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Draft {
    fn finish(self) -> Result<Settings, ConfigError> {
        let system = self.roots == Some(RootCertificates::System);
        let mode = match self.mode {
            Some(mode) => mode,
            // As in libpq: naming the system's roots asks for the full check.
            None if system => SslMode::VerifyFull,
            None => SslMode::default(),
        };
        if system && mode != SslMode::VerifyFull {
            return Err(ConfigError::Contradiction(
                "sslrootcert=system trusts every public authority, which is safe with sslmode=verify-full only: use that",
            ));
        }
        if mode == SslMode::VerifyCa && self.roots.is_none() {
            return Err(ConfigError::Contradiction(
                "sslmode=verify-ca needs sslrootcert=FILE with the authority's certificate: add it, or use sslmode=verify-full",
            ));
        }
        if mode == SslMode::Disable && self.channel_binding == ChannelBindingMode::Require {
            return Err(ConfigError::Contradiction(
                "channel_binding=require needs tls, which sslmode=disable forbids: change one of them",
            ));
        }
        let client = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (Some(_), None) | (None, Some(_)) => {
                return Err(ConfigError::Contradiction(
                    "sslcert and sslkey belong together: give both files",
                ));
            }
        };
        Ok(Settings {
            application_name: self
                .application_name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| APPLICATION_NAME_DEFAULT.to_owned()),
            options: self.options,
            connect_timeout: self
                .connect_timeout
                .unwrap_or(Some(CONNECT_TIMEOUT_DEFAULT)),
            target_session_attrs: self.target_session_attrs,
            channel_binding: self.channel_binding,
            tcp: self.tcp,
            tls: TlsSettings {
                mode,
                roots: self.roots,
                client,
            },
        })
    }
}

/// Pairs hosts with ports: one port for all, or one for each.
fn targets(hosts: &[String], ports: &[Option<u16>]) -> Result<Vec<Target>, ConfigError> {
    if hosts.is_empty() {
        return Err(ConfigError::NoHost);
    }
    if hosts.len() > HOSTS_MAX {
        return Err(ConfigError::TooManyHosts { count: hosts.len() });
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(ConfigError::PortCount {
            ports: ports.len(),
            hosts: hosts.len(),
        });
    }
    hosts
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let port = match ports {
                [one] => *one,
                many => many.get(index).copied().flatten(),
            };
            Ok(Target {
                host: host(name)?,
                port: port.unwrap_or(PORT_DEFAULT),
            })
        })
        .collect()
}

/// A name that starts like a path is the folder of a Unix socket.
fn host(name: &str) -> Result<Host, ConfigError> {
    if name.is_empty() {
        Err(ConfigError::NoHost)
    } else if name.starts_with('/') {
        Ok(Host::Unix(Path::new(name).to_owned()))
    } else if name.starts_with('@') {
        Err(ConfigError::Malformed {
            part: "host",
            why: "abstract unix sockets are not supported, give the folder of the socket",
        })
    } else {
        Ok(Host::Tcp(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;

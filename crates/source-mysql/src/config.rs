//! How to reach a server: the URL, taken apart and checked.

#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use adit_binlog::Flavor;
use secrecy::SecretString;

use url::UrlParts;

/// What the server listens on unless it is told otherwise.
const PORT: u16 = 3306;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One server, or several of which the first that answers is taken.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectConfig {
    flavor: Flavor,
    user: String,
    password: Option<Password>,
    database: Option<String>,
    targets: Vec<Target>,
    tls: TlsSettings,
    compression: Compression,
    connect_timeout: Duration,
    cleartext: bool,
    public_key: Option<PathBuf>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host and a port.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// How the connection is encrypted, as the programs of MySQL call it (`--ssl-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disabled,
    /// If the server can; whoever it is.
    Preferred,
    /// Always; whoever it is.
    Required,
    /// Always; the server's certificate must be of a known authority.
    VerifyCa,
    /// Always; and the certificate must be for this host.
    VerifyIdentity,
}

impl SslMode {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Preferred => "preferred",
            Self::Required => "required",
            Self::VerifyCa => "verify_ca",
            Self::VerifyIdentity => "verify_identity",
        }
    }

    /// By MySQL's names or by those of PostgreSQL's `sslmode`.
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().replace('-', "_").as_str() {
            "disabled" | "disable" => Self::Disabled,
            "preferred" | "prefer" | "allow" => Self::Preferred,
            "required" | "require" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" | "verify_full" => Self::VerifyIdentity,
            _ => return None,
        })
    }
}

/// How the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether, and who may be at the other end.
    pub mode: SslMode,
    /// Authorities that are known; none: those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How what goes over the line is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By zlib.
    Zlib,
}

/// A password, which nobody sees.
#[derive(Clone)]
struct Password(SecretString);

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Password {}

/// A URL that cannot be used. It never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Another scheme.
    #[error(
        "the url must start with mysql:// or mariadb://, as in \"mysql://user@host:3306/database\""
    )]
    Scheme,
    /// A part that cannot be read.
    #[error("the {part} in the url cannot be read: {why}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A parameter that is not known.
    #[error("the url has an unknown parameter {name:?}{hint}")]
    UnknownParameter {
        /// Its name.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A parameter's value that cannot be used. It is not shown: it may be a password in the wrong place.
    #[error("the url's parameter {name} has a value that cannot be used: {expected}")]
    BadValue {
        /// The parameter.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// Something that has to be there.
    #[error("the url names no {what}: write it as \"mysql://user@host:3306/database\"")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// Settings that contradict each other.
    #[error("the url's parameters contradict each other: {why}")]
    Contradiction {
        /// How.
        why: &'static str,
    },
}

/// All parameters.
const PARAMETERS: [&str; 11] = [
    "ssl-mode",
    "sslmode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "compress",
    "connect-timeout",
    "allow-cleartext-password",
    "server-public-key",
    "socket",
    "user",
];

impl FromStr for ConnectConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parts = UrlParts::parse(text)?;
        let mut config = Self {
            flavor: parts.flavor,
            user: parts.user.unwrap_or_default(),
            password: parts.password.map(Password),
            database: parts.database.filter(|name| !name.is_empty()),
            targets: parts
                .hosts
                .into_iter()
                .map(|(host, port)| Target::Tcp {
                    host,
                    port: port.unwrap_or(PORT),
                })
                .collect(),
            tls: TlsSettings {
                mode: SslMode::Preferred,
                ca: None,
                client: None,
            },
            compression: Compression::None,
            connect_timeout: CONNECT_TIMEOUT,
            cleartext: false,
            public_key: None,
        };
        config.parameters(parts.parameters)?;
        if config.user.is_empty() {
            return Err(ConfigError::Missing { what: "user" });
        }
        if config.targets.is_empty() {
            return Err(ConfigError::Missing { what: "host" });
        }
        Ok(config)
    }
}

impl ConnectConfig {
    fn parameters(&mut self, parameters: Vec<(String, String)>) -> Result<(), ConfigError> {
        let (mut certificate, mut key, mut socket) = (None, None, None);
        let mut mode = None;
        for (name, value) in parameters {
            let folded = name.to_ascii_lowercase().replace('_', "-");
            match folded.as_str() {
                "ssl-mode" | "sslmode" => {
                    let parsed = SslMode::parse(&value);
                    mode = Some(parsed.ok_or(ConfigError::BadValue {
                        name: "ssl-mode",
                        expected: "it is one of disabled, preferred, required, verify_ca, verify_identity",
                    })?);
                }
                "ssl-ca" => self.tls.ca = Some(value.into()),
                "ssl-cert" => certificate = Some(PathBuf::from(value)),
                "ssl-key" => key = Some(PathBuf::from(value)),
                "compress" => {
                    self.compression = match value.as_str() {
                        "none" | "false" | "0" => Compression::None,
                        "zlib" | "true" | "1" => Compression::Zlib,
                        _ => {
                            return Err(ConfigError::BadValue {
                                name: "compress",
                                expected: "it is none or zlib",
                            });
                        }
                    };
                }
                "connect-timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    let seconds = seconds.ok_or(ConfigError::BadValue {
                        name: "connect-timeout",
                        expected: "it is a number of seconds",
                    })?;
                    self.connect_timeout = Duration::from_secs(seconds);
                }
                "allow-cleartext-password" => {
                    self.cleartext = match value.as_str() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => {
                            return Err(ConfigError::BadValue {
                                name: "allow-cleartext-password",
                                expected: "it is true or false",
                            });
                        }
                    };
                }
                "server-public-key" => self.public_key = Some(value.into()),
                "socket" => socket = Some(PathBuf::from(value)),
                "user" => self.user = value,
                "password" => {
                    return Err(ConfigError::Malformed {
                        part: "query",
                        why: "a password stands in front of the host, as in user:password@host, or in a file (source.password_file)",
                    });
                }
                _ => {
                    return Err(ConfigError::UnknownParameter {
                        hint: suggestion(&folded),
                        name,
                    });
                }
            }
        }
        if let Some(path) = socket {
            self.targets = vec![Target::Socket(path)];
        }
        self.tls.client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(ConfigError::Contradiction {
                    why: "ssl-cert and ssl-key go together",
                });
            }
        };
        if let Some(mode) = mode {
            self.tls.mode = mode;
        } else if self.tls.ca.is_some() {
            // Who names an authority wants it to count, as MySQL's programs do it.
            self.tls.mode = SslMode::VerifyCa;
        }
        Ok(())
    }

    /// Which family the URL's scheme names.
    #[must_use]
    pub const fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Who logs in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// With what.
    #[must_use]
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref().map(|password| &password.0)
    }

    /// The database, if the URL names one.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The servers, in the order in which they are tried.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How the connection is encrypted.
    #[must_use]
    pub const fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(crate) const fn compression(&self) -> Compression {
        self.compression
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) const fn allows_cleartext(&self) -> bool {
        self.cleartext
    }

    pub(crate) fn public_key(&self) -> Option<&Path> {
        self.public_key.as_deref()
    }

    /// The same with a password from elsewhere.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = Some(Password(password));
        self
    }

    /// The same with one server only.
    #[must_use]
    pub fn only(&self, target: Target) -> Self {
        Self {
            targets: vec![target],
            ..self.clone()
        }
    }
}

impl fmt::Debug for ConnectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectConfig")
            .field("flavor", &self.flavor)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("targets", &self.targets)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// `; did you mean "ssl-mode"?`, or what there is.
fn suggestion(name: &str) -> String {
    let near = PARAMETERS
        .iter()
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match near {
        Some((_, known)) => format!("; did you mean {known:?}?"),
        None => format!("; known are {}", PARAMETERS.join(", ")),
    }
}

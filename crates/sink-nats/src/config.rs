//! What the sink has to know: where NATS is, who we are there, which stream, how much may be under way.

use std::{fmt, path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::error::Error;

/// Everything the sink is told. Checked values: build it with [`NatsConfig::new`] and set what differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsConfig {
    /// Servers to try, in order.
    pub servers: Vec<ServerAddress>,
    /// Who we are.
    pub auth: Auth,
    /// How connections are encrypted.
    pub tls: TlsConfig,
    /// Name of the stream.
    pub stream: String,
    /// Replicas of the stream and the buckets when they are created.
    pub replicas: usize,
    /// Subject template, see [`crate::SubjectTemplate`].
    pub subject: String,
    /// What is promised.
    pub delivery: Delivery,
    /// Whether a transaction of up to 1000 events becomes visible as a whole; the stream must allow it (NATS 2.12).
    pub atomic_transactions: bool,
    /// Prefix of the subjects that replies come to; the user must be allowed to subscribe to `{prefix}.>`.
    pub inbox_prefix: String,
    /// Messages sent and not yet acknowledged, at most.
    pub window_messages: usize,
    /// Their bytes, at most. A single larger message is still sent, alone.
    pub window_bytes: usize,
    /// A connection without any progress for this long while acknowledgements are due is given up.
    pub ack_timeout: Duration,
    /// Time for a TCP connection and the login.
    pub connect_timeout: Duration,
}

impl NatsConfig {
    /// A configuration with defaults for the given servers, stream and subject template.
    ///
    /// A URL is `nats://[user[:password]@|token@]host[:port]` or `tls://…`, or only `host[:port]`.
    ///
    /// # Errors
    /// No URL, a URL that cannot be read, two URLs with different users, or an illegal stream name.
    pub fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        stream: &str,
        subject: &str,
    ) -> Result<Self, Error> {
        let mut servers = Vec::new();
        let mut auth = Auth::None;
        for url in urls {
            let (server, url_auth) = parse_url(url)?;
            servers.push(server);
            if matches!(auth, Auth::None) {
                auth = url_auth;
            }
        }
        if servers.is_empty() {
            return Err(Error::Config(
                "nats.url is empty: name at least one server, as in nats://localhost:4222"
                    .to_owned(),
            ));
        }
        check_stream_name(stream)?;
        Ok(Self {
            servers,
            auth,
            tls: TlsConfig::default(),
            stream: stream.to_owned(),
            replicas: 1,
            subject: subject.to_owned(),
            delivery: Delivery::ExactlyOnce,
            atomic_transactions: false,
            inbox_prefix: "_INBOX".to_owned(),
            window_messages: WINDOW_MESSAGES,
            window_bytes: WINDOW_BYTES,
            ack_timeout: ACK_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }
}

/// Far below the 100 000 messages that a stream queues before it drops some, and enough for 200 k/s at 80 ms.
const WINDOW_MESSAGES: usize = 16_384;
/// Far below the 128 MB that a stream queues; with the envelope's usual 400 bytes the count is reached first.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// A leader election takes about this long.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who we are for the server. Files are read again at every connection, so that rotated secrets are picked up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Auth {
    /// No login.
    None,
    /// User and password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Token(SecretString),
    /// A file with an nkey seed (`SU…`).
    NkeyFile(PathBuf),
    /// A `.creds` file: a JWT and the seed that belongs to it.
    CredentialsFile(PathBuf),
}

/// How connections are encrypted.
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// Encrypt even if neither the URL nor the server asks for it.
    pub required: bool,
    /// PEM file of the certification authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of our private key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Encrypt from the first byte, before the server has said anything (`handshake_first` there).
    pub first: bool,
}

/// What is promised about delivery. Both publish along the same chain; at-least-once accepts a stream that cannot keep the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Every change exactly once; whatever could break that stops the connector.
    #[default]
    ExactlyOnce,
    /// Every change at least once.
    AtLeastOnce,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the URL asks for TLS.
    pub tls: bool,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads one URL. Never shows it in an error: it may hold a password.
fn parse_url(url: &str) -> Result<(ServerAddress, Auth), Error> {
    let refuse = |why: &str| {
        Error::Config(format!(
            "nats.url {why}; write it as nats://host:4222 or tls://host:4222"
        ))
    };
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    let tls = match scheme {
        "nats" => false,
        "tls" => true,
        other if other.chars().all(|c| c.is_ascii_alphanumeric()) => {
            return Err(refuse(&format!("has the unknown scheme {other:?}")));
        }
        _ => return Err(refuse("cannot be read")),
    };
    let rest = rest.trim_end_matches('/');
    let (user_info, host_port) = match rest.rsplit_once('@') {
        Some((user_info, host_port)) => (Some(user_info), host_port),
        None => (None, rest),
    };
    let (host, port) = if let Some(bracketed) = host_port.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .ok_or_else(|| refuse("has an unclosed ["))?;
        (host, rest.strip_prefix(':'))
    } else {
        match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        }
    };
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return Err(refuse("names no host, or has more than host and port"));
    }
    let port = match port {
        None => 4222,
        Some(port) => port
            .parse()
            .map_err(|_| refuse("has a port that is not a number up to 65535"))?,
    };
    let auth = match user_info {
        None => Auth::None,
        Some(user_info) => match user_info.split_once(':') {
            Some((user, password)) => Auth::UserPassword {
                user: percent_decode(user).ok_or_else(|| refuse("has a broken % escape"))?,
                password: percent_decode(password)
                    .ok_or_else(|| refuse("has a broken % escape"))?
                    .into(),
            },
            None => Auth::Token(
                percent_decode(user_info)
                    .ok_or_else(|| refuse("has a broken % escape"))?
                    .into(),
            ),
        },
    };
    Ok((
        ServerAddress {
            host: host.to_owned(),
            port,
            tls,
        },
        auth,
    ))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '%' {
            let high = rest.next()?.to_digit(16)?;
            let low = rest.next()?.to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            let mut utf8 = [0; 4];
            bytes.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        }
    }
    String::from_utf8(bytes).ok()
}

/// A stream name is part of API subjects and of header values.
fn check_stream_name(name: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '.' | '*' | '>' | '/' | '\\');
    if !name.is_empty() && name.len() <= 255 && name.chars().all(legal) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "nats.stream {name:?} is not a stream name: use letters, digits, _ and -, as in CDC_SHOP"
    )))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn url(url: &str) -> (ServerAddress, Auth) {
        parse_url(url).unwrap()
    }

    #[test]
    fn urls_are_read_in_all_their_forms() {
        assert_eq!(url("localhost").0.to_string(), "localhost:4222");
        assert_eq!(
            url("nats://db.example:5222/").0.to_string(),
            "db.example:5222"
        );
        let (server, auth) = url("tls://adit:p%40ss@[::1]:4223");
        assert_eq!(
            (server.to_string().as_str(), server.tls),
            ("[::1]:4223", true)
        );
        let Auth::UserPassword { user, password } = auth else {
            panic!("no user")
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("adit", "p@ss"));
        assert!(matches!(url("nats://s3cr3t@host").1, Auth::Token(_)));
    }

    #[test]
    fn a_wrong_url_is_refused_without_being_shown() {
        for wrong in [
            "http://s3cr3t@x",
            "nats://",
            "nats://a:s3cr3t@h:99999",
            "nats://s3cr3t@h/path",
            "nats://[::1",
            "nats://a:%zz@h",
        ] {
            let error = parse_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
        assert!(NatsConfig::new([], "CDC", "cdc.{table}").is_err());
        assert!(NatsConfig::new(["localhost"], "a.b", "cdc.{table}").is_err());
        assert!(NatsConfig::new(["localhost"], "a b", "cdc.{table}").is_err());
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let config =
            NatsConfig::new(["nats://adit:s3cr3t@localhost"], "CDC", "cdc.{table}").unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
    }
}

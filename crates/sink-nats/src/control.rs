//! The control connection: requests to JetStream's API. Nothing here is on the way of an event.

use std::{io, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, RequestErrorKind, ServerError,
    connection::State,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use crate::{
    auth::Login,
    config::NatsConfig,
    error::{ApiError, Error},
    link::PING_INTERVAL,
    tls,
};

/// A server that is asked something answers within this; a leader election takes about a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between attempts to connect again: the first, and the longest.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);

/// A connection for everything but publishing events: stream, buckets, lease. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nats {
    client: Client,
    /// The last thing that the server complained about: a refused permission is only told there.
    complaints: watch::Receiver<Option<String>>,
    /// Counts disconnections: what was asked before one is never answered.
    disconnections: watch::Receiver<u64>,
    server: String,
}

/// What an API request can end with, for callers to whom some of JetStream's errors are answers.
#[derive(Debug)]
pub(crate) enum Failure {
    /// JetStream answered with an error.
    Api(ApiError),
    /// Nobody serves the subject.
    NoResponders,
    /// Anything else.
    Other(Error),
}

impl Failure {
    /// The error for a caller to whom no error is an answer.
    pub(crate) fn into_error(self, doing: &str, stream: &str) -> Error {
        match self {
            Self::Api(error) => error.on_request(doing, stream),
            Self::NoResponders => Error::NoResponders {
                doing: doing.to_owned(),
            },
            Self::Other(error) => error,
        }
    }
}

/// The two forms of every answer of the API.
#[derive(Deserialize)]
struct Answer<T> {
    error: Option<ApiError>,
    #[serde(flatten)]
    body: Option<T>,
}

impl Nats {
    /// Connects to the first server that takes us. Later disconnections are mended in the background.
    ///
    /// # Errors
    /// Whatever keeps us from logging in; see [`Error::is_transient`].
    pub async fn connect(config: &NatsConfig) -> Result<Self, Error> {
        let (complaint, complaints) = watch::channel(None);
        let (disconnected, disconnections) = watch::channel(0);
        let options = options(config, complaint, disconnected)?;
        let addresses: Vec<String> = config
            .servers
            .iter()
            .map(|server| format!("{}://{server}", if server.tls { "tls" } else { "nats" }))
            .collect();
        let server = addresses.join(", ");
        let client = Box::pin(options.connect(addresses))
            .await
            .map_err(|error| connect_error(error, &server))?;
        let nats = Self {
            client,
            complaints,
            disconnections,
            server,
        };
        nats.require_jetstream(&config.stream).await?;
        Ok(nats)
    }

    /// Tells a server without JetStream from one that only has no leader just now, which later requests cannot: a server with JetStream
    /// serves its API before it lets clients in. Asks about a stream that may or may not be there, which our user has to be allowed.
    async fn require_jetstream(&self, stream: &str) -> Result<(), Error> {
        const DOING: &str = "asking for JetStream";
        let verb = format!("STREAM.INFO.{stream}");
        match self
            .api::<serde_json::Value>(&verb, &serde_json::json!({}), DOING)
            .await
        {
            Err(Failure::NoResponders) => Err(crate::stream::no_jetstream()),
            Err(Failure::Api(error)) => match error.on_request(DOING, stream) {
                error @ Error::NoJetStream { .. } => Err(error),
                _ => Ok(()),
            },
            Err(Failure::Other(error)) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// A subject below which nobody else gets replies.
    pub(crate) fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// The server we are connected to, for people.
    pub(crate) fn describe(&self) -> String {
        let info = self.client.server_info();
        format!(
            "NATS {} at {}, messages of up to {} KiB",
            info.version,
            self.server,
            info.max_payload >> 10
        )
    }

    /// Whether we may publish to a subject: asks in a way that no stream stores anything, and that who listens without a stream sees
    /// as an empty message.
    ///
    /// # Errors
    /// [`Error::Permission`] when we may not.
    pub(crate) async fn probe(&self, subject: &str) -> Result<(), Error> {
        let doing = format!("asking whether {subject:?} may be published to");
        let mut headers = HeaderMap::new();
        // No stream has such a name, so that each refuses the message.
        headers.insert("Nats-Expected-Stream", "adit.check");
        match self
            .publish::<serde_json::Value>(subject, headers, Vec::new(), &doing)
            .await
        {
            Ok(_) | Err(Failure::Api(_) | Failure::NoResponders) => Ok(()),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    /// Whether the connection is up just now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Asks JetStream's API `verb` (as in `STREAM.INFO.CDC`).
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &impl Serialize,
        doing: &str,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(request).map_err(|error| {
            Failure::Other(Error::Malformed {
                what: format!("the request for {doing}"),
                why: error.to_string(),
            })
        })?;
        self.request(&format!("$JS.API.{verb}"), None, body, doing)
            .await
    }

    /// Publishes to a stream and waits for the acknowledgement.
    pub(crate) async fn publish<T: DeserializeOwned>(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        doing: &str,
    ) -> Result<T, Failure> {
        self.request(subject, Some(headers), body, doing).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
        doing: &str,
    ) -> Result<T, Failure> {
        let disconnected = || {
            Failure::Other(Error::Disconnected {
                server: self.server.clone(),
                why: format!("while {doing}"),
            })
        };
        let mut disconnections = self.disconnections.clone();
        disconnections.mark_unchanged();
        if !self.is_connected() {
            return Err(disconnected());
        }
        let mut complaints = self.complaints.clone();
        complaints.mark_unchanged();
        let asking = async {
            match headers {
                Some(headers) => {
                    self.client
                        .request_with_headers(subject.to_owned(), headers, body.into())
                        .await
                }
                None => self.client.request(subject.to_owned(), body.into()).await,
            }
        };
        let result = tokio::select! {
            biased;
            result = asking => result,
            error = refusal(&mut complaints, subject) => return Err(Failure::Other(error)),
            _ = disconnections.changed() => return Err(disconnected()),
        };
        let message = result.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::NoResponders,
            RequestErrorKind::TimedOut => Failure::Other(Error::Timeout {
                doing: doing.to_owned(),
            }),
            RequestErrorKind::InvalidSubject => Failure::Other(Error::Config(format!(
                "{subject:?} is not a subject, while {doing}"
            ))),
            _ => Failure::Other(Error::Disconnected {
                server: self.server.clone(),
                why: error.to_string(),
            }),
        })?;
        let malformed = |why: String| {
            Failure::Other(Error::Malformed {
                what: format!("the answer to {doing}"),
                why,
            })
        };
        let answer: Answer<T> = serde_json::from_slice(&message.payload)
            .map_err(|error| malformed(error.to_string()))?;
        match answer {
            Answer {
                error: Some(error), ..
            } => Err(Failure::Api(error)),
            Answer {
                body: Some(body), ..
            } => Ok(body),
            Answer { .. } => Err(malformed("something is missing in it".to_owned())),
        }
    }
}

/// Waits until the server refuses a permission without which `subject` is not answered. That is told by a complaint; the request itself
/// just meets silence.
async fn refusal(complaints: &mut watch::Receiver<Option<String>>, subject: &str) -> Error {
    while complaints.changed().await.is_ok() {
        let complaint = complaints.borrow_and_update().clone().unwrap_or_default();
        let lower = complaint.to_ascii_lowercase();
        let subscribing = lower.contains("for subscription");
        if lower.starts_with("permissions violation")
            && (subscribing || complaint.contains(subject))
        {
            let named = complaint.split('"').nth(1).map(str::to_owned);
            return Error::Permission {
                operation: if subscribing {
                    "subscribe to"
                } else {
                    "publish to"
                },
                subject: named.unwrap_or_else(|| subject.to_owned()),
                answer: complaint,
            };
        }
    }
    // The connection is being dropped; who asked is told by that.
    std::future::pending().await
}

fn options(
    config: &NatsConfig,
    complaint: watch::Sender<Option<String>>,
    disconnected: watch::Sender<u64>,
) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name("adit control")
        .connection_timeout(config.connect_timeout)
        .request_timeout(Some(REQUEST_TIMEOUT))
        // A connection that is open at our end only is noticed after three of these, not after three minutes.
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(&config.inbox_prefix)
        .retain_servers_order()
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
            RECONNECT_DELAY_MAX.min(RECONNECT_DELAY * 2_u32.pow(doublings))
        })
        .event_callback(move |event| {
            match event {
                Event::Disconnected => disconnected.send_modify(|count| *count += 1),
                Event::ServerError(ServerError::Other(text)) => {
                    tracing::debug!(text, "nats complains on the control connection");
                    complaint.send_replace(Some(text));
                }
                event => tracing::debug!(%event, "nats control connection"),
            }
            std::future::ready(())
        });
    options = match Login::read(&config.auth)? {
        Login::None => options,
        Login::UserPassword { user, password } => {
            options.user_and_password(user, password.expose_secret().to_owned())
        }
        Login::Token(token) => options.token(token.expose_secret().to_owned()),
        Login::Nkey { seed } => options.nkey(seed.expose_secret().to_owned()),
        Login::Credentials { jwt, seed } => {
            let pair =
                nkeys::KeyPair::from_seed(seed.expose_secret()).map_err(|error| Error::Secret {
                    what: "nkey seed".to_owned(),
                    why: error.to_string(),
                })?;
            let pair = Arc::new(pair);
            options.jwt(jwt, move |nonce| {
                let pair = Arc::clone(&pair);
                async move { pair.sign(&nonce).map_err(async_nats::AuthError::new) }
            })
        }
    };
    let encrypt = config.tls.required || config.tls.first || config.tls.ca_file.is_some();
    options = options
        .tls_client_config(tls::client_config(&config.tls)?)
        .require_tls(encrypt);
    Ok(if config.tls.first {
        options.tls_first()
    } else {
        options
    })
}

fn connect_error(error: async_nats::ConnectError, server: &str) -> Error {
    let server = server.to_owned();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Error::Login {
                server,
                answer: error.to_string(),
            }
        }
        kind if kind == ConnectErrorKind::Tls || tls::is_tls_error(&error) => Error::Tls {
            server,
            source: io::Error::other(error),
        },
        ConnectErrorKind::ServerParse => Error::Config(format!("nats.url: {error}")),
        _ => Error::Connect {
            server,
            source: io::Error::other(error),
        },
    }
}

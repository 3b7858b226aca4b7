//! Ordinary SQL connections, for the catalogue and for snapshots.
//!
//! The stream is opened and encrypted here, by the same code and rules as the
//! replication link's; `tokio-postgres` logs in over it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;

use adit_pgoutput::types::SESSION_SETTINGS;
use secrecy::ExposeSecret;
use tokio_postgres::Client;
use tokio_postgres::config::{ChannelBinding as BindingMode, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::error::ConnectError;
use super::host::{self, Login, Role};
use super::message::ServerMessage;
use super::startup::{check_binding_possible, doing};
use super::transport::Transport;
use super::wire::login_io_error;
use crate::config::{ChannelBindingMode, ConnectConfig, Target};

/// Opens a connection for SQL to the first server that fits, with the same
/// session settings as the replication link.
///
/// A task of its own drives the connection; it ends when the client is
/// dropped or the connection breaks. The client cannot cancel queries
/// (`cancel_token`), which needs the socket's address: drop it instead.
/// Object names in SQL are to be written with their schema, since
/// `search_path` is the role's.
pub async fn sql_client(
    config: &ConnectConfig,
    application_name: &str,
) -> Result<Client, ConnectError> {
    host::connect(
        config,
        &SqlLogin {
            config,
            application_name,
        },
    )
    .await
}

struct SqlLogin<'a> {
    config: &'a ConnectConfig,
    application_name: &'a str,
}

impl Login for SqlLogin<'_> {
    type Session = Client;

    async fn log_in(&self, transport: Transport, target: &Target) -> Result<Client, ConnectError> {
        check_binding_possible(&transport, target, self.config)?;
        let settings = self.settings(transport.is_tls());
        let (client, connection) = settings
            .connect_raw(transport, AlreadyEncrypted)
            .await
            .map_err(|error| self.error(target, error))?;
        let for_task = target.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever uses the client gets the error too. Not its text:
                // that can hold row values.
                let code = error.code().map(|code| code.code().to_owned());
                tracing::debug!(target = %for_task, code, "sql connection ended");
            }
        });
        client
            .batch_execute(&session_sql())
            .await
            .map_err(|error| self.error(target, error))?;
        Ok(client)
    }

    async fn role(&self, client: &mut Client, target: &Target) -> Result<Role, ConnectError> {
        let rows = client
            .simple_query(Role::QUERY)
            .await
            .map_err(|error| self.error(target, error))?;
        rows.iter()
            .find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Role::parse(row.try_get(0).ok()?, row.try_get(1).ok()?)
                }
                _ => None,
            })
            .ok_or_else(|| ConnectError::Protocol {
                doing: "asking for the server's role",
                target: target.clone(),
                what: "no row came".to_owned(),
            })
    }
}

impl SqlLogin<'_> {
    fn settings(&self, encrypted: bool) -> tokio_postgres::Config {
        let mut settings = tokio_postgres::Config::new();
        settings
            .user(self.config.user())
            .dbname(self.config.database())
            .application_name(self.application_name)
            .channel_binding(match self.config.channel_binding() {
                ChannelBindingMode::Disable => BindingMode::Disable,
                ChannelBindingMode::Prefer => BindingMode::Prefer,
                ChannelBindingMode::Require => BindingMode::Require,
            });
        if let Some(password) = self.config.password() {
            settings.password(password.expose_secret());
        }
        if let Some(options) = self.config.options() {
            settings.options(options);
        }
        if encrypted {
            // "Direct" means: no SSLRequest, call the connector at once.
            settings
                .ssl_mode(SslMode::Require)
                .ssl_negotiation(SslNegotiation::Direct);
        } else {
            settings.ssl_mode(SslMode::Disable);
        }
        settings
    }

    fn error(&self, target: &Target, error: tokio_postgres::Error) -> ConnectError {
        const DOING: &str = "logging in";
        if let Some(refusal) = error.as_db_error() {
            return ConnectError::Server {
                doing: doing(self.config),
                target: target.clone(),
                message: Box::new(ServerMessage::from(refusal)),
            };
        }
        if error.is_closed() {
            return ConnectError::Closed {
                doing: DOING,
                target: target.clone(),
            };
        }
        let text = error.to_string();
        let cause = match error
            .into_source()
            .map(|source| source.downcast::<io::Error>())
        {
            // Its kinds are private; its texts are what there is to tell an
            // I/O error of the stream from one of SCRAM.
            Some(Ok(source)) if text.starts_with("error communicating") => {
                return login_io_error(target, *source);
            }
            Some(Ok(source)) => Some(source.to_string()),
            Some(Err(other)) => Some(other.to_string()),
            None => None,
        };
        if text.starts_with("invalid configuration") && self.config.password().is_none() {
            return ConnectError::PasswordMissing {
                target: target.clone(),
                user: self.config.user().to_owned(),
            };
        }
        let why = match cause {
            Some(cause) => format!("{text} ({cause})"),
            None => text,
        };
        ConnectError::Authentication {
            target: target.clone(),
            user: self.config.user().to_owned(),
            why,
        }
    }
}

/// The settings as one batch. The names and values are constants of ours.
fn session_sql() -> String {
    SESSION_SETTINGS
        .iter()
        .map(|(name, value)| format!("SET {name} = '{value}';"))
        .collect()
}

/// Stands where `tokio-postgres` would make the handshake: it has been made.
struct AlreadyEncrypted;

impl TlsConnect<Transport> for AlreadyEncrypted {
    type Stream = Transport;
    type Error = Infallible;
    type Future = Ready<Result<Transport, Infallible>>;

    fn connect(self, stream: Transport) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for Transport {
    fn channel_binding(&self) -> ChannelBinding {
        match Self::channel_binding(self) {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

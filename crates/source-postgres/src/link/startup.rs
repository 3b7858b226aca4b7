//! The startup message and the login that follows it.
//!
//! Flow: PostgreSQL manual, "Start-up" and "SASL Authentication".

use adit_pgoutput::types::SESSION_SETTINGS;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use secrecy::ExposeSecret;

use super::error::ConnectError;
use super::frame::MESSAGE_MAX;
use super::message::ServerMessage;
use super::transport::Transport;
use super::wire::{Wire, describe};
use crate::config::{ChannelBindingMode, ConnectConfig, Target};

const DOING: &str = "logging in";

/// Logs in as a walsender for the database and waits until it takes commands.
pub(super) async fn log_in(
    transport: Transport,
    target: &Target,
    config: &ConnectConfig,
    extra: &[(&str, &str)],
) -> Result<Wire, ConnectError> {
    check_binding_possible(&transport, target, config)?;
    let mut login = Login {
        wire: Wire::new(transport, target),
        config,
    };
    login.send_startup(extra).await?;
    login.authenticate().await?;
    login.wait_until_ready().await?;
    let mut wire = login.wire;
    wire.frames.set_message_max(MESSAGE_MAX);
    Ok(wire)
}

/// With `channel_binding=require`, a session that cannot be bound is not used
/// at all: the password must not be offered to somebody in between.
pub(super) fn check_binding_possible(
    transport: &Transport,
    target: &Target,
    config: &ConnectConfig,
) -> Result<(), ConnectError> {
    if config.channel_binding() != ChannelBindingMode::Require
        || transport.channel_binding().is_some()
    {
        return Ok(());
    }
    let why = if transport.is_tls() {
        "channel_binding=require is set, and a certificate like the server's (Ed25519) has no channel binding: use an RSA or ECDSA certificate there, or channel_binding=prefer"
    } else {
        "channel_binding=require is set, and the connection is not encrypted: use sslmode=require or stronger"
    };
    Err(ConnectError::Authentication {
        target: target.clone(),
        user: config.user().to_owned(),
        why: why.to_owned(),
    })
}

struct Login<'a> {
    wire: Wire,
    config: &'a ConnectConfig,
}

impl Login<'_> {
    async fn send_startup(&mut self, extra: &[(&str, &str)]) -> Result<(), ConnectError> {
        let mut parameters = vec![
            ("user", self.config.user()),
            ("database", self.config.database()),
            ("replication", "database"),
            ("application_name", self.config.application_name()),
        ];
        parameters.extend(self.config.options().map(|options| ("options", options)));
        parameters.extend_from_slice(&SESSION_SETTINGS);
        parameters.extend_from_slice(extra);
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out).map_err(|_| ConnectError::Misuse {
            target: self.wire.target.clone(),
            why: "a startup parameter holds a zero byte",
        })?;
        self.wire.send(&out, DOING).await
    }

    async fn authenticate(&mut self) -> Result<(), ConnectError> {
        match self.receive().await? {
            Message::AuthenticationOk => {
                return self.require_bound("the server let us in without asking for a password");
            }
            Message::AuthenticationCleartextPassword => {
                self.require_bound("the server asked for the password in clear")?;
                let password = self.password()?;
                self.send_password(&password).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                self.require_bound("the server asked for an md5 password")?;
                let password = self.password()?;
                let hash = md5_hash(self.config.user().as_bytes(), &password, body.salt());
                self.send_password(hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => self.scram(&body).await?,
            Message::AuthenticationGss
            | Message::AuthenticationSspi
            | Message::AuthenticationKerberosV5 => {
                return Err(self.failed("the server asks for kerberos (gss or sspi), which adit does not support: give this user scram-sha-256 or cert in the server's pg_hba.conf"));
            }
            other => return Err(self.wire.protocol(DOING, describe(&other))),
        }
        // One method, once: a server that asks again after an answer is refused.
        match self.receive().await? {
            Message::AuthenticationOk => Ok(()),
            other => Err(self.wire.protocol(DOING, describe(&other))),
        }
    }

    /// RFC 5802 and 7677, with or without binding to the TLS session.
    async fn scram(&mut self, body: &AuthenticationSaslBody) -> Result<(), ConnectError> {
        let (mechanism, binding) = self.mechanism(body)?;
        let password = self.password()?;
        let mut scram = ScramSha256::new(&password, binding);

        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out)
            .map_err(|error| self.failed(error.to_string()))?;
        self.wire.send(&out, DOING).await?;

        match self.receive().await? {
            Message::AuthenticationSaslContinue(body) => scram.update(body.data()).map_err(|error| {
                self.failed(format!("the server's scram challenge is refused ({error}); when the server's scram_iterations is over 100000, lower it and set the password again"))
            })?,
            other => return Err(self.wire.protocol(DOING, describe(&other))),
        }
        let mut out = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut out)
            .map_err(|error| self.failed(error.to_string()))?;
        self.wire.send(&out, DOING).await?;

        match self.receive().await? {
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).map_err(|error| {
                self.failed(format!("the server could not prove that it knows the password ({error}): it may be an impostor"))
            }),
            other => Err(self.wire.protocol(DOING, describe(&other))),
        }
    }

    /// The strongest mechanism both sides have.
    fn mechanism(
        &self,
        body: &AuthenticationSaslBody,
    ) -> Result<(&'static str, ChannelBinding), ConnectError> {
        let (mut plain, mut plus) = (false, false);
        let mut offered = body.mechanisms();
        loop {
            match offered.next() {
                Ok(Some(SCRAM_SHA_256)) => plain = true,
                Ok(Some(SCRAM_SHA_256_PLUS)) => plus = true,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Err(self.wire.protocol(DOING, error.to_string())),
            }
        }
        let mode = self.config.channel_binding();
        let hash = match mode {
            ChannelBindingMode::Disable => None,
            ChannelBindingMode::Prefer | ChannelBindingMode::Require => {
                self.wire.transport.channel_binding()
            }
        };
        match hash {
            Some(hash) if plus => {
                Ok((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)))
            }
            _ if mode == ChannelBindingMode::Require => Err(self.failed(
                "channel_binding=require is set, and the server does not offer SCRAM-SHA-256-PLUS",
            )),
            // "y": we could have, so an attacker who removed PLUS from the
            // offer is found out by the server.
            Some(_) if plain => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
            None if plain => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
            _ => Err(self.failed("the server offers no login method that adit has: give this user scram-sha-256 in the server's pg_hba.conf")),
        }
    }

    async fn wait_until_ready(&mut self) -> Result<(), ConnectError> {
        match self.receive().await? {
            Message::ReadyForQuery(_) => Ok(()),
            other => Err(self.wire.protocol(DOING, describe(&other))),
        }
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), ConnectError> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out)
            .map_err(|_| self.failed("the password holds a zero byte"))?;
        self.wire.send(&out, DOING).await
    }

    /// The next message; an ErrorResponse becomes an error.
    async fn receive(&mut self) -> Result<Message, ConnectError> {
        match self.wire.receive(DOING).await? {
            Message::ErrorResponse(body) => {
                let message = ServerMessage::parse(body.fields());
                Err(self.wire.refused(doing(self.config), message))
            }
            message => Ok(message),
        }
    }

    fn password(&self) -> Result<Vec<u8>, ConnectError> {
        match self.config.password() {
            Some(password) => Ok(password.expose_secret().as_bytes().to_vec()),
            None => Err(ConnectError::PasswordMissing {
                target: self.wire.target.clone(),
                user: self.config.user().to_owned(),
            }),
        }
    }

    /// Refuses every login but a bound one when that is required.
    fn require_bound(&self, instead: &str) -> Result<(), ConnectError> {
        match self.config.channel_binding() {
            ChannelBindingMode::Require => Err(self.failed(format!(
                "channel_binding=require is set, and {instead}: use scram-sha-256 for this user in the server's pg_hba.conf"
            ))),
            ChannelBindingMode::Disable | ChannelBindingMode::Prefer => Ok(()),
        }
    }

    fn failed(&self, why: impl Into<String>) -> ConnectError {
        ConnectError::Authentication {
            target: self.wire.target.clone(),
            user: self.config.user().to_owned(),
            why: why.into(),
        }
    }
}

/// What a login was for, to be named when it is refused.
pub(super) fn doing(config: &ConnectConfig) -> String {
    format!(
        "logging in as {:?} to database {:?}",
        config.user(),
        config.database()
    )
}

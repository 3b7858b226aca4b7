//! Sending and receiving whole messages, with errors that say what was being
//! done. Used up to the moment when the link is split into its two halves.

use std::io;

use bytes::BytesMut;
use postgres_protocol::message::backend::Message;
use tokio::io::AsyncWriteExt;

use super::error::{ConnectError, is_tls_verdict};
use super::frame::{FrameBuffer, RawFrame, STARTUP_MESSAGE_MAX};
use super::message::ServerMessage;
use super::transport::Transport;
use crate::config::Target;
use crate::tls;

/// A connected server and what it has told about itself.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) transport: Transport,
    pub(super) frames: FrameBuffer,
    pub(super) target: Target,
    pub(super) server_version: String,
    /// Zero until the server has let us in.
    pub(super) backend_pid: i32,
}

impl Wire {
    pub(super) fn new(transport: Transport, target: &Target) -> Self {
        Self {
            transport,
            frames: FrameBuffer::new(STARTUP_MESSAGE_MAX),
            target: target.clone(),
            server_version: String::new(),
            backend_pid: 0,
        }
    }

    /// Sends one message or several.
    pub(super) async fn send(
        &mut self,
        bytes: &BytesMut,
        doing: &'static str,
    ) -> Result<(), ConnectError> {
        let sent = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        sent.await.map_err(|source| self.broken(doing, source))
    }

    /// The next message that the caller has to act on; the ones a server may
    /// send at any time are dealt with here.
    pub(super) async fn receive(&mut self, doing: &'static str) -> Result<Message, ConnectError> {
        loop {
            let frame = self.receive_frame(doing).await?;
            let message = frame
                .parse()
                .map_err(|error| self.protocol(doing, error.to_string()))?;
            if let Some(message) = self.note(message) {
                return Ok(message);
            }
        }
    }

    /// The next message, whatever it is.
    pub(super) async fn receive_frame(
        &mut self,
        doing: &'static str,
    ) -> Result<RawFrame, ConnectError> {
        loop {
            let next = self.frames.next_frame();
            match next.map_err(|error| self.protocol(doing, error.to_string()))? {
                Some(frame) => return Ok(frame),
                None => self.fill(doing).await?,
            }
        }
    }

    /// Takes what a message tells about the server; gives back the others.
    pub(super) fn note(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::ParameterStatus(body) => {
                if let (Ok("server_version"), Ok(value)) = (body.name(), body.value()) {
                    value.clone_into(&mut self.server_version);
                }
                None
            }
            Message::BackendKeyData(body) => {
                self.backend_pid = body.process_id();
                None
            }
            Message::NoticeResponse(body) => {
                let notice = ServerMessage::parse(body.fields());
                tracing::debug!(target = %self.target, %notice, "the server has a notice");
                None
            }
            other => Some(other),
        }
    }

    pub(super) fn refused(&self, doing: impl Into<String>, message: ServerMessage) -> ConnectError {
        ConnectError::Server {
            doing: doing.into(),
            target: self.target.clone(),
            message: Box::new(message),
        }
    }

    pub(super) fn protocol(&self, doing: &'static str, what: impl Into<String>) -> ConnectError {
        ConnectError::Protocol {
            doing,
            target: self.target.clone(),
            what: what.into(),
        }
    }

    fn broken(&self, doing: &'static str, source: io::Error) -> ConnectError {
        if self.backend_pid == 0 {
            return login_io_error(&self.target, source);
        }
        io_error(&self.target, doing, source)
    }

    async fn fill(&mut self, doing: &'static str) -> Result<(), ConnectError> {
        match self.frames.fill(&mut self.transport).await {
            Ok(0) => Err(ConnectError::Closed {
                doing,
                target: self.target.clone(),
            }),
            Ok(_) => Ok(()),
            Err(source) => Err(self.broken(doing, source)),
        }
    }
}

/// A broken stream.
pub(super) fn io_error(target: &Target, doing: &'static str, source: io::Error) -> ConnectError {
    let target = target.clone();
    match source.kind() {
        // The end of the stream inside a TLS session means the same as a
        // closed socket.
        io::ErrorKind::UnexpectedEof => ConnectError::Closed { doing, target },
        _ => ConnectError::Io {
            doing,
            target,
            source,
        },
    }
}

/// A stream that broke before we were let in. With TLS 1.3 a server looks at
/// our certificate after we think the handshake is over, so its refusal of it
/// is found here.
pub(super) fn login_io_error(target: &Target, source: io::Error) -> ConnectError {
    if is_tls_verdict(&source) {
        return tls::handshake_error(target, source);
    }
    io_error(target, "logging in", source)
}

/// Names a message for an error text.
pub(super) fn describe(message: &Message) -> &'static str {
    match message {
        Message::AuthenticationOk => "the login was accepted at the wrong moment",
        Message::CopyData(_) | Message::CopyDone => "copy data came at the wrong moment",
        Message::CopyInResponse(_) | Message::CopyOutResponse(_) => "a copy was started",
        Message::ReadyForQuery(_) => "the server was ready too early",
        Message::DataRow(_) | Message::RowDescription(_) => "a row came at the wrong moment",
        _ => "an unexpected message came",
    }
}

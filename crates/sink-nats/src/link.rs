//! The publishing connection: one socket, one subscription, no reconnecting behind anybody's back.
//!
//! `async-nats` stays out of the hot path for two reasons: it allocates about thirty times per publish with headers, and across a reconnect
//! it drops some of what was queued and sends the rest, which tears holes into an ordered log. This link does neither: it writes what the
//! [`Outgoing`] buffer holds in large pieces, reads replies at the same time (so that a full socket never waits for an unread reply), and
//! when anything is wrong it is thrown away and a new one is made.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    auth::Login,
    config::{NatsConfig, ServerAddress},
    error::Error,
    protocol::{self, ServerMessage, ServerOp},
    tls,
};

/// Bytes waiting to be written, kept by their owner until they are acknowledged.
pub(crate) trait Outgoing {
    /// Bytes ready to be written, empty if none. They may end anywhere.
    fn ready(&self) -> &[u8];
    /// Of [`Self::ready`], the rest of a message whose beginning has been written; empty between messages.
    fn rest_of_message(&self) -> &[u8];
    /// The first `count` of the ready bytes have been written.
    fn written(&mut self, count: usize);
}

/// What the server says about itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ServerInfo {
    #[serde(default)]
    pub(crate) version: String,
    /// Largest message with its headers, in bytes.
    #[serde(default)]
    pub(crate) max_payload: u64,
    #[serde(default)]
    pub(crate) headers: bool,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
    #[serde(default)]
    nonce: Option<String>,
    /// The server is about to stop and asks its clients to go elsewhere.
    #[serde(default)]
    pub(crate) ldm: bool,
}

/// What came in, as far as it concerns the publisher.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// A reply.
    Message(ServerMessage<'a>),
    /// Our PING was answered.
    Pong,
    /// The server complains.
    Err(&'a str),
}

/// Room for about a thousand replies; grows only for a longer INFO line.
const READ_BUFFER_LEN: usize = 64 * 1024;
const READ_BUFFER_LEN_MAX: usize = protocol::PAYLOAD_LEN_MAX + protocol::LINE_LEN_MAX + 2;

/// A connection that is logged in and subscribed.
pub(crate) struct Link {
    stream: Stream,
    server: ServerAddress,
    info: ServerInfo,
    read: Vec<u8>,
    read_start: usize,
    read_end: usize,
    /// PING, PONG and the like, written between messages.
    control: Vec<u8>,
    control_start: usize,
    flush_due: bool,
}

/// What [`Link::drive`] did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    pub(crate) wrote: bool,
    pub(crate) read: bool,
}

impl Link {
    /// Connects, logs in, and subscribes to `inbox`.
    pub(crate) async fn connect(
        config: &NatsConfig,
        server: &ServerAddress,
        inbox: &str,
    ) -> Result<Self, Error> {
        match timeout(
            config.connect_timeout,
            Box::pin(Self::connect_untimed(config, server, inbox)),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Err(Error::Connect {
                server: server.to_string(),
                source: io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no login within {:?}", config.connect_timeout),
                ),
            }),
        }
    }

    async fn connect_untimed(
        config: &NatsConfig,
        server: &ServerAddress,
        inbox: &str,
    ) -> Result<Self, Error> {
        let login = Login::read(&config.auth)?;
        let refused = |source| Error::Connect {
            server: server.to_string(),
            source,
        };
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(refused)?;
        tcp.set_nodelay(true).map_err(refused)?;
        let mut link = Self {
            stream: Stream::Plain(tcp),
            server: server.clone(),
            info: ServerInfo::default(),
            read: vec![0; READ_BUFFER_LEN],
            read_start: 0,
            read_end: 0,
            control: Vec::new(),
            control_start: 0,
            flush_due: false,
        };
        if config.tls.first {
            link = link.upgrade(config).await?;
        }
        link.read_info().await?;
        let encrypt = server.tls
            || config.tls.required
            || config.tls.ca_file.is_some()
            || link.info.tls_required;
        if encrypt && !config.tls.first {
            if !(link.info.tls_required || link.info.tls_available) {
                let source =
                    io::Error::other("the server offers no TLS, and the configuration asks for it");
                return Err(Error::Tls {
                    server: server.to_string(),
                    source,
                });
            }
            link = link.upgrade(config).await?;
        }
        if !link.info.headers {
            return Err(Error::Config(format!(
                "the server {server} (nats {}) has headers switched off; adit needs them",
                link.info.version
            )));
        }
        let tls = encrypt || config.tls.first;
        link.control = login.connect_line("adit", tls, link.info.nonce.as_deref())?;
        link.control
            .extend_from_slice(format!("SUB {inbox} 1\r\nPING\r\n").as_bytes());
        link.wait_for_pong().await?;
        Ok(link)
    }

    /// The server's address, for error texts.
    pub(crate) fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// What the server last said about itself.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Sends a PING with the next [`Self::drive`].
    pub(crate) fn ping(&mut self) {
        self.control.extend_from_slice(b"PING\r\n");
    }

    /// Writes and reads until something was written or read.
    ///
    /// Cancel-safe: bytes are counted as written or read in the same poll in which they are.
    pub(crate) async fn drive(&mut self, out: &mut impl Outgoing) -> Result<Activity, Error> {
        self.make_room();
        poll_fn(|cx| self.poll_drive(cx, out))
            .await
            .map_err(|error| self.lost(&error.to_string()))
    }

    /// The next operation that has been read, if any. PING and INFO are dealt with inside.
    pub(crate) fn next_incoming(&mut self) -> Result<Option<Incoming<'_>>, Error> {
        loop {
            let unread = self
                .read
                .get(self.read_start..self.read_end)
                .unwrap_or_default();
            let (op, len) = match protocol::parse(unread) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => return Ok(None),
                Err(error) => {
                    return Err(Error::Protocol {
                        server: self.server.to_string(),
                        why: error.to_string(),
                    });
                }
            };
            self.read_start += len;
            match op {
                ServerOp::Info(json) => {
                    self.info = serde_json::from_slice(json).map_err(|error| Error::Protocol {
                        server: self.server.to_string(),
                        why: format!("INFO: {error}"),
                    })?;
                }
                ServerOp::Ping => self.control.extend_from_slice(b"PONG\r\n"),
                ServerOp::Ok => {}
                ServerOp::Pong => return Ok(Some(Incoming::Pong)),
                ServerOp::Err(text) => return Ok(Some(Incoming::Err(text))),
                ServerOp::Message(message) => return Ok(Some(Incoming::Message(message))),
            }
        }
    }

    /// The error for a connection that ended.
    fn lost(&self, why: &str) -> Error {
        Error::Disconnected {
            server: self.server.to_string(),
            why: why.to_owned(),
        }
    }

    /// The error that the server's `-ERR` text means.
    pub(crate) fn complaint(server: &ServerAddress, text: &str) -> Error {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("permissions violation") {
            let operation = if lower.contains("for subscription") {
                "subscribe to"
            } else {
                "publish to"
            };
            let subject = text
                .split('"')
                .nth(1)
                .unwrap_or("a subject it needs")
                .to_owned();
            return Error::Permission {
                operation,
                subject,
                answer: text.to_owned(),
            };
        }
        if lower.starts_with("authorization violation")
            || lower.starts_with("authentication timeout")
        {
            return Error::Login {
                server: server.to_string(),
                answer: text.to_owned(),
            };
        }
        // "User Authentication Expired", "Stale Connection", "Server Shutdown", "maximum connections exceeded" and so on:
        // a new connection, with secrets read again, is the cure or tells more.
        Error::Disconnected {
            server: server.to_string(),
            why: text.to_owned(),
        }
    }

    async fn read_info(&mut self) -> Result<(), Error> {
        while self.info.max_payload == 0 {
            // Nothing but INFO comes before CONNECT, except an error.
            if let Some(Incoming::Err(text)) = self.next_incoming()? {
                let text = text.to_owned();
                return Err(Self::complaint(&self.server, &text));
            }
            if self.info.max_payload == 0 {
                self.drive(&mut Nothing).await?;
            }
        }
        Ok(())
    }

    async fn wait_for_pong(&mut self) -> Result<(), Error> {
        loop {
            let complaint = match self.next_incoming()? {
                Some(Incoming::Pong) => return Ok(()),
                Some(Incoming::Err(text)) => text.to_owned(),
                Some(Incoming::Message(_)) => continue,
                None => {
                    self.drive(&mut Nothing).await?;
                    continue;
                }
            };
            return Err(Self::complaint(&self.server, &complaint));
        }
    }

    async fn upgrade(mut self, config: &NatsConfig) -> Result<Self, Error> {
        let failed = |source| Error::Tls {
            server: self.server.to_string(),
            source,
        };
        let Stream::Plain(tcp) = self.stream else {
            return Ok(self);
        };
        // Bytes behind INFO and before the handshake would be an injection by somebody in between.
        if self.read_start != self.read_end {
            return Err(failed(io::Error::other(
                "the server sent plain text where the TLS handshake was due",
            )));
        }
        let name = ServerName::try_from(self.server.host.clone())
            .map_err(|error| failed(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::new(tls::client_config(&config.tls)?));
        let tls = connector.connect(name, tcp).await.map_err(|error| {
            if tls::is_tls_error(&error) {
                failed(error)
            } else {
                // Cut in the middle of the handshake: a matter of the network.
                Error::Connect {
                    server: self.server.to_string(),
                    source: error,
                }
            }
        })?;
        self.stream = Stream::Tls(Box::new(tls));
        Ok(self)
    }

    /// Moves what is unread to the front, and grows the buffer if one operation fills it.
    fn make_room(&mut self) {
        if self.read_start > 0 {
            self.read.copy_within(self.read_start..self.read_end, 0);
            self.read_end -= self.read_start;
            self.read_start = 0;
        }
        if self.read_end == self.read.len() && self.read.len() < READ_BUFFER_LEN_MAX {
            self.read
                .resize((self.read.len() * 2).min(READ_BUFFER_LEN_MAX), 0);
        }
    }

    fn poll_drive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> Poll<io::Result<Activity>> {
        let mut activity = Activity::default();
        if let Poll::Ready(result) = self.poll_write(cx, out, &mut activity.wrote) {
            result?;
        }
        if let Poll::Ready(result) = self.poll_read(cx) {
            result?;
            activity.read = true;
        }
        if activity.wrote || activity.read {
            Poll::Ready(Ok(activity))
        } else {
            Poll::Pending
        }
    }

    /// Writes until there is nothing left or the socket is full.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut impl Outgoing,
        wrote: &mut bool,
    ) -> Poll<io::Result<()>> {
        loop {
            let control = self.control.get(self.control_start..).unwrap_or_default();
            let rest = out.rest_of_message();
            if !control.is_empty() && rest.is_empty() {
                let count = ready!(Pin::new(&mut self.stream).poll_write(cx, control))?;
                self.control_start += count;
                if self.control_start == self.control.len() {
                    self.control.clear();
                    self.control_start = 0;
                }
                nonzero(count)?;
            } else {
                let bytes = if control.is_empty() {
                    out.ready()
                } else {
                    rest
                };
                if bytes.is_empty() {
                    break;
                }
                let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
                nonzero(count)?;
                out.written(count);
            }
            *wrote = true;
            self.flush_due = true;
        }
        if self.flush_due {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flush_due = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let space = self.read.get_mut(self.read_end..).unwrap_or_default();
        if space.is_empty() {
            // The parser refuses an operation of this size before the buffer is full, so that this is never reached with a reader behind.
            return Poll::Ready(Err(io::Error::other("read buffer is full")));
        }
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )));
        }
        self.read_end += count;
        Poll::Ready(Ok(()))
    }
}

fn nonzero(count: usize) -> io::Result<()> {
    if count == 0 {
        Err(io::ErrorKind::WriteZero.into())
    } else {
        Ok(())
    }
}

/// Nothing to write, during the login.
struct Nothing;

impl Outgoing for Nothing {
    fn ready(&self) -> &[u8] {
        &[]
    }
    fn rest_of_message(&self) -> &[u8] {
        &[]
    }
    fn written(&mut self, _: usize) {}
}

/// How long an idle link waits before it asks whether the server is still there.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(10);

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }

    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_apart() {
        let server = ServerAddress {
            host: "h".into(),
            port: 1,
            tls: false,
        };
        let complaint = |text| Link::complaint(&server, text);
        assert!(
            matches!(complaint("Permissions Violation for Publish to \"cdc.a\""), Error::Permission { operation: "publish to", subject, .. } if subject == "cdc.a")
        );
        assert!(
            matches!(complaint("Permissions Violation for Subscription to \"_INBOX.>\""), Error::Permission { operation: "subscribe to", subject, .. } if subject == "_INBOX.>")
        );
        assert!(matches!(
            complaint("Authorization Violation"),
            Error::Login { .. }
        ));
        assert!(complaint("Stale Connection").is_transient());
    }
}

//! The stream under a connection: TCP or a Unix socket, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::error::ConnectError;
use super::host::Address;
use crate::config::{ConnectConfig, SslMode, Target, TcpSettings};
use crate::tls;

/// A connected stream on which the startup message can be sent.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket, which never carries TLS.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// How one attempt treats TLS; `sslmode` allows one or two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Do not ask for it.
    Plain,
    /// Ask, and go on in plain text if the server has none.
    IfOffered,
    /// Ask, and give up if the server has none.
    Required,
}

impl Transport {
    /// Connects and, if wanted, makes the TLS handshake.
    pub(super) async fn open(
        config: &ConnectConfig,
        target: &Target,
        address: &Address,
        encryption: Encryption,
    ) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError::Connect {
            target: target.clone(),
            source,
        };
        let stream = match address {
            Address::Unix(path) => {
                return UnixStream::connect(path)
                    .await
                    .map(Self::Unix)
                    .map_err(failed);
            }
            Address::Tcp(address) => TcpStream::connect(address).await.map_err(failed)?,
        };
        tune(&stream, config.tcp()).map_err(failed)?;
        match encryption {
            Encryption::Plain => Ok(Self::Tcp(stream)),
            Encryption::IfOffered | Encryption::Required => {
                Self::negotiate(config, target, stream, encryption).await
            }
        }
    }

    /// Asks for TLS with an SSLRequest and follows the server's answer.
    async fn negotiate(
        config: &ConnectConfig,
        target: &Target,
        mut stream: TcpStream,
        encryption: Encryption,
    ) -> Result<Self, ConnectError> {
        const DOING: &str = "asking for tls";
        let failed = |source| ConnectError::Io {
            doing: DOING,
            target: target.clone(),
            source,
        };
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(failed)?;
        // One byte and no more: what follows it belongs to the handshake
        // (CVE-2021-23222 was bytes taken from before it).
        match stream.read_u8().await {
            Ok(b'S') => {}
            Ok(b'N') if encryption == Encryption::IfOffered => return Ok(Self::Tcp(stream)),
            Ok(b'N') => {
                return Err(ConnectError::TlsRefused {
                    target: target.clone(),
                    mode: config.tls().mode.as_str(),
                });
            }
            // The postmaster says 'E' before it looks at the request when it
            // cannot even start a process.
            Ok(b'E') => {
                return Err(ConnectError::Closed {
                    doing: DOING,
                    target: target.clone(),
                });
            }
            Ok(byte) => {
                return Err(ConnectError::Protocol {
                    doing: DOING,
                    target: target.clone(),
                    what: format!("the answer was byte {byte:#04x}"),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ConnectError::Closed {
                    doing: DOING,
                    target: target.clone(),
                });
            }
            Err(error) => return Err(failed(error)),
        }
        let client = client_config(config, target).await?;
        let stream = tls::handshake(client, target, stream).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Whether the line is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The hash that binds SCRAM to this TLS session, if there is one.
    pub(crate) fn channel_binding(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tls(stream) => tls::channel_binding(stream),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}

/// The one or two ways that `sslmode` allows at an address, in order.
pub(super) fn encryptions(mode: SslMode, address: &Address) -> (Encryption, Option<Encryption>) {
    match (address, mode) {
        // libpq ignores sslmode on a Unix socket.
        (Address::Unix(_), _) | (Address::Tcp(_), SslMode::Disable) => (Encryption::Plain, None),
        (Address::Tcp(_), SslMode::Allow) => (Encryption::Plain, Some(Encryption::Required)),
        (Address::Tcp(_), SslMode::Prefer) => (Encryption::IfOffered, Some(Encryption::Plain)),
        (Address::Tcp(_), SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => {
            (Encryption::Required, None)
        }
    }
}

/// Building the TLS client reads files, so it is done off the runtime's threads.
async fn client_config(
    config: &ConnectConfig,
    target: &Target,
) -> Result<rustls::ClientConfig, ConnectError> {
    let settings = config.tls().clone();
    let for_task = target.clone();
    match tokio::task::spawn_blocking(move || tls::client_config(&settings, &for_task)).await {
        Ok(result) => result,
        Err(stopped) => Err(ConnectError::TlsSetup {
            target: target.clone(),
            why: format!("the task that reads the certificates stopped: {stopped}"),
        }),
    }
}

/// Small writes go out at once, and a dead peer is noticed.
fn tune(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if settings.keepalives {
        let keepalive = TcpKeepalive::new()
            .with_time(settings.idle)
            .with_interval(settings.interval)
            .with_retries(settings.count);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout)?;
    Ok(())
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

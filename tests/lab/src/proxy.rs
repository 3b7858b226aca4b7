//! A faulty network: a TCP proxy that cuts, stalls, delays, slows and drops.

mod connection;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::port::Port;

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From who connected to the proxy to the server behind it.
    ToServer,
    /// From the server back.
    ToClient,
}

/// What happens to bytes that go one way.
#[derive(Debug, Clone, Default)]
struct Lane {
    stalled: bool,
    bytes_per_second: Option<u32>,
}

/// What the proxy does now.
#[derive(Debug, Clone, Default)]
struct Faults {
    delay: Duration,
    to_server: Lane,
    to_client: Lane,
}

impl Faults {
    fn lane(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    fn lane_mut(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// What is counted of bytes that go one way.
#[derive(Debug, Default)]
struct Meter {
    passed: u64,
    /// Cut all connections when this many more bytes have passed.
    left_until_cut: Option<u64>,
}

impl Meter {
    /// Counts as many of `wanted` bytes as may pass: how many, and whether all connections are to be cut after them.
    fn count(&mut self, wanted: usize) -> (usize, bool) {
        let (allowed, is_last) = match self.left_until_cut {
            None => (wanted, false),
            Some(left) => match usize::try_from(left) {
                Ok(left) if left <= wanted => (left, true),
                _ => (wanted, false),
            },
        };
        self.passed += allowed as u64;
        self.left_until_cut = match self.left_until_cut {
            Some(left) if !is_last => Some(left - allowed as u64),
            _ => None,
        };
        (allowed, is_last)
    }
}

/// What the proxy and its connections share.
struct Shared {
    target: Mutex<SocketAddr>,
    faults: watch::Sender<Faults>,
    to_server: Mutex<Meter>,
    to_client: Mutex<Meter>,
    /// Cancelled to reset every connection there is; replaced at once for those to come.
    cut: Mutex<CancellationToken>,
    /// The parent of every `cut`; cancelled when the proxy is dropped.
    end: CancellationToken,
}

impl Shared {
    fn target(&self) -> SocketAddr {
        *lock(&self.target)
    }

    fn meter(&self, direction: Direction) -> MutexGuard<'_, Meter> {
        match direction {
            Direction::ToServer => lock(&self.to_server),
            Direction::ToClient => lock(&self.to_client),
        }
    }

    fn cut(&self) {
        let old = std::mem::replace(&mut *lock(&self.cut), self.end.child_token());
        old.cancel();
    }
}

/// A TCP proxy on a port of its own in front of one server. It begins as a faithful one.
///
/// Faults hold for connections that are open and for those to come, until they are lifted. Dropping the proxy resets every
/// connection and gives the port back.
pub struct Proxy {
    shared: Arc<Shared>,
    port: Port,
    /// Holds the listening socket; `None` while connections are refused.
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy to `target`, which need not be up yet: a connection made while it is down is reset.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let end = CancellationToken::new();
        let mut proxy = Self {
            shared: Arc::new(Shared {
                target: Mutex::new(target),
                faults: watch::Sender::new(Faults::default()),
                to_server: Mutex::default(),
                to_client: Mutex::default(),
                cut: Mutex::new(end.child_token()),
                end,
            }),
            port: Port::reserve()?,
            accepting: None,
        };
        proxy.refuse(false).await?;
        Ok(proxy)
    }

    /// The address to connect to instead of the server's; the same for the proxy's whole life.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port of [`Self::addr`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Carries connections that come from now on to another server, as when a name begins to mean another.
    pub fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Resets every connection (RST, not an orderly end). New ones are let through.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Whether new connections are refused, as by a host where nothing listens. Open ones stay. In effect when it returns.
    ///
    /// # Errors
    ///
    /// Somebody took the port while it was closed.
    pub async fn refuse(&mut self, refuse: bool) -> Result<()> {
        match (refuse, self.accepting.take()) {
            (true, Some(accepting)) => {
                accepting.abort();
                // Always an error, "cancelled"; what counts is that the socket is closed now.
                drop(accepting.await);
            }
            (false, None) => {
                let addr = self.addr();
                let listener = TcpListener::bind(addr)
                    .await
                    .with_context(|| format!("cannot listen on {addr}"))?;
                self.accepting = Some(tokio::spawn(accept(self.shared.clone(), listener)));
            }
            (_, unchanged) => self.accepting = unchanged,
        }
        Ok(())
    }

    /// Lets no byte through in either direction; connections stay open, and new ones open but get no answer.
    pub fn pause(&self) {
        self.stall(Direction::ToServer);
        self.stall(Direction::ToClient);
    }

    /// Lets bytes through again, in both directions; none is lost.
    pub fn resume(&self) {
        self.shared.faults.send_modify(|faults| {
            faults.to_server.stalled = false;
            faults.to_client.stalled = false;
        });
    }

    /// Lets no byte through in one direction; [`Self::resume`] ends it.
    pub fn stall(&self, direction: Direction) {
        self.shared
            .faults
            .send_modify(|faults| faults.lane_mut(direction).stalled = true);
    }

    /// Delivers every byte this much later, in both directions: adds twice as much to a round trip and takes nothing from
    /// the bandwidth. Zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.shared
            .faults
            .send_modify(|faults| faults.delay = delay);
    }

    /// Slows each direction of each connection to so many bytes per second; `None` ends it.
    pub fn throttle(&self, bytes_per_second: Option<u32>) {
        self.shared.faults.send_modify(|faults| {
            faults.to_server.bytes_per_second = bytes_per_second;
            faults.to_client.bytes_per_second = bytes_per_second;
        });
    }

    /// Cuts every connection, once, when exactly `n` more bytes have passed in this direction, over all connections.
    pub fn drop_after(&self, direction: Direction, n: u64) {
        self.shared.meter(direction).left_until_cut = Some(n);
    }

    /// Bytes that have passed in this direction.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.meter(direction).passed
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr())
            .field("target", &*lock(&self.shared.target))
            .field("faults", &*self.shared.faults.borrow())
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        self.shared.end.cancel();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        // A failed accept is one client's loss: it gave up before we came to it.
        if let Ok((client, _)) = listener.accept().await {
            let cut = lock(&shared.cut).clone();
            tokio::spawn(connection::carry(shared.clone(), client, cut));
        }
    }
}

/// Nothing that holds one of these locks can panic half-way through a change, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

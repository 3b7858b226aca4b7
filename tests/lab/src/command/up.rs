//! `cargo lab up`: servers for a person, and the list of them that `down` reads.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use adit_lab::{Detached, Mysql, Nats, Postgres, mysql, nats, pg};
use anyhow::{Context, Result};
use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which servers to start
    #[arg(required = true)]
    servers: Vec<Server>,
    /// The major version of PostgreSQL: 13, 15, 17, 18
    #[arg(long, default_value = "17")]
    pg: pg::Version,
    /// The version of NATS: 2.10, 2.12, 2.15
    #[arg(long, default_value = "2.12")]
    nats: nats::Version,
    /// The version of MySQL or MariaDB: mysql-5.6, mysql-9.7, mariadb-10.5, mariadb-10.11, mariadb-11.8
    #[arg(long, default_value = "mysql-9.7")]
    mysql: mysql::Version,
    /// Keep them only until this command ends (Ctrl-C, or any other way)
    #[arg(long)]
    hold: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Postgres,
    /// MySQL or MariaDB
    Mysql,
    Nats,
}

/// A server that was started.
enum Started {
    Postgres(Box<Postgres>),
    Mysql(Box<Mysql>),
    Nats(Nats),
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut held = Vec::new();
    for server in &arguments.servers {
        let started = match server {
            Server::Postgres => Started::Postgres(Box::new(Postgres::start(arguments.pg).await?)),
            Server::Mysql => Started::Mysql(Box::new(Mysql::start(arguments.mysql).await?)),
            Server::Nats => Started::Nats(Nats::start(arguments.nats).await?),
        };
        println!("{started}");
        if arguments.hold {
            held.push(started);
        } else {
            leave(started)?;
        }
    }
    if arguments.hold {
        println!("stop them with Ctrl-C");
        tokio::signal::ctrl_c().await?;
    } else {
        println!("stop them with: cargo lab down");
    }
    Ok(())
}

fn leave(started: Started) -> Result<()> {
    let left = match started {
        Started::Postgres(server) => server.detach()?,
        Started::Mysql(server) => server.detach()?,
        Started::Nats(server) => server.detach()?,
    };
    if let Err(error) = remember(&left) {
        // Nobody would find it again.
        left.end()?;
        return Err(error);
    }
    Ok(())
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version, url, folder) = match self {
            Self::Postgres(server) => (
                "postgres",
                server.version().to_string(),
                server.url("postgres"),
                server.folder(),
            ),
            Self::Mysql(server) => {
                let (version, url) = (server.version(), server.url(""));
                return write!(
                    f,
                    "{version}: {url} (files in {})",
                    server.folder().display()
                );
            }
            Self::Nats(server) => (
                "nats",
                server.version().to_string(),
                server.url(),
                server.folder(),
            ),
        };
        write!(f, "{name} {version}: {url} (files in {})", folder.display())
    }
}

/// The folder with one file for each server left running.
pub(crate) fn list() -> Result<PathBuf> {
    let list = adit_lab::root()?.join("up");
    fs::create_dir_all(&list).with_context(|| format!("cannot make {}", list.display()))?;
    Ok(list)
}

fn remember(left: &Detached) -> Result<()> {
    let path = list()?.join(format!("{}.json", left.pid));
    fs::write(&path, serde_json::to_vec_pretty(left)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

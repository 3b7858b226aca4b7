//! `cargo lab up`: servers for a person, and the list of them that `down` reads.

use std::fs;
use std::path::PathBuf;

use adit_lab::{Detached, Nats, Postgres, nats, pg};
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
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Postgres,
    Nats,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    for server in &arguments.servers {
        let left = match server {
            Server::Postgres => Postgres::start(arguments.pg).await?.detach()?,
            Server::Nats => Nats::start(arguments.nats).await?.detach()?,
        };
        if let Err(error) = remember(&left) {
            // Nobody would find it again.
            left.end()?;
            return Err(error);
        }
        println!(
            "{}: {} (files in {})",
            left.name,
            left.url,
            left.folder.display()
        );
    }
    println!("stop them with: cargo lab down");
    Ok(())
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

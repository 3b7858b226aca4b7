//! `cargo lab`: the lab for people.

mod command;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Real servers for adit, fetched and run in a folder under `target`.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start servers and leave them running until `cargo lab down`.
    Up(command::up::Arguments),
    /// Stop every server that `cargo lab up` left running, and remove its data.
    Down,
    /// Fetch every version of every server that the tests use.
    Fetch,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up(arguments) => command::up::run(arguments).await,
        Command::Down => command::down::run(),
        Command::Fetch => command::fetch::run(),
    }
}

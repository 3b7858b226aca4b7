//! `cargo lab`: the lab for people.

mod cargo;
mod command;
mod demo;

use std::process::ExitCode;

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
    /// Let a small shop change in a throw-away PostgreSQL, and show its events arrive from NATS.
    Demo(command::demo::Arguments),
    /// Fetch every server and pass all tests.
    Test(command::test::Arguments),
    /// Measure adit against the database's own reader and against what NATS can take.
    Bench(command::bench::Arguments),
    /// Start servers and leave them running until `cargo lab down`.
    Up(command::up::Arguments),
    /// Stop every server that `cargo lab up` left running, and remove its data.
    Down,
    /// Fetch every version of every server that the tests use.
    Fetch,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(arguments) => command::demo::run(arguments).await,
        Command::Test(arguments) => command::test::run(&arguments),
        Command::Bench(arguments) => command::bench::run(&arguments),
        Command::Up(arguments) => command::up::run(arguments).await,
        Command::Down => command::down::run(),
        Command::Fetch => command::fetch::run(),
    }
}

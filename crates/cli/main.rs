//! The `adit` command: reads arguments and configuration, puts the parts together, runs them.
//!
//! Only this crate knows files, the environment and TOML, and only [`wiring`] knows which source
//! and which sink there are. Everything that fails ends in a [`failure::Failure`]: an exit code
//! and one paragraph.

mod args;
mod command;
mod config;
mod failure;
mod signals;
mod stdout;
mod telemetry;
mod wiring;

use std::io::Write;
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::Parser;
use tokio::runtime;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::telemetry::LogFormat;

/// Even on one core: while one thread encodes, the other keeps the connections alive.
const THREADS_MIN: usize = 2;
/// The log of one database is one stream of work; more threads only help many connectors.
const THREADS_MAX: usize = 8;

fn main() -> ExitCode {
    telemetry::end_on_panic();
    let args = Args::parse();
    // The others are for people, who only want to hear what is wrong.
    let service = matches!(args.command, Command::Run(_));
    let filter = args.log_level.as_deref();
    let result = telemetry::init(args.log_format, filter, service)
        .and_then(|format| execute(args.command).map_err(|failure| logged(failure, format)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(paragraph) = failure.paragraph() {
                // When even standard error is gone, the exit code still tells.
                drop(writeln!(std::io::stderr(), "adit: {paragraph}"));
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Where log lines are JSON, whoever collects them finds the end of a run among them too.
fn logged(failure: Failure, format: LogFormat) -> Failure {
    if let (LogFormat::Json, Some(paragraph)) = (format, failure.paragraph()) {
        tracing::error!(error = paragraph, "adit ends");
    }
    failure
}

fn execute(command: Command) -> Result<(), Failure> {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed before");
    }
    let threads = thread::available_parallelism().map_or(THREADS_MIN, usize::from);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(threads.clamp(THREADS_MIN, THREADS_MAX))
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => Box::pin(command::run(args)).await,
            Command::Tail(args) => Box::pin(command::tail(args)).await,
            Command::Check(args) => Box::pin(command::check(args)).await,
            Command::Drop(args) => Box::pin(command::remove(args)).await,
        }
    });
    // Not by dropping it, which would wait for a write to a standard output that nobody reads.
    runtime.shutdown_background();
    result
}

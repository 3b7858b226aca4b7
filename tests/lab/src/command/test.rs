//! `cargo lab test`: every test of the workspace, with what they need fetched before.

use std::ffi::OsString;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::fetch;
use crate::cargo;

/// Tests of one program that run at the same time, at least: they wait for servers more than they compute.
const THREADS_MIN: usize = 2;
/// And at most: each has servers of its own, and PostgreSQL alone is a dozen processes.
const THREADS_MAX: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// For `cargo test`, like `--package adit-lab` or `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    // Now, so that no test's time goes into it, and what cannot be fetched is told at once.
    fetch::run()?;
    let mut command = cargo::command();
    command.args(["test", "--no-fail-fast"]);
    if !names_a_package(&arguments.rest) {
        command.arg("--workspace");
    }
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let threads = cores.clamp(THREADS_MIN, THREADS_MAX);
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    let status = command
        .args(&arguments.rest)
        .status()
        .context("cannot run cargo")?;
    let seconds = start.elapsed().as_secs();
    let time = format!("{} min {} s", seconds / 60, seconds % 60);
    if !status.success() {
        bail!("tests failed after {time}: cargo test ended with {status}");
    }
    println!("all tests passed in {time}");
    Ok(())
}

/// Whether the options for cargo, those before a lone `--`, say which packages to test.
fn names_a_package(options: &[OsString]) -> bool {
    options
        .iter()
        .map(|option| option.to_string_lossy())
        .take_while(|option| option != "--")
        .any(|option| {
            option.starts_with("--package")
                || (option.starts_with("-p") && !option.starts_with("--"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_packages_are_tested_unless_some_are_named() {
        let named = |options: &[&str]| {
            let options: Vec<OsString> = options.iter().map(Into::into).collect();
            names_a_package(&options)
        };
        assert!(!named(&[]));
        assert!(!named(&["--locked", "--", "-p", "--package"]));
        assert!(named(&["-p", "adit"]));
        assert!(named(&["--locked", "--package=adit"]));
        assert!(named(&["-padit"]));
    }
}

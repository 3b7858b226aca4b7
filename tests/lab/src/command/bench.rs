//! `cargo lab bench`: builds what is shipped and the program that measures it, and hands over.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Profile};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// See `cargo lab bench --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Apart, so that adit has no feature of a dependency that only the lab asks for.
    let adit = cargo::build("adit", Profile::Release)?;
    let bench = cargo::build("adit-bench", Profile::Release)?;
    let status = Command::new(&bench)
        .arg("--adit")
        .arg(&adit)
        .args(&arguments.rest)
        .status()
        .with_context(|| format!("cannot run {}", bench.display()))?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}

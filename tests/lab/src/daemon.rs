//! A program of ours that runs beside the servers, and is killed like them.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::folder;
use crate::process::{Launch, Process};

/// A program under test: starts, is killed, starts again. It has a folder of its own for its configuration, which is its
/// working directory, and in which its output is kept over all its lives.
///
/// Dropping the value kills it and removes its folder; so does the death of the process that holds it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    launch: Launch,
    starts: u32,
}

impl Daemon {
    /// Makes the folder; nothing runs yet.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn new(name: &str, program: &Path, args: &[&str]) -> Result<Self> {
        Ok(Self {
            process: Process::guard(folder::fresh_run_path(name)?)?,
            launch: Launch {
                program: program.to_owned(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                user: None,
            },
            starts: 0,
        })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// The file that its output goes to.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.process.log_path()
    }

    /// What it has written to its standard output and standard error, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How often it was started.
    #[must_use]
    pub const fn starts(&self) -> u32 {
        self.starts
    }

    /// Starts it and does not wait for anything.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.process.start(&self.launch)?;
        self.starts += 1;
        Ok(())
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        self.process.pid().context("the program is not running")
    }

    /// The most memory that it has had so far in this life, in bytes: `VmHWM` of proc(5).
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn memory_peak(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid()?);
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
            .with_context(|| format!("no VmHWM in {path}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    /// How it ended, if it did by itself.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    ///
    /// # Errors
    ///
    /// No shell to kill it with.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Makes it stand still with every connection open.
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

    /// Asks it to stop with SIGTERM and waits until it has: how it ended, and how long that took.
    ///
    /// # Errors
    ///
    /// It does not run, or does not end in time.
    pub async fn stop(&mut self, deadline: Duration) -> Result<(ExitStatus, Duration)> {
        let asked = Instant::now();
        let status = self
            .process
            .stop("TERM", deadline)
            .await?
            .context("the program is not running")?;
        Ok((status, asked.elapsed()))
    }
}

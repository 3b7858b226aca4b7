//! The backlog: a log that is written once and read by everybody from the same point.

mod mysql;
mod postgres;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

pub(crate) use mysql::MysqlBacklog;
pub(crate) use postgres::PostgresBacklog;

/// A database whose log holds a workload. Readers are told apart by a name.
pub(crate) trait Backlog {
    /// Lets a reader begin before the first row.
    ///
    /// # Errors
    /// The server refuses.
    async fn open(&self, reader: &str) -> Result<()>;

    /// Removes what a reader that has ended leaves on the server.
    ///
    /// # Errors
    /// The server refuses.
    async fn close(&self, reader: &str) -> Result<()>;

    /// The lines of adit's configuration that are about the database.
    fn source(&self, reader: &str) -> String;

    /// What the broker holds at the start of a run: nothing, or the store of one on which adit has begun.
    fn store(&self) -> Option<PathBuf>;

    /// The database's own program, to read all rows and end; what it cannot throw away it writes into `folder`.
    ///
    /// # Errors
    /// There is no such program.
    fn command(&self, reader: &str, folder: &Path) -> Result<Command>;

    /// The server's process that reads the log for a reader, if it runs.
    ///
    /// # Errors
    /// The server does not answer.
    async fn process(&self, reader: &str) -> Result<Option<u32>>;
}

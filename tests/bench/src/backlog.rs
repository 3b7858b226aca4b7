//! The backlog: a log that is written once and read by everybody from the same point.

use adit_lab::{Postgres, pg};
use anyhow::{Context, Result};

use crate::workload::Workload;

/// The publication of the table.
pub(crate) const PUBLICATION: &str = "bench";
/// The slot that all others are copies of.
const ORIGIN: &str = "origin";

/// A database whose log holds a workload.
pub(crate) struct Backlog {
    pub(crate) server: Postgres,
    pub(crate) rows: u64,
    /// A place of the log behind the last row.
    pub(crate) end: String,
}

impl Backlog {
    /// Writes a workload.
    ///
    /// # Errors
    /// The server cannot be had, or has no room.
    pub(crate) async fn write(version: pg::Version, workload: Workload, rows: u64) -> Result<Self> {
        let server = Postgres::builder(version)
            // Nothing but the readers is to be busy while something is measured.
            .conf("max_wal_size", "16GB")
            .conf("checkpoint_timeout", "1h")
            .conf("autovacuum", "off")
            .conf("synchronous_commit", "off")
            .start()
            .await?;
        let client = server.client("postgres").await?;
        client.batch_execute(&workload.create()).await?;
        client
            .batch_execute(&format!(
                "create publication {PUBLICATION} for table {}",
                crate::workload::TABLE
            ))
            .await?;
        client
            .query_one(
                &format!("select pg_create_logical_replication_slot('{ORIGIN}', 'pgoutput')::text"),
                &[],
            )
            .await?;
        client
            .batch_execute(&workload.fill(rows))
            .await
            .context("writing the backlog")?;
        let end = client
            .query_one("select pg_current_wal_insert_lsn()::text", &[])
            .await?
            .try_get(0)?;
        // Everything is on disk then, and the log goes on behind `end`.
        client.batch_execute("checkpoint").await?;
        Ok(Self { server, rows, end })
    }

    /// Makes a slot that starts before the first row.
    pub(crate) async fn slot(&self, name: &str) -> Result<()> {
        let sql = format!("select pg_copy_logical_replication_slot('{ORIGIN}', '{name}')::text");
        self.server
            .client("postgres")
            .await?
            .query_one(&sql, &[])
            .await
            .with_context(|| format!("making slot {name}"))?;
        Ok(())
    }

    /// Drops a slot that nobody uses any more.
    pub(crate) async fn drop_slot(&self, name: &str) -> Result<()> {
        self.server
            .exec(&format!("select pg_drop_replication_slot('{name}')"))
            .await
    }

    /// The server's process that reads the log for a slot, if there is one.
    pub(crate) async fn walsender(&self, slot: &str) -> Result<Option<u32>> {
        let sql = format!("select active_pid from pg_replication_slots where slot_name = '{slot}'");
        let row = self
            .server
            .client("postgres")
            .await?
            .query_one(&sql, &[])
            .await?;
        let pid: Option<i32> = row.try_get(0)?;
        Ok(pid.and_then(|pid| pid.try_into().ok()))
    }
}

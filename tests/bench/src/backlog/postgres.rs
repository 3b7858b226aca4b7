//! PostgreSQL: a slot is copied for each reader.

use std::path::{Path, PathBuf};
use std::process::Command;

use adit_lab::{Postgres, pg};
use anyhow::{Context, Result};

use super::Backlog;
use crate::database::Kind;
use crate::workload::{TABLE, Workload};

/// The publication of the table.
const PUBLICATION: &str = "bench";
/// The slot that all others are copies of.
const ORIGIN: &str = "origin";

/// A server of PostgreSQL.
pub(crate) struct PostgresBacklog {
    kind: Kind,
    server: Postgres,
    /// A place of the log behind the last row.
    end: String,
}

impl PostgresBacklog {
    /// Writes a workload.
    ///
    /// # Errors
    /// The server cannot be had, or has no room.
    pub(crate) async fn write(version: pg::Version, workload: Workload, rows: u64) -> Result<Self> {
        let kind = Kind::Postgres(version);
        let server = Postgres::builder(version)
            // Nothing but the readers is to be busy while something is measured.
            .conf("max_wal_size", "16GB")
            .conf("checkpoint_timeout", "1h")
            .conf("autovacuum", "off")
            .conf("synchronous_commit", "off")
            .start()
            .await?;
        let client = server.client("postgres").await?;
        client
            .batch_execute(&workload.create(kind.dialect()))
            .await?;
        client
            .batch_execute(&format!(
                "create publication {PUBLICATION} for table {TABLE}"
            ))
            .await?;
        client
            .query_one(
                &format!("select pg_create_logical_replication_slot('{ORIGIN}', 'pgoutput')::text"),
                &[],
            )
            .await?;
        client
            .batch_execute(&workload.fill(kind.dialect(), rows))
            .await
            .context("writing the backlog")?;
        let end = client
            .query_one("select pg_current_wal_insert_lsn()::text", &[])
            .await?
            .try_get(0)?;
        // Everything is on disk then, and the log goes on behind `end`.
        client.batch_execute("checkpoint").await?;
        Ok(Self { kind, server, end })
    }
}

impl Backlog for PostgresBacklog {
    async fn open(&self, slot: &str) -> Result<()> {
        let sql = format!("select pg_copy_logical_replication_slot('{ORIGIN}', '{slot}')::text");
        self.server
            .client("postgres")
            .await?
            .query_one(&sql, &[])
            .await
            .with_context(|| format!("making slot {slot}"))?;
        Ok(())
    }

    async fn close(&self, slot: &str) -> Result<()> {
        self.server
            .exec(&format!("select pg_drop_replication_slot('{slot}')"))
            .await
    }

    fn source(&self, slot: &str) -> String {
        format!(
            "source.url = \"{}\"
source.tables = [\"public.{TABLE}\"]
source.postgres.slot = \"{slot}\"
source.postgres.publication = \"{PUBLICATION}\"
snapshot.mode = \"never\"
",
            self.server.url("postgres")
        )
    }

    fn store(&self) -> Option<PathBuf> {
        None
    }

    fn command(&self, slot: &str, _: &Path) -> Result<Command> {
        let mut command = self.kind.reader()?;
        command
            .args(["--host", "127.0.0.1", "--username", "postgres"])
            .args(["--port", &self.server.port().to_string()])
            .args(["--dbname", "postgres", "--slot", slot])
            .args(["--start", "--no-loop", "--endpos", &self.end])
            .args(["-o", "proto_version=1"])
            .args(["-o", &format!("publication_names={PUBLICATION}")])
            .args(["--file", "/dev/null"]);
        Ok(command)
    }

    /// The walsender.
    async fn process(&self, slot: &str) -> Result<Option<u32>> {
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

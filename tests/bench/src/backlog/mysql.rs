//! MySQL and MariaDB: the server keeps nothing for a reader, so adit's checkpoint says where it begins. It is made once,
//! by an adit that starts on the empty table, and put back for each run.

use std::path::{Path, PathBuf};
use std::process::Command;

use adit_lab::{Mysql, Nats, mysql, nats};
use anyhow::{Context, Result};

use super::Backlog;
use crate::adit::Adit;
use crate::database::Kind;
use crate::dialect::Dialect;
use crate::workload::{TABLE, Workload};

/// A server of MySQL or MariaDB.
pub(crate) struct MysqlBacklog {
    kind: Kind,
    server: Mysql,
    /// Holds what adit stored before the first row; it does not run.
    origin: Nats,
    /// The file of the log that begins before the first row.
    first_file: String,
}

impl MysqlBacklog {
    /// Writes a workload, after `adit` has begun.
    ///
    /// # Errors
    /// A server cannot be had, or has no room; or adit fails.
    pub(crate) async fn write(
        version: mysql::Version,
        compressed: bool,
        workload: Workload,
        rows: u64,
        nats: nats::Version,
        adit: &Path,
        atomic: bool,
    ) -> Result<Self> {
        let kind = Kind::Mysql {
            version,
            compressed,
        };
        let dialect = kind.dialect();
        let mut server = settings(version, compressed).start().await?;
        let database = dialect.database();
        server.exec(&format!("create database {database}")).await?;
        server.exec_in(database, &workload.create(dialect)).await?;

        let mut origin = Nats::start(nats).await?;
        let mut adit = Adit::start(adit, &source(&server, dialect), &origin, atomic)?;
        // The first message is the table's shape.
        adit.until_stored(1).await?;
        adit.stop().await?;
        origin.stop().await?;

        // The rows come into a file of their own, unless they are too many for one.
        server.exec("flush binary logs").await?;
        let first_file = server.log_files()?.pop().context("the server has no log")?;
        server
            .exec_in(database, &workload.fill(dialect, rows))
            .await
            .context("writing the backlog")?;
        // Everything is on disk then.
        server.restart().await?;
        Ok(Self {
            kind,
            server,
            origin,
            first_file,
        })
    }
}

fn settings(version: mysql::Version, compressed: bool) -> mysql::Builder {
    let mut builder = Mysql::builder(version)
        // Writing does not wait for the disk.
        .conf("innodb_buffer_pool_size", "1G");
    let compression = if version.is_maria() {
        "log_bin_compress"
    } else {
        // As MySQL has it unless told otherwise: statements are not logged beside their rows.
        builder = builder.conf("binlog_rows_query_log_events", "OFF");
        "binlog_transaction_compression"
    };
    if compressed {
        builder = builder.conf(compression, "ON");
    }
    builder
}

/// What adit's configuration says of the database.
fn source(server: &Mysql, dialect: &dyn Dialect) -> String {
    format!(
        "source.url = \"{}?ssl-mode=disabled\"
source.tables = [\"{}.{TABLE}\"]
",
        server.url(dialect.database()),
        dialect.schema()
    )
}

impl Backlog for MysqlBacklog {
    async fn open(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn close(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn source(&self, _: &str) -> String {
        source(&self.server, self.kind.dialect())
    }

    fn store(&self) -> Option<PathBuf> {
        Some(self.origin.store())
    }

    fn command(&self, _: &str, folder: &Path) -> Result<Command> {
        let mut command = self.kind.reader()?;
        let without_tls = if self.server.version().is_maria() {
            "--skip-ssl"
        } else {
            "--ssl-mode=DISABLED"
        };
        command
            .args(["--no-defaults", "--read-from-remote-server", "--raw"])
            .args(["--protocol=TCP", "--host=127.0.0.1", without_tls])
            .arg(format!("--port={}", self.server.port()))
            .args(["--user=root", "--to-last-log"])
            .arg(format!("--result-file={}/", folder.display()))
            .arg(&self.first_file);
        Ok(command)
    }

    /// The server, which has a thread for each reader and nothing else to do.
    async fn process(&self, _: &str) -> Result<Option<u32>> {
        Ok(self.server.pid())
    }
}

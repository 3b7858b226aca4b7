//! A database of either kind, for tests that do not care which.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use adit_lab::workload::{Server, Witness};
use adit_lab::{Mysql, Postgres, mysql, pg};
use anyhow::{Result, bail};

/// Which database, and how it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PostgreSQL.
    Postgres(pg::Version),
    /// MySQL or MariaDB.
    Mysql {
        version: mysql::Version,
        /// Transactions are compressed in the log.
        compressed: bool,
        /// Places are known by coordinates, not by GTIDs.
        coordinates: bool,
    },
}

impl Kind {
    /// With GTIDs, and nothing compressed.
    pub(crate) const fn mysql(version: mysql::Version) -> Self {
        Self::Mysql {
            version,
            compressed: false,
            coordinates: false,
        }
    }
}

impl From<pg::Version> for Kind {
    fn from(version: pg::Version) -> Self {
        Self::Postgres(version)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(version) => write!(f, "postgres-{version}"),
            Self::Mysql {
                version,
                compressed,
                coordinates,
            } => {
                version.fmt(f)?;
                f.write_str(if *compressed { "+compressed" } else { "" })?;
                f.write_str(if *coordinates { "+coordinates" } else { "" })
            }
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    /// Reads `postgres-17` or `mysql-9.7+compressed+coordinates`.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(version) = text.strip_prefix("postgres-") {
            return Ok(Self::Postgres(version.parse()?));
        }
        let mut parts = text.split('+');
        let version = parts.next().unwrap_or_default().parse()?;
        let (mut compressed, mut coordinates) = (false, false);
        for part in parts {
            match part {
                "compressed" => compressed = true,
                "coordinates" => coordinates = true,
                other => bail!("{other:?} is neither compressed nor coordinates"),
            }
        }
        Ok(Self::Mysql {
            version,
            compressed,
            coordinates,
        })
    }
}

/// A server.
pub(crate) enum Database {
    Postgres(Box<Postgres>),
    Mysql(Box<Mysql>),
}

impl Database {
    /// Starts a server for the workload, with whoever lists its transactions.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Postgres(version) => {
                let server = Postgres::builder(version)
                    // Every transaction but the smallest is streamed while it is open.
                    .conf("logical_decoding_work_mem", "64kB")
                    .conf("wal_sender_timeout", "10s")
                    .start()
                    .await?;
                Witness::start(&server.client("postgres").await?).await?;
                Ok(Self::Postgres(Box::new(server)))
            }
            Kind::Mysql {
                version,
                compressed,
                coordinates,
            } => {
                // A new file now and then.
                let mut builder = Mysql::builder(version).conf("max_binlog_size", "4M");
                if compressed {
                    builder = match version.is_maria() {
                        true => builder.conf("log_bin_compress", "ON"),
                        false => builder.conf("binlog_transaction_compression", "ON"),
                    };
                }
                if coordinates && !version.is_maria() {
                    builder = builder
                        .conf("gtid_mode", "OFF")
                        .conf("enforce_gtid_consistency", "OFF");
                }
                Ok(Self::Mysql(Box::new(builder.start().await?)))
            }
        }
    }

    pub(crate) fn server(&self) -> Server<'_> {
        match self {
            Self::Postgres(server) => Server::Postgres(server),
            Self::Mysql(server) => Server::Mysql(server),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        match self {
            Self::Postgres(server) => server.addr(),
            Self::Mysql(server) => server.addr(),
        }
    }

    /// What a connector's configuration says of it, when it is reached at `addr`.
    pub(crate) fn source(&self, addr: SocketAddr, kind: Kind) -> String {
        match (self, kind) {
            (Self::Mysql(server), Kind::Mysql { coordinates, .. }) => format!(
                "url = \"{}://root@{addr}/shop\"\ntables = [\"shop.*\", \"Shop.eu.*\"]\n\
                 mysql = {{ gtid = \"{}\", heartbeat = \"1s\" }}\n",
                server.version().scheme(),
                if coordinates { "off" } else { "auto" },
            ),
            _ => format!(
                "url = \"postgres://postgres@{addr}/postgres\"\npostgres = {{ heartbeat = \"1s\" }}\n"
            ),
        }
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        match self {
            Self::Postgres(server) => server.kill().await,
            Self::Mysql(server) => server.kill().await,
        }
    }

    pub(crate) async fn restart(&mut self) -> Result<()> {
        match self {
            Self::Postgres(server) => server.restart().await,
            Self::Mysql(server) => server.restart().await,
        }
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        match self {
            Self::Postgres(server) => server.pause().await,
            Self::Mysql(server) => server.pause().await,
        }
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        match self {
            Self::Postgres(server) => server.resume().await,
            Self::Mysql(server) => server.resume().await,
        }
    }
}

//! Which database is measured, and by whom else its log can be read.

use std::fmt;
use std::process::Command;
use std::str::FromStr;

use adit_lab::{mysql, pg};
use anyhow::{Result, bail};

use crate::dialect::{Dialect, Mysql, Postgres};

/// A database by its version, and how it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres(pg::Version),
    /// MySQL or MariaDB.
    Mysql {
        version: mysql::Version,
        /// Transactions (MariaDB: rows) are compressed in the log.
        compressed: bool,
    },
}

impl Kind {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::Mysql { version, .. } if version.is_maria() => "MariaDB",
            Self::Mysql { .. } => "MySQL",
        }
    }

    /// How it says things.
    pub(crate) const fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Postgres(_) => &Postgres,
            Self::Mysql { version, .. } if version.is_maria() => &Mysql::MARIADB,
            Self::Mysql { .. } => &Mysql::MYSQL,
        }
    }

    /// Its own program that reads its log, and what becomes of what is read.
    pub(crate) const fn reader_name(self) -> &'static str {
        match self {
            Self::Postgres(_) => "pg_recvlogical to /dev/null",
            Self::Mysql { version, .. } if version.is_maria() => "mariadb-binlog to memory",
            Self::Mysql { .. } => "mysqlbinlog to memory",
        }
    }

    /// That program, without arguments.
    ///
    /// # Errors
    /// The lab cannot fetch it.
    pub(crate) fn reader(self) -> Result<Command> {
        match self {
            Self::Postgres(_) => Ok(Command::new("pg_recvlogical")),
            Self::Mysql { version, .. } => version.tool("mysqlbinlog"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(version) => write!(f, "postgres-{version}"),
            Self::Mysql {
                version,
                compressed,
            } => {
                version.fmt(f)?;
                f.write_str(if *compressed { "+compressed" } else { "" })
            }
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(version) = text.strip_prefix("postgres-") {
            return Ok(Self::Postgres(version.parse()?));
        }
        let (version, compressed) = match text.split_once('+') {
            None => (text, false),
            Some((version, "compressed")) => (version, true),
            Some((_, other)) => bail!("a log is compressed or not, but not {other:?}"),
        };
        Ok(Self::Mysql {
            version: version.parse()?,
            compressed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for name in ["postgres-17", "mysql-9.7", "mariadb-11.8+compressed"] {
            assert_eq!(name.parse::<Kind>().unwrap().to_string(), name);
        }
        for name in ["postgres", "17", "mysql-9.7+large"] {
            name.parse::<Kind>().unwrap_err();
        }
    }
}

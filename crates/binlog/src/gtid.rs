//! Global transaction identifiers, of which the two families have different kinds.

mod mariadb;
mod mysql;

use std::fmt;

pub use mariadb::{MariaGtid, MariaPosition};
pub(crate) use mysql::tag;
pub use mysql::{GtidSet, MysqlGtid, Tag, Uuid};

/// What names a transaction in the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gtid {
    /// MySQL's.
    Mysql(MysqlGtid),
    /// MariaDB's.
    Mariadb(MariaGtid),
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(gtid) => gtid.fmt(f),
            Self::Mariadb(gtid) => gtid.fmt(f),
        }
    }
}

/// Text that is not a GTID, or not a set of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a gtid or a set of them")]
pub struct GtidError {
    text: String,
}

impl GtidError {
    /// The text is cut: a set may be long.
    fn new(text: &str) -> Self {
        Self {
            text: text.chars().take(100).collect(),
        }
    }
}

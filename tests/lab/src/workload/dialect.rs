//! What differs between the databases that are written to.

use super::mysql;
use super::table::{self, Table};

/// A column that tables have for a while and that is always null. Writers do not see it.
pub(crate) const EXTRA: &str = "extra";

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL, and MariaDB.
    Mysql,
}

impl Dialect {
    /// The tables that the writers write to.
    #[must_use]
    pub const fn tables(self) -> &'static [Table] {
        match self {
            Self::Postgres => &table::TABLES,
            Self::Mysql => &mysql::TABLES,
        }
    }

    /// Where writers note what they committed.
    #[must_use]
    pub const fn ledger(self) -> &'static Table {
        match self {
            Self::Postgres => &table::LEDGER,
            Self::Mysql => &mysql::LEDGER,
        }
    }

    /// Makes the tables.
    pub(super) const fn ddl(self) -> &'static str {
        match self {
            Self::Postgres => table::DDL,
            Self::Mysql => mysql::DDL,
        }
    }

    /// Where truncating is a statement like others, and not a transaction of its own.
    pub(super) const fn truncates_in_transactions(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// The session's database of all statements.
    pub(super) const fn database(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "shop",
        }
    }

    /// The query that gives a table's rows as JSON text, with the values as events have them.
    #[must_use]
    pub fn rows_as_json(self, table: &Table) -> String {
        let columns = table.columns.iter();
        let pairs: Vec<_> = columns
            .map(|(name, sql)| format!("'{}', {sql}", name.replace('\'', "''")))
            .collect();
        let pairs = pairs.join(", ");
        match self {
            Self::Postgres => format!(
                "select jsonb_build_object({pairs})::text from {}",
                table.sql
            ),
            Self::Mysql => format!(
                "select cast(json_object({pairs}) as char) from {}",
                table.sql
            ),
        }
    }

    /// Settings in which the values look as events have them.
    pub(crate) const fn reading(self) -> &'static str {
        match self {
            Self::Postgres => "set intervalstyle = 'iso_8601'; set timezone = 'America/Caracas'",
            Self::Mysql => "set time_zone = '+00:00', sql_mode = ''",
        }
    }

    /// Statements that alter a table and leave its columns as they are.
    pub(super) fn touch(self, table: &Table, salt: i64) -> Vec<String> {
        match self {
            Self::Postgres => Vec::new(),
            Self::Mysql => vec![
                format!("alter table {} comment '{salt}'", table.sql),
                format!("analyze table {}", table.sql),
            ],
        }
    }

    /// A statement that gives a table the column [`EXTRA`], or takes it away.
    pub(super) fn reshape(self, table: &Table, add: bool) -> Option<String> {
        match self {
            Self::Postgres => None,
            Self::Mysql if add => Some(format!(
                "alter table {} add column {EXTRA} int invisible {}",
                table.sql,
                if table.key.is_empty() { "" } else { "first" }
            )),
            Self::Mysql => Some(format!("alter table {} drop column {EXTRA}", table.sql)),
        }
    }
}

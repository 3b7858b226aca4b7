//! What databases say differently: types and statements, rows and places in the log.

mod mysql;
mod postgres;

use adit_event::{Cell, Connector, PositionSpace, Relation, RowBuilder};
use anyhow::Result;

use crate::workload::Filler;

pub(crate) use mysql::Mysql;
pub(crate) use postgres::Postgres;

/// The types that every database has a value of, in this order: an integer, a short text, a decimal, a longer text, a
/// point in time.
pub(crate) const VALUES: usize = 5;

/// A type and a value of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) sql: &'static str,
    /// The value between the quotes of a statement.
    pub(crate) text: &'static str,
    /// The value as the log has it.
    pub(crate) cell: Cell<'static>,
}

/// How a database says things.
pub(crate) trait Dialect: Sync {
    /// What events call it.
    fn connector(&self) -> Connector;

    /// The database that is connected to.
    fn database(&self) -> &'static str;

    /// Where the table is: a schema of PostgreSQL, a database of MySQL.
    fn schema(&self) -> &'static str;

    fn values(&self) -> [Value; VALUES];

    /// The statements that write rows from 1 to `rows`, in one transaction or each in its own; `literals` are for the
    /// columns behind the key.
    fn fill(&self, literals: &str, rows: u64, one_transaction: bool) -> String;

    /// The table as adit knows it, with the key `id`.
    ///
    /// # Errors
    /// A type is not known.
    fn relation(&self, fillers: &[Filler]) -> Result<Relation>;

    /// Adds the cell of the key.
    fn key(&self, id: u64, row: &mut RowBuilder<'_>);

    /// The id and the positions of a transaction, counted from 0.
    fn transaction(&self, index: u64) -> (String, PositionSpace);
}

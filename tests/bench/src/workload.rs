//! What the database is filled with.

use std::fmt;

use clap::ValueEnum;

use crate::dialect::{Dialect, VALUES, Value};

/// The table that is written to.
pub(crate) const TABLE: &str = "orders";
/// Its columns behind the key `id`.
const NAMES: [&str; VALUES] = ["customer_id", "status", "total", "note", "placed_at"];
/// How often a wide row has all of them.
const WIDE: usize = 6;

/// What the database is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One transaction of many rows
    Transaction,
    /// Many transactions of one row
    Small,
    /// One transaction of rows with 31 columns
    Wide,
}

/// A column behind the key, and what each row has there.
pub(crate) struct Filler {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Workload {
    /// How many rows, unless the user says otherwise.
    pub(crate) const fn rows(self) -> u64 {
        match self {
            Self::Transaction => 1_000_000,
            Self::Small | Self::Wide => 200_000,
        }
    }

    /// Whether all rows are one transaction.
    pub(crate) const fn is_one_transaction(self) -> bool {
        !matches!(self, Self::Small)
    }

    /// The statement that creates the table.
    pub(crate) fn create(self, dialect: &dyn Dialect) -> String {
        let fillers = self.fillers(dialect);
        let columns: Vec<String> = fillers
            .iter()
            .map(|filler| format!(", {} {} not null", filler.name, filler.value.sql))
            .collect();
        format!(
            "create table {TABLE} (id bigint primary key{})",
            columns.concat()
        )
    }

    /// The statements that write the rows.
    pub(crate) fn fill(self, dialect: &dyn Dialect, rows: u64) -> String {
        let fillers = self.fillers(dialect);
        let literals: Vec<String> = fillers
            .iter()
            .map(|filler| format!("'{}'", filler.value.text))
            .collect();
        dialect.fill(&literals.join(", "), rows, self.is_one_transaction())
    }

    /// The columns behind the key.
    pub(crate) fn fillers(self, dialect: &dyn Dialect) -> Vec<Filler> {
        let times = if self == Self::Wide { WIDE } else { 1 };
        let once = |time| {
            let name = move |name: &str| match time {
                0 => name.to_owned(),
                _ => format!("{name}_{time}"),
            };
            let values = NAMES.into_iter().zip(dialect.values());
            values.map(move |(column, value)| Filler {
                name: name(column),
                value,
            })
        };
        (0..times).flat_map(once).collect()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transaction => "transaction",
            Self::Small => "small",
            Self::Wide => "wide",
        })
    }
}

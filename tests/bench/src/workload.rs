//! What is written, and the same as events in memory.

use std::fmt;
use std::sync::Arc;

use adit_event::{Change, Column, Op, Relation, Row, RowBuilder};
use adit_pgoutput::types::{builtin, column_type};
use anyhow::{Context, Result};
use bytes::BytesMut;
use clap::ValueEnum;

/// The table that is written to.
pub(crate) const TABLE: &str = "orders";

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

/// A column besides the key: its name, its type, the type's OID and modifier, and what each row has there.
struct Filler {
    name: String,
    sql: &'static str,
    oid: u32,
    typmod: i32,
    text: &'static str,
}

/// Type, OID, modifier and text as `pgoutput` sends it.
const FILLERS: [(&str, &str, u32, i32, &str); 5] = [
    ("customer_id", "int", 23, -1, "48151"),
    ("status", "text", 25, -1, "paid"),
    ("total", "numeric(10,2)", 1700, (10 << 16) + 2 + 4, "119.90"),
    (
        "note",
        "text",
        25,
        -1,
        "leave it with the neighbours at number seven",
    ),
    (
        "placed_at",
        "timestamptz",
        1184,
        -1,
        "2026-11-23 13:37:00.123456+00",
    ),
];
/// How often a wide row has all of them.
const WIDE: usize = 6;

impl Workload {
    /// How many rows, unless the user says otherwise.
    pub(crate) const fn rows(self) -> u64 {
        match self {
            Self::Transaction => 1_000_000,
            Self::Small | Self::Wide => 200_000,
        }
    }

    /// Whether all rows are one transaction.
    const fn is_one_transaction(self) -> bool {
        !matches!(self, Self::Small)
    }

    /// The statement that creates the table.
    pub(crate) fn create(self) -> String {
        let columns: Vec<String> = self
            .fillers()
            .map(|filler| format!(", {} {} not null", filler.name, filler.sql))
            .collect();
        format!(
            "create table {TABLE} (id bigint primary key{})",
            columns.concat()
        )
    }

    /// The statement that writes the backlog.
    pub(crate) fn fill(self, rows: u64) -> String {
        let cells: Vec<String> = self
            .fillers()
            .map(|filler| format!("'{}'::{}", filler.text, filler.sql))
            .collect();
        let cells = cells.join(", ");
        if self.is_one_transaction() {
            format!("insert into {TABLE} select i, {cells} from generate_series(1, {rows}) as i")
        } else {
            format!(
                "do $$ begin for i in 1..{rows} loop insert into {TABLE} values (i, {cells}); commit; end loop; end $$"
            )
        }
    }

    fn fillers(self) -> impl Iterator<Item = Filler> {
        let times = if self == Self::Wide { WIDE } else { 1 };
        (0..times).flat_map(move |time| {
            FILLERS
                .into_iter()
                .map(move |(name, sql, oid, typmod, text)| Filler {
                    name: match time {
                        0 => name.to_owned(),
                        _ => format!("{name}_{time}"),
                    },
                    sql,
                    oid,
                    typmod,
                    text,
                })
        })
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

/// Makes the changes that a workload's rows are.
pub(crate) struct Changes {
    relation: Arc<Relation>,
    fillers: Vec<Filler>,
    buffer: BytesMut,
    one_transaction: bool,
}

/// One change, with its transaction's number (from 0) and whether it is its last.
pub(crate) struct Made {
    pub(crate) change: Change,
    pub(crate) transaction: u64,
    pub(crate) last: bool,
}

impl Changes {
    pub(crate) fn new(workload: Workload) -> Result<Self> {
        let fillers: Vec<Filler> = workload.fillers().collect();
        let mut columns = vec![column("id", "bigint", 20, -1, Some(0))?];
        for filler in &fillers {
            columns.push(column(
                &filler.name,
                filler.sql,
                filler.oid,
                filler.typmod,
                None,
            )?);
        }
        Ok(Self {
            relation: Arc::new(Relation::new(
                "public".to_owned(),
                TABLE.to_owned(),
                columns,
            )),
            fillers,
            buffer: BytesMut::new(),
            one_transaction: workload.is_one_transaction(),
        })
    }

    /// The change of row `id`, counted from 1, of `rows`.
    pub(crate) fn make(&mut self, id: u64, rows: u64) -> Result<Made> {
        let mut row = RowBuilder::new(&mut self.buffer, u16::try_from(self.fillers.len() + 1)?);
        row.text(id.to_string().as_bytes());
        for filler in &self.fillers {
            row.text(filler.text.as_bytes());
        }
        let index = id - 1;
        let (transaction, ordinal) = if self.one_transaction {
            (0, index)
        } else {
            (index, 0)
        };
        Ok(Made {
            change: Change {
                relation: Arc::clone(&self.relation),
                op: Op::Insert,
                before: None,
                after: Some(Row::new(self.buffer.split().freeze())),
                ordinal,
            },
            transaction,
            last: !self.one_transaction || id == rows,
        })
    }
}

fn column(name: &str, sql: &str, oid: u32, typmod: i32, key: Option<u16>) -> Result<Column> {
    let info = builtin(oid).with_context(|| format!("{sql} is not built in"))?;
    let kind = column_type(&info, typmod);
    Ok(Column {
        name: name.to_owned(),
        type_name: sql.to_owned(),
        logical: kind.logical,
        nullable: false,
        key,
        identity: key.is_some(),
        labels: kind.labels,
        precision: kind.precision,
        scale: kind.scale,
        format: kind.format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_memory_has_the_columns_of_the_table() {
        for workload in [Workload::Transaction, Workload::Small, Workload::Wide] {
            let made = Changes::new(workload).unwrap().make(7, 7).unwrap();
            let cells = made.change.after.unwrap().cells().count();
            assert_eq!(cells, made.change.relation.columns().len(), "{workload}");
            assert_eq!(cells, workload.create().matches(" not null").count() + 1);
            assert!(made.last);
        }
    }
}

//! A workload's rows in memory, as a decoder hands them over.

use std::sync::Arc;

use adit_event::{Cell, Change, Op, Relation, Row, RowBuilder};
use anyhow::{Result, bail};
use bytes::BytesMut;

use crate::dialect::Dialect;
use crate::workload::{Filler, Workload};

/// Makes the changes that a workload's rows are.
pub(crate) struct Changes {
    dialect: &'static dyn Dialect,
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
    pub(crate) fn new(workload: Workload, dialect: &'static dyn Dialect) -> Result<Self> {
        let fillers = workload.fillers(dialect);
        Ok(Self {
            dialect,
            relation: Arc::new(dialect.relation(&fillers)?),
            fillers,
            buffer: BytesMut::new(),
            one_transaction: workload.is_one_transaction(),
        })
    }

    /// The change of row `id`, counted from 1, of `rows`.
    pub(crate) fn make(&mut self, id: u64, rows: u64) -> Result<Made> {
        let mut row = RowBuilder::new(&mut self.buffer, u16::try_from(self.fillers.len() + 1)?);
        self.dialect.key(id, &mut row);
        for filler in &self.fillers {
            match filler.value.cell {
                Cell::Text(cell) => row.text(cell),
                Cell::Binary(cell) => row.binary(cell),
                other => bail!("{other:?} is no value"),
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Mysql, Postgres};

    #[test]
    fn a_row_in_memory_has_the_columns_of_the_table() {
        let dialects: [&dyn Dialect; 3] = [&Postgres, &Mysql::MYSQL, &Mysql::MARIADB];
        for dialect in dialects {
            for workload in [Workload::Transaction, Workload::Small, Workload::Wide] {
                let made = Changes::new(workload, dialect).unwrap().make(7, 7).unwrap();
                let cells = made.change.after.unwrap().cells().count();
                assert_eq!(cells, made.change.relation.columns().len(), "{workload}");
                assert_eq!(
                    cells,
                    workload.create(dialect).matches(" not null").count() + 1
                );
                assert!(made.last);
            }
        }
    }
}

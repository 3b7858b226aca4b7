//! The published contract: one JSON object for each event, its fields in a fixed order.
//!
//! This is the only module that knows how an event looks on the wire. A change of what it writes is
//! a change of the contract: golden tests hold it.

use std::collections::HashMap;

use crate::change::{Before, Change, Event, EventKind, Op, Transaction};
use crate::position::Position;
use crate::relation::{Column, Relation};
use crate::row::{Cell, Row};
use crate::source::SourceMeta;
use crate::time::Timestamp;
use crate::value::{ValueError, ValueOptions, ValueWriter, escape};

/// Prepared relations kept at once. A connector has a few thousand tables at most; beyond this the
/// cache starts afresh, which costs one preparation for each table.
const PREPARED_MAX: usize = 10_000;

/// An event that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A cell is not of its column's type.
    #[error("column {column:?} ({type_name}) of table {table}, event {position}")]
    Value {
        /// The table with its schema, both quoted.
        table: String,
        /// The column.
        column: String,
        /// The column's type as the database prints it.
        type_name: String,
        /// Which event.
        position: String,
        /// What is wrong with the cell.
        #[source]
        source: Box<ValueError>,
    },
    /// A row has more or fewer cells than its relation has columns.
    #[error(
        "a row of table {table} has {cells} cells where {columns} columns are known, event {position}"
    )]
    CellCount {
        /// The table with its schema, both quoted.
        table: String,
        /// Cells in the row.
        cells: usize,
        /// Columns of the relation.
        columns: usize,
        /// Which event.
        position: String,
    },
}

/// Writes the events of one connector in the format `adit`.
///
/// Everything that is the same for all events of a table, a transaction or a connector is prepared
/// once; a row costs its values and some copies.
#[derive(Debug)]
pub struct Encoder {
    options: ValueOptions,
    /// `},"source":{"connector":…,"pos":"`, which follows the `tx` object's fields.
    source: Vec<u8>,
    prepared: HashMap<u64, Prepared>,
    read_time: (Timestamp, [u8; 27]),
    commit_time: (Timestamp, [u8; 27]),
}

/// The `tx.id` in an event that [`Encoder::write`] wrote; none if it is not part of a transaction.
#[must_use]
pub fn transaction_id(body: &[u8]) -> Option<&str> {
    // Behind it come names only, in which quotes are escaped: the last one is the envelope's own.
    const HEAD: &str = ",\"tx\":{\"id\":\"";
    let body = str::from_utf8(body).ok()?;
    let (_, rest) = body.rsplit_once(HEAD)?;
    let (id, _) = rest.split_once('"')?;
    // No database's own name for a transaction needs to be escaped.
    (!id.contains('\\')).then_some(id)
}

/// The constant text of one relation.
#[derive(Debug)]
struct Prepared {
    /// `"schema":…,"table":…,"key":`
    head: Vec<u8>,
    /// `"name":` of each column.
    names: Vec<Vec<u8>>,
}

impl Encoder {
    /// An encoder for the events of one connector.
    #[must_use]
    pub fn new(meta: &SourceMeta, options: ValueOptions) -> Self {
        let mut source = b",\"source\":{\"connector\":".to_vec();
        string(&meta.connector, &mut source);
        source.extend_from_slice(b",\"kind\":");
        string(meta.kind.as_str(), &mut source);
        source.extend_from_slice(b",\"db\":");
        string(&meta.database, &mut source);
        source.extend_from_slice(b",\"pos\":\"");
        let epoch = (Timestamp::default(), Timestamp::default().rfc3339());
        Self {
            options,
            source,
            prepared: HashMap::new(),
            read_time: epoch,
            commit_time: epoch,
        }
    }

    /// Appends one event to `out`.
    ///
    /// # Errors
    /// When a row does not fit its relation; `out` then ends in part of an event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match event.kind {
            EventKind::Change {
                change,
                transaction,
                last,
            } => {
                self.change(event, change, out)?;
                self.transaction(change, transaction, last, out);
                self.source(event, transaction.snapshot, out);
            }
            EventKind::Schema {
                relation,
                resnapshot,
            } => {
                schema(relation, resnapshot, out);
                self.source(event, false, out);
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        event: &Event<'_>,
        change: &Change,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let relation = &*change.relation;
        if self.prepared.len() >= PREPARED_MAX && !self.prepared.contains_key(&relation.id()) {
            self.prepared.clear();
        }
        let prepared = self
            .prepared
            .entry(relation.id())
            .or_insert_with(|| Prepared::new(relation));
        let writer = RowWriter {
            relation,
            prepared,
            options: self.options,
            position: event.position,
        };

        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(change.op.as_str().as_bytes());
        out.extend_from_slice(b"\",");
        out.extend_from_slice(&prepared.head);
        let before = change.before.as_ref();
        match change.op {
            Op::Delete => writer.key(before.map(Before::row), None, out)?,
            Op::Truncate => out.extend_from_slice(b"null"),
            Op::Insert | Op::Update | Op::Read => {
                writer.key(change.after.as_ref(), before.map(Before::row), out)?;
            }
        }
        out.extend_from_slice(b",\"before\":");
        match before {
            None => out.extend_from_slice(b"null"),
            Some(Before::Full(row)) => writer.row(row, None, |_| true, out)?,
            Some(Before::Key(row)) => writer.row(row, None, |column| column.identity, out)?,
        }
        out.extend_from_slice(b",\"after\":");
        match &change.after {
            None => out.extend_from_slice(b"null"),
            Some(row) => {
                let old = match before {
                    Some(Before::Full(old)) => Some(old),
                    Some(Before::Key(_)) | None => None,
                };
                writer.row(row, old, |_| true, out)?;
                writer.absent(row, old, out);
            }
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        change: &Change,
        transaction: &Transaction,
        last: bool,
        out: &mut Vec<u8>,
    ) {
        if self.commit_time.0 != transaction.commit_time {
            self.commit_time = (transaction.commit_time, transaction.commit_time.rfc3339());
        }
        out.extend_from_slice(b",\"tx\":{\"id\":");
        string(&transaction.id, out);
        out.extend_from_slice(b",\"seq\":");
        out.extend_from_slice(itoa::Buffer::new().format(change.ordinal).as_bytes());
        if last {
            out.extend_from_slice(b",\"last\":true");
        }
        out.extend_from_slice(b",\"ts\":\"");
        out.extend_from_slice(&self.commit_time.1);
        out.extend_from_slice(b"\"}");
    }

    fn source(&mut self, event: &Event<'_>, snapshot: bool, out: &mut Vec<u8>) {
        if self.read_time.0 != event.read_time {
            self.read_time = (event.read_time, event.read_time.rfc3339());
        }
        out.extend_from_slice(&self.source);
        out.extend_from_slice(event.position.as_bytes());
        out.extend_from_slice(if snapshot {
            b"\",\"snapshot\":true},\"ts\":\"".as_slice()
        } else {
            b"\"},\"ts\":\"".as_slice()
        });
        out.extend_from_slice(&self.read_time.1);
        out.extend_from_slice(b"\"}");
    }
}

impl Prepared {
    fn new(relation: &Relation) -> Self {
        let mut head = Vec::new();
        names_of(relation, &mut head);
        head.extend_from_slice(b",\"key\":");
        let names = relation.columns().iter().map(|column| {
            let mut name = Vec::with_capacity(column.name.len() + 3);
            string(&column.name, &mut name);
            name.push(b':');
            name
        });
        Self {
            head,
            names: names.collect(),
        }
    }
}

/// Writes the row images of one change.
struct RowWriter<'a> {
    relation: &'a Relation,
    prepared: &'a Prepared,
    options: ValueOptions,
    position: &'a Position,
}

impl RowWriter<'_> {
    /// The whole row as an object: `old` fills in what `row` leaves out.
    fn row(
        &self,
        row: &Row,
        old: Option<&Row>,
        wanted: impl Fn(&Column) -> bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut cells = row.cells();
        let mut old_cells = old.map(Row::cells);
        let mut count = 0;
        out.push(b'{');
        let first = out.len();
        for ((column, name), cell) in self
            .relation
            .columns()
            .iter()
            .zip(&self.prepared.names)
            .zip(&mut cells)
        {
            count += 1;
            let old_cell = old_cells.as_mut().and_then(Iterator::next);
            if wanted(column)
                && let Some(cell) = logged(cell, old_cell)
            {
                if out.len() > first {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                self.value(column, cell, out)?;
            }
        }
        let columns = self.relation.columns().len();
        let cells = count + cells.count();
        if cells != columns {
            return Err(EncodeError::CellCount {
                table: self.table(),
                cells,
                columns,
                position: self.position.to_string(),
            });
        }
        out.push(b'}');
        Ok(())
    }

    /// The key's columns as an object, or null where there is no key or no row.
    fn key(
        &self,
        row: Option<&Row>,
        old: Option<&Row>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let (Some(row), false) = (row, self.relation.key().is_empty()) else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        out.push(b'{');
        let first = out.len();
        for &index in self.relation.key() {
            let cell = row.cells().nth(index).unwrap_or(Cell::Absent);
            let old_cell = old.and_then(|old| old.cells().nth(index));
            let (Some(column), Some(name), Some(cell)) = (
                self.relation.columns().get(index),
                self.prepared.names.get(index),
                logged(cell, old_cell),
            ) else {
                continue;
            };
            if out.len() > first {
                out.push(b',');
            }
            out.extend_from_slice(name);
            self.value(column, cell, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// `,"absent":[…]` where some columns of the new row were not logged.
    fn absent(&self, row: &Row, old: Option<&Row>, out: &mut Vec<u8>) {
        let mut old_cells = old.map(Row::cells);
        let mut opened = false;
        for (column, cell) in self.relation.columns().iter().zip(row.cells()) {
            if logged(cell, old_cells.as_mut().and_then(Iterator::next)).is_none() {
                out.extend_from_slice(if opened {
                    b",".as_slice()
                } else {
                    b",\"absent\":["
                });
                opened = true;
                string(&column.name, out);
            }
        }
        if opened {
            out.push(b']');
        }
    }

    fn value(&self, column: &Column, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut writer = ValueWriter::new(out, self.options);
        let written = match cell {
            Cell::Text(text) => column.format.write_text(text, &mut writer),
            Cell::Binary(binary) => column.format.write_binary(binary, &mut writer),
            Cell::Null | Cell::Unchanged | Cell::Absent => {
                writer.null();
                Ok(())
            }
        };
        written.map_err(|source| EncodeError::Value {
            table: self.table(),
            column: column.name.clone(),
            type_name: column.type_name.clone(),
            position: self.position.to_string(),
            source: Box::new(source),
        })
    }

    fn table(&self) -> String {
        format!("{:?}.{:?}", self.relation.schema(), self.relation.table())
    }
}

/// The cell, or the old one where the new one was not logged.
fn logged<'a>(cell: Cell<'a>, old: Option<Cell<'a>>) -> Option<Cell<'a>> {
    match cell {
        Cell::Null | Cell::Text(_) | Cell::Binary(_) => Some(cell),
        Cell::Unchanged | Cell::Absent => {
            old.filter(|old| !matches!(old, Cell::Unchanged | Cell::Absent))
        }
    }
}

/// A table's shape, up to its `source`.
fn schema(relation: &Relation, resnapshot: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"op\":\"schema\",");
    names_of(relation, out);
    out.extend_from_slice(b",\"columns\":[");
    for (index, column) in relation.columns().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        string(&column.name, out);
        out.extend_from_slice(b",\"type\":");
        string(&column.type_name, out);
        out.extend_from_slice(b",\"logical\":");
        string(column.logical.name(), out);
        out.extend_from_slice(if column.nullable {
            b",\"nullable\":true".as_slice()
        } else {
            b",\"nullable\":false".as_slice()
        });
        optional_number(b",\"key\":", column.key.map(i64::from), out);
        optional_number(b",\"precision\":", column.precision.map(i64::from), out);
        optional_number(b",\"scale\":", column.scale.map(i64::from), out);
        if !column.labels.is_empty() {
            out.extend_from_slice(b",\"labels\":");
            for (index, label) in column.labels.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                string(label, out);
            }
            out.push(b']');
        }
        out.push(b'}');
    }
    out.push(b']');
    if resnapshot {
        out.extend_from_slice(b",\"resnapshot\":true");
    }
}

fn names_of(relation: &Relation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"schema\":");
    string(relation.schema(), out);
    out.extend_from_slice(b",\"table\":");
    string(relation.table(), out);
}

fn optional_number(name: &[u8], value: Option<i64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests;

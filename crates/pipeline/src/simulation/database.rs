//! The database: a log of transactions, which it throws away behind what was confirmed to it.

use std::collections::HashMap;
use std::sync::Arc;

use adit_event::{
    CellFormat, Change, Column, Logical, Op, PositionSpace, Relation, Row, Timestamp, Transaction,
    ValueError, ValueWriter,
};
use bytes::Bytes;

use super::Lot;
use super::broker::Broker;
use crate::planted::{Bug, is_planted};
use crate::source::{Item, Stored};

const TRANSACTIONS: u64 = 40;
const TABLES: u64 = 4;
/// Events of this table are published or not, as the filter of the process says.
pub(super) const FILTERED: u64 = TABLES - 1;

/// A row's change.
#[derive(Debug, Clone, Copy)]
struct Written {
    table: u64,
    shape: u64,
}

#[derive(Debug)]
struct Committed {
    changes: Vec<Written>,
    /// It is rows that a snapshot reads, and notes are taken between them.
    snapshot: bool,
    /// The source's notes in front of it.
    notes: u64,
}

#[derive(Debug)]
pub(super) struct Database {
    log: Vec<Committed>,
    relations: HashMap<(u64, u64), Arc<Relation>>,
    /// The log in front of this transaction is gone.
    confirmed: usize,
    /// The process that reads: there is one slot, and whoever read before is not heard any more.
    reader: u64,
}

#[derive(Debug)]
struct Text;

impl CellFormat for Text {
    fn write_text(&self, _: &[u8], _: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        Ok(())
    }
}

/// A table's shape: that many columns.
fn relation(table: u64, shape: u64) -> Arc<Relation> {
    let column = |index: u64| Column {
        name: index.to_string(),
        type_name: String::new(),
        logical: Logical::Text,
        nullable: true,
        key: None,
        identity: false,
        labels: Vec::new(),
        precision: None,
        scale: None,
        format: Arc::new(Text),
    };
    let columns = (0..=shape).map(column).collect();
    Arc::new(Relation::new("s".into(), table.to_string(), columns))
}

/// Which event it is, whatever its position says: transaction and index.
pub(super) fn identity(change: &Change) -> (u64, u64) {
    let cells = change.after.as_ref().expect("it was put there").cells();
    let mut numbers = cells.map(|cell| match cell {
        adit_event::Cell::Binary(bytes) => u64::from_be_bytes(bytes.try_into().expect("8 bytes")),
        _ => unreachable!("only numbers are put there"),
    });
    let transaction = numbers.next().expect("it was put there");
    (transaction, numbers.next().expect("it was put there"))
}

fn row(transaction: u64, index: u64) -> Row {
    let mut data = vec![0, 2];
    for number in [transaction, index] {
        data.extend_from_slice(b"b\0\0\0\x08");
        data.extend_from_slice(&number.to_be_bytes());
    }
    Row::new(Bytes::from(data))
}

impl Database {
    pub(super) fn new(lot: &mut Lot) -> Self {
        let (mut notes, mut shapes) = (0, [0; TABLES as usize]);
        let mut log = Vec::new();
        for _ in 0..TRANSACTIONS {
            let count = if lot.once_in(6) { 30 } else { lot.below(5) };
            let changes = (0..count).map(|_| {
                let table = lot.below(TABLES);
                let shape = &mut shapes[table as usize];
                *shape += u64::from(lot.once_in(12));
                Written {
                    table,
                    shape: *shape,
                }
            });
            let changes = changes.collect();
            notes += u64::from(lot.once_in(5));
            log.push(Committed {
                changes,
                snapshot: lot.once_in(6),
                notes,
            });
        }
        Self {
            log,
            relations: HashMap::new(),
            confirmed: 0,
            reader: 0,
        }
    }

    pub(super) fn relation(&mut self, table: u64, shape: u64) -> Arc<Relation> {
        let made = self.relations.entry((table, shape));
        Arc::clone(made.or_insert_with(|| relation(table, shape)))
    }

    /// The events that must be in the stream, each once, in this order.
    pub(super) fn expected(&self) -> impl Iterator<Item = (u64, u64)> {
        let transactions = (0..).zip(&self.log);
        transactions.flat_map(|(transaction, committed)| {
            let changes = (0..).zip(&committed.changes);
            let kept = changes.filter(|(_, written)| written.table != FILTERED);
            kept.map(move |(index, _)| (transaction, index))
        })
    }

    pub(super) fn shape_of(&self, (transaction, index): (u64, u64)) -> (u64, u64) {
        let written = self.log[transaction as usize].changes[index as usize];
        (written.table, written.shape)
    }

    /// The notes that a process must have stored before an event gets its number: those of the log, and how far a snapshot is read.
    pub(super) fn notes_of(&self, (transaction, index): (u64, u64)) -> (u64, u64) {
        let committed = &self.log[transaction as usize];
        let read = if committed.snapshot { index / 3 * 3 } else { 0 };
        (committed.notes, read)
    }

    /// A place is confirmed: everything in front of it must be in the stream, and noted.
    pub(super) fn confirm(&mut self, process: u64, resume: &str, broker: &Broker) {
        if process != self.reader {
            return;
        }
        let resume: usize = resume.parse().expect("a place that the source gave");
        for event in self.expected().take_while(|event| event.0 < resume as u64) {
            assert!(broker.has(event), "{event:?} is confirmed and not stored");
        }
        let noted = broker
            .checkpoint
            .as_ref()
            .expect("confirmed without a checkpoint");
        let noted: usize = noted.resume.parse().expect("a place that the source gave");
        assert!(
            resume <= noted,
            "{resume} is confirmed, and {noted} is noted"
        );
        self.confirmed = self.confirmed.max(resume);
    }
}

/// Reads the log from a place on.
#[derive(Debug)]
pub(super) struct Reader {
    items: std::vec::IntoIter<Item>,
    next: usize,
    /// Rows of the next snapshot in front of this one are read.
    read: u64,
    /// Whether the filter keeps what need not be kept.
    keeps: bool,
    shapes: HashMap<u64, u64>,
}

impl Reader {
    pub(super) fn start(
        stored: Option<&Stored>,
        process: u64,
        keeps: bool,
        database: &mut Database,
    ) -> Self {
        database.reader = process;
        let next: usize = stored.map_or(0, |stored| stored.resume.parse().expect("a place"));
        assert!(
            next >= database.confirmed,
            "the log in front of {} is gone, and {next} is asked for",
            database.confirmed
        );
        let read = stored.and_then(|stored| stored.state.split_once('.'));
        let read = read.map_or(0, |(_, read)| read.parse().expect("a number of rows"));
        let notes = match next.checked_sub(1) {
            _ if next < database.log.len() => database.log[next].notes,
            Some(last) => database.log[last].notes,
            None => 0,
        };
        let first = Item::Progress {
            resume: next.to_string().into(),
            state: Some(format!("{notes}.{read}").into()),
        };
        Self {
            items: vec![first].into_iter(),
            next,
            read,
            keeps,
            shapes: HashMap::new(),
        }
    }

    pub(super) fn next(&mut self, database: &mut Database) -> Option<Item> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(item);
            }
            if self.next == database.log.len() {
                return None;
            }
            self.items = self.transaction(database).into_iter();
            self.next += 1;
            self.read = 0;
        }
    }

    fn transaction(&mut self, database: &mut Database) -> Vec<Item> {
        let number = self.next;
        let committed = &database.log[number];
        let (snapshot, notes) = (committed.snapshot, committed.notes);
        let changes = committed.changes.clone();
        let is_noted = number
            .checked_sub(1)
            .is_none_or(|last| database.log[last].notes == notes);
        let progress = |resume: usize, read: u64| Item::Progress {
            resume: resume.to_string().into(),
            state: Some(format!("{notes}.{read}").into()),
        };
        let mut items = Vec::new();
        if !is_noted && self.read == 0 {
            items.push(progress(number, 0));
        }
        items.push(Item::Begin(Transaction {
            id: number.to_string(),
            positions: PositionSpace::new(&format!("{number:04}-"), 8),
            commit_time: Timestamp(0),
            snapshot,
        }));
        let mut kept = 0;
        for (index, Written { table, shape }) in (0..).zip(changes) {
            if snapshot && index > self.read && index % 3 == 0 {
                items.push(progress(number, index));
            }
            let is_kept = table != FILTERED || self.keeps;
            if index < self.read || !is_kept {
                continue;
            }
            let ordinal = if is_planted(Bug::CountedAfterFilter) {
                kept
            } else {
                index
            };
            kept += 1;
            let relation = database.relation(table, shape);
            if self.shapes.insert(table, shape) != Some(shape) {
                items.push(Item::Schema {
                    relation: Arc::clone(&relation),
                    ordinal,
                    resnapshot: false,
                });
            }
            items.push(Item::Change(Change {
                relation,
                op: Op::Insert,
                before: None,
                after: Some(row(number as u64, index)),
                ordinal,
            }));
        }
        let resume =
            (!snapshot && !number.is_multiple_of(3)).then(|| (number + 1).to_string().into());
        items.push(Item::Commit { resume });
        if snapshot || number + 1 == database.log.len() {
            items.push(progress(number + 1, 0));
        }
        items
    }
}

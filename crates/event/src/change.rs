//! Changes, and the transactions that they are part of.

use std::sync::Arc;

use crate::position::{Position, PositionSpace};
use crate::relation::Relation;
use crate::row::Row;
use crate::time::Timestamp;

/// What happened to a row, or to a whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A row that is gone.
    Delete,
    /// All rows of a table are gone.
    Truncate,
    /// A row that a snapshot read.
    Read,
}

impl Op {
    /// The `op` of the event format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Read => "read",
        }
    }
}

/// The old row, as far as the database logged it.
#[derive(Debug, Clone)]
pub enum Before {
    /// Every column.
    Full(Row),
    /// Only the columns of the replica identity mean anything; the others are placeholders.
    Key(Row),
}

impl Before {
    /// The row image.
    #[must_use]
    pub const fn row(&self) -> &Row {
        match self {
            Self::Full(row) | Self::Key(row) => row,
        }
    }
}

/// One change of one row (or the truncation of one table).
#[derive(Debug, Clone)]
pub struct Change {
    /// The table's shape at this point of the log.
    pub relation: Arc<Relation>,
    /// What happened.
    pub op: Op,
    /// The old row, where the log has it.
    pub before: Option<Before>,
    /// The new row; none for deletes and truncates.
    pub after: Option<Row>,
    /// 0-based index among everything that the source sent in this transaction, counted before any
    /// filter, so that a filter's edit does not move the positions.
    pub ordinal: u64,
}

impl Change {
    /// The bytes that its row images keep in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.before.as_ref().map_or(0, |b| b.row().len()) + self.after.as_ref().map_or(0, Row::len)
    }

    /// Whether it carries no row image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A database transaction, or a snapshot, which is published as one.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The database's name for it: an xid or a GTID.
    pub id: String,
    /// The positions of its events.
    pub positions: PositionSpace,
    /// When it was committed.
    pub commit_time: Timestamp,
    /// Whether its events are rows that a snapshot read.
    pub snapshot: bool,
}

/// What is published as one message.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its place in the log.
    pub position: &'a Position,
    /// When the connector read it.
    pub read_time: Timestamp,
    /// What it tells.
    pub kind: EventKind<'a>,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy)]
pub enum EventKind<'a> {
    /// A change of a row or table.
    Change {
        /// The change.
        change: &'a Change,
        /// The transaction that it belongs to.
        transaction: &'a Transaction,
        /// Whether it is the last one published of that transaction.
        last: bool,
    },
    /// A table's shape.
    Schema {
        /// The shape.
        relation: &'a Relation,
        /// Whether the table is read afresh from here on, so that what a reader holds of it is to
        /// be dropped.
        resnapshot: bool,
    },
}

impl Event<'_> {
    /// The table it is about.
    #[must_use]
    pub fn relation(&self) -> &Relation {
        match self.kind {
            EventKind::Change { change, .. } => &change.relation,
            EventKind::Schema { relation, .. } => relation,
        }
    }
}

//! The open transaction.

use adit_event::{PositionSpace, Timestamp, Transaction};

use crate::coordinates::Coordinates;
use crate::gtid::Gtid;
use crate::statement::Ddl;

/// Savepoints that are remembered; an application that sets more in one transaction rolls back to the
/// last ones if to any.
const SAVEPOINTS_MAX: usize = 1_000;

/// A transaction that has begun and not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) gtid: Option<Gtid>,
    /// When it was committed.
    pub(super) time: Timestamp,
    /// Its start.
    pub(super) started: Coordinates,
    /// The end of its first event, which its positions are made of.
    pub(super) first_end: u64,
    /// A commit will follow; else the next statement is all of it.
    pub(super) has_commit: bool,
    /// It was handed out, with its first wanted change.
    pub(super) begun: bool,
    /// The ordinal of the next change.
    pub(super) ordinal: u64,
    /// Names, and the ordinals at which they were set.
    pub(super) savepoints: Vec<(String, u64)>,
    /// The XA transaction whose changes follow.
    pub(super) stages: Option<u64>,
    /// The XA transaction that it commits.
    pub(super) commits: Option<u64>,
    /// Changes of tables in it.
    pub(super) ddl: Vec<DdlStatement>,
}

/// A change of tables.
#[derive(Debug)]
pub(super) struct DdlStatement {
    pub(super) ddl: Ddl,
    pub(super) sql: String,
    /// The default database.
    pub(super) database: String,
}

impl Open {
    pub(super) fn savepoint(&mut self, name: String) {
        self.savepoints.retain(|(other, _)| *other != name);
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            self.savepoints.remove(0);
        }
        self.savepoints.push((name, self.ordinal));
    }

    /// Whether nothing has changed since a savepoint.
    pub(super) fn is_at(&self, name: &str) -> bool {
        let found = self.savepoints.iter().find(|(other, _)| other == name);
        found.is_some_and(|(_, ordinal)| *ordinal == self.ordinal)
    }

    pub(super) fn transaction(&self, epoch: u16) -> Transaction {
        let file = self.started.file_number().unwrap_or(0);
        let prefix = format!("{epoch:04X}-{file:08X}-{:016X}-", self.first_end);
        Transaction {
            id: match &self.gtid {
                Some(gtid) => gtid.to_string(),
                None => self.started.to_string(),
            },
            positions: PositionSpace::new(&prefix, 8),
            commit_time: self.time,
            snapshot: false,
        }
    }
}

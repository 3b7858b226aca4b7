//! The source's notes in the checkpoint: which database it reads, and how far snapshots came.

use adit_pgoutput::Lsn;
use serde::{Deserialize, Serialize};

use crate::error::SourceError;

/// Names a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct TableName {
    /// Its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) table: String,
}

/// Which server, database and slot are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// `system_identifier`: unique to a cluster and its copies.
    pub(crate) system: String,
    /// Counts the failovers and restores.
    pub(crate) timeline: u32,
    /// The database.
    pub(crate) database: String,
    /// The slot.
    pub(crate) slot: String,
}

/// What a checkpoint keeps for the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of this structure.
    version: u32,
    /// What is read.
    #[serde(flatten)]
    pub(crate) identity: Identity,
    /// `pg_publication.oid`: a publication that was dropped and created again has another.
    pub(crate) publication: u32,
    /// Tables whose snapshot is not complete. Their changes are not published until it is, or has begun.
    pub(crate) pending: Vec<TableName>,
    /// How far it came, for those of them of which part is read. Their changes are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) begun: Vec<Begun>,
    /// Tables that were captured; others that match are new.
    pub(crate) captured: Vec<TableName>,
}

/// A table of which part is read, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    #[serde(flatten)]
    pub(crate) name: TableName,
    /// The shape that it had.
    pub(crate) shape: u64,
    /// Its file: a table that is rewritten gets another, and its rows other places.
    pub(crate) file: u32,
    /// What is left.
    pub(crate) unread: Vec<Blocks>,
}

/// Blocks of a table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blocks {
    /// The first one.
    pub(crate) from: u32,
    /// The first one behind them; none: all that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<u32>,
}

impl Blocks {
    /// Every one.
    pub(crate) const ALL: Self = Self { from: 0, to: None };
}

const VERSION: u32 = 1;

impl State {
    pub(crate) const fn new(
        identity: Identity,
        publication: u32,
        captured: Vec<TableName>,
        pending: Vec<TableName>,
    ) -> Self {
        Self {
            version: VERSION,
            identity,
            publication,
            pending,
            begun: Vec::new(),
            captured,
        }
    }

    /// Whether part of a table is read, so that its changes are published.
    pub(crate) fn has_begun(&self, schema: &str, table: &str) -> bool {
        let mut begun = self.begun.iter();
        begun.any(|begun| begun.name.schema == schema && begun.name.table == table)
    }

    /// Nothing of what was read of a table counts; false if nothing was.
    pub(crate) fn begin_again(&mut self, schema: &str, table: &str) -> bool {
        let before = self.begun.len();
        self.begun
            .retain(|begun| begun.name.schema != schema || begun.name.table != table);
        self.begun.len() < before
    }

    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        let bad = |why: String| SourceError::BadState { why };
        let state: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if state.version != VERSION {
            return Err(bad(format!("version {}", state.version)));
        }
        Ok(state)
    }

    pub(crate) fn to_text(&self) -> Box<str> {
        serde_json::to_string(self)
            .expect("strings and numbers are JSON")
            .into()
    }
}

/// The commit LSN in a position token of this source.
pub(crate) fn commit_lsn(position: &str) -> Option<Lsn> {
    u64::from_str_radix(position.get(..16)?, 16).ok().map(Lsn)
}

/// Whether a position token is that of a row read by a snapshot.
pub(crate) fn is_snapshot(position: &str) -> bool {
    position.as_bytes().get(16) == Some(&b'r')
}

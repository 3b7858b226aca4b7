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
    /// Tables whose snapshot is not complete. Their changes are not published until it is.
    pub(crate) pending: Vec<TableName>,
    /// Tables that were captured; others that match are new.
    pub(crate) captured: Vec<TableName>,
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
            captured,
        }
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

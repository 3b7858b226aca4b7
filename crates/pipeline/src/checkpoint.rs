//! The port of durable state, and what is kept there.

use std::collections::HashMap;

use adit_event::{Event, Relation};
use serde::{Deserialize, Serialize};

use crate::error::Classify;

/// How far a connector came. It is a hint for the next start, always behind or at the stream's
/// tail, which is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The version of this structure.
    pub version: u32,
    /// When the stream was created.
    pub created: String,
    /// The stream's last sequence number that was stored by us.
    pub seq: u64,
    /// The `Adit-N` of that message.
    pub n: u64,
    /// The position of that message; none before the first.
    pub position: Option<String>,
    /// From where the database is asked for the log.
    pub resume: String,
    /// The source's own notes: which server it reads, and how far a snapshot came.
    pub state: String,
}

impl Checkpoint {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 1;
}

/// Names a table: schema (or database) and table.
pub type SchemaKey = (String, String);

/// Where a connector's checkpoint and the published table shapes are kept.
pub trait CheckpointStore: Clone + Send + Sync + 'static {
    /// Its errors.
    type Error: Classify;

    /// The last checkpoint, or none.
    ///
    /// # Errors
    /// When it cannot be read, or is of a version that this build does not know.
    fn load(&self) -> impl Future<Output = Result<Option<Checkpoint>, Self::Error>> + Send;

    /// Replaces the checkpoint; durable when this returns.
    ///
    /// # Errors
    /// When it cannot be written, or somebody else wrote it since it was read.
    fn store(
        &self,
        checkpoint: &Checkpoint,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The [`Relation::fingerprint`] of each table's shape as it was published last.
    ///
    /// # Errors
    /// When they cannot be read.
    fn schemas(&self) -> impl Future<Output = Result<HashMap<SchemaKey, u64>, Self::Error>> + Send;

    /// Keeps a table's shape, after its schema event `event` was stored in the stream.
    ///
    /// # Errors
    /// When it cannot be written.
    fn store_schema(
        &self,
        relation: &Relation,
        event: Event<'_>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

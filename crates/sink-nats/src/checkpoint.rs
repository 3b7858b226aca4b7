//! Where a connector's checkpoint and its tables' shapes are kept: two key-value buckets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use adit_event::{Encoder, Event, Relation, SourceMeta, ValueOptions};
use adit_pipeline::{Checkpoint, CheckpointStore, SchemaKey};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;

use crate::{
    bucket::Bucket,
    control::Nats,
    error::Error,
    subject::{encode_key, table_key, table_of},
};

pub(crate) const CHECKPOINTS: &str = "adit_checkpoints";
pub(crate) const SCHEMAS: &str = "adit_schemas";
/// Header that says which shape a stored schema event tells.
const FINGERPRINT: &str = "Adit-Fingerprint";
/// Header that says who stored a checkpoint.
const WRITER: &str = "Adit-Writer";
/// Shapes that are read at the same time at a start.
const SCHEMA_READS_MAX: usize = 64;

/// The checkpoint and the shapes of one connector.
#[derive(Debug, Clone)]
pub struct NatsCheckpoints {
    checkpoints: Bucket,
    schemas: Bucket,
    connector: String,
    meta: SourceMeta,
    /// Who we are: what a process before us stores is not ours, even if it is the same.
    writer: String,
    /// Revision of the stored checkpoint, to notice that somebody else writes it.
    revision: Arc<Mutex<u64>>,
}

impl NatsCheckpoints {
    /// Opens the buckets, and creates them if they are missing.
    ///
    /// # Errors
    /// When NATS cannot be asked or refuses.
    pub async fn open(nats: &Nats, meta: &SourceMeta, replicas: usize) -> Result<Self, Error> {
        let mut connector = String::new();
        encode_key(&meta.connector, &mut connector);
        Ok(Self {
            checkpoints: Bucket::open(nats, CHECKPOINTS, replicas, Duration::ZERO).await?,
            schemas: Bucket::open(nats, SCHEMAS, replicas, Duration::ZERO).await?,
            connector,
            meta: meta.clone(),
            writer: nats.new_inbox(),
            revision: Arc::default(),
        })
    }

    /// Forgets the connector: its checkpoint and its tables' shapes.
    ///
    /// # Errors
    /// When that cannot be written.
    pub async fn remove(&self) -> Result<(), Error> {
        for key in self.schemas.keys(&self.connector).await? {
            self.schemas.delete(&key, None).await?;
        }
        self.checkpoints.delete(&self.connector, None).await
    }

    async fn fingerprint(&self, key: String) -> Result<Option<(SchemaKey, u64)>, Error> {
        let Some(table) = table_of(&self.connector, &key) else {
            return Ok(None);
        };
        let entry = self.schemas.get(&key).await?;
        if entry.value.is_none() {
            return Ok(None);
        }
        // Without a fingerprint the shape is published again, which is right when in doubt.
        let fingerprint = entry
            .header(FINGERPRINT)
            .and_then(|text| u64::from_str_radix(text, 16).ok());
        Ok(fingerprint.map(|fingerprint| (table, fingerprint)))
    }
}

impl CheckpointStore for NatsCheckpoints {
    type Error = Error;

    async fn load(&self) -> Result<Option<Checkpoint>, Error> {
        // A process that worked before us and was stopped for a while would store its own as soon as it wakes up.
        let headers = [(WRITER, self.writer.as_str())];
        let claimed = self.checkpoints.claim(&self.connector, &headers).await;
        let entry = claimed.map_err(unsettled)?;
        *self.revision.lock().await = entry.revision;
        entry.value.map(|value| read(&value)).transpose()
    }

    async fn store(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let value = serde_json::to_vec(checkpoint).map_err(|error| Error::Malformed {
            what: "the checkpoint to store".to_owned(),
            why: error.to_string(),
        })?;
        let headers = [(WRITER, self.writer.as_str())];
        let update = async |revision| {
            let value = value.clone();
            let updated = self
                .checkpoints
                .update(&self.connector, value, revision, &headers);
            updated.await
        };
        let mut revision = self.revision.lock().await;
        let mut result = update(*revision).await;
        if matches!(result, Err(Error::Conflict { .. })) {
            let entry = self.checkpoints.get(&self.connector).await?;
            let is_lost = entry.revision == 0;
            // What was stored without an answer, or is about to be.
            let is_ours = entry.header(WRITER) == Some(&self.writer);
            if is_lost || is_ours {
                result = update(entry.revision).await.map_err(unsettled);
            }
        }
        *revision = result?;
        Ok(())
    }

    async fn schemas(&self) -> Result<HashMap<SchemaKey, u64>, Error> {
        let keys = self.schemas.keys(&self.connector).await?;
        stream::iter(keys.into_iter().map(|key| self.fingerprint(key)))
            .buffer_unordered(SCHEMA_READS_MAX)
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await
    }

    async fn store_schema(&self, relation: &Relation, event: Event<'_>) -> Result<(), Error> {
        let mut body = Vec::new();
        Encoder::new(&self.meta, ValueOptions::default()).write(&event, &mut body)?;
        let fingerprint = format!("{:016x}", relation.fingerprint());
        self.schemas
            .put(
                &table_key(&self.connector, relation.schema(), relation.table()),
                body,
                &[(FINGERPRINT, &fingerprint)],
            )
            .await
            .map(|_| ())
    }
}

/// While a write is under way, as on a server that is cut off from the others, every other is refused: that is no word of somebody else.
fn unsettled(error: Error) -> Error {
    match error {
        Error::Conflict { .. } => Error::Busy {
            doing: "writing the checkpoint".to_owned(),
            answer: "another write is under way".to_owned(),
        },
        error => error,
    }
}

/// The checkpoint of a connector, without creating anything.
pub(crate) async fn look(nats: &Nats, connector: &str) -> Result<Option<Checkpoint>, Error> {
    let Some(bucket) = Bucket::existing(nats, CHECKPOINTS).await? else {
        return Ok(None);
    };
    let mut key = String::new();
    encode_key(connector, &mut key);
    let entry = bucket.get(&key).await?;
    entry.value.map(|value| read(&value)).transpose()
}

/// Reads a stored checkpoint; its version first, for a better text than "unknown field".
fn read(value: &[u8]) -> Result<Checkpoint, Error> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let malformed = |why: String| Error::Malformed {
        what: format!("the checkpoint in bucket {CHECKPOINTS:?}"),
        why,
    };
    let Version { version } =
        serde_json::from_slice(value).map_err(|error| malformed(error.to_string()))?;
    if version != Checkpoint::VERSION {
        return Err(malformed(format!(
            "it has version {version}, this adit knows version {}: run the adit that wrote it, or a newer one",
            Checkpoint::VERSION
        )));
    }
    serde_json::from_slice(value).map_err(|error| malformed(error.to_string()))
}

//! A stream and a checkpoint store in memory: what a connector published, and from where it goes on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use adit_event::{Encoder, Event, EventKind, Position, Relation, SourceMeta, ValueOptions};
use adit_pipeline::{
    Checkpoint, CheckpointStore, Classify, Disposition, KeptShape, Message, SchemaKey, ShapeAnswer,
    ShapeStore, Sink, Tail, TailMessage,
};
use serde_json::Value;

/// One published event.
#[derive(Debug, Clone)]
pub struct Published {
    pub position: Position,
    pub transaction: Option<String>,
    pub body: Value,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Published>,
    checkpoint: Option<Checkpoint>,
    schemas: HashMap<SchemaKey, u64>,
    /// What tables were like.
    shapes: HashMap<SchemaKey, KeptShape>,
    /// All checkpoints so far, the first one first.
    history: Vec<Checkpoint>,
}

/// What stays when a connector ends.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Inner>>);

/// Nothing goes wrong here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Never(Infallible);

impl Classify for Never {
    fn disposition(&self) -> Disposition {
        match self.0 {}
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub fn events(&self) -> Vec<Published> {
        self.lock().events.clone()
    }

    /// As if the process had been killed when the stream had so many events and the last checkpoint that
    /// could be written was one of those before.
    pub fn cut(&self, events: usize, checkpoint: Checkpoint) -> Self {
        let cut = Self::default();
        let shapes = self.lock().shapes.clone();
        *cut.lock() = Inner {
            shapes,
            events: self.events().into_iter().take(events).collect(),
            checkpoint: Some(checkpoint),
            ..Inner::default()
        };
        cut
    }

    /// All checkpoints so far, the first one first.
    pub fn history(&self) -> Vec<Checkpoint> {
        self.lock().history.clone()
    }

    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }
}

/// The stream.
pub struct MemorySink {
    kept: Kept,
    encoder: Encoder,
    queue: Vec<Published>,
}

impl MemorySink {
    pub fn new(kept: &Kept, meta: &SourceMeta) -> Self {
        Self {
            kept: kept.clone(),
            encoder: Encoder::new(meta, ValueOptions::default()),
            queue: Vec::new(),
        }
    }
}

impl Sink for MemorySink {
    type Error = Never;

    async fn connect(&mut self) -> Result<Tail, Never> {
        let inner = self.kept.lock();
        let seq = inner.events.len() as u64;
        let transaction = inner
            .events
            .iter()
            .rev()
            .find_map(|event| event.transaction.clone());
        Ok(Tail {
            seq,
            created: "then".into(),
            message: inner.events.last().map(|event| TailMessage {
                seq,
                position: Some(event.position),
                n: Some(seq),
                transaction: transaction.map(Into::into),
            }),
        })
    }

    fn has_room(&self) -> bool {
        self.queue.len() < 1000
    }

    fn publish(&mut self, message: Message<'_>) -> Result<(), Never> {
        let mut body = Vec::new();
        self.encoder
            .write(&message.event, &mut body)
            .expect("an event that can be written");
        let transaction = match message.event.kind {
            EventKind::Change { transaction, .. } => Some(transaction.id.clone()),
            EventKind::Schema { .. } => None,
        };
        self.queue.push(Published {
            position: *message.event.position,
            transaction,
            body: serde_json::from_slice(&body).expect("JSON"),
        });
        Ok(())
    }

    fn resume(&mut self, _stored: u64) {}

    async fn next(&mut self) -> Result<u64, Never> {
        if self.queue.is_empty() {
            pending::<()>().await;
        }
        let mut inner = self.kept.lock();
        inner.events.append(&mut self.queue);
        Ok(inner.events.len() as u64)
    }
}

impl CheckpointStore for Kept {
    type Error = Never;

    async fn load(&self) -> Result<Option<Checkpoint>, Never> {
        Ok(self.checkpoint())
    }

    async fn store(&self, checkpoint: &Checkpoint) -> Result<(), Never> {
        let mut inner = self.lock();
        inner.history.push(checkpoint.clone());
        inner.checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    async fn schemas(&self) -> Result<HashMap<SchemaKey, u64>, Never> {
        Ok(self.lock().schemas.clone())
    }

    async fn store_schema(&self, relation: &Relation, _event: Event<'_>) -> Result<(), Never> {
        let key = (relation.schema().to_owned(), relation.table().to_owned());
        self.lock().schemas.insert(key, relation.fingerprint());
        Ok(())
    }
}

impl ShapeStore for Kept {
    fn tables(&self) -> ShapeAnswer<'_, Vec<SchemaKey>> {
        Box::pin(async { Ok(self.lock().shapes.keys().cloned().collect()) })
    }

    fn load<'a>(&'a self, table: &'a SchemaKey) -> ShapeAnswer<'a, KeptShape> {
        Box::pin(async { Ok(self.lock().shapes.get(table).cloned().unwrap_or_default()) })
    }

    fn store<'a>(&'a self, table: &'a SchemaKey, kept: KeptShape) -> ShapeAnswer<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            let known = inner.shapes.entry(table.clone()).or_default();
            assert_eq!(known.revision, kept.revision, "written by somebody else");
            known.revision += 1;
            known.value = kept.value;
            Ok(())
        })
    }
}

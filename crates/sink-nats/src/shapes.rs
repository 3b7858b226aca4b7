//! Where a source keeps table shapes: a key-value bucket that exists once it is needed.

use std::time::Duration;

use adit_pipeline::{KeptShape, SchemaKey, ShapeAnswer, ShapeStore, ShapeStoreError};
use tokio::sync::OnceCell;

use crate::{
    bucket::Bucket,
    control::Nats,
    error::Error,
    subject::{encode_key, table_key, table_of},
};

const SHAPES: &str = "adit_shapes";

/// The shapes that one connector's source keeps.
#[derive(Debug)]
pub struct NatsShapes {
    nats: Nats,
    connector: String,
    replicas: usize,
    /// Opened when it is first used.
    bucket: OnceCell<Bucket>,
}

impl NatsShapes {
    /// A store; asks NATS when it is used.
    #[must_use]
    pub fn new(nats: &Nats, connector: &str, replicas: usize) -> Self {
        let mut key = String::new();
        encode_key(connector, &mut key);
        Self {
            nats: nats.clone(),
            connector: key,
            replicas,
            bucket: OnceCell::new(),
        }
    }

    /// Forgets the connector's shapes.
    ///
    /// # Errors
    /// When that cannot be written.
    pub async fn remove(&self) -> Result<(), Error> {
        let Some(bucket) = self.existing().await? else {
            return Ok(());
        };
        for key in bucket.keys(&self.connector).await? {
            bucket.delete(&key, None).await?;
        }
        Ok(())
    }

    async fn existing(&self) -> Result<Option<&Bucket>, Error> {
        if self.bucket.get().is_none() && Bucket::existing(&self.nats, SHAPES).await?.is_none() {
            return Ok(None);
        }
        self.opened().await.map(Some)
    }

    async fn opened(&self) -> Result<&Bucket, Error> {
        let open = || Bucket::open(&self.nats, SHAPES, self.replicas, Duration::ZERO);
        self.bucket.get_or_try_init(open).await
    }

    fn key(&self, (schema, table): &SchemaKey) -> String {
        table_key(&self.connector, schema, table)
    }

    async fn tables(&self) -> Result<Vec<SchemaKey>, Error> {
        let Some(bucket) = self.existing().await? else {
            return Ok(Vec::new());
        };
        let keys = bucket.keys(&self.connector).await?;
        let tables = keys.iter().filter_map(|key| table_of(&self.connector, key));
        Ok(tables.collect())
    }

    async fn load(&self, table: &SchemaKey) -> Result<KeptShape, Error> {
        let Some(bucket) = self.existing().await? else {
            return Ok(KeptShape::default());
        };
        let entry = bucket.get(&self.key(table)).await?;
        Ok(KeptShape {
            value: entry.value,
            revision: entry.revision,
        })
    }

    async fn store(&self, table: &SchemaKey, kept: KeptShape) -> Result<(), Error> {
        let (bucket, key) = (self.opened().await?, self.key(table));
        match kept.value {
            Some(value) => bucket
                .update(&key, value, kept.revision, &[])
                .await
                .map(|_| ()),
            None => bucket.delete(&key, Some(kept.revision)).await,
        }
    }
}

impl ShapeStore for NatsShapes {
    fn tables(&self) -> ShapeAnswer<'_, Vec<SchemaKey>> {
        Box::pin(async { self.tables().await.map_err(ShapeStoreError::new) })
    }

    fn load<'a>(&'a self, table: &'a SchemaKey) -> ShapeAnswer<'a, KeptShape> {
        Box::pin(async { self.load(table).await.map_err(ShapeStoreError::new) })
    }

    fn store<'a>(&'a self, table: &'a SchemaKey, kept: KeptShape) -> ShapeAnswer<'a, ()> {
        Box::pin(async { self.store(table, kept).await.map_err(ShapeStoreError::new) })
    }
}

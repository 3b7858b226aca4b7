//! The port of table shapes that a source keeps, where the database's log does not tell them.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use crate::checkpoint::SchemaKey;
use crate::error::{Classify, Disposition};

/// What a [`ShapeStore`] answers, later.
pub type ShapeAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ShapeStoreError>> + Send + 'a>>;

/// What is kept of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptShape {
    /// In the source's own words; nothing if nothing is kept.
    pub value: Option<Vec<u8>>,
    /// What has to be named to replace it.
    pub revision: u64,
}

/// Durable notes of a source on tables, one for each: more than a checkpoint can hold.
///
/// A source reads and writes them seldom, at changes of tables, and waits for each write: what it hands over
/// afterwards can become durable only after it.
pub trait ShapeStore: fmt::Debug + Send + Sync + 'static {
    /// The tables of which something is kept.
    fn tables(&self) -> ShapeAnswer<'_, Vec<SchemaKey>>;

    /// What is kept of a table.
    fn load<'a>(&'a self, table: &'a SchemaKey) -> ShapeAnswer<'a, KeptShape>;

    /// Replaces what is kept of a table; nothing forgets it. Fails if somebody else replaced it since it was
    /// loaded.
    fn store<'a>(&'a self, table: &'a SchemaKey, kept: KeptShape) -> ShapeAnswer<'a, ()>;
}

/// An error of a store of shapes.
#[derive(Debug)]
pub struct ShapeStoreError {
    disposition: Disposition,
    source: Box<dyn Error + Send + Sync>,
}

impl ShapeStoreError {
    /// Wraps an adapter's error.
    pub fn new(error: impl Classify) -> Self {
        Self {
            disposition: error.disposition(),
            source: Box::new(error),
        }
    }
}

impl fmt::Display for ShapeStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keeping the shapes of tables failed")
    }
}

impl Error for ShapeStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl Classify for ShapeStoreError {
    fn disposition(&self) -> Disposition {
        self.disposition
    }
}

//! Relations: the shape of a table as its rows are logged.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::value::{CellFormat, Logical};

/// One column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name, as the database has it.
    pub name: String,
    /// Its type as the database prints it, for example `numeric(10,2)`.
    pub type_name: String,
    /// What its values are in an event.
    pub logical: Logical,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Its place in the row's key, from 0; `None` outside the key.
    pub key: Option<u16>,
    /// Whether key-only row images carry it (PostgreSQL: part of the replica identity).
    pub identity: bool,
    /// The labels of an enum or set, in order.
    pub labels: Vec<String>,
    /// Digits of a decimal, or `None`.
    pub precision: Option<u32>,
    /// Digits behind the point of a decimal, or `None`.
    pub scale: Option<i32>,
    /// Turns a cell into a value.
    pub format: Arc<dyn CellFormat>,
}

/// One shape of one table. A table whose shape changes gets a new relation.
#[derive(Debug)]
pub struct Relation {
    id: u64,
    schema: String,
    table: String,
    columns: Vec<Column>,
    key: Vec<usize>,
    fingerprint: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Relation {
    /// A table's shape: `schema` is PostgreSQL's schema, or MySQL's database.
    #[must_use]
    pub fn new(schema: String, table: String, columns: Vec<Column>) -> Self {
        let mut key: Vec<(u16, usize)> = columns
            .iter()
            .enumerate()
            .filter_map(|(i, c)| Some((c.key?, i)))
            .collect();
        key.sort_unstable();
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            fingerprint: fingerprint(&schema, &table, &columns),
            schema,
            table,
            columns,
            key: key.into_iter().map(|(_, i)| i).collect(),
        }
    }

    /// A number that no other relation of this process has: caches use it.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// PostgreSQL's schema, or MySQL's database.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns in the order of the row's cells.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Indexes of the key's columns, in key order; empty where the table has no key.
    #[must_use]
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Equal for equal shapes, in this and in later runs of the same build: tells whether a schema
    /// event is due.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn fingerprint(schema: &str, table: &str, columns: &[Column]) -> u64 {
    // SipHash with fixed keys; the fields are those that a schema event shows.
    let mut hasher = DefaultHasher::new();
    (schema, table, columns.len()).hash(&mut hasher);
    for column in columns {
        (
            &column.name,
            &column.type_name,
            column.logical.name(),
            column.nullable,
            column.key,
        )
            .hash(&mut hasher);
        (&column.labels, column.precision, column.scale).hash(&mut hasher);
    }
    hasher.finish()
}

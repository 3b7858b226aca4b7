//! The shapes that tables had, by the places in the log where they began.
//!
//! A log that does not name columns can be read with the catalogue only as long as the catalogue is that of
//! the place being read. Who comes later, after the table was changed again, needs to know what it was like
//! before. So each shape is kept when it is known for sure, and what statements in the log make of it.
//!
//! What is kept belongs to one log, read without a gap: it is forgotten with a fresh start and when another
//! server takes over. A place for which nothing is kept is unknown, never guessed.

mod statement;

use std::collections::HashSet;
use std::sync::Arc;

use adit_binlog::Coordinates;
use adit_binlog::table::TableInfo;
use adit_pipeline::{KeptShape, ShapeStore};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::catalog::Catalogued;
use crate::error::SourceError;
use crate::state::TableName;

pub(crate) use statement::apply;

/// Shapes that are kept of a table, the latest.
const SHAPES_MAX: usize = 16;
/// Their bytes: below the smallest message that brokers commonly take.
const BYTES_MAX: usize = 512 * 1024;
/// The version of what is kept.
const VERSION: u32 = 1;

/// What has to be known of a table to read its rows, and to follow what statements make of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) info: TableInfo,
    /// The index that the key is; none if that is not known, or there is no key.
    pub(crate) index: Option<String>,
    /// The character set of new columns that name none.
    pub(crate) charset: Option<String>,
}

impl From<Catalogued> for Shape {
    fn from(table: Catalogued) -> Self {
        Self {
            info: table.info,
            index: table.index.map(|index| index.name),
            charset: Some(table.charset),
        }
    }
}

/// A place in the log of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Beginning {
    epoch: u16,
    file: u32,
    position: u64,
}

/// A shape, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    from: Beginning,
    /// None: the table was changed here, and to what is not known.
    shape: Option<Shape>,
}

/// All that is kept of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct History {
    version: u32,
    /// In the order of the log.
    shapes: Vec<Begun>,
}

impl History {
    /// Reads what is kept; what cannot be read is not known.
    fn parse(kept: Option<&[u8]>) -> Self {
        let parsed = kept.and_then(|value| serde_json::from_slice::<Self>(value).ok());
        parsed
            .filter(|history| history.version == VERSION)
            .unwrap_or(Self {
                version: VERSION,
                shapes: Vec::new(),
            })
    }

    /// The shape at a place, if something is kept for it.
    fn at(&self, place: Beginning) -> Option<&Begun> {
        let reached = |begun: &&Begun| begun.from.epoch == place.epoch && begun.from <= place;
        self.shapes.iter().rfind(reached)
    }

    /// From `from` on the table has this shape, up to where the next one begins. False if that was known.
    fn set(&mut self, from: Beginning, shape: Option<Shape>) -> bool {
        if self.at(from).is_some_and(|known| known.shape == shape) {
            return false;
        }
        // What is of another log is of no use any more.
        self.shapes
            .retain(|begun| begun.from.epoch == from.epoch && begun.from != from);
        let index = self.shapes.partition_point(|begun| begun.from < from);
        self.shapes.insert(index, Begun { from, shape });
        true
    }

    /// What is to be stored: as many of the latest shapes as there is room for.
    fn trimmed(&mut self) -> Vec<u8> {
        let surplus = self.shapes.len().saturating_sub(SHAPES_MAX);
        self.shapes.drain(..surplus);
        loop {
            let value = serde_json::to_vec(self).expect("strings and numbers are JSON");
            match self.shapes.as_mut_slice() {
                [] => return value,
                _ if value.len() <= BYTES_MAX => return value,
                [last] => last.shape = None,
                _ => drop(self.shapes.remove(0)),
            }
        }
    }
}

/// The shapes of a connector's tables.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// None: nothing is kept.
    store: Option<Arc<dyn ShapeStore>>,
    epoch: u16,
    /// The tables of which something is kept.
    tables: HashSet<TableName>,
}

impl Shapes {
    /// What is kept for the log of this epoch.
    pub(crate) async fn open(
        store: Option<Arc<dyn ShapeStore>>,
        epoch: u16,
    ) -> Result<Self, SourceError> {
        let tables = match &store {
            Some(store) => store.tables().await?,
            None => Vec::new(),
        };
        let names = tables.into_iter();
        Ok(Self {
            store,
            epoch,
            tables: names
                .map(|(schema, table)| TableName { schema, table })
                .collect(),
        })
    }

    /// Whether shapes are kept at all.
    pub(crate) const fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Forgets everything: it is of another log, or of one with a gap.
    pub(crate) async fn clear(&mut self) -> Result<(), SourceError> {
        if let Some(store) = &self.store {
            for name in self.tables.drain() {
                let key = (name.schema, name.table);
                let revision = store.load(&key).await?.revision;
                let value = None;
                store.store(&key, KeptShape { value, revision }).await?;
            }
        }
        Ok(())
    }

    /// Whether something is kept of a table.
    pub(crate) fn has(&self, name: &TableName) -> bool {
        self.tables.contains(name)
    }

    /// The tables of which something is kept, and that are among these.
    pub(crate) fn all(&self, among: impl Fn(&TableName) -> bool) -> Vec<TableName> {
        let names = self.tables.iter();
        names.filter(|name| among(name)).cloned().collect()
    }

    /// The shape that a table has at a place, if it is known.
    pub(crate) async fn at(
        &self,
        name: &TableName,
        place: &Coordinates,
    ) -> Result<Option<Shape>, SourceError> {
        let (Some(store), Some(place)) = (&self.store, self.beginning(place)) else {
            return Ok(None);
        };
        if !self.has(name) {
            return Ok(None);
        }
        let kept = store.load(&key(name)).await?;
        let history = History::parse(kept.value.as_deref());
        Ok(history.at(place).and_then(|begun| begun.shape.clone()))
    }

    /// From a place on a table has this shape; none: it is not known. Durable when this returns.
    pub(crate) async fn set(
        &mut self,
        name: &TableName,
        place: &Coordinates,
        shape: Option<Shape>,
    ) -> Result<(), SourceError> {
        let (Some(store), Some(from)) = (&self.store, self.beginning(place)) else {
            return Ok(());
        };
        if shape.is_none() && !self.has(name) {
            return Ok(());
        }
        let key = key(name);
        let kept = store.load(&key).await?;
        let mut history = History::parse(kept.value.as_deref());
        let is_known = shape.is_some();
        if history.set(from, shape) {
            let value = history.trimmed();
            if is_known && history.shapes.iter().all(|begun| begun.shape.is_none()) {
                warn!(table = %name, "its columns are too many for their history to be kept");
            }
            let kept = KeptShape {
                value: Some(value),
                revision: kept.revision,
            };
            store.store(&key, kept).await?;
            self.tables.insert(name.clone());
        }
        Ok(())
    }

    fn beginning(&self, place: &Coordinates) -> Option<Beginning> {
        Some(Beginning {
            epoch: self.epoch,
            file: place.file_number()?,
            position: place.position,
        })
    }
}

fn key(name: &TableName) -> (String, String) {
    (name.schema.clone(), name.table.clone())
}

#[cfg(test)]
mod tests {
    use adit_binlog::table::ColumnInfo;

    use super::*;

    fn from(epoch: u16, position: u64) -> Beginning {
        Beginning {
            epoch,
            file: 1,
            position,
        }
    }

    fn shape(column: &str) -> Option<Shape> {
        let column = ColumnInfo {
            name: column.to_owned(),
            ..ColumnInfo::default()
        };
        Some(Shape {
            info: TableInfo {
                columns: vec![column],
                key: vec![],
            },
            ..Shape::default()
        })
    }

    fn told(history: &History, place: Beginning) -> String {
        match history.at(place) {
            None => "nothing kept".to_owned(),
            Some(Begun { shape: None, .. }) => "unknown".to_owned(),
            Some(Begun {
                shape: Some(shape), ..
            }) => shape.info.columns[0].name.clone(),
        }
    }

    #[test]
    fn a_shape_counts_from_where_it_begins_to_where_the_next_one_does() {
        let mut history = History::parse(None);
        assert!(history.set(from(0, 100), shape("a")));
        assert!(history.set(from(0, 300), None));
        assert!(history.set(from(0, 400), shape("c")));
        // What is read again after a crash changes nothing.
        assert!(!history.set(from(0, 150), shape("a")));
        assert!(!history.set(from(0, 300), None));
        let mut history = History::parse(Some(&history.trimmed()));
        let at = |position| told(&history, from(0, position));
        assert_eq!(
            [99, 100, 299, 300, 399, 400].map(at),
            ["nothing kept", "a", "a", "unknown", "unknown", "c"]
        );
        assert!(history.set(from(0, 300), shape("b")));
        assert_eq!(told(&history, from(0, 399)), "b");
        assert_eq!(told(&history, from(0, 400)), "c");
    }

    #[test]
    fn what_is_kept_of_another_log_says_nothing() {
        let mut history = History::parse(None);
        history.set(from(0, 100), shape("a"));
        assert_eq!(told(&history, from(1, 500)), "nothing kept");
        history.set(from(1, 50), shape("b"));
        assert_eq!(told(&history, from(0, 100)), "nothing kept");
        assert_eq!(History::parse(Some(b"{\"version\":7}")).shapes, []);
    }

    #[test]
    fn the_oldest_shapes_make_room() {
        let mut history = History::parse(None);
        for position in 0..20 {
            history.set(from(0, position), shape(&format!("c{position}")));
        }
        history.trimmed();
        assert_eq!(told(&history, from(0, 3)), "nothing kept");
        assert_eq!(told(&history, from(0, 4)), "c4");
        history.set(from(0, 20), shape(&"x".repeat(BYTES_MAX)));
        assert!(history.trimmed().len() < BYTES_MAX);
        assert_eq!(told(&history, from(0, 20)), "unknown");
    }
}

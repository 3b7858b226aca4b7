//! The tables that the log has told of.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use adit_decode::DecodeError;
use adit_event::Relation;
use bytes::Bytes;

use crate::event::{ColumnType, TableMap};
use crate::flavor::Flavor;
use crate::statement::{Ddl, DdlKind};
use crate::table::{self, ShapeError, catalogue_relation, relation};

use super::Answer;

/// Tables that are known at a time; with more they are all asked for again.
const TABLES_MAX: usize = 10_000;

/// One table.
#[derive(Debug)]
pub(super) struct Known {
    /// Its map, byte for byte: a table that was altered has another, also if it has the same number.
    map: Bytes,
    schema: String,
    table: String,
    pub(super) columns: Arc<[ColumnType]>,
    /// None if nobody wants its changes.
    pub(super) relation: Option<Arc<Relation>>,
    /// Whether its rows can be walked over. Of a table that nobody wants the catalogue was not asked,
    /// which alone knows how long some values of MariaDB are.
    pub(super) walkable: bool,
}

/// What a table map means.
pub(super) enum What {
    /// It is known.
    Known,
    /// It has to be asked for.
    Ask {
        /// The map names the columns.
        described: bool,
    },
}

/// A table that was asked for.
#[derive(Debug)]
enum Asked {
    /// By its map; its number, and the map.
    Map(u64, Bytes),
    /// By its name.
    Name,
}

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_id: HashMap<u64, Known>,
    asked: Option<Asked>,
    /// Relations that were announced.
    announced: HashSet<u64>,
}

impl Tables {
    pub(super) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// A table is asked for by its name.
    pub(super) fn ask(&mut self) {
        self.asked = Some(Asked::Name);
    }

    pub(super) fn get(&self, id: u64) -> Option<&Known> {
        self.by_id.get(&id)
    }

    /// The shape of a table that is known; none inside if nobody wants it.
    #[allow(
        clippy::option_option,
        reason = "known and not wanted is another answer than not known"
    )]
    pub(super) fn by_name(&self, schema: &str, table: &str) -> Option<Option<Arc<Relation>>> {
        let mut all = self.by_id.values();
        all.find(|known| known.schema == schema && known.table == table)
            .map(|known| known.relation.clone())
    }

    /// Takes a map.
    pub(super) fn map(&mut self, body: &Bytes, map: &TableMap<'_>) -> Result<What, DecodeError> {
        if let Some(known) = self.by_id.get(&map.table_id)
            && known.map == *body
        {
            return Ok(What::Known);
        }
        // On its own: the event would keep the whole read buffer alive.
        let body = Bytes::copy_from_slice(body);
        let columns = map.columns()?;
        let described = map.metadata(&columns)?.names.is_some();
        self.asked = Some(Asked::Map(map.table_id, body));
        Ok(What::Ask { described })
    }

    /// Answers what was asked by a map; false if nothing was.
    pub(super) fn answer(&mut self, answer: Answer, flavor: Flavor) -> Result<bool, ShapeError> {
        let Some(Asked::Map(id, body)) = self.asked.take() else {
            return Ok(false);
        };
        let map = TableMap::parse_again(&body)?;
        let (relation, info) = match answer {
            Answer::Unwanted => (None, None),
            Answer::Wanted(info) => {
                let relation = relation(&map, info.as_ref(), flavor)?;
                (Some(Arc::new(relation)), info)
            }
        };
        let (schema, name) = (map.schema.to_owned(), map.table.to_owned());
        let columns = table::columns(&map, info.as_ref(), flavor)?;
        let walkable = columns.is_some();
        if self.by_id.len() >= TABLES_MAX {
            self.by_id.clear();
            self.announced.clear();
        }
        // Another number for the same table: the server has loaded it anew.
        self.by_id
            .retain(|_, known| known.schema != schema || known.table != name);
        let known = Known {
            map: body,
            schema,
            table: name,
            columns: columns.unwrap_or_default().into(),
            relation,
            walkable,
        };
        self.by_id.insert(id, known);
        Ok(true)
    }

    /// Answers what was asked by a name.
    pub(super) fn answer_by_name(
        &mut self,
        schema: &str,
        table: &str,
        answer: Answer,
        flavor: Flavor,
    ) -> Result<Option<Arc<Relation>>, ShapeError> {
        self.asked = None;
        match answer {
            // Who is gone by now was emptied all the same, but by then nobody can tell what it was.
            Answer::Unwanted | Answer::Wanted(None) => Ok(None),
            Answer::Wanted(Some(info)) => {
                let relation = catalogue_relation(schema, table, &info, flavor)?;
                Ok(Some(Arc::new(relation)))
            }
        }
    }

    /// Whether a relation's shape is still to be announced.
    pub(super) fn announce(&mut self, relation: &Relation) -> bool {
        self.announced.insert(relation.id())
    }

    pub(super) fn forget(&mut self, schema: &str, table: &str) {
        self.by_id
            .retain(|_, known| known.schema != schema || known.table != table);
    }

    /// Forgets the tables that a statement may have changed.
    pub(super) fn forget_all_of(&mut self, ddl: &Ddl, database: &str) {
        if let DdlKind::DropDatabase { database } = &ddl.kind {
            self.by_id
                .retain(|_, known| !known.schema.eq_ignore_ascii_case(database));
        }
        for name in &ddl.tables {
            let schema = name.schema.as_deref().unwrap_or(database);
            // Names may differ in case from those in the maps, as the server stores them.
            self.by_id.retain(|_, known| {
                !known.schema.eq_ignore_ascii_case(schema)
                    || !known.table.eq_ignore_ascii_case(&name.table)
            });
        }
    }
}

//! Tables: what the server's description and the catalogue say together.

use std::collections::HashMap;
use std::sync::Arc;

use adit_event::{Column, Relation};

use crate::message::{self, ReplicaIdentity};
use crate::types::{TypeInfo, TypeKind, builtin, column_type};

/// What the catalogue says about a table, at the time of asking: it may be newer than the log, so
/// that columns are matched by name and the log's own description comes first.
#[derive(Debug, Clone, Default)]
pub struct TableInfo {
    /// By column name.
    pub columns: HashMap<String, ColumnInfo>,
    /// The types of the described columns that are not built in, by `pg_type.oid`.
    pub types: HashMap<u32, Arc<TypeInfo>>,
    /// The printed names (`format_type`) of the described columns' types, by OID and modifier.
    pub type_names: HashMap<(u32, i32), String>,
    /// The columns of the primary key, or else of the first unique key without nulls, in order.
    pub key: Vec<String>,
}

/// What the catalogue says about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Whether it may hold NULL.
    pub nullable: bool,
}

/// The shape that changes of this table have.
///
/// The key is the replica identity where it names columns; under `FULL` and `NOTHING`, and where
/// `DEFAULT` finds no primary key, it is the catalogue's.
#[must_use]
pub fn relation(described: &message::Relation, info: &TableInfo) -> Relation {
    let identity_names_columns = matches!(
        described.replica_identity,
        ReplicaIdentity::Default | ReplicaIdentity::Index
    ) && described.columns.iter().any(|column| column.key);
    let in_catalogue = |name: &str| info.key.iter().position(|key| key == name);
    // A key of which a column is not published identifies nothing.
    let catalogue_key_is_whole = info
        .key
        .iter()
        .all(|key| described.columns.iter().any(|column| column.name == *key));
    let mut identity_columns = 0..;
    let columns = described.columns.iter().map(|column| {
        let key = if identity_names_columns {
            // The catalogue's order where it knows the same key, else that of the columns.
            let place = identity_place(described, info, &column.name);
            column
                .key
                .then(|| place.or_else(|| identity_columns.next()))
                .flatten()
        } else {
            in_catalogue(&column.name).filter(|_| catalogue_key_is_whole)
        };
        let type_info = type_info(column.type_oid, info);
        let facts = column_type(&type_info, column.type_modifier);
        Column {
            name: column.name.clone(),
            type_name: info
                .type_names
                .get(&(column.type_oid, column.type_modifier))
                .unwrap_or(&type_info.name)
                .clone(),
            logical: facts.logical,
            nullable: info
                .columns
                .get(&column.name)
                .is_none_or(|column| column.nullable),
            key: key.and_then(|place| u16::try_from(place).ok()),
            identity: column.key,
            labels: facts.labels,
            precision: facts.precision,
            scale: facts.scale,
            format: facts.format,
        }
    });
    let columns = columns.collect();
    Relation::new(described.namespace.clone(), described.name.clone(), columns)
}

/// A column's place in the catalogue's key, if that key is the replica identity.
fn identity_place(described: &message::Relation, info: &TableInfo, name: &str) -> Option<usize> {
    let identity = described.columns.iter().filter(|column| column.key);
    let same = identity.clone().count() == info.key.len()
        && identity
            .clone()
            .all(|column| info.key.contains(&column.name));
    same.then(|| info.key.iter().position(|key| key == name))
        .flatten()
}

fn type_info(oid: u32, info: &TableInfo) -> Arc<TypeInfo> {
    if let Some(known) = info.types.get(&oid) {
        return Arc::clone(known);
    }
    // A type that the catalogue has no more: its values are text.
    let unknown = || TypeInfo {
        oid,
        name: format!("oid {oid}"),
        schema: String::new(),
        kind: TypeKind::Base,
    };
    Arc::new(builtin(oid).unwrap_or_else(unknown))
}

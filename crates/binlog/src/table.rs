//! Tables: what the log's table map and the catalogue say together.
//!
//! With `binlog_row_metadata=FULL` the map names the columns, and the catalogue only adds how a type is
//! printed and the few types that the log does not tell apart. Without it the map has types only: then
//! the catalogue's columns are taken in their order, and have to fit.

mod declared;
mod error;

use adit_decode::DecodeError;
use adit_event::{Column, Relation};
use serde::{Deserialize, Serialize};

use crate::charset::Charset;
use crate::event::{ColumnType, TableMap, TableMetadata, TypeCode};
use crate::flavor::Flavor;
use crate::value::{ColumnSpec, Declared, column_facts};

use declared::Declaration;

pub use error::ShapeError;

/// What the catalogue (`information_schema`) says about a table, at the time of asking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its columns in their order, invisible ones included; [`TableInfo::add_versioning`] adds those that
    /// the catalogue does not list.
    pub columns: Vec<ColumnInfo>,
    /// The columns of the primary key, or else of the first unique key without nulls, in order.
    pub key: Vec<String>,
}

/// What the catalogue says about a column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// `COLUMN_TYPE`: its type with everything that belongs to it.
    pub column_type: String,
    /// `CHARACTER_SET_NAME`, of strings.
    pub charset: Option<String>,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether a constraint says that it is JSON (MariaDB).
    pub json: bool,
}

impl TableInfo {
    /// Adds what the catalogue does not list of a table of MariaDB made with `WITH SYSTEM VERSIONING` and
    /// without a `PERIOD` (`TABLE_TYPE` is `SYSTEM VERSIONED`, and no column's `GENERATION_EXPRESSION`
    /// is `ROW START`): two columns at the end, which rows in the log have and statements may select. The
    /// second is part of each unique key, so that the old versions of a row have keys of their own.
    pub fn add_versioning(&mut self) {
        let added = ["row_start", "row_end"].map(|name| ColumnInfo {
            name: name.to_owned(),
            column_type: "timestamp(6)".to_owned(),
            charset: None,
            nullable: false,
            json: false,
        });
        self.columns.extend(added);
        if !self.key.is_empty() {
            self.key.push("row_end".to_owned());
        }
    }
}

/// How the columns' values of rows behind this map are written; none where that is not known.
///
/// It is the same as [`TableMap::columns`] but for MariaDB's own formats of TIME(p), DATETIME(p) and
/// TIMESTAMP(p), of tables made before 10.1 or with `mysql56_temporal_format=OFF`: the log does not tell
/// them from those without a fraction, which are shorter; the catalogue does.
///
/// # Errors
/// When the map cannot be read.
pub fn columns(
    map: &TableMap<'_>,
    info: Option<&TableInfo>,
    flavor: Flavor,
) -> Result<Option<Vec<ColumnType>>, DecodeError> {
    let mut types = map.columns()?;
    if flavor == Flavor::Mysql || !types.iter().any(|column| has_old_time(*column)) {
        return Ok(Some(types));
    }
    let names = map.metadata(&types)?.names;
    let catalogued = info.map_or(&[][..], |info| info.columns.as_slice());
    for (index, column) in types.iter_mut().enumerate() {
        let known = match &names {
            Some(names) => catalogued
                .iter()
                .find(|known| names.get(index) == Some(&known.name)),
            None => catalogued.get(index),
        };
        match known {
            Some(known) if has_old_time(*column) => {
                column.meta = declared::fraction(&known.column_type);
            }
            None if has_old_time(*column) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(types))
}

const fn has_old_time(column: ColumnType) -> bool {
    matches!(
        column.code,
        TypeCode::TIME | TypeCode::DATETIME | TypeCode::TIMESTAMP
    )
}

/// The shape that rows behind this map have.
///
/// # Errors
/// When the columns cannot be told.
pub fn relation(
    map: &TableMap<'_>,
    info: Option<&TableInfo>,
    flavor: Flavor,
) -> Result<Relation, ShapeError> {
    let Some(types) = columns(map, info, flavor)? else {
        return Err(ShapeError::OldTime {
            table: format!("{:?}.{:?}", map.schema, map.table),
        });
    };
    let metadata = map.metadata(&types)?;
    let table = Table {
        schema: map.schema,
        name: map.table,
        flavor,
    };
    match &metadata.names {
        Some(names) => table.named(&types, names, &metadata, info),
        None => table.by_position(&types, &metadata, info),
    }
}

/// The shape that a snapshot reads, by the catalogue alone: the same that the log's rows have.
///
/// # Errors
/// When a type or character set is not known.
pub fn catalogue_relation(
    schema: &str,
    name: &str,
    info: &TableInfo,
    flavor: Flavor,
) -> Result<Relation, ShapeError> {
    let table = Table {
        schema,
        name,
        flavor,
    };
    let mut columns = Vec::with_capacity(info.columns.len());
    for column in &info.columns {
        let declaration = table.declaration(column)?;
        columns.push(table.column(
            &column.name,
            Some(&column.column_type),
            declaration.into_spec(column.nullable),
        ));
    }
    Ok(table.with_key(columns, &info.key))
}

struct Table<'a> {
    schema: &'a str,
    name: &'a str,
    flavor: Flavor,
}

impl Table<'_> {
    /// The map says everything that matters.
    fn named(
        &self,
        types: &[ColumnType],
        names: &[String],
        metadata: &TableMetadata,
        info: Option<&TableInfo>,
    ) -> Result<Relation, ShapeError> {
        let mut columns = Vec::with_capacity(types.len());
        for (index, (column, name)) in types.iter().zip(names).enumerate() {
            let known = info.and_then(|info| info.columns.iter().find(|known| known.name == *name));
            let charset = self.charset(name, index, metadata, known)?;
            let charset = charset.unwrap_or(Charset::BINARY);
            let labels = metadata.labels.get(index).map_or(&[][..], Vec::as_slice);
            let labels = labels.iter().map(|label| charset.to_text(label));
            let labels = labels.collect::<Result<_, _>>().map_err(|_| {
                self.unknown(
                    name,
                    "label that is no text in its character set".to_owned(),
                )
            })?;
            let mut spec = ColumnSpec {
                column: *column,
                unsigned: unsigned(index, metadata).unwrap_or(false),
                charset,
                labels,
                declared: Declared::Plain,
            };
            let mut type_name = None;
            if let Some(known) = known
                && let Ok(declaration) = self.declaration(known)
                && declaration.fits(&spec, known.nullable).is_ok()
            {
                spec.declared = declaration.declared();
                type_name = Some(known.column_type.as_str());
            }
            columns.push(self.column(name, type_name, spec));
        }
        let primary = metadata.primary_key.iter().flatten();
        let primary: Vec<String> = primary
            .filter_map(|index| names.get(*index).cloned())
            .collect();
        if !primary.is_empty() {
            return Ok(self.with_key(columns, &primary));
        }
        // A unique key is not in the map.
        let key = info.map_or(&[][..], |info| info.key.as_slice());
        Ok(self.with_key(columns, key))
    }

    /// The map says types only, and perhaps signs and character sets.
    fn by_position(
        &self,
        types: &[ColumnType],
        metadata: &TableMetadata,
        info: Option<&TableInfo>,
    ) -> Result<Relation, ShapeError> {
        let table = || format!("{:?}.{:?}", self.schema, self.name);
        let does_not_fit = |why: String| ShapeError::DoesNotFit {
            table: table(),
            why,
        };
        let info = info.ok_or_else(|| ShapeError::Gone { table: table() })?;
        if info.columns.len() != types.len() {
            return Err(does_not_fit(format!(
                "{} columns in the log, {} in the table",
                types.len(),
                info.columns.len()
            )));
        }
        let mut columns = Vec::with_capacity(types.len());
        for (index, (column, known)) in types.iter().zip(&info.columns).enumerate() {
            let declaration = self.declaration(known)?;
            let mut spec = declaration.clone().into_spec(known.nullable);
            // Their formats differ by when the table was made.
            spec.column = *column;
            spec.unsigned = unsigned(index, metadata).unwrap_or(spec.unsigned);
            spec.charset = self
                .charset(&known.name, index, metadata, Some(known))?
                .unwrap_or(spec.charset);
            declaration
                .fits(&spec, known.nullable)
                .map_err(|why| does_not_fit(format!("column {:?} {why}", known.name)))?;
            columns.push(self.column(&known.name, Some(&known.column_type), spec));
        }
        Ok(self.with_key(columns, &info.key))
    }

    /// A column's character set, if the map says it: the number of a collation, which may be one that the
    /// server has beyond those that are known here.
    fn charset(
        &self,
        name: &str,
        index: usize,
        metadata: &TableMetadata,
        known: Option<&ColumnInfo>,
    ) -> Result<Option<Charset>, ShapeError> {
        let collations = metadata.collations.as_ref();
        let Some(number) = collations.and_then(|collations| *collations.get(index)?) else {
            return Ok(None);
        };
        let by_name = || Charset::by_name(known?.charset.as_deref()?);
        match Charset::by_collation(number).or_else(by_name) {
            Some(charset) => Ok(Some(charset)),
            None => Err(self.unknown(name, format!("collation number {number}"))),
        }
    }

    fn declaration(&self, info: &ColumnInfo) -> Result<Declaration, ShapeError> {
        Declaration::parse(info, self.flavor).map_err(|what| self.unknown(&info.name, what))
    }

    fn unknown(&self, column: &str, what: String) -> ShapeError {
        ShapeError::Unknown {
            table: format!("{:?}.{:?}", self.schema, self.name),
            column: column.to_owned(),
            what,
        }
    }

    fn column(&self, name: &str, type_name: Option<&str>, spec: ColumnSpec) -> Column {
        let facts = column_facts(&spec);
        Column {
            name: name.to_owned(),
            type_name: type_name.map_or_else(|| declared::printed(&spec), ToOwned::to_owned),
            logical: facts.logical,
            nullable: spec.column.nullable,
            key: None,
            identity: false,
            labels: spec.labels,
            precision: facts.precision,
            scale: facts.scale,
            format: facts.format,
        }
    }

    /// A key of which a column is missing, or may be NULL, identifies nothing.
    fn with_key(&self, mut columns: Vec<Column>, key: &[String]) -> Relation {
        let whole = key
            .iter()
            .all(|name| columns.iter().any(|c| c.name == *name && !c.nullable));
        for (place, name) in key.iter().enumerate().filter(|_| whole) {
            if let Some(column) = columns.iter_mut().find(|column| column.name == *name) {
                column.key = u16::try_from(place).ok();
                column.identity = true;
            }
        }
        Relation::new(self.schema.to_owned(), self.name.to_owned(), columns)
    }
}

/// Whether a column is unsigned, if the map says it.
fn unsigned(index: usize, metadata: &TableMetadata) -> Option<bool> {
    metadata.unsigned.as_ref()?.get(index).copied()
}

/// Whether a blob's length in the map can be that of the declared type.
const fn blob_len(word: &[u8]) -> u16 {
    match word {
        b"tinytext" | b"tinyblob" => 1,
        b"text" | b"blob" => 2,
        b"mediumtext" | b"mediumblob" => 3,
        _ => 4,
    }
}

/// Whether two types are the same but for the format of their time.
fn same_code(ours: TypeCode, theirs: TypeCode) -> bool {
    let plain = |code| match code {
        TypeCode::TIME2 => TypeCode::TIME,
        TypeCode::DATETIME2 => TypeCode::DATETIME,
        TypeCode::TIMESTAMP2 => TypeCode::TIMESTAMP,
        TypeCode::NEWDATE => TypeCode::DATE,
        TypeCode::VARCHAR_COMPRESSED | TypeCode::VAR_STRING => TypeCode::VARCHAR,
        TypeCode::BLOB_COMPRESSED => TypeCode::BLOB,
        other => other,
    };
    plain(ours) == plain(theirs)
}

#[cfg(test)]
mod tests;

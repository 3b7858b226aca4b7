//! `TABLE_MAP_EVENT`: the table of the rows that follow.
//!
//! | bytes | meaning |
//! |---|---|
//! | u48 | the table's number (u32 before MySQL 5.1.4) |
//! | u16 | flags |
//! | u8, text, NUL | the database |
//! | u8, text, NUL | the table |
//! | lenenc | the number of columns |
//! | 1 each | the columns' types |
//! | lenenc, bytes | what some types need besides: lengths, precisions |
//! | 1 bit each | whether the columns may be NULL |
//! | | optional metadata: a number, a length, a value, again and again |
//!
//! (`libs/mysql/binlog/event/rows_event.h`, `Table_map_event`; MariaDB writes the same.)

use adit_decode::limits::MYSQL_COLUMNS_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};

/// The number of a type in a table map (`enum_field_types`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeCode(pub u8);

#[allow(missing_docs, reason = "the names are the servers' own")]
impl TypeCode {
    pub const DECIMAL: Self = Self(0);
    pub const TINY: Self = Self(1);
    pub const SHORT: Self = Self(2);
    pub const LONG: Self = Self(3);
    pub const FLOAT: Self = Self(4);
    pub const DOUBLE: Self = Self(5);
    pub const NULL: Self = Self(6);
    pub const TIMESTAMP: Self = Self(7);
    pub const LONGLONG: Self = Self(8);
    pub const INT24: Self = Self(9);
    pub const DATE: Self = Self(10);
    pub const TIME: Self = Self(11);
    pub const DATETIME: Self = Self(12);
    pub const YEAR: Self = Self(13);
    pub const NEWDATE: Self = Self(14);
    pub const VARCHAR: Self = Self(15);
    pub const BIT: Self = Self(16);
    pub const TIMESTAMP2: Self = Self(17);
    pub const DATETIME2: Self = Self(18);
    pub const TIME2: Self = Self(19);
    pub const TYPED_ARRAY: Self = Self(20);
    pub const BLOB_COMPRESSED: Self = Self(140);
    pub const VARCHAR_COMPRESSED: Self = Self(141);
    pub const VECTOR: Self = Self(242);
    pub const JSON: Self = Self(245);
    pub const NEWDECIMAL: Self = Self(246);
    pub const ENUM: Self = Self(247);
    pub const SET: Self = Self(248);
    pub const TINY_BLOB: Self = Self(249);
    pub const MEDIUM_BLOB: Self = Self(250);
    pub const LONG_BLOB: Self = Self(251);
    pub const BLOB: Self = Self(252);
    pub const VAR_STRING: Self = Self(253);
    pub const STRING: Self = Self(254);
    pub const GEOMETRY: Self = Self(255);

    /// Whether `SIGNEDNESS` has a bit for it.
    const fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::TINY
                | Self::SHORT
                | Self::INT24
                | Self::LONG
                | Self::LONGLONG
                | Self::NEWDECIMAL
                | Self::FLOAT
                | Self::DOUBLE
                | Self::YEAR
        )
    }

    /// Whether the character set of strings is said for it.
    const fn is_character(self) -> bool {
        matches!(
            self,
            Self::STRING
                | Self::VAR_STRING
                | Self::VARCHAR
                | Self::BLOB
                | Self::VARCHAR_COMPRESSED
                | Self::BLOB_COMPRESSED
        )
    }

    const fn is_labelled(self) -> bool {
        matches!(self, Self::ENUM | Self::SET)
    }
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    /// Its type; `ENUM` and `SET` stand for themselves, not for the `STRING` that the map has.
    pub code: TypeCode,
    /// Strings: the most bytes. Blobs, JSON, geometries: bytes of the length. Decimals: precision in
    /// the high byte, scale in the low one. Bits: whole bytes in the high byte, bits beyond them in
    /// the low one. Temporals: fractional digits. Enums and sets: bytes of a value.
    pub meta: u16,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A table, as rows of it are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// Names the table until its definition is loaded anew.
    pub table_id: u64,
    /// Its database.
    pub schema: &'a str,
    /// Its name.
    pub table: &'a str,
    /// The columns' types.
    pub types: &'a [u8],
    /// What some types need besides.
    pub type_metadata: &'a [u8],
    /// Whether the columns may be NULL, a bit each.
    pub nullable: &'a [u8],
    /// What the server says besides, if it is told to (`binlog_row_metadata`).
    pub optional: &'a [u8],
}

/// What a table map may say besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableMetadata {
    /// Which columns are unsigned; none where the map does not say.
    pub unsigned: Option<Vec<bool>>,
    /// The collation of each column that has one.
    pub collations: Option<Vec<Option<u16>>>,
    /// The columns' names.
    pub names: Option<Vec<String>>,
    /// The labels of enums and sets, in the column's character set; empty for other columns, and
    /// where the map does not say.
    pub labels: Vec<Vec<Vec<u8>>>,
    /// The columns of the primary key, in its order; none where the map does not say.
    pub primary_key: Option<Vec<usize>>,
}

impl<'a> TableMap<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>, short_id: bool) -> Result<Self, DecodeError> {
        let table_id = table_id(reader, short_id, "binlog table_map.table_id")?;
        reader.u16_le("binlog table_map.flags")?;
        let schema = name(reader, "binlog table_map.schema")?;
        let table = name(reader, "binlog table_map.table")?;
        let columns = reader.lenenc_size(MYSQL_COLUMNS_MAX, "binlog table_map.columns")?;
        let types = reader.bytes(columns, "binlog table_map.types")?;
        let field = "binlog table_map.type_metadata";
        let len = reader.lenenc_size(usize::MAX, field)?;
        let type_metadata = reader.bytes(len, field)?;
        let nullable = reader.bytes(columns.div_ceil(8), "binlog table_map.nullable")?;
        Ok(Self {
            table_id,
            schema,
            table,
            types,
            type_metadata,
            nullable,
            optional: reader.rest(),
        })
    }

    /// Reads a map that was kept; its number, which is the first, does not matter.
    pub(crate) fn parse_again(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::parse(&mut Reader::new(body), false)
    }

    /// How the columns' values are written.
    ///
    /// # Errors
    /// When the metadata does not fit the types, or a type is not known.
    pub fn columns(&self) -> Result<Vec<ColumnType>, DecodeError> {
        let field = "binlog table_map.type_metadata";
        let mut meta = Reader::new(self.type_metadata);
        let columns = self.types.iter().enumerate().map(|(index, &code)| {
            let mut code = TypeCode(code);
            let meta = match code {
                TypeCode::FLOAT
                | TypeCode::DOUBLE
                | TypeCode::TIMESTAMP2
                | TypeCode::DATETIME2
                | TypeCode::TIME2
                | TypeCode::BLOB
                | TypeCode::TINY_BLOB
                | TypeCode::MEDIUM_BLOB
                | TypeCode::LONG_BLOB
                | TypeCode::BLOB_COMPRESSED
                | TypeCode::GEOMETRY
                | TypeCode::JSON
                | TypeCode::VECTOR => u16::from(meta.u8(field)?),
                TypeCode::VARCHAR | TypeCode::VAR_STRING | TypeCode::VARCHAR_COMPRESSED => {
                    meta.u16_le(field)?
                }
                // The bits beyond whole bytes come first.
                TypeCode::BIT => meta.u16_le(field)?,
                TypeCode::NEWDECIMAL => meta.u16(field)?,
                TypeCode::STRING | TypeCode::ENUM | TypeCode::SET => {
                    let (real, meta) = string(meta.u8(field)?, meta.u8(field)?);
                    code = real;
                    meta
                }
                TypeCode::TINY
                | TypeCode::SHORT
                | TypeCode::LONG
                | TypeCode::LONGLONG
                | TypeCode::INT24
                | TypeCode::NULL
                | TypeCode::TIMESTAMP
                | TypeCode::DATE
                | TypeCode::TIME
                | TypeCode::DATETIME
                | TypeCode::YEAR
                | TypeCode::NEWDATE => 0,
                TypeCode(tag) => {
                    let kind = DecodeErrorKind::UnknownTag { tag };
                    return Err(DecodeError::new(kind, index, "binlog table_map.types"));
                }
            };
            Ok(ColumnType {
                code,
                meta,
                nullable: bit_lsb(self.nullable, index),
            })
        });
        columns.collect()
    }

    /// What the map says besides.
    ///
    /// # Errors
    /// When it does not fit the columns.
    pub fn metadata(&self, columns: &[ColumnType]) -> Result<TableMetadata, DecodeError> {
        let mut metadata = TableMetadata {
            labels: vec![Vec::new(); columns.len()],
            ..TableMetadata::default()
        };
        let mut reader = Reader::new(self.optional);
        let mut of_strings = None;
        let mut of_labels = None;
        let places = |wanted: fn(TypeCode) -> bool| -> Vec<usize> {
            let all = columns.iter().enumerate();
            all.filter(|(_, column)| wanted(column.code))
                .map(|(index, _)| index)
                .collect()
        };
        while !reader.is_empty() {
            let kind = reader.u8("binlog table_map.optional")?;
            let len = reader.lenenc_size(usize::MAX, "binlog table_map.optional")?;
            let mut value = reader.sub(len, "binlog table_map.optional")?;
            match kind {
                // SIGNEDNESS
                1 => {
                    let bits = value.rest();
                    let mut unsigned = vec![false; columns.len()];
                    for (bit, index) in places(TypeCode::is_numeric).into_iter().enumerate() {
                        if let Some(slot) = unsigned.get_mut(index) {
                            *slot = bit_msb(bits, bit);
                        }
                    }
                    metadata.unsigned = Some(unsigned);
                }
                // DEFAULT_CHARSET, COLUMN_CHARSET and the same of enums and sets
                2 => of_strings = Some(default_collation(value, places(TypeCode::is_character))?),
                3 => of_strings = Some(collations(value, places(TypeCode::is_character))?),
                10 => of_labels = Some(default_collation(value, places(TypeCode::is_labelled))?),
                11 => of_labels = Some(collations(value, places(TypeCode::is_labelled))?),
                // COLUMN_NAME
                4 => {
                    let mut names = Vec::new();
                    while !value.is_empty() {
                        let field = "binlog table_map.column_name";
                        let len = value.lenenc_size(usize::MAX, field)?;
                        names.push(value.str(len, field)?.to_owned());
                    }
                    if names.len() != columns.len() {
                        let why = "there are not as many names as columns";
                        let kind = DecodeErrorKind::Invalid { why };
                        return Err(value.error(kind, "binlog table_map.column_name"));
                    }
                    metadata.names = Some(names);
                }
                // SET_STR_VALUE, ENUM_STR_VALUE
                5 | 6 => {
                    let wanted: fn(TypeCode) -> bool = if kind == 5 {
                        |code| code == TypeCode::SET
                    } else {
                        |code| code == TypeCode::ENUM
                    };
                    for index in places(wanted) {
                        let labels = labels(&mut value)?;
                        if let Some(slot) = metadata.labels.get_mut(index) {
                            *slot = labels;
                        }
                    }
                }
                // SIMPLE_PRIMARY_KEY, PRIMARY_KEY_WITH_PREFIX
                8 | 9 => {
                    let mut key = Vec::new();
                    while !value.is_empty() {
                        let field = "binlog table_map.primary_key";
                        key.push(value.lenenc_size(MYSQL_COLUMNS_MAX, field)?);
                        if kind == 9 {
                            value.lenenc(field)?;
                        }
                    }
                    metadata.primary_key = Some(key);
                }
                // GEOMETRY_TYPE, COLUMN_VISIBILITY, VECTOR_DIMENSIONALITY, and what may come
                _ => {}
            }
        }
        if of_strings.is_some() || of_labels.is_some() {
            let mut collations = vec![None; columns.len()];
            for (index, collation) in of_strings.into_iter().chain(of_labels).flatten() {
                if let Some(slot) = collations.get_mut(index) {
                    *slot = Some(collation);
                }
            }
            metadata.collations = Some(collations);
        }
        Ok(metadata)
    }
}

/// A table's number.
pub(super) fn table_id(
    reader: &mut Reader<'_>,
    short: bool,
    field: &'static str,
) -> Result<u64, DecodeError> {
    if short {
        reader.u32_le(field).map(u64::from)
    } else {
        reader.u48_le(field)
    }
}

fn name<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let len = usize::from(reader.u8(field)?);
    let name = reader.str(len, field)?;
    reader.u8(field)?;
    Ok(name)
}

/// The real type in the metadata of `STRING`, and what belongs to it.
///
/// A length of more than 255 bytes lends two bits of the type's byte, inverted.
/// (`Field_string::do_save_field_metadata`)
fn string(first: u8, second: u8) -> (TypeCode, u16) {
    if first & 0x30 == 0x30 {
        (TypeCode(first), u16::from(second))
    } else {
        let high = u16::from((first & 0x30) ^ 0x30) << 4;
        (TypeCode(first | 0x30), high | u16::from(second))
    }
}

/// Bit `index` of a bitmap that starts with the lowest bit of each byte.
pub(crate) fn bit_lsb(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

fn bit_msb(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
}

type Collations = Vec<(usize, u16)>;

fn collation(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let field = "binlog table_map.charset";
    let number = reader.lenenc_size(usize::from(u16::MAX), field)?;
    Ok(u16::try_from(number).unwrap_or(u16::MAX))
}

/// One for all of the columns, and those that have another, by their place among them.
fn default_collation(
    mut reader: Reader<'_>,
    places: Vec<usize>,
) -> Result<Collations, DecodeError> {
    let default = collation(&mut reader)?;
    let mut all: Collations = places.into_iter().map(|index| (index, default)).collect();
    while !reader.is_empty() {
        let place = reader.lenenc_size(MYSQL_COLUMNS_MAX, "binlog table_map.charset")?;
        let other = collation(&mut reader)?;
        if let Some((_, slot)) = all.get_mut(place) {
            *slot = other;
        }
    }
    Ok(all)
}

/// One for each of the columns.
fn collations(mut reader: Reader<'_>, places: Vec<usize>) -> Result<Collations, DecodeError> {
    let all = places.into_iter();
    all.map(|index| Ok((index, collation(&mut reader)?)))
        .collect()
}

fn labels(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let field = "binlog table_map.labels";
    // An enum has at most 65 535 labels.
    let count = reader.lenenc_size(usize::from(u16::MAX), field)?;
    let mut labels = Vec::new();
    for _ in 0..count {
        let len = reader.lenenc_size(usize::MAX, field)?;
        labels.push(reader.bytes(len, field)?.to_vec());
    }
    Ok(labels)
}

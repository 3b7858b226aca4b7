//! Values: what PostgreSQL's types are in an event.
//!
//! The source learns a column's type OID and modifier from the log or the catalogue. It asks
//! [`builtin`] about the OID, and only where that knows nothing the catalogue, and puts the answer
//! together as a [`TypeInfo`]. [`column_type`] then says all that a [`Column`](adit_event::Column)
//! needs to know, its [`CellFormat`] among it.
//!
//! ```
//! use adit_event::{Logical, ValueOptions, ValueWriter};
//! use adit_pgoutput::types::{builtin, column_type};
//!
//! // timestamp(3)
//! let column = column_type(&builtin(1114).unwrap(), 3);
//! assert_eq!(column.logical, Logical::Timestamp);
//!
//! let mut json = Vec::new();
//! let mut writer = ValueWriter::new(&mut json, ValueOptions::default());
//! column.format.write_text(b"2026-11-23 13:37:00.12", &mut writer).unwrap();
//! assert_eq!(json, br#""2026-11-23T13:37:00.120""#);
//! ```
//!
//! Cells are in PostgreSQL's text form, as pgoutput sends them and as `COPY` writes them (once its
//! backslashes are undone): the type's output function wrote them. A cast to `text` is not the same
//! (it makes `true` of `t`, adds `/32` to an inet and trims a `char(n)`), so no query may cast.
//!
//! The session must have [these settings](SESSION_SETTINGS). What shows that one of them is
//! different is an error, as is everything else that the output function cannot have written.

mod array;
mod bit;
mod builtin;
mod bytes;
mod hstore;
mod json;
mod number;
mod quoted;
mod scanner;
mod spatial;
mod temporal;
mod text;
mod vector;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use adit_event::{CellFormat, Logical};

pub use self::builtin::builtin;
use self::builtin::oid;

/// The session settings, by name and value, under which PostgreSQL writes text as it is read here.
pub const SESSION_SETTINGS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("intervalstyle", "iso_8601"),
    ("timezone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// What the catalogue says about a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: String,
    /// The name of the schema that it is in.
    pub schema: String,
    /// What sort of type it is.
    pub kind: TypeKind,
}

/// The sorts of types, as `pg_type.typtype` tells them apart, and arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// `b`: a type with input and output functions of its own.
    Base,
    /// `b` too, but its output function (`typoutput`) is `array_out`. (A `typelem` is not enough:
    /// `point` and `int2vector` have one and are no such arrays.)
    Array {
        /// The type that `typelem` names.
        element: Arc<TypeInfo>,
        /// The *element's* `typdelim`.
        delimiter: u8,
    },
    /// `d`: another type with constraints.
    Domain {
        /// The type that `typbasetype` names.
        base: Arc<TypeInfo>,
        /// `typtypmod`: the modifier of the base type.
        typmod: i32,
    },
    /// `e`.
    Enum {
        /// `pg_enum.enumlabel`, ordered by `enumsortorder`.
        labels: Vec<String>,
    },
    /// `c`: a row type.
    Composite,
    /// `r`.
    Range,
    /// `m`.
    Multirange,
    /// `p`: no column has one, but arrays of `record` exist.
    Pseudo,
}

/// All that a [`Column`](adit_event::Column) says about its type.
#[derive(Debug, Clone)]
pub struct ColumnType {
    /// What its values are in an event.
    pub logical: Logical,
    /// The labels of an enum, in order; else empty.
    pub labels: Vec<String>,
    /// Digits of a numeric, where the column limits them.
    pub precision: Option<u32>,
    /// Digits of a numeric behind the point, where the column limits them. Negative ones round
    /// before the point.
    pub scale: Option<i32>,
    /// Turns a cell into a value.
    pub format: Arc<dyn CellFormat>,
}

impl ColumnType {
    fn new(logical: Logical, format: impl CellFormat + 'static) -> Self {
        Self {
            logical,
            labels: Vec::new(),
            precision: None,
            scale: None,
            format: Arc::new(format),
        }
    }
}

/// What a column of this type and with this modifier (`pg_attribute.atttypmod`) has in events.
#[must_use]
pub fn column_type(info: &TypeInfo, typmod: i32) -> ColumnType {
    match &info.kind {
        TypeKind::Base => base(info, typmod),
        TypeKind::Array { element, delimiter } => {
            // A modifier of the array is its elements'.
            let element = column_type(element, typmod).format;
            ColumnType::new(Logical::Array, array::Array::new(element, *delimiter))
        }
        // A domain's modifier is its own; a column of it has none.
        TypeKind::Domain { base, typmod } => column_type(base, *typmod),
        TypeKind::Enum { labels } => ColumnType {
            labels: labels.clone(),
            ..ColumnType::new(Logical::Enum, text::Text)
        },
        TypeKind::Composite | TypeKind::Range | TypeKind::Multirange | TypeKind::Pseudo => {
            ColumnType::new(Logical::Other, text::Text)
        }
    }
}

/// Reads the cells of this type with this modifier.
#[must_use]
pub fn format(info: &TypeInfo, typmod: i32) -> Arc<dyn CellFormat> {
    column_type(info, typmod).format
}

/// What this type's values are in an event.
#[must_use]
pub fn logical(info: &TypeInfo) -> Logical {
    column_type(info, -1).logical
}

fn base(info: &TypeInfo, typmod: i32) -> ColumnType {
    let precision = temporal::precision(typmod);
    match info.oid {
        oid::INT2 => ColumnType::new(Logical::Integer, number::INT2),
        oid::INT4 => ColumnType::new(Logical::Integer, number::INT4),
        oid::INT8 => ColumnType::new(Logical::Integer, number::BigInteger),
        oid::OID => ColumnType::new(Logical::Integer, number::OID),
        oid::FLOAT4 | oid::FLOAT8 => ColumnType::new(Logical::Float, number::Float),
        oid::NUMERIC => {
            let limits = number::precision_and_scale(typmod);
            ColumnType {
                precision: limits.map(|(precision, _)| precision),
                scale: limits.map(|(_, scale)| scale),
                ..ColumnType::new(Logical::Decimal, number::Numeric)
            }
        }
        oid::BOOL => ColumnType::new(Logical::Boolean, bit::Boolean),
        oid::BIT | oid::VARBIT => ColumnType::new(Logical::Bit, bit::Bits),
        oid::BYTEA => ColumnType::new(Logical::Bytes, bytes::Bytea),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME => {
            ColumnType::new(Logical::Text, text::Text)
        }
        oid::CHAR => ColumnType::new(Logical::Text, text::Char),
        oid::UUID => ColumnType::new(Logical::Uuid, text::Uuid),
        oid::JSON | oid::JSONB => ColumnType::new(Logical::Json, json::Json),
        oid::DATE => ColumnType::new(Logical::Date, temporal::Date),
        oid::TIME => {
            let zone = false;
            ColumnType::new(Logical::Time, temporal::Time { precision, zone })
        }
        oid::TIMETZ => {
            let zone = true;
            ColumnType::new(Logical::TimeTz, temporal::Time { precision, zone })
        }
        oid::TIMESTAMP => {
            let zone = false;
            ColumnType::new(Logical::Timestamp, temporal::Timestamp { precision, zone })
        }
        oid::TIMESTAMPTZ => {
            let zone = true;
            ColumnType::new(
                Logical::TimestampTz,
                temporal::Timestamp { precision, zone },
            )
        }
        oid::INTERVAL => ColumnType::new(Logical::Interval, temporal::Interval),
        _ => extension(&info.name),
    }
}

/// Types of extensions have other OIDs in each database, and their schema is the user's choice: the
/// name is what stays.
fn extension(name: &str) -> ColumnType {
    match name {
        "citext" => ColumnType::new(Logical::Text, text::Text),
        "hstore" => ColumnType::new(Logical::Object, hstore::Hstore),
        "geometry" | "geography" => ColumnType::new(Logical::Geometry, spatial::Geometry),
        "vector" | "halfvec" => ColumnType::new(Logical::Vector, vector::Vector),
        // ltree, sparsevec, every built-in type without a form of its own, and the unknown.
        _ => ColumnType::new(Logical::Other, text::Text),
    }
}

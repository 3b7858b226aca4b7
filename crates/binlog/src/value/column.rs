//! What a column's type means for its values.

use std::sync::Arc;

use adit_event::{CellFormat, Logical};

use super::{
    bit, bytes, decimal, enumeration, float, integer, json, network, spatial, string, temporal,
};
use crate::charset::Charset;
use crate::event::{ColumnType, TypeCode};

/// What only the catalogue says of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Declared {
    /// Nothing that the log does not say.
    #[default]
    Plain,
    /// MariaDB's JSON, which is text.
    Json,
    /// MariaDB's UUID, which is bytes.
    Uuid,
    /// MariaDB's INET4, which is bytes.
    Inet4,
    /// MariaDB's INET6, which is bytes.
    Inet6,
    /// MariaDB's VECTOR, which is bytes.
    Vector,
}

/// A column's type with everything that decides how its values are read.
#[derive(Debug, Clone)]
pub struct ColumnSpec {
    /// Its type in the log.
    pub column: ColumnType,
    /// Whether it is unsigned.
    pub unsigned: bool,
    /// Its character set.
    pub charset: Charset,
    /// The labels of an enum or set.
    pub labels: Vec<String>,
    /// What only the catalogue says.
    pub declared: Declared,
}

/// How a column looks in events, and how its values are read.
#[derive(Debug)]
pub struct ColumnFacts {
    /// What its values are.
    pub logical: Logical,
    /// Reads them.
    pub format: Arc<dyn CellFormat>,
    /// Digits of a decimal.
    pub precision: Option<u32>,
    /// Digits behind the point of a decimal.
    pub scale: Option<i32>,
}

/// How a column looks in events, and how its values are read.
#[must_use]
pub fn column_facts(spec: &ColumnSpec) -> ColumnFacts {
    let meta = spec.column.meta;
    let layout = |new: bool| temporal::Layout::of(new, meta);
    let (logical, format): (Logical, Arc<dyn CellFormat>) = match spec.column.code {
        TypeCode::TINY | TypeCode::SHORT | TypeCode::INT24 | TypeCode::LONG => {
            let unsigned = spec.unsigned;
            (
                Logical::Integer,
                Arc::new(integer::SmallInteger { unsigned }),
            )
        }
        TypeCode::LONGLONG => {
            let unsigned = spec.unsigned;
            (Logical::Integer, Arc::new(integer::Integer { unsigned }))
        }
        TypeCode::YEAR => (Logical::Integer, Arc::new(integer::Year)),
        TypeCode::FLOAT => (Logical::Float, Arc::new(float::Float)),
        TypeCode::DOUBLE => (Logical::Float, Arc::new(float::Double)),
        TypeCode::NEWDECIMAL => (Logical::Decimal, Arc::new(decimal::Decimal { meta })),
        TypeCode::DATE | TypeCode::NEWDATE => (Logical::Date, Arc::new(temporal::Date)),
        code @ (TypeCode::TIME | TypeCode::TIME2) => {
            let layout = layout(code == TypeCode::TIME2);
            (Logical::Time, Arc::new(temporal::Time { layout }))
        }
        code @ (TypeCode::DATETIME | TypeCode::DATETIME2) => {
            let layout = layout(code == TypeCode::DATETIME2);
            (Logical::Timestamp, Arc::new(temporal::Datetime { layout }))
        }
        code @ (TypeCode::TIMESTAMP | TypeCode::TIMESTAMP2) => {
            let layout = layout(code == TypeCode::TIMESTAMP2);
            (
                Logical::TimestampTz,
                Arc::new(temporal::Timestamp { layout }),
            )
        }
        TypeCode::BIT => (Logical::Bit, Arc::new(bit::Bit { bits: bits(meta) })),
        TypeCode::ENUM => {
            let (labels, charset) = (spec.labels.clone(), spec.charset);
            (
                Logical::Enum,
                Arc::new(enumeration::Enum { labels, charset }),
            )
        }
        TypeCode::SET => {
            let (labels, charset) = (spec.labels.clone(), spec.charset);
            (
                Logical::Array,
                Arc::new(enumeration::Set { labels, charset }),
            )
        }
        TypeCode::JSON => (Logical::Json, Arc::new(json::Json)),
        TypeCode::GEOMETRY => (Logical::Geometry, Arc::new(spatial::Geometry)),
        TypeCode::VECTOR => (Logical::Vector, Arc::new(spatial::Vector)),
        code => strings(code, spec),
    };
    let (precision, scale) = match spec.column.code {
        TypeCode::NEWDECIMAL => {
            let [precision, scale] = meta.to_be_bytes();
            (Some(u32::from(precision)), Some(i32::from(scale)))
        }
        _ => (None, None),
    };
    ColumnFacts {
        logical,
        format,
        precision,
        scale,
    }
}

/// The bits of BIT(n).
pub(crate) fn bits(meta: u16) -> usize {
    usize::from(meta >> 8) * 8 + usize::from(meta & 0xff)
}

/// Strings of all kinds, and what is kept in them.
fn strings(code: TypeCode, spec: &ColumnSpec) -> (Logical, Arc<dyn CellFormat>) {
    let charset = spec.charset;
    let packed = matches!(
        code,
        TypeCode::VARCHAR_COMPRESSED | TypeCode::BLOB_COMPRESSED
    );
    match spec.declared {
        Declared::Json if packed => {
            let format = bytes::Compressed(json::Document { charset });
            (Logical::Json, Arc::new(format))
        }
        Declared::Json => (Logical::Json, Arc::new(json::Document { charset })),
        Declared::Uuid => (Logical::Uuid, Arc::new(network::Uuid)),
        Declared::Inet4 => (Logical::Other, Arc::new(network::Inet4)),
        Declared::Inet6 => (Logical::Other, Arc::new(network::Inet6)),
        Declared::Vector => (Logical::Vector, Arc::new(spatial::Vector)),
        Declared::Plain if charset.is_binary() && code == TypeCode::STRING => {
            let len = usize::from(spec.column.meta);
            (Logical::Bytes, Arc::new(bytes::FixedBytes { len }))
        }
        Declared::Plain if charset.is_binary() && packed => {
            (Logical::Bytes, Arc::new(bytes::Compressed(bytes::Bytes)))
        }
        Declared::Plain if charset.is_binary() => (Logical::Bytes, Arc::new(bytes::Bytes)),
        Declared::Plain if packed => {
            let format = bytes::Compressed(string::Text { charset });
            (Logical::Text, Arc::new(format))
        }
        Declared::Plain => (Logical::Text, Arc::new(string::Text { charset })),
    }
}

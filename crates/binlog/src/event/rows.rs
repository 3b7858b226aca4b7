//! The rows events: what was inserted, updated or deleted.
//!
//! | bytes | meaning |
//! |---|---|
//! | u48 | the table's number (u32 before MySQL 5.1.4) |
//! | u16 | flags: 1 on the last event of a statement |
//! | u16, bytes | version 2: further data, its length counted in |
//! | lenenc | the number of columns |
//! | 1 bit each | which columns the images have |
//! | 1 bit each | of updates: which the images after the change have |
//! | rest | row after row; of MariaDB's compressed events compressed |
//!
//! A row of an update is two images. (`libs/mysql/binlog/event/rows_event.h`, `Rows_event`.)

use std::borrow::Cow;

use adit_decode::limits::MYSQL_COLUMNS_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use super::part;
use super::table_map::table_id;
use crate::header::EventType;

/// What happened to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// Inserted.
    Write,
    /// Updated.
    Update,
    /// Deleted.
    Delete,
    /// Updated, and the images after the change hold parts of JSON values.
    PartialUpdate,
}

/// Changed rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<'a> {
    /// The table's number in its map.
    pub table_id: u64,
    /// What happened.
    pub kind: RowsKind,
    /// Whether the statement ends here, and with it what the table's number means.
    pub statement_end: bool,
    /// The number of columns.
    pub columns: usize,
    /// Which columns the images before the change have; empty for inserts.
    pub before: &'a [u8],
    /// Which columns the images after the change have; empty for deletes.
    pub after: &'a [u8],
    /// The images.
    pub rows: Cow<'a, [u8]>,
}

/// What the number of an event says of its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    kind: RowsKind,
    further: bool,
    compressed: bool,
}

/// The layout of a rows event; none for other events.
pub(super) const fn layout(kind: EventType) -> Option<Layout> {
    let (kind, further, compressed) = match kind {
        EventType::WRITE_ROWS_V1 => (RowsKind::Write, false, false),
        EventType::UPDATE_ROWS_V1 => (RowsKind::Update, false, false),
        EventType::DELETE_ROWS_V1 => (RowsKind::Delete, false, false),
        EventType::WRITE_ROWS => (RowsKind::Write, true, false),
        EventType::UPDATE_ROWS => (RowsKind::Update, true, false),
        EventType::DELETE_ROWS => (RowsKind::Delete, true, false),
        EventType::PARTIAL_UPDATE_ROWS => (RowsKind::PartialUpdate, true, false),
        EventType::MARIA_WRITE_ROWS_COMPRESSED_V1 => (RowsKind::Write, false, true),
        EventType::MARIA_UPDATE_ROWS_COMPRESSED_V1 => (RowsKind::Update, false, true),
        EventType::MARIA_DELETE_ROWS_COMPRESSED_V1 => (RowsKind::Delete, false, true),
        EventType::MARIA_WRITE_ROWS_COMPRESSED => (RowsKind::Write, true, true),
        EventType::MARIA_UPDATE_ROWS_COMPRESSED => (RowsKind::Update, true, true),
        EventType::MARIA_DELETE_ROWS_COMPRESSED => (RowsKind::Delete, true, true),
        _ => return None,
    };
    Some(Layout {
        kind,
        further,
        compressed,
    })
}

const STATEMENT_END: u16 = 1;

impl<'a> Rows<'a> {
    pub(super) fn parse(
        reader: &mut Reader<'a>,
        layout: Layout,
        short_id: bool,
    ) -> Result<Self, DecodeError> {
        let table_id = table_id(reader, short_id, "binlog rows.table_id")?;
        let flags = reader.u16_le("binlog rows.flags")?;
        if layout.further {
            let field = "binlog rows.further";
            let len = usize::from(reader.u16_le(field)?);
            let Some(len) = len.checked_sub(2) else {
                let why = "its length does not count itself";
                return Err(reader.error(DecodeErrorKind::Invalid { why }, field));
            };
            reader.bytes(len, field)?;
        }
        let columns = reader.lenenc_size(MYSQL_COLUMNS_MAX, "binlog rows.columns")?;
        let len = columns.div_ceil(8);
        let first = reader.bytes(len, "binlog rows.present")?;
        let (before, after) = match layout.kind {
            RowsKind::Write => (&[][..], first),
            RowsKind::Delete => (first, &[][..]),
            RowsKind::Update | RowsKind::PartialUpdate => {
                (first, reader.bytes(len, "binlog rows.present_after")?)
            }
        };
        Ok(Self {
            table_id,
            kind: layout.kind,
            statement_end: flags & STATEMENT_END != 0,
            columns,
            before,
            after,
            rows: part(reader, layout.compressed, "binlog rows.rows")?,
        })
    }
}

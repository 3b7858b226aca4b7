//! The rows of one event, one after the other.

use std::sync::Arc;

use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use adit_event::{Before, Change, Op, Relation, Row};
use bytes::{Bytes, BytesMut};

use crate::event::{ColumnType, Rows, RowsKind};
use crate::row;

use super::tables::Known;

/// Room that rows are written to; a new one is made when it is full and its rows are still in use.
const BUFFER_LEN: usize = 64 * 1024;

/// Walks over a rows event.
#[derive(Debug)]
pub(super) struct RowsCursor {
    kind: RowsKind,
    columns: Arc<[ColumnType]>,
    /// None if nobody wants the rows: they are only counted.
    relation: Option<Arc<Relation>>,
    walkable: bool,
    before: Bytes,
    after: Bytes,
    rows: Bytes,
    offset: usize,
}

impl RowsCursor {
    pub(super) fn new(body: &Bytes, rows: Rows<'_>, known: &Known) -> Self {
        let bytes = match rows.rows {
            std::borrow::Cow::Borrowed(bytes) => body.slice_ref(bytes),
            std::borrow::Cow::Owned(bytes) => bytes.into(),
        };
        Self {
            kind: rows.kind,
            columns: Arc::clone(&known.columns),
            relation: known.relation.clone(),
            walkable: known.walkable,
            before: body.slice_ref(rows.before),
            after: body.slice_ref(rows.after),
            rows: bytes,
            offset: 0,
        }
    }

    /// The next change, if its rows are wanted; none at the end of the event.
    pub(super) fn next(
        &mut self,
        ordinal: &mut u64,
        buffer: &mut BytesMut,
    ) -> Result<Option<Change>, DecodeError> {
        loop {
            let rest = self.rows.get(self.offset..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            let mut reader = Reader::new(rest);
            if !self.walkable {
                // All of them count as one.
                self.offset += rest.len();
                *ordinal += 1;
                return Ok(None);
            }
            let change = match &self.relation {
                Some(relation) => {
                    Some(self.change(Arc::clone(relation), *ordinal, &mut reader, buffer)?)
                }
                None => {
                    self.skip(&mut reader)?;
                    None
                }
            };
            if reader.offset() == 0 {
                let why = "a row without any bytes";
                return Err(reader.error(DecodeErrorKind::Invalid { why }, "binlog rows.rows"));
            }
            self.offset += reader.offset();
            *ordinal += 1;
            if change.is_some() {
                return Ok(change);
            }
        }
    }

    fn change(
        &self,
        relation: Arc<Relation>,
        ordinal: u64,
        reader: &mut Reader<'_>,
        buffer: &mut BytesMut,
    ) -> Result<Change, DecodeError> {
        if buffer.capacity() - buffer.len() < BUFFER_LEN / 8 {
            buffer.reserve(BUFFER_LEN);
        }
        let mut image = |present: &[u8], reader: &mut Reader<'_>| {
            row::image(&self.columns, present, reader, buffer)?;
            Ok(Row::new(buffer.split().freeze()))
        };
        let (op, before, after) = match self.kind {
            RowsKind::Write => (Op::Insert, None, Some(image(&self.after, reader)?)),
            RowsKind::Delete => (Op::Delete, Some(image(&self.before, reader)?), None),
            RowsKind::Update => {
                let before = image(&self.before, reader)?;
                (Op::Update, Some(before), Some(image(&self.after, reader)?))
            }
            RowsKind::PartialUpdate => {
                let before = image(&self.before, reader)?;
                row::partial_image(&self.columns, &self.after, &before, reader, buffer)?;
                let after = Row::new(buffer.split().freeze());
                (Op::Update, Some(before), Some(after))
            }
        };
        Ok(Change {
            relation,
            op,
            before: before.map(Before::Full),
            after,
            ordinal,
        })
    }

    fn skip(&self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self.kind {
            RowsKind::Write => row::skip(&self.columns, &self.after, false, reader),
            RowsKind::Delete => row::skip(&self.columns, &self.before, false, reader),
            RowsKind::Update | RowsKind::PartialUpdate => {
                let partial = self.kind == RowsKind::PartialUpdate;
                row::skip(&self.columns, &self.before, false, reader)?;
                row::skip(&self.columns, &self.after, partial, reader)
            }
        }
    }
}

//! Row images: from the log's bytes to rows.
//!
//! An image has a bit for each column that it holds, whether it is NULL, and then the cells of the others.
//! In the image after a partial update there come before them the row's options, length-encoded, and with
//! option 1 a bit for each JSON column of the table: whether its cell is a list of changes.

use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use adit_event::{Cell, Row, RowBuilder};
use bytes::BytesMut;

use crate::event::{ColumnType, TypeCode, bit_lsb};
use crate::value::{json, split};

const PARTIAL_JSON: u64 = 1;

/// Reads one image into a row.
pub(crate) fn image(
    columns: &[ColumnType],
    present: &[u8],
    reader: &mut Reader<'_>,
    out: &mut BytesMut,
) -> Result<(), DecodeError> {
    let nulls = nulls(columns, present, reader)?;
    let mut row = builder(columns, out);
    let mut place = 0;
    for (index, column) in columns.iter().enumerate() {
        if !bit_lsb(present, index) {
            row.absent();
            continue;
        }
        if bit_lsb(nulls, place) {
            row.null();
        } else {
            row.binary(split(*column, reader)?);
        }
        place += 1;
    }
    Ok(())
}

/// Reads the image after a partial update into a row; `before` is the row that is changed.
pub(crate) fn partial_image(
    columns: &[ColumnType],
    present: &[u8],
    before: &Row,
    reader: &mut Reader<'_>,
    out: &mut BytesMut,
) -> Result<(), DecodeError> {
    let options = reader.lenenc("binlog row.options")?;
    let json_columns = columns
        .iter()
        .filter(|column| column.code == TypeCode::JSON);
    let partial = if options & PARTIAL_JSON == 0 {
        &[]
    } else {
        reader.bytes(json_columns.count().div_ceil(8), "binlog row.partial")?
    };
    let nulls = nulls(columns, present, reader)?;
    let mut row = builder(columns, out);
    let mut old = before.cells();
    let (mut place, mut json_place) = (0, 0);
    for (index, column) in columns.iter().enumerate() {
        let old = old.next();
        let mut is_partial = false;
        if column.code == TypeCode::JSON {
            is_partial = bit_lsb(partial, json_place);
            json_place += 1;
        }
        if !bit_lsb(present, index) {
            row.absent();
            continue;
        }
        if bit_lsb(nulls, place) {
            row.null();
        } else {
            let at = reader.offset();
            let cell = split(*column, reader)?;
            match (is_partial, old) {
                (false, _) => row.binary(cell),
                (true, Some(Cell::Binary(old))) => {
                    let text = json::apply(old, cell).map_err(|error| {
                        let why = error.problem;
                        let kind = DecodeErrorKind::Invalid { why };
                        DecodeError::new(kind, at, "binlog row.json_diff")
                    })?;
                    row.text(&text);
                }
                // What was changed is not logged.
                (true, _) => row.absent(),
            }
        }
        place += 1;
    }
    Ok(())
}

/// Goes past one image.
pub(crate) fn skip(
    columns: &[ColumnType],
    present: &[u8],
    partial: bool,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    if partial && reader.lenenc("binlog row.options")? & PARTIAL_JSON != 0 {
        let json_columns = columns
            .iter()
            .filter(|column| column.code == TypeCode::JSON);
        reader.bytes(json_columns.count().div_ceil(8), "binlog row.partial")?;
    }
    let nulls = nulls(columns, present, reader)?;
    let mut place = 0;
    for (index, column) in columns.iter().enumerate() {
        if bit_lsb(present, index) {
            if !bit_lsb(nulls, place) {
                split(*column, reader)?;
            }
            place += 1;
        }
    }
    Ok(())
}

fn nulls<'a>(
    columns: &[ColumnType],
    present: &[u8],
    reader: &mut Reader<'a>,
) -> Result<&'a [u8], DecodeError> {
    let count: usize = if columns.len().is_multiple_of(8) {
        present.iter().map(|byte| byte.count_ones() as usize).sum()
    } else {
        (0..columns.len())
            .filter(|index| bit_lsb(present, *index))
            .count()
    };
    reader.bytes(count.div_ceil(8), "binlog row.nulls")
}

fn builder<'a>(columns: &[ColumnType], out: &'a mut BytesMut) -> RowBuilder<'a> {
    RowBuilder::new(out, u16::try_from(columns.len()).unwrap_or(u16::MAX))
}

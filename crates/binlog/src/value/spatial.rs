//! Geometries and vectors. Both forms are the same bytes.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{error, float};

/// GEOMETRY and its kinds: the SRID, u32 little-endian, and the geometry in WKB.
#[derive(Debug)]
pub(super) struct Geometry;

impl CellFormat for Geometry {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let Some((srid, wkb)) = cell.split_first_chunk::<4>() else {
            return Err(error("geometry", "fewer bytes than an SRID has", 0, cell));
        };
        out.geometry(u32::from_le_bytes(*srid), wkb);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_text(cell, out)
    }
}

/// VECTOR: floats of 32 bits, little-endian.
#[derive(Debug)]
pub(super) struct Vector;

impl CellFormat for Vector {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let (numbers, rest) = cell.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(error("vector", "part of a number", cell.len(), cell));
        }
        out.begin_array();
        for number in numbers {
            out.element();
            float::single(f32::from_le_bytes(*number), out);
        }
        out.end_array();
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        self.write_text(cell, out)
    }
}

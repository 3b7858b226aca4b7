//! FLOAT and DOUBLE.
//!
//! Binary form: IEEE 754, little-endian. Text form: as DOUBLE prints; a FLOAT is selected as DOUBLE,
//! because the servers print a FLOAT with six digits only.

use std::fmt::Write as _;

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{Scratch, ascii, error, exactly};

/// The longest: a sign, 17 digits, a point, and an exponent of four; or 17 digits behind zeros.
const LEN_MAX: usize = 40;

/// FLOAT.
#[derive(Debug)]
pub(super) struct Float;

/// DOUBLE.
#[derive(Debug)]
pub(super) struct Double;

impl CellFormat for Float {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let value: f64 = parse(cell)?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the value was a FLOAT before it was selected as DOUBLE"
        )]
        single(value as f32, out);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        single(f32::from_le_bytes(exactly("float", cell)?), out);
        Ok(())
    }
}

impl CellFormat for Double {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        double(parse(cell)?, out);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        double(f64::from_le_bytes(exactly("double", cell)?), out);
        Ok(())
    }
}

fn parse(cell: &[u8]) -> Result<f64, ValueError> {
    let bad = |_| error("double", "not a number", 0, cell);
    ascii("double", cell)?.parse().map_err(bad)
}

/// A float in its shortest form.
pub(super) fn single(value: f32, out: &mut ValueWriter<'_>) {
    if !value.is_finite() {
        return special(f64::from(value), out);
    }
    let mut text = Scratch::<LEN_MAX>::new();
    // Shortest digits that read back the same.
    let written = write!(text, "{value:?}");
    debug_assert!(written.is_ok(), "scratch takes everything");
    finite(text.as_str(), out);
}

/// A double in its shortest form.
pub(super) fn double(value: f64, out: &mut ValueWriter<'_>) {
    if !value.is_finite() {
        return special(value, out);
    }
    let mut text = Scratch::<LEN_MAX>::new();
    let written = write!(text, "{value:?}");
    debug_assert!(written.is_ok(), "scratch takes everything");
    finite(text.as_str(), out);
}

fn finite(text: &str, out: &mut ValueWriter<'_>) {
    out.float(text.strip_suffix(".0").unwrap_or(text));
}

/// No column holds them, but bytes may.
fn special(value: f64, out: &mut ValueWriter<'_>) {
    out.plain(if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    });
}

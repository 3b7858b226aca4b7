//! MariaDB's own formats of times with a fraction, from before it took over MySQL's
//! (`mysql56_temporal_format`). The log gives them the numbers of the types without a fraction, and does
//! not say how long they are.
//!
//! | type | binary form, big-endian |
//! |---|---|
//! | TIME(p) | seconds in units of the last digit, 3 020 400 seconds added |
//! | DATETIME(p) | ((((year × 13 + month) × 32 + day) × 24 + hour) × 60 + minute) × 60 + second, in units of the last digit |
//! | TIMESTAMP(p) | u32: seconds since 1970; fraction in units of the last digit |
//!
//! (`Field_time_hires` and others, `sql/field.cc`.)

use adit_event::ValueError;

use super::{Text, big_endian, exact_fraction, packed_date, wrong_length};
use crate::event::TypeCode;

/// What is added to a TIME, in seconds: one more than the greatest.
const TIME_ZERO: u64 = 839 * 3_600;

/// Bytes of a value; of one without a fraction those of the old formats. 0 for what cannot be declared.
pub(in crate::value) fn len(code: TypeCode, digits: u16) -> usize {
    let lengths: [usize; 7] = match code {
        TypeCode::TIME => [3, 4, 4, 5, 5, 5, 6],
        TypeCode::DATETIME => [8, 6, 6, 7, 7, 7, 8],
        TypeCode::TIMESTAMP => [4, 5, 5, 6, 6, 7, 7],
        _ => return 0,
    };
    lengths.get(usize::from(digits)).copied().unwrap_or(0)
}

/// TIME(p).
pub(super) fn time(cell: &[u8], digits: u16) -> Result<Text, ValueError> {
    if cell.is_empty() || cell.len() != len(TypeCode::TIME, digits) {
        return Err(wrong_length("time", cell));
    }
    let stored = big_endian(cell);
    let zero = TIME_ZERO * unit(digits);
    let mut text = Text::new();
    if stored < zero {
        text.push(b'-');
    }
    clock(&mut text, stored.abs_diff(zero), digits);
    Ok(text)
}

/// DATETIME(p).
pub(super) fn datetime(cell: &[u8], digits: u16) -> Result<Text, ValueError> {
    if cell.is_empty() || cell.len() != len(TypeCode::DATETIME, digits) {
        return Err(wrong_length("datetime", cell));
    }
    let stored = big_endian(cell);
    let day = 86_400 * unit(digits);
    let mut text = Text::new();
    packed_date(&mut text, stored / day);
    text.push(b'T');
    clock(&mut text, stored % day, digits);
    Ok(text)
}

/// A time in units of its last digit.
fn clock(text: &mut Text, value: u64, digits: u16) {
    let (whole, part) = (value / unit(digits), value % unit(digits));
    super::time(text, whole / 3_600, whole / 60 % 60, whole % 60);
    exact_fraction(text, part, digits);
}

/// Units of a second.
const fn unit(digits: u16) -> u64 {
    10u64.pow(digits as u32)
}

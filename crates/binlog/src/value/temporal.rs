//! DATE, TIME, DATETIME and TIMESTAMP, in the format of MySQL 5.6 and the one before it.
//!
//! | type | binary form |
//! |---|---|
//! | DATE | u24 little-endian: 15 bits year, 4 month, 5 day |
//! | TIME2 | big-endian, offset by 2^23 (and what the fraction adds): 10 bits hour, 6 minute, 6 second, fraction |
//! | DATETIME2 | big-endian, offset by 2^39: 17 bits year × 13 + month, 5 day, 5 hour, 6 minute, 6 second; fraction |
//! | TIMESTAMP2 | u32 big-endian: seconds since 1970; fraction |
//! | TIME, DATETIME | little-endian, the digits `hhmmss` and `yyyymmddhhmmss` as a number |
//! | TIMESTAMP | u32 little-endian |
//!
//! A fraction has a byte for every two digits. (`my_time.cc`, `my_datetime_packed_to_binary` and others.)
//! MariaDB has formats of its own besides: `maria`.
//!
//! What is no date (`0000-00-00`, `2026-02-30`) is written as it is: the servers let it in where the SQL
//! mode allows.

pub(super) mod maria;

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{Scratch, ascii, error, exactly};
use crate::event::TypeCode;

/// `-838:59:59.000000`, and a year with a date and a time.
type Text = Scratch<32>;

/// DATE.
#[derive(Debug)]
pub(super) struct Date;

/// TIME.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) layout: Layout,
}

/// DATETIME.
#[derive(Debug)]
pub(super) struct Datetime {
    pub(super) layout: Layout,
}

/// TIMESTAMP.
#[derive(Debug)]
pub(super) struct Timestamp {
    pub(super) layout: Layout,
}

/// In which of the three formats a value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// Before MySQL 5.6: without a fraction.
    Old,
    /// MariaDB's own, with so many digits of a fraction.
    Maria(u16),
    /// Since MySQL 5.6, with so many digits of a fraction.
    New(u16),
}

impl Layout {
    /// The format of a type by its metadata, the digits of its fraction.
    pub(super) const fn of(new: bool, digits: u16) -> Self {
        match (new, digits) {
            (true, _) => Self::New(digits),
            (false, 0) => Self::Old,
            (false, _) => Self::Maria(digits),
        }
    }
}

const fn wrong_length(expected: &'static str, cell: &[u8]) -> ValueError {
    error(expected, "another length than its type has", 0, cell)
}

fn legal<'a>(expected: &'static str, cell: &'a [u8]) -> Result<&'a str, ValueError> {
    let text = ascii(expected, cell)?;
    let legal = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b' ');
    match text.bytes().position(|b| !legal(b)) {
        None => Ok(text),
        Some(offset) => Err(error(expected, "something else than digits", offset, cell)),
    }
}

/// Date and time with a space between, as the text protocol has them.
fn with_t(expected: &'static str, cell: &[u8], zone: &[u8]) -> Result<Text, ValueError> {
    let text = legal(expected, cell)?;
    let Some((date, time)) = text.split_once(' ') else {
        return Err(error(expected, "no space between date and time", 0, cell));
    };
    // `9999-12-31 23:59:59.999999`
    if text.len() > 26 {
        return Err(error(expected, "it goes on behind its end", 26, cell));
    }
    let mut out = Text::new();
    out.extend(date.as_bytes());
    out.push(b'T');
    out.extend(time.as_bytes());
    out.extend(zone);
    Ok(out)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// `.` and the digits of a fraction that is stored in bytes of two digits each.
fn fraction(out: &mut Text, stored: u64, digits: u16) {
    // The digit that an odd number of them leaves over is 0.
    let stored = if digits % 2 == 1 { stored / 10 } else { stored };
    exact_fraction(out, stored, digits);
}

/// `.` and the digits of a fraction in units of the last one.
fn exact_fraction(out: &mut Text, value: u64, digits: u16) {
    if digits > 0 {
        out.push(b'.');
        out.padded(value, usize::from(digits));
    }
}

fn date(out: &mut Text, year: u64, month: u64, day: u64) {
    out.padded(year, 4);
    out.push(b'-');
    out.padded(month, 2);
    out.push(b'-');
    out.padded(day, 2);
}

fn time(out: &mut Text, hour: u64, minute: u64, second: u64) {
    out.padded(hour, 2);
    out.push(b':');
    out.padded(minute, 2);
    out.push(b':');
    out.padded(second, 2);
}

impl CellFormat for Date {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.plain(legal("date", cell)?);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let [low, middle, high] = exactly("date", cell)?;
        let packed = u64::from(u32::from_le_bytes([low, middle, high, 0]));
        let mut text = Text::new();
        date(&mut text, packed >> 9, packed >> 5 & 15, packed & 31);
        out.plain(text.as_str());
        Ok(())
    }
}

impl CellFormat for Time {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.plain(legal("time", cell)?);
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut text = Text::new();
        let digits = match self.layout {
            Layout::Old => {
                let [low, middle, high] = exactly("time", cell)?;
                let sign = if high & 0x80 != 0 { 0xff } else { 0 };
                let value = i32::from_le_bytes([low, middle, high, sign]);
                if value < 0 {
                    text.push(b'-');
                }
                let value = u64::from(value.unsigned_abs());
                time(&mut text, value / 10_000, value / 100 % 100, value % 100);
                out.plain(text.as_str());
                return Ok(());
            }
            Layout::Maria(digits) => {
                out.plain(maria::time(cell, digits)?.as_str());
                return Ok(());
            }
            Layout::New(digits) => digits,
        };
        let fraction_len = usize::from(digits).div_ceil(2);
        if cell.len() != 3 + fraction_len || digits > 6 {
            return Err(wrong_length("time", cell));
        }
        let bits = 8 * fraction_len;
        let offset = 0x80_0000u64 << bits;
        let stored = big_endian(cell);
        if stored < offset {
            text.push(b'-');
        }
        let value = stored.abs_diff(offset);
        let whole = value >> bits;
        time(&mut text, whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63);
        fraction(&mut text, value & ((1 << bits) - 1), digits);
        out.plain(text.as_str());
        Ok(())
    }
}

impl CellFormat for Datetime {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.plain(with_t("datetime", cell, b"")?.as_str());
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let mut text = Text::new();
        let digits = match self.layout {
            Layout::Old => {
                let value = u64::from_le_bytes(exactly("datetime", cell)?);
                let (day, clock) = (value / 1_000_000, value % 1_000_000);
                date(&mut text, day / 10_000, day / 100 % 100, day % 100);
                text.push(b'T');
                time(&mut text, clock / 10_000, clock / 100 % 100, clock % 100);
                out.plain(text.as_str());
                return Ok(());
            }
            Layout::Maria(digits) => {
                out.plain(maria::datetime(cell, digits)?.as_str());
                return Ok(());
            }
            Layout::New(digits) => digits,
        };
        if cell.len() != 5 + usize::from(digits).div_ceil(2) || digits > 6 {
            return Err(wrong_length("datetime", cell));
        }
        let (whole, part) = cell.split_at(5);
        let Some(packed) = big_endian(whole).checked_sub(0x80_0000_0000) else {
            return Err(error("datetime", "a year before 0", 0, cell));
        };
        packed_datetime(&mut text, packed, b'T');
        fraction(&mut text, big_endian(part), digits);
        out.plain(text.as_str());
        Ok(())
    }
}

/// Year, month, day, hour, minute and second in 40 bits.
fn packed_datetime(text: &mut Text, packed: u64, between: u8) {
    packed_date(text, packed >> 17);
    text.push(between);
    time(text, packed >> 12 & 31, packed >> 6 & 63, packed & 63);
}

fn packed_date(text: &mut Text, packed: u64) {
    let (months, day) = (packed >> 5, packed & 31);
    date(text, months / 13, months % 13, day);
}

impl CellFormat for Timestamp {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.plain(with_t("timestamp", cell, b"Z")?.as_str());
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let (len, digits) = match self.layout {
            Layout::Old => (4, 0),
            Layout::Maria(digits) => (maria::len(TypeCode::TIMESTAMP, digits), digits),
            Layout::New(digits) => (4 + usize::from(digits).div_ceil(2), digits),
        };
        let (seconds, part) = match cell.split_first_chunk::<4>() {
            Some(parts) if cell.len() == len && digits <= 6 => parts,
            _ => return Err(wrong_length("timestamp", cell)),
        };
        let seconds = match self.layout {
            Layout::Old => u32::from_le_bytes(*seconds),
            Layout::Maria(_) | Layout::New(_) => u32::from_be_bytes(*seconds),
        };
        let mut text = Text::new();
        if seconds == 0 && big_endian(part) == 0 {
            text.extend(b"0000-00-00T00:00:00");
        } else {
            let moment = adit_event::Timestamp(i64::from(seconds) * 1_000_000).rfc3339();
            // Up to the fraction.
            text.extend(moment.get(..19).unwrap_or_default());
        }
        match self.layout {
            Layout::New(_) => fraction(&mut text, big_endian(part), digits),
            Layout::Old | Layout::Maria(_) => exact_fraction(&mut text, big_endian(part), digits),
        }
        text.push(b'Z');
        out.plain(text.as_str());
        Ok(())
    }
}

/// A date, time or both inside JSON: i64 little-endian, as the servers pack them; always with six digits
/// of the fraction. (`TIME_from_longlong_packed`)
pub(super) fn in_json(
    code: u8,
    value: &[u8],
    take: &mut dyn FnMut(&str),
) -> Result<(), ValueError> {
    let packed = i64::from_le_bytes(exactly("temporal value in json", value)?);
    let mut text = Text::new();
    if packed < 0 {
        text.push(b'-');
    }
    let packed = packed.unsigned_abs();
    let (whole, micros) = (packed >> 24, packed & 0xff_ffff);
    match code {
        // DATE
        10 => {
            packed_date(&mut text, whole >> 17);
            take(text.as_str());
            return Ok(());
        }
        // TIME
        11 => time(&mut text, whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63),
        _ => packed_datetime(&mut text, whole, b' '),
    }
    fraction(&mut text, micros, 6);
    take(text.as_str());
    Ok(())
}

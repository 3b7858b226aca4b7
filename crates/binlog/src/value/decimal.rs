//! DECIMAL.
//!
//! Binary form: digits in groups of nine from the point on to both sides, each group a big-endian
//! integer of four bytes; the outermost groups have fewer digits and bytes. The highest bit of the first
//! byte is inverted, and all bits are where the number is negative. (`decimal2bin`, `strings/decimal.c`.)

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{Scratch, ascii, error};

/// Bytes of a group with so many digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// A sign, 65 digits and a point, and a zero in front of it.
const LEN_MAX: usize = 96;
const NAME: &str = "decimal";

/// DECIMAL(precision, scale).
#[derive(Debug)]
pub(super) struct Decimal {
    pub(super) meta: u16,
}

/// Digits before and behind the point.
const fn digits(meta: u16) -> (usize, usize) {
    let [precision, scale] = meta.to_be_bytes();
    let (precision, scale) = (precision as usize, scale as usize);
    (precision.saturating_sub(scale), scale)
}

fn bytes(digits: usize) -> usize {
    digits / 9 * 4 + GROUP_BYTES.get(digits % 9).copied().unwrap_or(0)
}

/// Bytes of a value.
pub(super) fn len(meta: u16) -> usize {
    let (before, behind) = digits(meta);
    bytes(before) + bytes(behind)
}

impl CellFormat for Decimal {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = ascii(NAME, cell)?;
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let legal = |b: u8| b.is_ascii_digit() || b == b'.';
        if unsigned.is_empty() || !unsigned.bytes().all(legal) {
            return Err(error(NAME, "something else than digits", 0, cell));
        }
        // ZEROFILL has zeros in front.
        let (whole, _) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let zeros = whole.len() - whole.trim_start_matches('0').len();
        let zeros = zeros.min(whole.len().saturating_sub(1));
        if zeros == 0 {
            out.decimal(text);
        } else {
            out.decimal(unsigned.get(zeros..).unwrap_or(unsigned));
        }
        Ok(())
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = text(self.meta, cell)?;
        out.decimal(text.as_str());
        Ok(())
    }
}

/// The number in digits.
fn text(meta: u16, cell: &[u8]) -> Result<Scratch<LEN_MAX>, ValueError> {
    let (before, behind) = digits(meta);
    let wrong = error(NAME, "another length than its precision has", 0, cell);
    if cell.len() != len(meta) || before + behind > 65 {
        return Err(wrong);
    }
    let Some(first) = cell.first() else {
        return Err(wrong);
    };
    let negative = first & 0x80 == 0;
    let mut groups = Groups {
        bytes: cell,
        first: true,
        invert: negative,
    };
    let mut out = Scratch::new();
    if negative {
        out.push(b'-');
    }
    let start = out.len;
    let head = before % 9;
    if head > 0 {
        let group = groups.next(head)?;
        if group > 0 {
            out.padded(group, 1);
        }
    }
    for _ in 0..before / 9 {
        let group = groups.next(9)?;
        if out.len > start {
            out.padded(group, 9);
        } else if group > 0 {
            out.padded(group, 1);
        }
    }
    if out.len == start {
        out.push(b'0');
    }
    if behind > 0 {
        out.push(b'.');
        for _ in 0..behind / 9 {
            out.padded(groups.next(9)?, 9);
        }
        if !behind.is_multiple_of(9) {
            out.padded(groups.next(behind % 9)?, behind % 9);
        }
    }
    Ok(out)
}

struct Groups<'a> {
    bytes: &'a [u8],
    first: bool,
    invert: bool,
}

impl Groups<'_> {
    fn next(&mut self, digits: usize) -> Result<u64, ValueError> {
        let len = GROUP_BYTES.get(digits).copied().unwrap_or(0);
        let (group, rest) = self
            .bytes
            .split_at_checked(len)
            .unwrap_or((self.bytes, &[]));
        self.bytes = rest;
        let mut value: u64 = 0;
        for byte in group {
            let mut byte = *byte;
            if std::mem::take(&mut self.first) {
                byte ^= 0x80;
            }
            if self.invert {
                byte = !byte;
            }
            value = value << 8 | u64::from(byte);
        }
        let limit = u32::try_from(digits).map_or(0, |digits| 10u64.pow(digits));
        if value < limit {
            Ok(value)
        } else {
            Err(error(NAME, "a group with too many digits", 0, group))
        }
    }
}

/// A decimal inside JSON: precision, scale and the binary form; in digits.
pub(super) fn in_json(value: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), ValueError> {
    let Some((meta, digits)) = value.split_first_chunk::<2>() else {
        return Err(error(NAME, "no precision and scale", 0, value));
    };
    take(text(u16::from_be_bytes(*meta), digits)?.as_str());
    Ok(())
}

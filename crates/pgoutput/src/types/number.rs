//! Numbers: integers, oid, floats and numeric.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::{Scanner, utf8};

/// Whole numbers of at most 32 bits: int2, int4, oid.
#[derive(Debug)]
pub(super) struct SmallInteger {
    name: &'static str,
    min: i64,
    max: i64,
}

/// int2.
pub(super) const INT2: SmallInteger = SmallInteger {
    name: "smallint",
    min: i16::MIN as i64,
    max: i16::MAX as i64,
};

/// int4.
pub(super) const INT4: SmallInteger = SmallInteger {
    name: "integer",
    min: i32::MIN as i64,
    max: i32::MAX as i64,
};

/// oid.
pub(super) const OID: SmallInteger = SmallInteger {
    name: "oid",
    min: 0,
    max: u32::MAX as i64,
};

impl CellFormat for SmallInteger {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let value = whole(Scanner::new(self.name, cell), self.min, self.max)?;
        out.small_integer(value);
        Ok(())
    }
}

/// int8.
#[derive(Debug)]
pub(super) struct BigInteger;

impl CellFormat for BigInteger {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "bigint";
        whole(Scanner::new(NAME, cell), i64::MIN, i64::MAX)?;
        out.integer(utf8(NAME, cell)?);
        Ok(())
    }
}

/// float4 and float8, in the shortest text that reads back the same (`extra_float_digits` of 1 or
/// more), which is a JSON number.
#[derive(Debug)]
pub(super) struct Float;

impl CellFormat for Float {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "floating-point number";
        if let Some(special) = special(cell) {
            out.plain(special);
            return Ok(());
        }
        let mut scanner = Scanner::new(NAME, cell);
        json_number(&mut scanner)?;
        scanner.end()?;
        out.float(utf8(NAME, cell)?);
        Ok(())
    }
}

/// numeric: PostgreSQL writes it exactly, with the column's scale where it has one.
#[derive(Debug)]
pub(super) struct Numeric;

impl CellFormat for Numeric {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "numeric";
        if let Some(special) = special(cell) {
            out.plain(special);
            return Ok(());
        }
        let mut scanner = Scanner::new(NAME, cell);
        exact_number(&mut scanner)?;
        scanner.end()?;
        out.decimal(utf8(NAME, cell)?);
        Ok(())
    }
}

/// Precision and scale of a `numeric(precision, scale)` column.
///
/// The modifier less 4 has the precision in its upper 16 bits and, as two's complement in the lower
/// 11, the scale, which may be negative since PostgreSQL 15.
pub(super) const fn precision_and_scale(typmod: i32) -> Option<(u32, i32)> {
    const HEADER: i32 = 4;
    if typmod < HEADER {
        return None;
    }
    let packed = typmod - HEADER;
    let precision = (packed >> 16) & 0xffff;
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    Some((precision.cast_unsigned(), scale))
}

/// Reads a number as JSON writes it.
pub(super) fn json_number(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    exact_number(scanner)?;
    if scanner.eat(b'e') || scanner.eat(b'E') {
        if !scanner.eat(b'+') {
            scanner.eat(b'-');
        }
        need_digits(scanner)?;
    }
    Ok(())
}

/// Reads a sign, digits without needless leading zeros, a point and digits.
fn exact_number(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    scanner.eat(b'-');
    // A leading zero stands alone.
    if !scanner.eat(b'0') {
        need_digits(scanner)?;
    }
    if scanner.eat(b'.') {
        need_digits(scanner)?;
    }
    Ok(())
}

fn need_digits(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    if scanner.digits().is_empty() {
        return Err(scanner.error("no digit where there should be one"));
    }
    Ok(())
}

/// What float and numeric have beside numbers.
const fn special(cell: &[u8]) -> Option<&'static str> {
    match cell {
        b"NaN" => Some("NaN"),
        b"Infinity" => Some("Infinity"),
        b"-Infinity" => Some("-Infinity"),
        _ => None,
    }
}

/// The whole number that the cell is, as PostgreSQL writes it: no plus sign, no leading zeros.
fn whole(mut scanner: Scanner<'_>, min: i64, max: i64) -> Result<i64, ValueError> {
    let negative = scanner.eat(b'-');
    if scanner.eat(b'0') {
        if negative {
            return Err(scanner.error("a zero with a sign"));
        }
        return scanner.end().map(|()| 0);
    }
    let digits = scanner.digits();
    if digits.is_empty() {
        return Err(scanner.error("no digit where there should be one"));
    }
    scanner.end()?;
    // Below zero there is one number more than above.
    digits
        .iter()
        .try_fold(0i64, |value, digit| {
            value
                .checked_mul(10)?
                .checked_sub(i64::from(digit.wrapping_sub(b'0')))
        })
        .and_then(|value| {
            if negative {
                Some(value)
            } else {
                value.checked_neg()
            }
        })
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| scanner.error("a number out of the type's range"))
}

//! Days, times, points in time and durations.
//!
//! PostgreSQL's ISO date style is read and ISO 8601 is written:
//!
//! | PostgreSQL | event |
//! |---|---|
//! | `2026-11-23 13:37:00.5` | `2026-11-23T13:37:00.500000` (the column's precision, 6 by default) |
//! | `2026-11-23 13:37:00+00` | `2026-11-23T13:37:00.000000Z` |
//! | `0044-03-15 BC` | `-0043-03-15` (years are counted through zero: 1 BC is `0000`) |
//! | `294276-12-31` | `+294276-12-31` (more than four digits need a sign) |
//! | `13:37:00+02` | `13:37:00.000000+02:00` |
//! | `infinity` | `infinity` |

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::{Scanner, utf8};

/// Digits of a fraction of a second: a type modifier from 0 to 6, or all six.
pub(super) fn precision(typmod: i32) -> usize {
    usize::try_from(typmod)
        .unwrap_or(PRECISION_MAX)
        .min(PRECISION_MAX)
}

const PRECISION_MAX: usize = 6;

/// date.
#[derive(Debug)]
pub(super) struct Date;

impl CellFormat for Date {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        write(cell, out, "date", |scanner, line| {
            let day = day(scanner)?;
            line.day(&day, era(scanner)?);
            Ok(())
        })
    }
}

/// time and timetz.
#[derive(Debug)]
pub(super) struct Time {
    /// Digits of the fraction.
    pub(super) precision: usize,
    /// Whether an offset follows.
    pub(super) zone: bool,
}

impl CellFormat for Time {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let name = if self.zone { "timetz" } else { "time" };
        let mut scanner = Scanner::new(name, cell);
        let mut line = Line::new();
        let clock = clock(&mut scanner)?;
        line.clock(&clock, self.precision);
        if self.zone {
            offset(&mut scanner, &mut line)?;
        }
        scanner.end()?;
        line.write(name, out)
    }
}

/// timestamp and timestamptz.
#[derive(Debug)]
pub(super) struct Timestamp {
    /// Digits of the fraction.
    pub(super) precision: usize,
    /// Whether it is a point in time, which comes in UTC.
    pub(super) zone: bool,
}

impl CellFormat for Timestamp {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let name = if self.zone {
            "timestamptz"
        } else {
            "timestamp"
        };
        write(cell, out, name, |scanner, line| {
            let day = day(scanner)?;
            scanner.need(b' ', "no space behind the day")?;
            let clock = clock(scanner)?;
            if clock.hour == b"24" {
                return Err(scanner.error("an hour of 24"));
            }
            if self.zone {
                utc(scanner)?;
            }
            line.day(&day, era(scanner)?);
            line.push(b"T");
            line.clock(&clock, self.precision);
            if self.zone {
                line.push(b"Z");
            }
            Ok(())
        })
    }
}

/// interval in the `iso_8601` style.
#[derive(Debug)]
pub(super) struct Interval;

impl CellFormat for Interval {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "interval";
        // PostgreSQL 17 and later.
        if !matches!(cell, b"infinity" | b"-infinity") {
            let mut scanner = Scanner::new(NAME, cell);
            if !scanner.eat(b'P') {
                return Err(
                    scanner.error("not a duration: the session's intervalstyle must be iso_8601")
                );
            }
            let days = parts(&mut scanner, b"YMD")?;
            let times = if scanner.eat(b'T') {
                let times = parts(&mut scanner, b"HMS")?;
                if times == 0 {
                    return Err(scanner.error("no part behind the T"));
                }
                times
            } else {
                0
            };
            scanner.end()?;
            if days + times == 0 {
                return Err(scanner.error("no part at all"));
            }
        }
        out.plain(utf8(NAME, cell)?);
        Ok(())
    }
}

/// Reads numbers with their units, in the units' order and each at most once; says how many.
fn parts(scanner: &mut Scanner<'_>, units: &[u8]) -> Result<usize, ValueError> {
    let mut units = units.iter().copied();
    let mut count = 0;
    while matches!(scanner.peek(), Some(b'-' | b'0'..=b'9')) {
        scanner.eat(b'-');
        if scanner.digits().is_empty() {
            return Err(scanner.error("a sign without a number"));
        }
        let fraction = scanner.eat(b'.');
        if fraction && !(1..=PRECISION_MAX).contains(&scanner.digits().len()) {
            return Err(scanner.error("a fraction of no or more than six digits"));
        }
        let unit = scanner.byte();
        if !units.any(|known| Some(known) == unit) || (fraction && unit != Some(b'S')) {
            return Err(scanner.error("not a unit that may stand here"));
        }
        count += 1;
    }
    Ok(count)
}

/// Writes what `read` puts on the line, or one of the two infinities.
fn write<'a>(
    cell: &'a [u8],
    out: &mut ValueWriter<'_>,
    name: &'static str,
    read: impl FnOnce(&mut Scanner<'a>, &mut Line) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    match cell {
        b"infinity" => out.plain("infinity"),
        b"-infinity" => out.plain("-infinity"),
        _ => {
            let mut scanner = Scanner::new(name, cell);
            let mut line = Line::new();
            read(&mut scanner, &mut line)?;
            scanner.end()?;
            line.write(name, out)?;
        }
    }
    Ok(())
}

/// The parts of a day, as their digits.
struct Day<'a> {
    year: &'a [u8],
    /// `-03-15`.
    month_and_day: &'a [u8],
}

fn day<'a>(scanner: &mut Scanner<'a>) -> Result<Day<'a>, ValueError> {
    // Dates go to the year 5874897.
    const YEAR_DIGITS_MAX: usize = 7;
    let year = scanner.digits();
    if !(4..=YEAR_DIGITS_MAX).contains(&year.len())
        || (year.len() > 4 && year.starts_with(b"0"))
        || year == b"0000"
    {
        return Err(scanner.error("not a year: the session's datestyle must be ISO"));
    }
    let month_and_day = scanner.rest();
    scanner.need(b'-', "no hyphen behind the year")?;
    two_digits(scanner, b"01", b"12", "not a month")?;
    scanner.need(b'-', "no hyphen behind the month")?;
    two_digits(scanner, b"01", b"31", "not a day of a month")?;
    Ok(Day {
        year,
        month_and_day: month_and_day.get(..6).unwrap_or_default(),
    })
}

/// Whether the year counts back from Christ.
fn era(scanner: &mut Scanner<'_>) -> Result<Era, ValueError> {
    if scanner.rest().is_empty() {
        Ok(Era::After)
    } else if scanner.eat_all(b" BC") {
        Ok(Era::Before)
    } else {
        Err(scanner.error("the value goes on where it should end"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Before,
    After,
}

/// The parts of a time of day, as their digits.
struct Clock<'a> {
    hour: &'a [u8],
    /// `:37:00`.
    minute_and_second: &'a [u8],
    /// Without the point; perhaps empty.
    fraction: &'a [u8],
}

fn clock<'a>(scanner: &mut Scanner<'a>) -> Result<Clock<'a>, ValueError> {
    let hour = two_digits(scanner, b"00", b"24", "not an hour")?;
    let minute_and_second = scanner.rest();
    scanner.need(b':', "no colon behind the hour")?;
    two_digits(scanner, b"00", b"59", "not a minute")?;
    scanner.need(b':', "no colon behind the minute")?;
    two_digits(scanner, b"00", b"59", "not a second")?;
    let minute_and_second = minute_and_second.get(..6).unwrap_or_default();
    let fraction = if scanner.eat(b'.') {
        let digits = scanner.digits();
        if !(1..=PRECISION_MAX).contains(&digits.len()) {
            return Err(scanner.error("a fraction of no or more than six digits"));
        }
        digits
    } else {
        b""
    };
    if hour == b"24"
        && (minute_and_second != b":00:00" || fraction.iter().any(|&digit| digit != b'0'))
    {
        return Err(scanner.error("a time behind 24:00:00"));
    }
    Ok(Clock {
        hour,
        minute_and_second,
        fraction,
    })
}

/// Reads two digits that are, as text, between `min` and `max`.
fn two_digits<'a>(
    scanner: &mut Scanner<'a>,
    min: &[u8],
    max: &[u8],
    problem: &'static str,
) -> Result<&'a [u8], ValueError> {
    let error = scanner.error(problem);
    let digits = scanner.take(2);
    if digits.len() == 2 && digits.iter().all(u8::is_ascii_digit) && (min..=max).contains(&digits) {
        Ok(digits)
    } else {
        Err(error)
    }
}

/// Reads the offset of UTC.
fn utc(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    let error = scanner.error("an offset that is not +00: the session's time zone must be UTC");
    if scanner.eat_all(b"+00") && matches!(scanner.peek(), None | Some(b' ')) {
        Ok(())
    } else {
        Err(error)
    }
}

/// Copies `+02`, `+05:30` or `-00:00:01`, the first as `+02:00`.
fn offset(scanner: &mut Scanner<'_>, line: &mut Line) -> Result<(), ValueError> {
    line.push(match scanner.byte() {
        Some(b'+') => b"+",
        Some(b'-') => b"-",
        _ => return Err(scanner.error("no offset from UTC")),
    });
    line.push(two_digits(scanner, b"00", b"15", "not an offset's hour")?);
    line.push(b":");
    if !scanner.eat(b':') {
        line.push(b"00");
        return Ok(());
    }
    line.push(two_digits(scanner, b"00", b"59", "not an offset's minute")?);
    if scanner.eat(b':') {
        line.push(b":");
        line.push(two_digits(scanner, b"00", b"59", "not an offset's second")?);
    }
    Ok(())
}

/// The value as it is put together, without an allocation.
struct Line {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Line {
    /// The longest: `+294276-12-31T23:59:59.999999Z` has 30, `23:59:59.999999+15:59:59` has 24.
    const CAPACITY: usize = 40;

    const fn new() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            len: 0,
        }
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .expect("no part is longer than its check allowed")
            .copy_from_slice(text);
        self.len = end;
    }

    fn day(&mut self, day: &Day<'_>, era: Era) {
        match era {
            Era::After if day.year.len() == 4 => self.push(day.year),
            Era::After => {
                self.push(b"+");
                self.push(day.year);
            }
            Era::Before => self.year_before(day.year),
        }
        self.push(day.month_and_day);
    }

    /// 1 BC is the year 0, and 2 BC is the year -1.
    fn year_before(&mut self, digits: &[u8]) {
        let year = digits
            .iter()
            .fold(0u32, |year, digit| year * 10 + u32::from(digit - b'0'));
        let below_zero = year.saturating_sub(1);
        if below_zero > 0 {
            self.push(b"-");
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(below_zero).as_bytes();
        self.zeros(4usize.saturating_sub(digits.len()));
        self.push(digits);
    }

    fn clock(&mut self, clock: &Clock<'_>, precision: usize) {
        self.push(clock.hour);
        self.push(clock.minute_and_second);
        // Digits are never cut off, whatever the precision says.
        if precision.max(clock.fraction.len()) > 0 {
            self.push(b".");
            self.push(clock.fraction);
            self.zeros(precision.saturating_sub(clock.fraction.len()));
        }
    }

    fn zeros(&mut self, count: usize) {
        self.push(b"000000".get(..count).unwrap_or_default());
    }

    fn write(&self, name: &'static str, out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.plain(utf8(name, self.bytes.get(..self.len).unwrap_or_default())?);
        Ok(())
    }
}

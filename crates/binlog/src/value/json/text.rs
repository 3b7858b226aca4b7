//! Scalars of JSON as MySQL prints them (`Json_wrapper::to_string`, `sql-common/json_dom.cc`).

use std::fmt::Write as _;

use adit_event::ValueError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Value, bad};
use crate::event::TypeCode;
use crate::value::{Scratch, decimal, temporal};

/// Places of the point, counted from the first digit, for which a number is written without an exponent
/// (`MAX_DECPT_FOR_F_FORMAT`); beyond them only one that is not whole.
const PLAIN: std::ops::RangeInclusive<i32> = -14..=15;

pub(super) fn scalar(value: Value<'_>, take: &mut dyn FnMut(&str)) -> Result<(), ValueError> {
    match value {
        Value::Null => take("null"),
        Value::Bool(true) => take("true"),
        Value::Bool(false) => take("false"),
        Value::Integer(number) => take(itoa::Buffer::new().format(number)),
        Value::Unsigned(number) => take(itoa::Buffer::new().format(number)),
        Value::Double(number) => double(number, take)?,
        Value::String(text) => string(text, take),
        Value::Opaque(code, bytes) => opaque(code, bytes, take)?,
        Value::Array(_) | Value::Object(_) => return Err(bad("a container for a scalar", &[])),
    }
    Ok(())
}

/// Text in double quotes.
pub(super) fn string(text: &str, take: &mut dyn FnMut(&str)) {
    take("\"");
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (clean, tail) = rest.split_at(at);
        take(clean);
        let mut characters = tail.chars();
        match characters.next() {
            Some('"') => take("\\\""),
            Some('\\') => take("\\\\"),
            Some('\n') => take("\\n"),
            Some('\r') => take("\\r"),
            Some('\t') => take("\\t"),
            Some('\u{8}') => take("\\b"),
            Some('\u{c}') => take("\\f"),
            Some(control) => {
                let mut escaped = Scratch::<8>::new();
                let written = write!(escaped, "\\u{:04x}", u32::from(control));
                debug_assert!(written.is_ok(), "scratch takes everything");
                take(escaped.as_str());
            }
            None => {}
        }
        rest = characters.as_str();
    }
    take(rest);
    take("\"");
}

/// The shortest digits, with an exponent where the number is very large or small; and a point, so that
/// it stays a double.
fn double(number: f64, take: &mut dyn FnMut(&str)) -> Result<(), ValueError> {
    if !number.is_finite() {
        return Err(bad("a number that is none", &[]));
    }
    let shortest = shortest(number);
    let (mantissa, exponent) = shortest.as_str().split_once('e').unwrap_or(("0", "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The digits before the point, if it were written without an exponent.
    let point = exponent + 1;
    let mut out = Scratch::<48>::new();
    out.extend(sign.as_bytes());
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    let has_fraction = usize::try_from(point).is_ok_and(|point| digits.clone().count() > point);
    if number == 0.0 {
        out.extend(b"0.0");
    } else if !PLAIN.contains(&point) && !has_fraction {
        let written = write!(out, "{mantissa}e{exponent}");
        debug_assert!(written.is_ok(), "scratch takes everything");
    } else if point <= 0 {
        out.extend(b"0.");
        (point..0).for_each(|_| out.push(b'0'));
        digits.for_each(|digit| out.push(digit));
    } else {
        let mut left = point;
        for digit in digits {
            if left == 0 {
                out.push(b'.');
            }
            out.push(digit);
            left -= 1;
        }
        if left >= 0 {
            (0..left).for_each(|_| out.push(b'0'));
            out.extend(b".0");
        }
    }
    take(out.as_str());
    Ok(())
}

/// The shortest digits that read back the same, with an exponent. Where two are as near, the even one is
/// taken, which the standard library does not do for the shortest.
fn shortest(number: f64) -> Scratch<32> {
    /// Digits that are needed for a number to lie half-way between two of the shortest.
    const TIE_DIGITS_MIN: usize = 15;
    let mut shortest = Scratch::new();
    let written = write!(shortest, "{number:e}");
    debug_assert!(written.is_ok(), "scratch takes everything");
    let mantissa = shortest.as_str().split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits < TIE_DIGITS_MIN {
        return shortest;
    }
    let mut nearest = Scratch::<32>::new();
    let written = write!(nearest, "{number:.*e}", digits - 1);
    debug_assert!(written.is_ok(), "scratch takes everything");
    if nearest.as_str().parse() == Ok(number) {
        nearest
    } else {
        shortest
    }
}

fn opaque(code: u8, bytes: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), ValueError> {
    match TypeCode(code) {
        TypeCode::NEWDECIMAL => decimal::in_json(bytes, take)?,
        TypeCode::DATE | TypeCode::TIME | TypeCode::DATETIME | TypeCode::TIMESTAMP => {
            take("\"");
            temporal::in_json(code, bytes, take)?;
            take("\"");
        }
        _ => {
            take("\"base64:type");
            take(itoa::Buffer::new().format(code));
            take(":");
            // The server begins a new line, which it escapes, after every 76 digits.
            for (index, line) in bytes.chunks(57).enumerate() {
                if index > 0 {
                    take("\\n");
                }
                take(&STANDARD.encode(line));
            }
            take("\"");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_the_server_prints_them() {
        let text = |number| {
            let mut out = String::new();
            double(number, &mut |part| out.push_str(part)).unwrap();
            out
        };
        for (number, expected) in [
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1e15 + 1.0, "1.000000000000001e15"),
            (1_666_776_477_691_767.8, "1666776477691767.8"),
            // Half-way between …10.2 and …10.3.
            (1_608_882_928_643_910.2, "1608882928643910.2"),
            (1_608_882_928_643_910.8, "1608882928643910.8"),
            (1.5e300, "1.5e300"),
            (1e-5, "0.00001"),
            (1e-16, "1e-16"),
            (-2.5e-20, "-2.5e-20"),
            (123_456.789, "123456.789"),
            (0.0, "0.0"),
        ] {
            assert_eq!(text(number), expected);
        }
        assert!(double(f64::NAN, &mut |_| {}).is_err());
    }

    #[test]
    fn strings_are_escaped_as_the_server_escapes_them() {
        let mut out = String::new();
        string("a\"b\\c\n\u{1}é/\u{7f}", &mut |part| out.push_str(part));
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001é/\u{7f}\"");
    }
}

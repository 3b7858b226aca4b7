//! Values: how a cell of any database becomes a value of the event format.
//!
//! A [`CellFormat`] knows one database type. It reads the cell and says what it holds through the
//! methods of [`ValueWriter`]; how that looks in an event is decided here alone.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a column's values are in an event, as schema events name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Logical {
    /// A whole number of up to 64 bits.
    Integer,
    /// A binary floating-point number.
    Float,
    /// An exact number, as a string.
    Decimal,
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// Bytes, as base64.
    Bytes,
    /// A day.
    Date,
    /// A time of day, or MySQL's TIME.
    Time,
    /// A time of day with an offset.
    TimeTz,
    /// A date and time without a zone.
    Timestamp,
    /// A point in time.
    TimestampTz,
    /// A duration.
    Interval,
    /// A UUID.
    Uuid,
    /// JSON.
    Json,
    /// One of a list of labels.
    Enum,
    /// A string of bits.
    Bit,
    /// An array; the element's type is in the database type's name.
    Array,
    /// Names with strings or nulls (hstore).
    Object,
    /// A geometry: SRID and WKB.
    Geometry,
    /// An array of numbers.
    Vector,
    /// Anything else: the database's own text form.
    Other,
}

impl Logical {
    /// The name in schema events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Time => "time",
            Self::TimeTz => "timetz",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Enum => "enum",
            Self::Bit => "bit",
            Self::Array => "array",
            Self::Object => "object",
            Self::Geometry => "geometry",
            Self::Vector => "vector",
            Self::Other => "other",
        }
    }
}

/// A cell that is not what its column's type says. It never holds the value itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {problem} at byte {offset} of {len}")]
pub struct ValueError {
    /// The type that was expected.
    pub expected: &'static str,
    /// What is wrong.
    pub problem: &'static str,
    /// Where in the cell, in bytes.
    pub offset: usize,
    /// The cell's length in bytes.
    pub len: usize,
}

/// Reads the cells of one database type.
pub trait CellFormat: fmt::Debug + Send + Sync {
    /// Says what a cell in the database's text form holds: exactly one value.
    ///
    /// # Errors
    /// When the cell is not of this type. Part of a value may have been written by then.
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError>;

    /// The same for a cell in the database's binary form.
    ///
    /// # Errors
    /// As [`CellFormat::write_text`]; also where the type has no binary form here.
    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let _ = out;
        Err(ValueError {
            expected: "text form",
            problem: "the cell is in binary form, which this type is not read from",
            offset: 0,
            len: cell.len(),
        })
    }
}

/// How values are written where the event format leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueOptions {
    /// 64-bit integers become strings, for readers whose numbers are doubles.
    pub integers_as_strings: bool,
    /// Decimals become numbers.
    pub decimals_as_numbers: bool,
    /// Bytes become hex instead of base64.
    pub bytes_as_hex: bool,
}

/// Writes one value of the event format.
///
/// Inside an array call [`ValueWriter::element`] before each element; inside an object
/// [`ValueWriter::name`] before each value.
#[derive(Debug)]
pub struct ValueWriter<'a> {
    out: &'a mut Vec<u8>,
    options: ValueOptions,
}

impl<'a> ValueWriter<'a> {
    /// Appends to `out`.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>, options: ValueOptions) -> Self {
        Self { out, options }
    }

    /// SQL NULL.
    pub fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// True or false.
    pub fn boolean(&mut self, value: bool) {
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A whole number of at most 32 bits.
    pub fn small_integer(&mut self, value: i64) {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A 64-bit whole number in decimal digits.
    pub fn integer(&mut self, digits: &str) {
        self.number_or_string(digits, self.options.integers_as_strings);
    }

    /// A floating-point number in its shortest form that reads back the same, as JSON writes it.
    pub fn float(&mut self, digits: &str) {
        self.out.extend_from_slice(digits.as_bytes());
    }

    /// An exact number: an optional sign, digits, an optional point and digits.
    pub fn decimal(&mut self, digits: &str) {
        self.number_or_string(digits, !self.options.decimals_as_numbers);
    }

    /// Text that needs no escaping: visible ASCII or spaces, without `"` and `\`.
    pub fn plain(&mut self, text: &str) {
        debug_assert!(
            text.bytes()
                .all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\'),
            "plain text needs no escaping"
        );
        self.quoted(text.as_bytes());
    }

    /// Any text.
    pub fn text(&mut self, text: &str) {
        self.out.push(b'"');
        escape(text, self.out);
        self.out.push(b'"');
    }

    /// Any text that comes in parts: `parts` is given what takes them.
    ///
    /// # Errors
    /// Those of `parts`.
    pub fn text_in_parts<E>(
        &mut self,
        parts: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(), E>,
    ) -> Result<(), E> {
        self.out.push(b'"');
        parts(&mut |part| escape(part, self.out))?;
        self.out.push(b'"');
        Ok(())
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        self.bytes_chunk(bytes);
        self.out.push(b'"');
    }

    /// Bytes that come as pairs of hex digits, as PostgreSQL writes `bytea`.
    ///
    /// # Errors
    /// When there is something else than pairs of hex digits.
    pub fn bytes_from_hex(&mut self, hex: &[u8]) -> Result<(), ValueError> {
        // Three bytes make four base64 digits, so that whole chunks can be encoded one by one.
        const CHUNK: usize = 384;
        let error = |problem, offset| ValueError {
            expected: "bytea",
            problem,
            offset,
            len: hex.len(),
        };
        let (pairs, odd) = hex.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(error("an odd number of hex digits", hex.len()));
        }
        self.out.push(b'"');
        let mut chunk = [0u8; CHUNK];
        for (index, group) in pairs.chunks(CHUNK).enumerate() {
            for (byte, [high, low]) in chunk.iter_mut().zip(group) {
                let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else {
                    return Err(error("something else than a hex digit", index * CHUNK * 2));
                };
                *byte = high << 4 | low;
            }
            self.bytes_chunk(chunk.get(..group.len()).unwrap_or_default());
        }
        self.out.push(b'"');
        Ok(())
    }

    /// JSON text, embedded as it is.
    pub fn json(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A geometry.
    pub fn geometry(&mut self, srid: u32, wkb: &[u8]) {
        self.out.extend_from_slice(b"{\"srid\":");
        self.out
            .extend_from_slice(itoa::Buffer::new().format(srid).as_bytes());
        self.out.extend_from_slice(b",\"wkb\":\"");
        append_base64(wkb, self.out);
        self.out.extend_from_slice(b"\"}");
    }

    /// Opens an array.
    pub fn begin_array(&mut self) {
        self.out.push(b'[');
    }

    /// Comes before each element.
    pub fn element(&mut self) {
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
    }

    /// Closes an array.
    pub fn end_array(&mut self) {
        self.out.push(b']');
    }

    /// Opens an object.
    pub fn begin_object(&mut self) {
        self.out.push(b'{');
    }

    /// Names the value that follows.
    pub fn name(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.text(name);
        self.out.push(b':');
    }

    /// Closes an object.
    pub fn end_object(&mut self) {
        self.out.push(b'}');
    }

    fn quoted(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(bytes);
        self.out.push(b'"');
    }

    fn number_or_string(&mut self, digits: &str, string: bool) {
        if string {
            self.quoted(digits.as_bytes());
        } else {
            self.out.extend_from_slice(digits.as_bytes());
        }
    }

    fn bytes_chunk(&mut self, bytes: &[u8]) {
        if self.options.bytes_as_hex {
            let digits = |b: u8| [hex_digit(b >> 4), hex_digit(b & 0xf)];
            self.out.extend(bytes.iter().copied().flat_map(digits));
        } else {
            append_base64(bytes, self.out);
        }
    }
}

fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    if let Some(space) = out.get_mut(start..) {
        STANDARD
            .encode_slice(bytes, space)
            .expect("the space is four digits for three bytes");
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes the inside of a JSON string.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&b| b < 0x20 || b == b'"' || b == b'\\')
    {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        let Some((&byte, tail)) = tail.split_first() else {
            return;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[hex_digit(other >> 4), hex_digit(other & 0xf)]);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(options: ValueOptions, write: impl FnOnce(&mut ValueWriter<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut ValueWriter::new(&mut out, options));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_serde_json_does() {
        let all: String = (0u32..0x250)
            .filter_map(char::from_u32)
            .chain("😀\u{2028}".chars())
            .collect();
        let ours = written(ValueOptions::default(), |w| w.text(&all));
        assert_eq!(ours, serde_json::to_string(&all).unwrap());
        let in_parts = written(ValueOptions::default(), |w| {
            let parts = |take: &mut dyn FnMut(&str)| {
                all.split_inclusive('"').for_each(take);
                Ok::<(), ()>(())
            };
            w.text_in_parts(parts).unwrap();
        });
        assert_eq!(in_parts, ours);
    }

    #[test]
    fn options_choose_the_form_of_numbers_and_bytes() {
        let plain = ValueOptions::default();
        let other = ValueOptions {
            integers_as_strings: true,
            decimals_as_numbers: true,
            bytes_as_hex: true,
        };
        assert_eq!(
            written(plain, |w| w.integer("9223372036854775807")),
            "9223372036854775807"
        );
        assert_eq!(
            written(other, |w| w.integer("9223372036854775807")),
            "\"9223372036854775807\""
        );
        assert_eq!(written(plain, |w| w.decimal("1.50")), "\"1.50\"");
        assert_eq!(written(other, |w| w.decimal("1.50")), "1.50");
        assert_eq!(written(plain, |w| w.bytes(b"\x00\xff")), "\"AP8=\"");
        assert_eq!(written(other, |w| w.bytes(b"\x00\xff")), "\"00ff\"");
    }

    #[test]
    fn hex_of_any_length_becomes_base64() {
        for len in [0usize, 1, 2, 3, 383, 384, 385, 1000] {
            let bytes: Vec<u8> = (0..len)
                .map(|i| u8::try_from(i * 7 % 256).unwrap())
                .collect();
            let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
            let ours = written(ValueOptions::default(), |w| {
                w.bytes_from_hex(hex.as_bytes()).unwrap()
            });
            assert_eq!(ours, format!("\"{}\"", STANDARD.encode(&bytes)));
        }
        let mut out = Vec::new();
        let mut w = ValueWriter::new(&mut out, ValueOptions::default());
        assert!(w.bytes_from_hex(b"0").is_err());
        assert!(w.bytes_from_hex(b"0g").is_err());
    }

    #[test]
    fn nested_arrays_and_objects_have_their_commas() {
        let text = written(ValueOptions::default(), |w| {
            w.begin_array();
            for _ in 0..2 {
                w.element();
                w.begin_object();
                w.name("a");
                w.null();
                w.name("b");
                w.boolean(true);
                w.end_object();
            }
            w.element();
            w.begin_array();
            w.end_array();
            w.end_array();
        });
        assert_eq!(text, r#"[{"a":null,"b":true},{"a":null,"b":true},[]]"#);
    }
}

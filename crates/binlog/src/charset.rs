//! Character sets of columns, and their text in UTF-8.
//!
//! Columns keep text in the character set that they were declared with, and the log shows those
//! bytes. They are converted as the servers convert them. What the servers let into a column although
//! no character belongs to it (`81` in `cp1250`, a lone surrogate in `ucs2`) would be a `?` there; here
//! nothing is lost: each of its bytes becomes the private-use character U+F700 + byte, as the web's
//! `x-user-defined` does. Bytes that the servers do not let in are an error.

mod collation;
mod corrections;
mod multi_byte;
mod single_byte;
mod unicode;

use std::fmt;

use multi_byte::MultiByte;
use single_byte::Upper;

/// How a column's text is written.
#[derive(Clone, Copy)]
pub struct Charset {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Not text but bytes.
    Binary,
    Utf8,
    /// ASCII below 0x80, and nothing above.
    Ascii,
    /// One byte for each character; ASCII below 0x80.
    SingleByte(&'static Upper),
    /// The Swedish variant of ASCII.
    Swe7,
    /// One or more bytes; single ones below 0x80 are ASCII.
    MultiByte(&'static MultiByte),
    /// Two bytes, or four; how two are read.
    Utf16(fn([u8; 2]) -> u16),
    /// Four bytes, big-endian.
    Utf32,
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Charset").field(&self.name).finish()
    }
}

/// Bytes that are no text in their column's character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotText {
    /// Where they are.
    pub(crate) offset: usize,
}

/// Text is converted in pieces of this size, on the stack.
const PIECE_LEN: usize = 512;

impl Charset {
    /// No character set: bytes.
    pub const BINARY: Self = Self {
        name: "binary",
        kind: Kind::Binary,
    };
    /// UTF-8, as almost everything is.
    pub const UTF8: Self = Self {
        name: "utf8mb4",
        kind: Kind::Utf8,
    };

    /// The character set of this name (`CHARACTER_SET_NAME` of the catalogue).
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let (name, kind) = match name {
            "binary" => ("binary", Kind::Binary),
            "utf8mb4" => ("utf8mb4", Kind::Utf8),
            "utf8mb3" | "utf8" => ("utf8mb3", Kind::Utf8),
            "ascii" => ("ascii", Kind::Ascii),
            "swe7" => ("swe7", Kind::Swe7),
            "ucs2" => ("ucs2", Kind::Utf16(u16::from_be_bytes)),
            "utf16" => ("utf16", Kind::Utf16(u16::from_be_bytes)),
            "utf16le" => ("utf16le", Kind::Utf16(u16::from_le_bytes)),
            "utf32" => ("utf32", Kind::Utf32),
            "big5" => ("big5", Kind::MultiByte(&multi_byte::BIG_5)),
            "gb2312" => ("gb2312", Kind::MultiByte(&multi_byte::GB_2312)),
            "gbk" => ("gbk", Kind::MultiByte(&multi_byte::GBK_)),
            "gb18030" => ("gb18030", Kind::MultiByte(&multi_byte::GB_18030)),
            "sjis" => ("sjis", Kind::MultiByte(&multi_byte::SJIS)),
            "cp932" => ("cp932", Kind::MultiByte(&multi_byte::CP932)),
            "ujis" => ("ujis", Kind::MultiByte(&multi_byte::UJIS)),
            "eucjpms" => ("eucjpms", Kind::MultiByte(&multi_byte::EUCJPMS)),
            "euckr" => ("euckr", Kind::MultiByte(&multi_byte::EUCKR)),
            other => {
                let (name, upper) = single_byte::TABLES
                    .iter()
                    .find(|(name, _)| *name == other)?;
                (*name, Kind::SingleByte(upper))
            }
        };
        Some(Self { name, kind })
    }

    /// The character set of the collation with this number.
    #[must_use]
    pub fn by_collation(number: u16) -> Option<Self> {
        Self::by_name(collation::charset(number)?)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is none: the column holds bytes.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self.kind, Kind::Binary)
    }

    /// The most bytes of one character.
    #[must_use]
    pub fn character_len_max(&self) -> u32 {
        match self.name {
            "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
            "utf8mb3" | "ujis" | "eucjpms" => 3,
            "ucs2" | "big5" | "gb2312" | "gbk" | "sjis" | "cp932" | "euckr" => 2,
            _ => 1,
        }
    }

    /// The text, borrowed, if it can be without a conversion.
    pub(crate) fn borrow<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let as_it_is = match self.kind {
            Kind::Binary | Kind::Utf8 => true,
            Kind::Ascii | Kind::SingleByte(_) | Kind::MultiByte(_) => bytes.is_ascii(),
            Kind::Swe7 | Kind::Utf16(_) | Kind::Utf32 => false,
        };
        str::from_utf8(bytes).ok().filter(|_| as_it_is)
    }

    /// The text in pieces.
    pub(crate) fn convert(&self, bytes: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), NotText> {
        match self.kind {
            Kind::Utf8 => unicode::utf8(bytes, take)?,
            // Of enums and sets, whose labels are text all the same.
            Kind::Binary => match str::from_utf8(bytes) {
                Ok(text) => take(text),
                Err(_) => in_pieces(bytes.iter().map(|byte| ascii(*byte)), take),
            },
            Kind::Ascii => in_pieces(bytes.iter().map(|byte| ascii(*byte)), take),
            Kind::SingleByte(upper) => in_pieces(bytes.iter().map(|byte| of(*byte, upper)), take),
            Kind::Swe7 => in_pieces(bytes.iter().map(|byte| swe7(*byte)), take),
            Kind::Utf16(unit) => unicode::utf16(bytes, unit, take)?,
            Kind::Utf32 => unicode::utf32(bytes, take)?,
            Kind::MultiByte(multi_byte) => multi_byte.convert(bytes, take)?,
        }
        Ok(())
    }

    /// The text, on its own.
    pub(crate) fn to_text(self, bytes: &[u8]) -> Result<String, NotText> {
        let mut text = String::with_capacity(bytes.len());
        self.convert(bytes, &mut |part| text.push_str(part))?;
        Ok(text)
    }
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii() {
        char::from(byte)
    } else {
        escaped(byte)
    }
}

fn of(byte: u8, upper: &Upper) -> char {
    let wide = match byte.checked_sub(0x80) {
        None => return char::from(byte),
        Some(index) => upper.get(usize::from(index)),
    };
    assigned(wide).unwrap_or_else(|| escaped(byte))
}

fn swe7(byte: u8) -> char {
    let other = single_byte::SWE7.iter().find(|(code, _)| *code == byte);
    match other {
        Some((_, wide)) => assigned(Some(wide)).unwrap_or_else(|| escaped(byte)),
        None => ascii(byte),
    }
}

/// The tables have U+FFFD where the servers have no character.
fn assigned(wide: Option<&u16>) -> Option<char> {
    char::from_u32(u32::from(*wide?)).filter(|character| *character != char::REPLACEMENT_CHARACTER)
}

/// What stands for a byte that has no character.
fn escaped(byte: u8) -> char {
    char::from_u32(0xf700 + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What stands for a character that Unicode has not.
fn unassigned(code: &[u8], take: &mut dyn FnMut(&str)) {
    for byte in code {
        take(escaped(*byte).encode_utf8(&mut [0; 4]));
    }
}

fn in_pieces(characters: impl Iterator<Item = char>, take: &mut dyn FnMut(&str)) {
    let mut piece = [0u8; PIECE_LEN];
    let mut len = 0;
    let text = |piece: &[u8; PIECE_LEN], len: usize, take: &mut dyn FnMut(&str)| {
        let text = piece.get(..len).map(str::from_utf8);
        take(text.and_then(Result::ok).unwrap_or_default());
    };
    for character in characters {
        if len + 4 > PIECE_LEN {
            text(&piece, len, take);
            len = 0;
        }
        if let Some(space) = piece.get_mut(len..) {
            len += character.encode_utf8(space).len();
        }
    }
    text(&piece, len, take);
}

#[cfg(test)]
mod tests;

use std::str;

use crate::{DecodeError, DecodeErrorKind};

/// A cursor over borrowed bytes that checks every read.
///
/// Each read takes the `field` being read, for the error. A failed read consumes nothing. Integers
/// are big-endian, the network's order, unless the method says `le`: MySQL's are little-endian.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// Bytes consumed so far, counted from the start of the outermost input: a reader made by
    /// [`sub`](Self::sub) goes on counting where its parent stood.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not consumed yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes are consumed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    /// An unsigned 16-bit integer.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// An unsigned 32-bit integer.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// An unsigned 64-bit integer.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A signed 16-bit integer.
    #[inline]
    pub fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.array(field).map(i16::from_be_bytes)
    }

    /// A signed 32-bit integer.
    #[inline]
    pub fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// A signed 64-bit integer.
    #[inline]
    pub fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// An unsigned 16-bit integer, little-endian.
    #[inline]
    pub fn u16_le(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// An unsigned 24-bit integer, little-endian.
    #[inline]
    pub fn u24_le(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let [a, b, c] = self.array(field)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    /// An unsigned 32-bit integer, little-endian.
    #[inline]
    pub fn u32_le(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// An unsigned 48-bit integer, little-endian.
    #[inline]
    pub fn u48_le(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let [a, b, c, d, e, f] = self.array(field)?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// An unsigned 56-bit integer, little-endian.
    #[inline]
    pub fn u56_le(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let [a, b, c, d, e, f, g] = self.array(field)?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, g, 0]))
    }

    /// An unsigned 64-bit integer, little-endian.
    #[inline]
    pub fn u64_le(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A length-encoded integer of the MySQL protocol: one byte up to 250, else `0xfc`, `0xfd` or
    /// `0xfe` and 2, 3 or 8 bytes. `0xfb`, which means NULL in a row, is not one.
    #[inline]
    pub fn lenenc(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let before = self.clone();
        let read = match self.u8(field)? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.u16_le(field).map(u64::from),
            0xfd => self.u24_le(field).map(u64::from),
            0xfe => self.u64_le(field),
            tag => Err(before.error(DecodeErrorKind::UnknownTag { tag }, field)),
        };
        if read.is_err() {
            *self = before;
        }
        read
    }

    /// A length-encoded integer that counts something in memory, at most `max`.
    #[inline]
    pub fn lenenc_size(&mut self, max: usize, field: &'static str) -> Result<usize, DecodeError> {
        let before = self.clone();
        let value = usize::try_from(self.lenenc(field)?).unwrap_or(usize::MAX);
        if value > max {
            let error = before.error(DecodeErrorKind::AboveLimit { value, max }, field);
            *self = before;
            return Err(error);
        }
        Ok(value)
    }

    /// UTF-8 text of `n` bytes.
    pub fn str(&mut self, n: usize, field: &'static str) -> Result<&'a str, DecodeError> {
        let before = self.clone();
        let bytes = self.bytes(n, field)?;
        str::from_utf8(bytes).map_err(|_| {
            *self = before;
            self.error(DecodeErrorKind::NotUtf8, field)
        })
    }

    /// The next `N` bytes, by value.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(N, field));
        };
        self.rest = tail;
        self.offset += N;
        Ok(*head)
    }

    /// The next `n` bytes.
    #[inline]
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.rest.split_at_checked(n) else {
            return Err(self.truncated(n, field));
        };
        self.rest = tail;
        self.offset += n;
        Ok(head)
    }

    /// Everything that is left; the reader is empty afterwards.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.offset += rest.len();
        self.rest = &[];
        rest
    }

    /// Bytes up to the next NUL, which is consumed and not returned.
    pub fn bytes_nul(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some(len) = self.rest.iter().position(|byte| *byte == 0) else {
            let left = self.rest.len();
            return Err(self.error(DecodeErrorKind::Unterminated { left }, field));
        };
        let bytes = self.bytes(len, field)?;
        self.bytes(1, field)?;
        Ok(bytes)
    }

    /// UTF-8 text up to the next NUL, which is consumed and not returned.
    pub fn str_nul(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let before = self.clone();
        let bytes = self.bytes_nul(field)?;
        str::from_utf8(bytes).map_err(|_| {
            *self = before;
            self.error(DecodeErrorKind::NotUtf8, field)
        })
    }

    /// A reader over the next `n` bytes only, which this reader skips.
    pub fn sub(&mut self, n: usize, field: &'static str) -> Result<Self, DecodeError> {
        let offset = self.offset;
        let rest = self.bytes(n, field)?;
        Ok(Self { rest, offset })
    }

    /// Checks that nothing is left over after a structure's last field.
    pub fn finish(self, field: &'static str) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::Trailing { left }, field)),
        }
    }

    /// An error about `field`, which begins here.
    #[must_use]
    pub const fn error(&self, kind: DecodeErrorKind, field: &'static str) -> DecodeError {
        DecodeError::new(kind, self.offset, field)
    }

    #[cold]
    const fn truncated(&self, needed: usize, field: &'static str) -> DecodeError {
        let left = self.rest.len();
        self.error(DecodeErrorKind::Truncated { needed, left }, field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_big_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 0xff, 0xfe, 0, 0, 0, 9]);
        assert_eq!(reader.u8("t"), Ok(1));
        assert_eq!(reader.u16("t"), Ok(0x0203));
        assert_eq!(reader.i16("t"), Ok(-2));
        assert_eq!(reader.u32("t"), Ok(9));
        assert_eq!(reader.finish("t"), Ok(()));

        let bytes = [0xff; 24];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i32("t"), Ok(-1));
        assert_eq!(reader.i64("t"), Ok(-1));
        assert_eq!(reader.u64("t"), Ok(u64::MAX));
        assert_eq!(reader.left(), 4);
    }

    #[test]
    fn integers_of_mysql_are_little_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(reader.clone().u16_le("t"), Ok(0x0201));
        assert_eq!(reader.clone().u24_le("t"), Ok(0x03_0201));
        assert_eq!(reader.clone().u32_le("t"), Ok(0x0403_0201));
        assert_eq!(reader.clone().u48_le("t"), Ok(0x0605_0403_0201));
        assert_eq!(reader.clone().u56_le("t"), Ok(0x07_0605_0403_0201));
        assert_eq!(reader.u64_le("t"), Ok(0x0807_0605_0403_0201));

        let mut reader = Reader::new(&[250, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfb, 0xfe, 1]);
        assert_eq!(reader.lenenc("t"), Ok(250));
        assert_eq!(reader.lenenc("t"), Ok(0x0201));
        assert_eq!(reader.lenenc("t"), Ok(0x03_0201));
        let error = reader.lenenc("t.n").unwrap_err().to_string();
        assert_eq!(error, "t.n: unknown tag 0xfb (offset 8)");
        reader.u8("t").unwrap();
        assert!(reader.lenenc("t").is_err());
        assert_eq!(reader.left(), 2);
        assert_eq!(Reader::new(b"\x05").lenenc_size(5, "t"), Ok(5));
        assert!(Reader::new(b"\x06").lenenc_size(5, "t").is_err());
    }

    #[test]
    fn a_short_read_says_what_was_needed_and_consumes_nothing() {
        let mut reader = Reader::new(&[0, 1, 2]);
        reader.u8("t.tag").unwrap();
        let error = reader.u32("t.count").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.count: needed 4 bytes, 2 left (offset 1)"
        );
        assert_eq!(reader.bytes(2, "t.pair"), Ok(&[1, 2][..]));
    }

    #[test]
    fn a_length_beyond_the_address_space_is_an_error() {
        let mut reader = Reader::new(b"abc");
        assert!(reader.bytes(usize::MAX, "t").is_err());
        assert!(reader.sub(usize::MAX, "t").is_err());
        assert_eq!(reader.left(), 3);
    }

    #[test]
    fn strings_end_at_their_nul() {
        let mut reader = Reader::new(b"caf\xc3\xa9\0\0\xff\0x");
        assert_eq!(reader.str_nul("t"), Ok("café"));
        assert_eq!(reader.str_nul("t"), Ok(""));
        let error = reader.str_nul("t.name").unwrap_err();
        assert_eq!(error.to_string(), "t.name: not valid UTF-8 (offset 7)");
        assert_eq!(reader.bytes_nul("t"), Ok(&[0xff][..]));
        let error = reader.bytes_nul("t.name").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.name: no terminating NUL in the 1 bytes left (offset 9)"
        );
    }

    #[test]
    fn a_sub_reader_cannot_see_past_its_end_and_keeps_the_offset() {
        let mut reader = Reader::new(&[9, 1, 2, 3]);
        reader.u8("t").unwrap();
        let mut part = reader.sub(2, "t.part").unwrap();
        assert_eq!(part.u8("t.part.a"), Ok(1));
        let error = part.u16("t.part.b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.part.b: needed 2 bytes, 1 left (offset 2)"
        );
        assert_eq!(reader.u8("t.after"), Ok(3));
        assert!(reader.is_empty());
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        let mut reader = Reader::new(&[1, 2, 3]);
        reader.u8("t").unwrap();
        let error = reader.clone().finish("t").unwrap_err();
        assert_eq!(error.to_string(), "t: 2 bytes left over (offset 1)");
        assert_eq!(reader.rest(), &[2, 3]);
        assert_eq!(reader.offset(), 3);
        assert_eq!(reader.finish("t"), Ok(()));
    }
}

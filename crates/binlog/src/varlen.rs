//! The variable-length integers of MySQL's serialization library.
//!
//! The number of ones at the low end of the first byte says how many bytes follow; the bits above
//! them and the bytes behind are the value, little-endian. With eight ones the next eight bytes are
//! the value. (`libs/mysql/serialization`, "Variable-length integers".)

use adit_decode::{DecodeError, Reader};

/// An unsigned integer.
pub(crate) fn unsigned(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    let first = reader.u8(field)?;
    let more = first.trailing_ones();
    if more == 8 {
        return reader.u64_le(field);
    }
    let mut value = u64::from(first) >> (more + 1);
    let mut shift = 7 - more;
    for _ in 0..more {
        value |= u64::from(reader.u8(field)?) << shift;
        shift += 8;
    }
    Ok(value)
}

/// A signed integer that is not negative: its lowest bit is the sign.
pub(crate) fn signed(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    Ok(unsigned(reader, field)? >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_lengths() {
        let read = |bytes: &[u8]| unsigned(&mut Reader::new(bytes), "t").unwrap();
        assert_eq!(read(&[0]), 0);
        assert_eq!(read(&[127 << 1]), 127);
        assert_eq!(read(&[0b01, 0b10]), 128);
        assert_eq!(read(&[0b1111_1101, 0xff]), 0x3fff);
        assert_eq!(read(&[0b011, 0, 2]), 0x4000);
        assert_eq!(read(&[0xff, 1, 2, 3, 4, 5, 6, 7, 8]), 0x0807_0605_0403_0201);
        assert!(unsigned(&mut Reader::new(&[0xff, 1]), "t").is_err());
    }
}

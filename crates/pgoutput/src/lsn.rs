//! PostgreSQL's numbers for places, transactions and relations.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A place in PostgreSQL's write-ahead log: bytes since the log began.
///
/// Printed as PostgreSQL prints it, the two halves in hexadecimal: `16/B374D848`. Zero is not a
/// place; PostgreSQL uses it for "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The LSN as 16 upper-case hexadecimal digits (ASCII), which sort as the LSNs do.
    #[must_use]
    pub fn to_hex16(self) -> [u8; 16] {
        let mut out = [0; 16];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0x0f)]);
        }
        out
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({self})")
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let halves = text.split_once('/');
        let parsed = halves.and_then(|(high, low)| Some((hex_half(high)?, hex_half(low)?)));
        match parsed {
            Some((high, low)) => Ok(Self(u64::from(high) << 32 | u64::from(low))),
            None => Err(ParseLsnError(text.to_owned())),
        }
    }
}

/// One half of a printed LSN: 1 to 8 hexadecimal digits and nothing else.
fn hex_half(text: &str) -> Option<u32> {
    // `from_str_radix` alone would take a sign.
    if text.len() > 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

/// Text that is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not an LSN: expected two hexadecimal numbers of up to 8 digits, as in 16/B374D848"
)]
pub struct ParseLsnError(String);

/// A transaction's number, 32 bits as in the log: it wraps around, so it does not order
/// transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Xid(pub u32);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A relation's OID in `pg_class`: stable through renames, reused only after a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u32);

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_lsn_prints_as_postgresql_prints_it() {
        assert_eq!(Lsn(0x16_b374_d848).to_string(), "16/B374D848");
        assert_eq!(Lsn(0).to_string(), "0/0");
        assert_eq!(Lsn(u64::MAX).to_string(), "FFFFFFFF/FFFFFFFF");
        assert_eq!(&Lsn(0x16_b374_d848).to_hex16(), b"00000016B374D848");
    }

    #[test]
    fn text_that_is_not_an_lsn_is_refused() {
        for text in [
            "", "/", "16", "16/", "/1", "+1/1", "1/-1", "g/1", "1/1/1", " 1/1",
        ] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
        assert!("123456789/0".parse::<Lsn>().is_err());
        assert_eq!("0000000f/00000001".parse(), Ok(Lsn(0xf_0000_0001)));
    }

    proptest! {
        #[test]
        fn lsns_survive_printing_and_their_hex_sorts_as_they_do(a: u64, b: u64) {
            prop_assert_eq!(Lsn(a).to_string().parse(), Ok(Lsn(a)));
            prop_assert_eq!(Lsn(a).cmp(&Lsn(b)), Lsn(a).to_hex16().cmp(&Lsn(b).to_hex16()));
        }
    }
}

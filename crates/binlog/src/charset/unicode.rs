//! UTF-8, UTF-16 and UTF-32, with what the servers let in beside them.
//!
//! MySQL 5.6 and MariaDB store surrogates in UTF-8 and UTF-32, and all store them in `ucs2`. Two that
//! belong together are the character that was meant; one alone is none.

use super::{NotText, in_pieces, unassigned};

/// Bytes of a surrogate in UTF-8.
const SURROGATE_LEN: usize = 3;

/// `utf8mb3` and `utf8mb4`.
pub(super) fn utf8(bytes: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), NotText> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let error = match str::from_utf8(rest) {
            Ok(text) => {
                take(text);
                return Ok(());
            }
            Err(error) => error,
        };
        let (valid, bad) = rest.split_at(error.valid_up_to());
        take(str::from_utf8(valid).unwrap_or_default());
        let first = surrogate(bad).ok_or(NotText {
            offset: bytes.len() - bad.len(),
        })?;
        let (code, tail) = bad.split_at(SURROGATE_LEN);
        let second = surrogate(tail).and_then(|second| joined(first, second));
        rest = match second {
            Some(character) => {
                take(character.encode_utf8(&mut [0; 4]));
                tail.get(SURROGATE_LEN..).unwrap_or_default()
            }
            None => {
                unassigned(code, take);
                tail
            }
        };
    }
    Ok(())
}

/// A surrogate at the start.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

fn joined(first: u16, second: u16) -> Option<char> {
    char::decode_utf16([first, second]).next()?.ok()
}

/// `ucs2`, `utf16` and `utf16le`.
pub(super) fn utf16(
    bytes: &[u8],
    unit: fn([u8; 2]) -> u16,
    take: &mut dyn FnMut(&str),
) -> Result<(), NotText> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText {
            offset: bytes.len() - rest.len(),
        });
    }
    let decoded = char::decode_utf16(units.iter().copied().map(unit));
    let lone = |surrogate: u16| bytes_of(surrogate, unit);
    let characters = decoded.flat_map(|decoded| match decoded {
        Ok(character) => [Some(character), None],
        Err(error) => lone(error.unpaired_surrogate()).map(Some),
    });
    in_pieces(characters.flatten(), take);
    Ok(())
}

/// The two bytes of a lone surrogate, in their order.
fn bytes_of(surrogate: u16, unit: fn([u8; 2]) -> u16) -> [char; 2] {
    let [high, low] = surrogate.to_be_bytes();
    let is_big_endian = unit([high, low]) == surrogate;
    let [first, second] = if is_big_endian {
        [high, low]
    } else {
        [low, high]
    };
    [super::escaped(first), super::escaped(second)]
}

/// `utf32`.
pub(super) fn utf32(bytes: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), NotText> {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
    let (units, rest) = bytes.as_chunks::<4>();
    for (index, unit) in units.iter().enumerate() {
        let number = u32::from_be_bytes(*unit);
        match char::from_u32(number) {
            Some(character) => take(character.encode_utf8(&mut [0; 4])),
            None if SURROGATES.contains(&number) => unassigned(unit, take),
            None => return Err(NotText { offset: index * 4 }),
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(NotText {
            offset: bytes.len() - rest.len(),
        })
    }
}

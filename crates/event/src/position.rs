//! Positions: printable tokens that name one event and sort in log order.

use std::fmt;

/// The longest position token, in bytes. PostgreSQL needs 29, a MySQL coordinate 48.
const POSITION_LEN_MAX: usize = 55;

/// The place of one event in one connector's log, as the printable token of the event format.
///
/// Tokens of one connector compare bytewise in log order. Above the decoders the text is opaque.
#[derive(Clone, Copy)]
pub struct Position {
    len: u8,
    bytes: [u8; POSITION_LEN_MAX],
}

/// Why a text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// The token is longer than any that adit writes.
    #[error(
        "position token is {len} bytes long, more than the {POSITION_LEN_MAX} that adit writes"
    )]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The token holds something else than visible ASCII characters, or nothing.
    #[error("position token is empty or holds characters that adit does not write")]
    NotPrintable,
    /// A transaction has more events than its tokens can count.
    #[error(
        "event {ordinal} of one transaction does not fit the {digits} hex digits of its position"
    )]
    OrdinalTooLarge {
        /// The 0-based index of the event.
        ordinal: u64,
        /// The digits that the token has for it.
        digits: u8,
    },
}

impl Position {
    /// Takes a token that was read back from a message header or a checkpoint.
    ///
    /// # Errors
    /// When the text is empty, too long, or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PositionError::NotPrintable);
        }
        let mut position = Self::empty();
        position.push(text.as_bytes())?;
        Ok(position)
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The token's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    const fn empty() -> Self {
        Self {
            len: 0,
            bytes: [0; POSITION_LEN_MAX],
        }
    }

    fn push(&mut self, tail: &[u8]) -> Result<(), PositionError> {
        let start = usize::from(self.len);
        let end = start + tail.len();
        let too_long = PositionError::TooLong { len: end };
        self.bytes
            .get_mut(start..end)
            .ok_or_else(|| too_long.clone())?
            .copy_from_slice(tail);
        self.len = u8::try_from(end).map_err(|_| too_long)?;
        Ok(())
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Position {}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({})", self.as_str())
    }
}

/// The positions of one transaction or one snapshot: a prefix, and a number for each event.
///
/// Schema events stand between row events and take none of their numbers: their token is that of the
/// event before them, `!` and a number of their own, which sorts in front of the event after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionSpace {
    prefix: Position,
    digits: u8,
}

impl PositionSpace {
    /// Positions that start with `prefix` and end in `digits` upper-case hex digits.
    ///
    /// A prefix that cannot be part of a token (see [`Position::parse`]) yields positions that fail.
    #[must_use]
    pub fn new(prefix: &str, digits: u8) -> Self {
        Self {
            prefix: Position::parse(prefix).unwrap_or(Position::empty()),
            digits: digits.min(16),
        }
    }

    /// The position of the event with the 0-based index `ordinal`.
    ///
    /// # Errors
    /// When the index does not fit the digits.
    pub fn event(&self, ordinal: u64) -> Result<Position, PositionError> {
        let mut digits = [0u8; 16];
        let digits =
            digits
                .get_mut(..usize::from(self.digits))
                .ok_or(PositionError::OrdinalTooLarge {
                    ordinal,
                    digits: self.digits,
                })?;
        let mut rest = ordinal;
        for slot in digits.iter_mut().rev() {
            let nibble = u8::try_from(rest & 0xf).unwrap_or_default();
            *slot = if nibble < 10 {
                b'0' + nibble
            } else {
                b'A' + nibble - 10
            };
            rest >>= 4;
        }
        if rest != 0 {
            return Err(PositionError::OrdinalTooLarge {
                ordinal,
                digits: self.digits,
            });
        }
        let mut position = self.prefix;
        position.push(digits)?;
        Ok(position)
    }

    /// The position of a schema event that comes before the event `ordinal` and behind `last`.
    ///
    /// Several of them may stand before one event (`TRUNCATE a, b`). They are numbered by what is
    /// there already, so that one more never hides behind another.
    ///
    /// # Errors
    /// When a number does not fit its digits.
    pub fn schema(&self, ordinal: u64, last: Option<&Position>) -> Result<Position, PositionError> {
        let mut base = match ordinal.checked_sub(1) {
            Some(before) => self.event(before)?,
            None => self.prefix,
        };
        base.push(b"!")?;
        let number = last.and_then(|last| last.as_str().strip_prefix(base.as_str()));
        let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            prefix: base,
            digits: SCHEMA_DIGITS,
        }
        .event(number.map_or(0, |number| number + 1))
    }
}

/// Digits behind the `!` of a schema event's position.
const SCHEMA_DIGITS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_sort_in_log_order_with_schema_events_between() {
        let snapshot = PositionSpace::new("00000000000000FFr", 12);
        let tx = PositionSpace::new("0000000000000100-", 8);
        let later = PositionSpace::new("00000000000001A0-", 8);
        let tokens = [
            snapshot.schema(0, None),
            snapshot.event(0),
            snapshot.schema(1, None),
            snapshot.event(1),
            tx.schema(0, None),
            tx.event(0),
            tx.schema(1, None),
            tx.event(1),
            tx.event(0xABCD_EF01),
            later.schema(0, None),
            later.event(0),
        ]
        .map(Result::unwrap);
        assert!(tokens.windows(2).all(|w| w[0] < w[1]), "{tokens:?}");
    }

    #[test]
    fn schema_events_before_the_same_event_are_numbered_behind_what_is_there() {
        let tx = PositionSpace::new("0100-", 8);
        let first = tx.schema(1, Some(&tx.event(0).unwrap())).unwrap();
        let second = tx.schema(1, Some(&first)).unwrap();
        assert_eq!(first.as_str(), "0100-00000000!0000");
        assert_eq!(second.as_str(), "0100-00000000!0001");
        assert_eq!(
            tx.schema(2, Some(&second)).unwrap().as_str(),
            "0100-00000001!0000"
        );
        assert!(second < tx.event(1).unwrap());
    }

    #[test]
    fn an_ordinal_that_does_not_fit_is_an_error() {
        let tx = PositionSpace::new("0000000000000100-", 8);
        assert!(tx.event(0xFFFF_FFFF).is_ok());
        assert!(matches!(
            tx.event(0x1_0000_0000),
            Err(PositionError::OrdinalTooLarge { .. })
        ));
    }

    #[test]
    fn a_token_read_back_is_the_token_written() {
        let written = PositionSpace::new("0000000000000100-", 8).event(7).unwrap();
        assert_eq!(Position::parse(written.as_str()), Ok(written));
        assert!(Position::parse("").is_err());
        assert!(Position::parse("a b").is_err());
        assert!(Position::parse(&"x".repeat(56)).is_err());
    }
}

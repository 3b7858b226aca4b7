//! The frames of the streaming replication protocol, as carried by `CopyData`.
//!
//! Source: PostgreSQL manual, "Streaming Replication Protocol",
//! <https://www.postgresql.org/docs/current/protocol-replication.html>. Integers are big-endian.

use std::fmt;

use adit_decode::limits::POSTGRES_MESSAGE_BYTES_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use bytes::{BufMut, Bytes};

use crate::lsn::Lsn;

/// What the server sends inside `CopyData` while it streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationFrame {
    /// A piece of the log.
    XLogData(XLogData),
    /// A sign of life.
    PrimaryKeepalive(PrimaryKeepalive),
}

impl ReplicationFrame {
    /// Parses the payload of one `CopyData` message.
    pub fn parse(payload: Bytes) -> Result<Self, DecodeError> {
        const FIELD: &str = "replication frame.tag";
        let mut r = Reader::new(&payload);
        if r.left() > POSTGRES_MESSAGE_BYTES_MAX {
            let (value, max) = (r.left(), POSTGRES_MESSAGE_BYTES_MAX);
            return Err(r.error(DecodeErrorKind::AboveLimit { value, max }, FIELD));
        }
        match r.u8(FIELD)? {
            b'w' => XLogData::parse(r, &payload).map(Self::XLogData),
            b'k' => PrimaryKeepalive::parse(r).map(Self::PrimaryKeepalive),
            tag => {
                let kind = DecodeErrorKind::UnknownTag { tag };
                Err(DecodeError::new(kind, 0, FIELD))
            }
        }
    }
}

/// A piece of the log; from a logical slot, exactly one message of the output plugin.
///
/// | field | type |
/// |---|---|
/// | tag `w` | byte |
/// | start | LSN |
/// | server end | LSN |
/// | sent at | timestamp |
/// | data | the rest |
#[derive(Clone, PartialEq, Eq)]
pub struct XLogData {
    /// Where the data stands in the log: the record of a change, the end of a commit. Zero for
    /// messages that have no place of their own, such as a relation's shape.
    pub start: Lsn,
    /// From a logical slot, equal to `start`; from a physical one, the end of the server's log.
    pub server_end: Lsn,
    /// The server's clock when it sent this.
    pub sent_at: PgTimestamp,
    /// The output plugin's message, a slice of the payload.
    pub data: Bytes,
}

impl XLogData {
    fn parse(mut r: Reader<'_>, payload: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            start: Lsn(r.u64("replication xlog_data.start")?),
            server_end: Lsn(r.u64("replication xlog_data.server_end")?),
            sent_at: PgTimestamp(r.i64("replication xlog_data.sent_at")?),
            data: payload.slice(r.offset()..),
        })
    }
}

/// Shows the size of the data, not the data: it may be a customer's row.
impl fmt::Debug for XLogData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XLogData")
            .field("start", &self.start)
            .field("server_end", &self.server_end)
            .field("sent_at", &self.sent_at)
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// A sign of life, sent when there is nothing else to send.
///
/// | field | type |
/// |---|---|
/// | tag `k` | byte |
/// | server end | LSN |
/// | sent at | timestamp |
/// | reply requested | byte, 0 or 1 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKeepalive {
    /// The end of the log as far as the server has read it for this slot.
    pub server_end: Lsn,
    /// The server's clock when it sent this.
    pub sent_at: PgTimestamp,
    /// Whether the server wants a [`StandbyStatusUpdate`] at once, or else will hang up.
    pub reply_requested: bool,
}

impl PrimaryKeepalive {
    fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        const REPLY: &str = "replication keepalive.reply_requested";
        let server_end = Lsn(r.u64("replication keepalive.server_end")?);
        let sent_at = PgTimestamp(r.i64("replication keepalive.sent_at")?);
        let before = r.offset();
        let reply_requested = match r.u8(REPLY)? {
            0 => false,
            1 => true,
            flags => {
                let kind = DecodeErrorKind::UnknownFlags { flags };
                return Err(DecodeError::new(kind, before, REPLY));
            }
        };
        r.finish("replication keepalive")?;
        Ok(Self {
            server_end,
            sent_at,
            reply_requested,
        })
    }
}

/// What we tell the server: how far we have come. It may recycle the log before `flush`.
///
/// | field | type |
/// |---|---|
/// | tag `r` | byte |
/// | write | LSN |
/// | flush | LSN |
/// | apply | LSN |
/// | sent at | timestamp |
/// | reply requested | byte, 0 or 1 |
///
/// Each LSN is that of the last byte plus one. A logical slot's `confirmed_flush_lsn` follows
/// `flush` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyStatusUpdate {
    /// Received up to here.
    pub write: Lsn,
    /// Stored for good up to here.
    pub flush: Lsn,
    /// Made visible up to here.
    pub apply: Lsn,
    /// Our clock.
    pub sent_at: PgTimestamp,
    /// Whether the server shall answer with a [`PrimaryKeepalive`] at once.
    pub reply_requested: bool,
}

impl StandbyStatusUpdate {
    /// Bytes of an encoded update.
    pub const ENCODED_BYTES: usize = 34;

    /// The payload for one `CopyData` message.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut out = [0; Self::ENCODED_BYTES];
        // 1 + 4 × 8 + 1 bytes fill `out` exactly, so no `put` can run out of room.
        let mut rest = out.as_mut_slice();
        rest.put_u8(b'r');
        rest.put_u64(self.write.0);
        rest.put_u64(self.flush.0);
        rest.put_u64(self.apply.0);
        rest.put_i64(self.sent_at.0);
        rest.put_u8(u8::from(self.reply_requested));
        out
    }
}

/// PostgreSQL's `TimestampTz`: microseconds since 2000-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgTimestamp(pub i64);

impl PgTimestamp {
    /// Microseconds from the Unix epoch to PostgreSQL's: 10957 days.
    const EPOCH_UNIX_MICROS: i64 = 10_957 * 86_400 * 1_000_000;

    /// Microseconds since the Unix epoch; `None` beyond what an `i64` of them can say.
    #[must_use]
    pub const fn to_unix_micros(self) -> Option<i64> {
        self.0.checked_add(Self::EPOCH_UNIX_MICROS)
    }

    /// From microseconds since the Unix epoch; `None` beyond what an `i64` can say.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        match micros.checked_sub(Self::EPOCH_UNIX_MICROS) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keepalive(reply_requested: u8) -> Bytes {
        let mut bytes = vec![b'k'];
        bytes.put_u64(0x16_b374_d848);
        bytes.put_i64(1);
        bytes.put_u8(reply_requested);
        bytes.into()
    }

    #[test]
    fn xlog_data_is_a_header_and_the_rest() {
        let mut bytes = vec![b'w'];
        bytes.put_u64(1);
        bytes.put_u64(2);
        bytes.put_i64(-3);
        bytes.put_slice(b"secret");
        let ReplicationFrame::XLogData(frame) = ReplicationFrame::parse(bytes.into()).unwrap()
        else {
            panic!("not XLogData");
        };
        assert_eq!((frame.start, frame.server_end), (Lsn(1), Lsn(2)));
        assert_eq!(frame.sent_at, PgTimestamp(-3));
        assert_eq!(frame.data, "secret");
        assert!(!format!("{frame:?}").contains("secret"));
    }

    #[test]
    fn a_keepalive_may_ask_for_a_reply() {
        for (byte, reply_requested) in [(0, false), (1, true)] {
            assert_eq!(
                ReplicationFrame::parse(keepalive(byte)),
                Ok(ReplicationFrame::PrimaryKeepalive(PrimaryKeepalive {
                    server_end: Lsn(0x16_b374_d848),
                    sent_at: PgTimestamp(1),
                    reply_requested,
                }))
            );
        }
    }

    #[test]
    fn frames_that_are_cut_unknown_or_too_long_are_errors() {
        let check = |bytes: Bytes, message: &str| {
            let error = ReplicationFrame::parse(bytes).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        let whole = keepalive(1);
        for cut in 0..whole.len() {
            assert!(ReplicationFrame::parse(whole.slice(..cut)).is_err());
        }
        check(
            Bytes::from_static(b"w\0\0"),
            "replication xlog_data.start: needed 8 bytes, 2 left (offset 1)",
        );
        check(
            Bytes::from_static(b"z"),
            "replication frame.tag: unknown tag 0x7a (offset 0)",
        );
        check(
            keepalive(2),
            "replication keepalive.reply_requested: unknown flags 0x02 (offset 17)",
        );
        check(
            [&whole[..], b"!"].concat().into(),
            "replication keepalive: 1 bytes left over (offset 18)",
        );
    }

    #[test]
    fn a_status_update_has_the_documented_layout() {
        let update = StandbyStatusUpdate {
            write: Lsn(0x0102_0304_0506_0708),
            flush: Lsn(2),
            apply: Lsn(3),
            sent_at: PgTimestamp(-1),
            reply_requested: true,
        };
        let mut expected = vec![b'r', 1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        expected.extend([0xff; 8]);
        expected.push(1);
        assert_eq!(update.encode().as_slice(), expected);
    }

    #[test]
    fn the_postgresql_epoch_is_the_year_2000() {
        assert_eq!(PgTimestamp(0).to_unix_micros(), Some(946_684_800_000_000));
        assert_eq!(
            PgTimestamp::from_unix_micros(946_684_800_000_001),
            Some(PgTimestamp(1))
        );
        assert_eq!(PgTimestamp(i64::MAX).to_unix_micros(), None);
        assert_eq!(PgTimestamp::from_unix_micros(i64::MIN), None);
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(bytes: Vec<u8>, tag in prop::sample::select(&b"wk"[..])) {
            let tagged = [&[tag], &bytes[..]].concat();
            drop(ReplicationFrame::parse(tagged.into()));
            drop(ReplicationFrame::parse(bytes.into()));
        }

        #[test]
        fn timestamps_convert_both_ways(micros: i64) {
            if let Some(unix) = PgTimestamp(micros).to_unix_micros() {
                prop_assert_eq!(PgTimestamp::from_unix_micros(unix), Some(PgTimestamp(micros)));
            }
        }
    }
}

//! Chunks of transactions that are still in progress, sent with the option `streaming`.

use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use super::no_flags;
use crate::lsn::{Lsn, Xid};
use crate::replication::PgTimestamp;

/// A chunk of a transaction that is still in progress begins.
///
/// It ends with a stream stop. Chunks of several transactions may alternate; each may be followed
/// by others, and each transaction by a stream commit, abort or prepare.
///
/// | field | type |
/// |---|---|
/// | tag `S` | byte |
/// | xid | 32 bits |
/// | first chunk of the transaction | byte, 0 or 1 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: Xid,
    /// Whether this is its first chunk.
    pub first: bool,
}

impl StreamStart {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        const FIRST: &str = "pgoutput stream_start.first";
        let xid = Xid(r.u32("pgoutput stream_start.xid")?);
        let before = r.offset();
        let first = match r.u8(FIRST)? {
            0 => false,
            1 => true,
            flags => {
                let kind = DecodeErrorKind::UnknownFlags { flags };
                return Err(DecodeError::new(kind, before, FIRST));
            }
        };
        r.finish("pgoutput stream_start")?;
        Ok(Self { xid, first })
    }
}

/// A streamed transaction was committed.
///
/// | field | type |
/// |---|---|
/// | tag `c` | byte |
/// | xid | 32 bits |
/// | flags, none used | byte |
/// | commit LSN | LSN |
/// | end LSN | LSN |
/// | committed at | timestamp |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: Xid,
    /// Where the commit record begins.
    pub commit_lsn: Lsn,
    /// Where the commit record ends: confirm this, and the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub committed_at: PgTimestamp,
}

impl StreamCommit {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        let xid = Xid(r.u32("pgoutput stream_commit.xid")?);
        no_flags(&mut r, "pgoutput stream_commit.flags")?;
        let commit = Self {
            xid,
            commit_lsn: Lsn(r.u64("pgoutput stream_commit.commit_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput stream_commit.end_lsn")?),
            committed_at: PgTimestamp(r.i64("pgoutput stream_commit.committed_at")?),
        };
        r.finish("pgoutput stream_commit")?;
        Ok(commit)
    }
}

/// A streamed transaction, or one subtransaction of it, was rolled back.
///
/// | field | type |
/// |---|---|
/// | tag `A` | byte |
/// | xid | 32 bits |
/// | subxid | 32 bits |
/// | abort LSN, with `streaming = parallel` | LSN |
/// | aborted at, with `streaming = parallel` | timestamp |
///
/// Nothing in the message says whether the last two are there, but its length does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: Xid,
    /// The subtransaction whose changes are void; equal to `xid` if all are.
    pub subxid: Xid,
    /// Where and when, if the server says so.
    pub abort: Option<Abort>,
}

/// Where and when a transaction was rolled back, as a [`StreamAbort`] may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// The place of the abort in the log.
    pub abort_lsn: Lsn,
    /// When, by the server's clock.
    pub aborted_at: PgTimestamp,
}

impl StreamAbort {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        let xid = Xid(r.u32("pgoutput stream_abort.xid")?);
        let subxid = Xid(r.u32("pgoutput stream_abort.subxid")?);
        let abort = if r.is_empty() {
            None
        } else {
            Some(Abort {
                abort_lsn: Lsn(r.u64("pgoutput stream_abort.abort_lsn")?),
                aborted_at: PgTimestamp(r.i64("pgoutput stream_abort.aborted_at")?),
            })
        };
        r.finish("pgoutput stream_abort")?;
        Ok(Self { xid, subxid, abort })
    }
}

//! What frames a committed transaction, and what applications write into the log beside rows.

use std::fmt;

use adit_decode::{DecodeError, Reader};
use bytes::Bytes;

use super::{flags, name, no_flags};
use crate::lsn::{Lsn, Xid};
use crate::replication::PgTimestamp;

/// A whole, committed transaction begins.
///
/// | field | type |
/// |---|---|
/// | tag `B` | byte |
/// | final LSN | LSN |
/// | committed at | timestamp |
/// | xid | 32 bits |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where the transaction's commit record begins: equal to [`Commit::commit_lsn`].
    pub final_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub committed_at: PgTimestamp,
    /// The transaction.
    pub xid: Xid,
}

impl Begin {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        let begin = Self {
            final_lsn: Lsn(r.u64("pgoutput begin.final_lsn")?),
            committed_at: PgTimestamp(r.i64("pgoutput begin.committed_at")?),
            xid: Xid(r.u32("pgoutput begin.xid")?),
        };
        r.finish("pgoutput begin")?;
        Ok(begin)
    }
}

/// The transaction ends.
///
/// | field | type |
/// |---|---|
/// | tag `C` | byte |
/// | flags, none used | byte |
/// | commit LSN | LSN |
/// | end LSN | LSN |
/// | committed at | timestamp |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record begins.
    pub commit_lsn: Lsn,
    /// Where the commit record ends: confirm this, and the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub committed_at: PgTimestamp,
}

impl Commit {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        no_flags(&mut r, "pgoutput commit.flags")?;
        let commit = Self {
            commit_lsn: Lsn(r.u64("pgoutput commit.commit_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput commit.end_lsn")?),
            committed_at: PgTimestamp(r.i64("pgoutput commit.committed_at")?),
        };
        r.finish("pgoutput commit")?;
        Ok(commit)
    }
}

/// The transaction was itself replicated from elsewhere. Follows the begin or stream start.
///
/// | field | type |
/// |---|---|
/// | tag `O` | byte |
/// | origin LSN | LSN |
/// | name | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The commit's LSN on the origin's server; zero where the server does not send it.
    pub origin_lsn: Lsn,
    /// The replication origin's name.
    pub name: String,
}

impl Origin {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        let origin = Self {
            origin_lsn: Lsn(r.u64("pgoutput origin.origin_lsn")?),
            name: name(&mut r, "pgoutput origin.name")?.to_owned(),
        };
        r.finish("pgoutput origin")?;
        Ok(origin)
    }
}

/// Something that an application wrote to the log, by `pg_logical_emit_message`.
///
/// Sent only if asked for with the option `messages`.
///
/// | field | type |
/// |---|---|
/// | tag `M` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | flags: 1 transactional | byte |
/// | LSN | LSN |
/// | prefix | NUL-terminated |
/// | length of the content | 32 bits |
/// | content | that many bytes |
#[derive(Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// The transaction or subtransaction it belongs to; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// Whether it belongs to the transaction around it. If not, it was sent as soon as it was
    /// written, stands between transactions and cannot be rolled back.
    pub transactional: bool,
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// The application's word for what this is.
    pub prefix: String,
    /// The application's bytes, in no particular encoding; a slice of the message.
    pub content: Bytes,
}

impl LogicalMessage {
    const TRANSACTIONAL: u8 = 1;

    pub(super) fn parse(
        mut r: Reader<'_>,
        xid: Option<Xid>,
        message: &Bytes,
    ) -> Result<Self, DecodeError> {
        const CONTENT: &str = "pgoutput message.content";
        let flags = flags(&mut r, Self::TRANSACTIONAL, "pgoutput message.flags")?;
        let lsn = Lsn(r.u64("pgoutput message.lsn")?);
        // Not a name: the server sets no limit but the message's own.
        let prefix = r.str_nul("pgoutput message.prefix")?.to_owned();
        let len = r.u32("pgoutput message.length")?;
        let start = r.offset();
        r.bytes(usize::try_from(len).unwrap_or(usize::MAX), CONTENT)?;
        let content = message.slice(start..r.offset());
        r.finish("pgoutput message")?;
        Ok(Self {
            xid,
            transactional: flags & Self::TRANSACTIONAL != 0,
            lsn,
            prefix,
            content,
        })
    }
}

/// Shows the size of the content, not the content: it is the application's.
impl fmt::Debug for LogicalMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogicalMessage")
            .field("xid", &self.xid)
            .field("transactional", &self.transactional)
            .field("lsn", &self.lsn)
            .field("prefix", &self.prefix)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

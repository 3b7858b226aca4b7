//! The messages of the `pgoutput` plugin, protocol versions 1 to 4.
//!
//! | tag | message | since version |
//! |---|---|---|
//! | `B` `C` `O` | [`Begin`], [`Commit`], [`Origin`] | 1 |
//! | `R` `Y` | [`Relation`], [`Type`] | 1 |
//! | `I` `U` `D` `T` | [`Insert`], [`Update`], [`Delete`], [`Truncate`] | 1 |
//! | `M` | [`LogicalMessage`] | 1, from PostgreSQL 14 |
//! | `S` `E` `c` `A` | [`StreamStart`], stream stop, [`StreamCommit`], [`StreamAbort`] | 2; `A` is longer in 4 |
//! | `b` `P` `K` `r` `p` | [`BeginPrepare`], [`Prepare`], [`CommitPrepared`], [`RollbackPrepared`], [`StreamPrepare`] | 3 |
//!
//! Between a stream start and its stop, each `R Y I U D T M` carries a transaction id right after
//! its tag. Nothing in the message itself says so, hence the `in_stream` of [`Message::parse`].
//!
//! Parsing is strict: a tag or flag that the manual does not list, text that is not UTF-8 (the
//! connection's `client_encoding` must be UTF8), or bytes after a message's last field are
//! errors, as is anything cut short. Source: PostgreSQL manual, "Logical Replication Message
//! Formats", <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.

mod change;
mod prepare;
mod relation;
mod stream;
mod transaction;

use adit_decode::limits::{POSTGRES_MESSAGE_BYTES_MAX, POSTGRES_NAME_BYTES_MAX};
use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use bytes::Bytes;

pub use change::{Delete, Insert, OldTuple, Truncate, Update};
pub use prepare::{BeginPrepare, CommitPrepared, Prepare, RollbackPrepared, StreamPrepare};
pub use relation::{Column, Relation, ReplicaIdentity, Type};
pub use stream::{Abort, StreamAbort, StreamCommit, StreamStart};
pub use transaction::{Begin, Commit, LogicalMessage, Origin};

use crate::lsn::Xid;

/// One message of the `pgoutput` plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A whole, committed transaction begins.
    Begin(Begin),
    /// It ends.
    Commit(Commit),
    /// The transaction was itself replicated from elsewhere.
    Origin(Origin),
    /// The shape of a relation, before its first change and after each change of shape.
    Relation(Relation),
    /// The name of a type that is not built in, before the relation that uses it.
    Type(Type),
    /// A row was inserted.
    Insert(Insert),
    /// A row was updated.
    Update(Update),
    /// A row was deleted.
    Delete(Delete),
    /// Relations were emptied.
    Truncate(Truncate),
    /// An application wrote to the log, by `pg_logical_emit_message`.
    Logical(LogicalMessage),
    /// A chunk of a transaction that is still in progress begins.
    StreamStart(StreamStart),
    /// The chunk ends.
    StreamStop,
    /// A streamed transaction was committed.
    StreamCommit(StreamCommit),
    /// A streamed transaction, or a part of it, was rolled back.
    StreamAbort(StreamAbort),
    /// A whole, prepared transaction begins.
    BeginPrepare(BeginPrepare),
    /// It ends: prepared, neither committed nor rolled back yet.
    Prepare(Prepare),
    /// A transaction prepared earlier was committed.
    CommitPrepared(CommitPrepared),
    /// A transaction prepared earlier was rolled back.
    RollbackPrepared(RollbackPrepared),
    /// A streamed transaction was prepared.
    StreamPrepare(StreamPrepare),
}

impl Message {
    /// Parses one message, the data of one [`XLogData`](crate::replication::XLogData).
    ///
    /// `in_stream` says whether the message stands between a stream start and its stop. Offsets
    /// in errors count from the message's tag. Tuples and contents are slices of `bytes`.
    pub fn parse(bytes: Bytes, in_stream: bool) -> Result<Self, DecodeError> {
        const TAG: &str = "pgoutput message.tag";
        let mut r = Reader::new(&bytes);
        if r.left() > POSTGRES_MESSAGE_BYTES_MAX {
            let (value, max) = (r.left(), POSTGRES_MESSAGE_BYTES_MAX);
            return Err(r.error(DecodeErrorKind::AboveLimit { value, max }, TAG));
        }
        let tag = r.u8(TAG)?;
        let xid = match tag {
            b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' if in_stream => {
                Some(Xid(r.u32("pgoutput message.xid")?))
            }
            _ => None,
        };
        match tag {
            b'B' => Begin::parse(r).map(Self::Begin),
            b'C' => Commit::parse(r).map(Self::Commit),
            b'O' => Origin::parse(r).map(Self::Origin),
            b'R' => Relation::parse(r, xid).map(Self::Relation),
            b'Y' => Type::parse(r, xid).map(Self::Type),
            b'I' => Insert::parse(r, xid, &bytes).map(Self::Insert),
            b'U' => Update::parse(r, xid, &bytes).map(Self::Update),
            b'D' => Delete::parse(r, xid, &bytes).map(Self::Delete),
            b'T' => Truncate::parse(r, xid).map(Self::Truncate),
            b'M' => LogicalMessage::parse(r, xid, &bytes).map(Self::Logical),
            b'S' => StreamStart::parse(r).map(Self::StreamStart),
            b'E' => r.finish("pgoutput stream_stop").map(|()| Self::StreamStop),
            b'c' => StreamCommit::parse(r).map(Self::StreamCommit),
            b'A' => StreamAbort::parse(r).map(Self::StreamAbort),
            b'b' => BeginPrepare::parse(r).map(Self::BeginPrepare),
            b'P' => Prepare::parse(r).map(Self::Prepare),
            b'K' => CommitPrepared::parse(r).map(Self::CommitPrepared),
            b'r' => RollbackPrepared::parse(r).map(Self::RollbackPrepared),
            b'p' => StreamPrepare::parse(r).map(Self::StreamPrepare),
            tag => Err(DecodeError::new(
                DecodeErrorKind::UnknownTag { tag },
                0,
                TAG,
            )),
        }
    }
}

/// A NUL-terminated name, no longer than names get.
fn name<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let before = r.offset();
    let name = r.str_nul(field)?;
    if name.len() > POSTGRES_NAME_BYTES_MAX {
        let (value, max) = (name.len(), POSTGRES_NAME_BYTES_MAX);
        let kind = DecodeErrorKind::AboveLimit { value, max };
        return Err(DecodeError::new(kind, before, field));
    }
    Ok(name)
}

/// A byte of flags in which only the bits of `known` may be set.
fn flags(r: &mut Reader<'_>, known: u8, field: &'static str) -> Result<u8, DecodeError> {
    let before = r.offset();
    let flags = r.u8(field)?;
    if flags & !known != 0 {
        let kind = DecodeErrorKind::UnknownFlags { flags };
        return Err(DecodeError::new(kind, before, field));
    }
    Ok(flags)
}

/// A byte of flags of which the manual says that none is used.
fn no_flags(r: &mut Reader<'_>, field: &'static str) -> Result<(), DecodeError> {
    flags(r, 0, field).map(drop)
}

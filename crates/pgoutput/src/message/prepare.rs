//! Two-phase commits, sent at `PREPARE TRANSACTION` if the slot was created with `two_phase`.

use adit_decode::{DecodeError, Reader};

use super::{name, no_flags};
use crate::lsn::{Lsn, Xid};
use crate::replication::PgTimestamp;

/// A whole, prepared transaction begins.
///
/// | field | type |
/// |---|---|
/// | tag `b` | byte |
/// | prepare LSN | LSN |
/// | end LSN | LSN |
/// | prepared at | timestamp |
/// | xid | 32 bits |
/// | gid | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginPrepare {
    /// Where the prepare record begins.
    pub prepare_lsn: Lsn,
    /// Where the prepare record ends.
    pub end_lsn: Lsn,
    /// When it was prepared, by the server's clock.
    pub prepared_at: PgTimestamp,
    /// The transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: String,
}

impl BeginPrepare {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        let begin = Self {
            prepare_lsn: Lsn(r.u64("pgoutput begin_prepare.prepare_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput begin_prepare.end_lsn")?),
            prepared_at: PgTimestamp(r.i64("pgoutput begin_prepare.prepared_at")?),
            xid: Xid(r.u32("pgoutput begin_prepare.xid")?),
            gid: name(&mut r, "pgoutput begin_prepare.gid")?.to_owned(),
        };
        r.finish("pgoutput begin_prepare")?;
        Ok(begin)
    }
}

/// The prepared transaction ends: neither committed nor rolled back yet.
///
/// | field | type |
/// |---|---|
/// | tag `P` | byte |
/// | flags, none used | byte |
/// | prepare LSN | LSN |
/// | end LSN | LSN |
/// | prepared at | timestamp |
/// | xid | 32 bits |
/// | gid | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Where the prepare record begins.
    pub prepare_lsn: Lsn,
    /// Where the prepare record ends: confirm this, and the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it was prepared, by the server's clock.
    pub prepared_at: PgTimestamp,
    /// The transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: String,
}

impl Prepare {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        no_flags(&mut r, "pgoutput prepare.flags")?;
        let prepare = Self {
            prepare_lsn: Lsn(r.u64("pgoutput prepare.prepare_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput prepare.end_lsn")?),
            prepared_at: PgTimestamp(r.i64("pgoutput prepare.prepared_at")?),
            xid: Xid(r.u32("pgoutput prepare.xid")?),
            gid: name(&mut r, "pgoutput prepare.gid")?.to_owned(),
        };
        r.finish("pgoutput prepare")?;
        Ok(prepare)
    }
}

/// A transaction prepared earlier was committed, by `COMMIT PREPARED`.
///
/// | field | type |
/// |---|---|
/// | tag `K` | byte |
/// | flags, none used | byte |
/// | commit LSN | LSN |
/// | end LSN | LSN |
/// | committed at | timestamp |
/// | xid | 32 bits |
/// | gid | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPrepared {
    /// Where the commit record begins.
    pub commit_lsn: Lsn,
    /// Where the commit record ends: confirm this, and the message is not sent again.
    pub end_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub committed_at: PgTimestamp,
    /// The transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: String,
}

impl CommitPrepared {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        no_flags(&mut r, "pgoutput commit_prepared.flags")?;
        let commit = Self {
            commit_lsn: Lsn(r.u64("pgoutput commit_prepared.commit_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput commit_prepared.end_lsn")?),
            committed_at: PgTimestamp(r.i64("pgoutput commit_prepared.committed_at")?),
            xid: Xid(r.u32("pgoutput commit_prepared.xid")?),
            gid: name(&mut r, "pgoutput commit_prepared.gid")?.to_owned(),
        };
        r.finish("pgoutput commit_prepared")?;
        Ok(commit)
    }
}

/// A transaction prepared earlier was rolled back, by `ROLLBACK PREPARED`.
///
/// | field | type |
/// |---|---|
/// | tag `r` | byte |
/// | flags, none used | byte |
/// | prepare's end LSN | LSN |
/// | rollback's end LSN | LSN |
/// | prepared at | timestamp |
/// | rolled back at | timestamp |
/// | xid | 32 bits |
/// | gid | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPrepared {
    /// Where the prepare record ended: equal to [`Prepare::end_lsn`].
    pub prepare_end_lsn: Lsn,
    /// Where the rollback record ends: confirm this, and the message is not sent again.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared, by the server's clock.
    pub prepared_at: PgTimestamp,
    /// When it was rolled back, by the server's clock.
    pub rolled_back_at: PgTimestamp,
    /// The transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: String,
}

impl RollbackPrepared {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        no_flags(&mut r, "pgoutput rollback_prepared.flags")?;
        let rollback = Self {
            prepare_end_lsn: Lsn(r.u64("pgoutput rollback_prepared.prepare_end_lsn")?),
            rollback_end_lsn: Lsn(r.u64("pgoutput rollback_prepared.rollback_end_lsn")?),
            prepared_at: PgTimestamp(r.i64("pgoutput rollback_prepared.prepared_at")?),
            rolled_back_at: PgTimestamp(r.i64("pgoutput rollback_prepared.rolled_back_at")?),
            xid: Xid(r.u32("pgoutput rollback_prepared.xid")?),
            gid: name(&mut r, "pgoutput rollback_prepared.gid")?.to_owned(),
        };
        r.finish("pgoutput rollback_prepared")?;
        Ok(rollback)
    }
}

/// A streamed transaction was prepared.
///
/// | field | type |
/// |---|---|
/// | tag `p` | byte |
/// | flags, none used | byte |
/// | prepare LSN | LSN |
/// | end LSN | LSN |
/// | prepared at | timestamp |
/// | xid | 32 bits |
/// | gid | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPrepare {
    /// Where the prepare record begins.
    pub prepare_lsn: Lsn,
    /// Where the prepare record ends: confirm this, and the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it was prepared, by the server's clock.
    pub prepared_at: PgTimestamp,
    /// The top-level transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: String,
}

impl StreamPrepare {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, DecodeError> {
        no_flags(&mut r, "pgoutput stream_prepare.flags")?;
        let prepare = Self {
            prepare_lsn: Lsn(r.u64("pgoutput stream_prepare.prepare_lsn")?),
            end_lsn: Lsn(r.u64("pgoutput stream_prepare.end_lsn")?),
            prepared_at: PgTimestamp(r.i64("pgoutput stream_prepare.prepared_at")?),
            xid: Xid(r.u32("pgoutput stream_prepare.xid")?),
            gid: name(&mut r, "pgoutput stream_prepare.gid")?.to_owned(),
        };
        r.finish("pgoutput stream_prepare")?;
        Ok(prepare)
    }
}

//! Changes of rows.

use adit_decode::limits::POSTGRES_TRUNCATE_RELATIONS_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use bytes::Bytes;

use super::flags;
use crate::lsn::{RelationId, Xid};
use crate::tuple::TupleData;

/// A row was inserted.
///
/// | field | type |
/// |---|---|
/// | tag `I` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | relation | OID |
/// | `N` | byte |
/// | new row | [`TupleData`] |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The transaction or subtransaction; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// The relation.
    pub relation: RelationId,
    /// The row.
    pub new: TupleData,
}

impl Insert {
    pub(super) fn parse(
        mut r: Reader<'_>,
        xid: Option<Xid>,
        message: &Bytes,
    ) -> Result<Self, DecodeError> {
        const MARK: &str = "pgoutput insert.new";
        let relation = RelationId(r.u32("pgoutput insert.relation")?);
        let before = r.offset();
        match r.u8(MARK)? {
            b'N' => {}
            tag => return Err(unknown_mark(tag, before, MARK)),
        }
        let new = TupleData::read(&mut r, message)?;
        r.finish("pgoutput insert")?;
        Ok(Self { xid, relation, new })
    }
}

/// A row was updated.
///
/// | field | type |
/// |---|---|
/// | tag `U` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | relation | OID |
/// | `K` or `O`, if there is an old row | byte |
/// | old row, if there is one | [`TupleData`] |
/// | `N` | byte |
/// | new row | [`TupleData`] |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The transaction or subtransaction; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// The relation.
    pub relation: RelationId,
    /// What the log has of the old row. Without the full row as replica identity, that is
    /// nothing unless the key changed or a part of it is stored out of line.
    pub old: Option<OldTuple>,
    /// The new row.
    pub new: TupleData,
}

impl Update {
    pub(super) fn parse(
        mut r: Reader<'_>,
        xid: Option<Xid>,
        message: &Bytes,
    ) -> Result<Self, DecodeError> {
        const OLD: &str = "pgoutput update.old_or_new";
        const NEW: &str = "pgoutput update.new";
        let relation = RelationId(r.u32("pgoutput update.relation")?);
        let before = r.offset();
        let mut old = None;
        match r.u8(OLD)? {
            b'N' => {}
            mark @ (b'K' | b'O') => {
                old = Some(OldTuple::read(mark, before, &mut r, message, OLD)?);
                let before = r.offset();
                match r.u8(NEW)? {
                    b'N' => {}
                    tag => return Err(unknown_mark(tag, before, NEW)),
                }
            }
            tag => return Err(unknown_mark(tag, before, OLD)),
        }
        let new = TupleData::read(&mut r, message)?;
        r.finish("pgoutput update")?;
        Ok(Self {
            xid,
            relation,
            old,
            new,
        })
    }
}

/// A row was deleted.
///
/// | field | type |
/// |---|---|
/// | tag `D` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | relation | OID |
/// | `K` or `O` | byte |
/// | old row | [`TupleData`] |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The transaction or subtransaction; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// The relation.
    pub relation: RelationId,
    /// What the log has of the row.
    pub old: OldTuple,
}

impl Delete {
    pub(super) fn parse(
        mut r: Reader<'_>,
        xid: Option<Xid>,
        message: &Bytes,
    ) -> Result<Self, DecodeError> {
        const OLD: &str = "pgoutput delete.old";
        let relation = RelationId(r.u32("pgoutput delete.relation")?);
        let before = r.offset();
        let mark = r.u8(OLD)?;
        let old = OldTuple::read(mark, before, &mut r, message, OLD)?;
        r.finish("pgoutput delete")?;
        Ok(Self { xid, relation, old })
    }
}

/// What the log has of a row's old version. Both have all of the relation's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// `K`: the replica identity's columns; the others are [`Null`](crate::tuple::Cell::Null).
    Key(TupleData),
    /// `O`: the whole row.
    Full(TupleData),
}

impl OldTuple {
    /// Reads the tuple that follows `mark`, a byte read from offset `before`.
    fn read(
        mark: u8,
        before: usize,
        r: &mut Reader<'_>,
        message: &Bytes,
        field: &'static str,
    ) -> Result<Self, DecodeError> {
        match mark {
            b'K' => TupleData::read(r, message).map(Self::Key),
            b'O' => TupleData::read(r, message).map(Self::Full),
            tag => Err(unknown_mark(tag, before, field)),
        }
    }
}

/// Relations were emptied, all by the same statement.
///
/// | field | type |
/// |---|---|
/// | tag `T` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | relations | 32-bit count |
/// | flags: 1 `CASCADE`, 2 `RESTART IDENTITY` | byte |
/// | per relation | OID |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The transaction or subtransaction; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// Whether the statement said `CASCADE`. The relations reached that way are listed too.
    pub cascade: bool,
    /// Whether the statement said `RESTART IDENTITY`.
    pub restart_identity: bool,
    /// The published relations among those emptied.
    pub relations: Vec<RelationId>,
}

impl Truncate {
    const CASCADE: u8 = 1;
    const RESTART_IDENTITY: u8 = 2;

    pub(super) fn parse(mut r: Reader<'_>, xid: Option<Xid>) -> Result<Self, DecodeError> {
        const COUNT: &str = "pgoutput truncate.relations";
        let before = r.offset();
        let count = usize::try_from(r.u32(COUNT)?).unwrap_or(usize::MAX);
        if count > POSTGRES_TRUNCATE_RELATIONS_MAX {
            let (value, max) = (count, POSTGRES_TRUNCATE_RELATIONS_MAX);
            let kind = DecodeErrorKind::AboveLimit { value, max };
            return Err(DecodeError::new(kind, before, COUNT));
        }
        let known = Self::CASCADE | Self::RESTART_IDENTITY;
        let flags = flags(&mut r, known, "pgoutput truncate.flags")?;
        // The limit keeps the product small, `sub` that the input has it all before we allocate.
        let mut ids = r.sub(count * size_of::<u32>(), COUNT)?;
        let mut relations = Vec::with_capacity(count);
        for _ in 0..count {
            relations.push(RelationId(ids.u32(COUNT)?));
        }
        r.finish("pgoutput truncate")?;
        Ok(Self {
            xid,
            cascade: flags & Self::CASCADE != 0,
            restart_identity: flags & Self::RESTART_IDENTITY != 0,
            relations,
        })
    }
}

/// The byte before a tuple is none of those that may stand there.
const fn unknown_mark(tag: u8, offset: usize, field: &'static str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::UnknownTag { tag }, offset, field)
}

//! What the messages about rows refer to: relations and types.

use adit_decode::limits::POSTGRES_COLUMNS_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use super::{flags, name};
use crate::lsn::{RelationId, Xid};

/// The schema whose name the server sends as an empty string.
const PG_CATALOG: &str = "pg_catalog";

/// The shape of a relation: its published columns, in the order in which tuples have them.
///
/// | field | type |
/// |---|---|
/// | tag `R` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | relation | OID |
/// | namespace, empty for `pg_catalog` | NUL-terminated |
/// | name | NUL-terminated |
/// | replica identity: `d` `n` `f` `i` | byte |
/// | columns | 16-bit count |
/// | per column: flags: 1 part of the key | byte |
/// | … name | NUL-terminated |
/// | … type | OID |
/// | … type modifier | 32 bits, signed |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The transaction that the shape is seen by; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// The relation.
    pub id: RelationId,
    /// Its schema's name.
    pub namespace: String,
    /// Its name within the schema.
    pub name: String,
    /// What the log holds of a row's old version.
    pub replica_identity: ReplicaIdentity,
    /// The published columns.
    pub columns: Vec<Column>,
}

impl Relation {
    pub(super) fn parse(mut r: Reader<'_>, xid: Option<Xid>) -> Result<Self, DecodeError> {
        let id = RelationId(r.u32("pgoutput relation.id")?);
        let namespace = namespace(&mut r, "pgoutput relation.namespace")?;
        let name = name(&mut r, "pgoutput relation.name")?.to_owned();
        let replica_identity = ReplicaIdentity::parse(&mut r)?;
        let columns = columns(&mut r)?;
        r.finish("pgoutput relation")?;
        Ok(Self {
            xid,
            id,
            namespace,
            name,
            replica_identity,
            columns,
        })
    }
}

/// What the log holds of a row's old version when it is updated or deleted (`relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// `d`: the primary key, where there is one.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: the whole row.
    Full,
    /// `i`: the columns of a chosen unique index.
    Index,
}

impl ReplicaIdentity {
    fn parse(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: &str = "pgoutput relation.replica_identity";
        let before = r.offset();
        match r.u8(FIELD)? {
            b'd' => Ok(Self::Default),
            b'n' => Ok(Self::Nothing),
            b'f' => Ok(Self::Full),
            b'i' => Ok(Self::Index),
            tag => {
                let kind = DecodeErrorKind::UnknownTag { tag };
                Err(DecodeError::new(kind, before, FIELD))
            }
        }
    }
}

/// One published column of a [`Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Whether the replica identity includes it. With [`ReplicaIdentity::Full`], each does.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// Its type's OID in `pg_type`.
    pub type_oid: u32,
    /// Its type's modifier (`atttypmod`), such as a length or precision; -1 for none.
    pub type_modifier: i32,
}

impl Column {
    const KEY: u8 = 1;

    fn parse(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = flags(r, Self::KEY, "pgoutput relation.column.flags")?;
        Ok(Self {
            key: flags & Self::KEY != 0,
            name: name(r, "pgoutput relation.column.name")?.to_owned(),
            type_oid: r.u32("pgoutput relation.column.type")?,
            type_modifier: r.i32("pgoutput relation.column.type_modifier")?,
        })
    }
}

/// The name of a type that is not built in, before the relation that uses it.
///
/// For a domain, the OID is the domain's, but both names are those of the type it is based on
/// (`logicalrep_write_typ` in the server; the captures show it).
///
/// | field | type |
/// |---|---|
/// | tag `Y` | byte |
/// | xid, in a stream chunk only | 32 bits |
/// | type | OID |
/// | namespace, empty for `pg_catalog` | NUL-terminated |
/// | name | NUL-terminated |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// The transaction that the type is seen by; only inside a stream chunk.
    pub xid: Option<Xid>,
    /// The type's OID in `pg_type`, as columns refer to it.
    pub oid: u32,
    /// The schema of the type, or of the type that the domain is based on.
    pub namespace: String,
    /// The name of the type, or of the type that the domain is based on.
    pub name: String,
}

impl Type {
    pub(super) fn parse(mut r: Reader<'_>, xid: Option<Xid>) -> Result<Self, DecodeError> {
        let parsed = Self {
            xid,
            oid: r.u32("pgoutput type.oid")?,
            namespace: namespace(&mut r, "pgoutput type.namespace")?,
            name: name(&mut r, "pgoutput type.name")?.to_owned(),
        };
        r.finish("pgoutput type")?;
        Ok(parsed)
    }
}

fn namespace(r: &mut Reader<'_>, field: &'static str) -> Result<String, DecodeError> {
    Ok(match name(r, field)? {
        "" => PG_CATALOG.to_owned(),
        namespace => namespace.to_owned(),
    })
}

fn columns(r: &mut Reader<'_>) -> Result<Vec<Column>, DecodeError> {
    const FIELD: &str = "pgoutput relation.columns";
    let before = r.offset();
    let count = usize::from(r.u16(FIELD)?);
    if count > POSTGRES_COLUMNS_MAX {
        let (value, max) = (count, POSTGRES_COLUMNS_MAX);
        let kind = DecodeErrorKind::AboveLimit { value, max };
        return Err(DecodeError::new(kind, before, FIELD));
    }
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(Column::parse(r)?);
    }
    Ok(columns)
}

//! MariaDB's `GTID_EVENT`: a transaction starts. There is no `BEGIN` behind it.
//!
//! | bytes | meaning |
//! |---|---|
//! | u64 | the transaction's number |
//! | u32 | its domain |
//! | u8 | flags |
//! | u64 | with `GROUP_COMMIT_ID`: the group that it was committed in |
//! | u32, u8, u8, bytes | with an XA flag: the XA transaction's format, lengths and name |
//! | 6 bytes at most | zeros, if what came before is shorter than 19 bytes |
//!
//! The server's number is in the header. (`sql/log_event.cc`, `Gtid_log_event`.)

use adit_decode::{DecodeError, Reader};

use crate::gtid::MariaGtid;
use crate::xa::XaId;

/// The start of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariaGtidEvent<'a> {
    /// Its name.
    pub gtid: MariaGtid,
    /// Its flags.
    pub flags: u8,
    /// The XA transaction that it prepares or ends.
    pub xa: Option<XaId<'a>>,
}

impl<'a> MariaGtidEvent<'a> {
    /// One statement follows, and no commit.
    pub const STANDALONE: u8 = 1;
    /// A group commit's number is there.
    pub const GROUP_COMMIT_ID: u8 = 2;
    /// The statement is DDL.
    pub const DDL: u8 = 32;
    /// The changes of an XA transaction follow, up to its `XA PREPARE`.
    pub const PREPARED_XA: u8 = 64;
    /// A prepared XA transaction is committed or rolled back.
    pub const COMPLETED_XA: u8 = 128;

    pub(super) fn parse(reader: &mut Reader<'a>, server: u32) -> Result<Self, DecodeError> {
        let number = reader.u64_le("binlog maria_gtid.number")?;
        let domain = reader.u32_le("binlog maria_gtid.domain")?;
        let flags = reader.u8("binlog maria_gtid.flags")?;
        let mut xa = None;
        if flags & (Self::PREPARED_XA | Self::COMPLETED_XA) != 0 {
            if flags & Self::GROUP_COMMIT_ID != 0 {
                reader.bytes(8, "binlog maria_gtid.commit_id")?;
            }
            let format = reader.u32_le("binlog maria_gtid.xid_format")?;
            let gtrid = usize::from(reader.u8("binlog maria_gtid.xid_lengths")?);
            let bqual = usize::from(reader.u8("binlog maria_gtid.xid_lengths")?);
            xa = Some(XaId {
                format,
                gtrid: reader.bytes(gtrid, "binlog maria_gtid.xid")?.into(),
                bqual: reader.bytes(bqual, "binlog maria_gtid.xid")?.into(),
            });
        }
        Ok(Self {
            gtid: MariaGtid {
                domain,
                server,
                number,
            },
            flags,
            xa,
        })
    }
}

//! `GTID_LOG_EVENT`, `ANONYMOUS_GTID_LOG_EVENT` and `GTID_TAGGED_LOG_EVENT`: a transaction of MySQL
//! starts.
//!
//! | bytes | meaning |
//! |---|---|
//! | u8 | flags: 1, if the transaction may hold changes in statement format |
//! | 16 | the server's UUID |
//! | i64 | the transaction's number |
//! | u8, i64, i64 | since 5.7: 2, and two numbers for replicas that apply in parallel |
//! | u56, u56 | since 8.0: when it was committed on this server, in microseconds since 1970; if the highest bit is set, when it was committed on the first server follows |
//! | lenenc, u32, u32 | since 8.0: the transaction's length in bytes, and versions of the servers |
//!
//! The tagged event has the same fields behind their numbers, in the format of MySQL's
//! serialization library. (`libs/mysql/binlog/event/control_events.h`, `Gtid_event`.)

use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use crate::gtid::{MysqlGtid, Tag, Uuid};
use crate::varlen;

/// The start of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidEvent {
    /// Its name; none where the server gives none (`gtid_mode=OFF`).
    pub gtid: Option<MysqlGtid>,
    /// When it was committed on the server that committed it first, in microseconds since 1970.
    pub original_commit: Option<u64>,
    /// The same of the server whose log this is.
    pub immediate_commit: Option<u64>,
}

/// Set where the time of the first commit follows.
const ORIGINAL_FOLLOWS: u64 = 1 << 55;

impl GtidEvent {
    pub(super) fn parse(reader: &mut Reader<'_>, anonymous: bool) -> Result<Self, DecodeError> {
        reader.u8("binlog gtid.flags")?;
        let uuid = Uuid(reader.array("binlog gtid.uuid")?);
        let number = reader.u64_le("binlog gtid.number")?;
        let gtid = (!anonymous).then_some(MysqlGtid {
            uuid,
            tag: Tag::NONE,
            number,
        });
        let mut event = Self {
            gtid,
            original_commit: None,
            immediate_commit: None,
        };
        if reader.is_empty() {
            return Ok(event);
        }
        if reader.u8("binlog gtid.timestamps")? == 2 {
            reader.u64_le("binlog gtid.last_committed")?;
            reader.u64_le("binlog gtid.sequence_number")?;
        }
        if reader.left() >= 7 {
            let immediate = reader.u56_le("binlog gtid.immediate_commit")?;
            event.immediate_commit = Some(immediate & !ORIGINAL_FOLLOWS);
            event.original_commit = event.immediate_commit;
            if immediate & ORIGINAL_FOLLOWS != 0 {
                event.original_commit = Some(reader.u56_le("binlog gtid.original_commit")?);
            }
        }
        Ok(event)
    }

    pub(super) fn parse_tagged(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        varlen::unsigned(reader, "binlog gtid_tagged.version")?;
        varlen::unsigned(reader, "binlog gtid_tagged.size")?;
        let needed = varlen::unsigned(reader, "binlog gtid_tagged.last_needed")?;
        let (mut uuid, mut number, mut tag) = (None, None, Tag::NONE);
        let (mut immediate_commit, mut original_commit) = (None, None);
        while !reader.is_empty() {
            let before = reader.clone();
            match varlen::unsigned(reader, "binlog gtid_tagged.field")? {
                0 => {
                    varlen::unsigned(reader, "binlog gtid_tagged.flags")?;
                }
                1 => {
                    let mut bytes = [0u8; 16];
                    for byte in &mut bytes {
                        let value = varlen::unsigned(reader, "binlog gtid_tagged.uuid")?;
                        *byte = u8::try_from(value).unwrap_or(0);
                    }
                    uuid = Some(Uuid(bytes));
                }
                2 => number = Some(varlen::signed(reader, "binlog gtid_tagged.number")?),
                3 => tag = crate::gtid::tag(reader)?,
                4 | 5 => {
                    varlen::signed(reader, "binlog gtid_tagged.sequence")?;
                }
                6 => {
                    let field = "binlog gtid_tagged.immediate_commit";
                    immediate_commit = Some(varlen::unsigned(reader, field)?);
                }
                7 => {
                    let field = "binlog gtid_tagged.original_commit";
                    original_commit = Some(varlen::unsigned(reader, field)?);
                }
                8..=11 => {
                    varlen::unsigned(reader, "binlog gtid_tagged.other")?;
                }
                // Its length is not known, nor that of those behind it.
                unknown if unknown > needed => {
                    reader.rest();
                }
                _ => {
                    let why = "a field that is needed is not known";
                    let kind = DecodeErrorKind::Invalid { why };
                    return Err(before.error(kind, "binlog gtid_tagged.field"));
                }
            }
        }
        let (Some(uuid), Some(number)) = (uuid, number) else {
            let why = "it has no uuid or no number";
            return Err(reader.error(DecodeErrorKind::Invalid { why }, "binlog gtid_tagged"));
        };
        Ok(Self {
            gtid: Some(MysqlGtid { uuid, tag, number }),
            immediate_commit,
            original_commit: original_commit.or(immediate_commit),
        })
    }
}

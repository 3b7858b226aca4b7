//! The events of a binary log, one file for each kind.
//!
//! An event is read from its body, the bytes between header and checksum. Variable parts are
//! borrowed from it.

mod format_description;
mod gtid;
mod heartbeat;
mod incident;
mod maria_gtid;
mod maria_gtid_list;
mod query;
mod rotate;
mod rows;
mod table_map;
mod transaction_payload;
mod xa_prepare;
mod xid;

use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use crate::compressed;
use crate::gtid::{GtidSet, MariaPosition};
use crate::header::{EventHeader, EventType};

pub use format_description::FormatDescription;
pub(crate) use format_description::knows_checksums;
pub use gtid::GtidEvent;
pub use heartbeat::Heartbeat;
pub use incident::Incident;
pub use maria_gtid::MariaGtidEvent;
pub use query::Query;
pub use rotate::Rotate;
pub use rows::{Rows, RowsKind};
pub(crate) use table_map::bit_lsb;
pub use table_map::{ColumnType, TableMap, TableMetadata, TypeCode};
pub use transaction_payload::{Compression, TransactionPayload};
pub use xa_prepare::XaPrepare;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Starts a file: how the following events are written.
    FormatDescription(FormatDescription),
    /// The log goes on in another file.
    Rotate(Rotate<'a>),
    /// The server was stopped.
    Stop,
    /// Starts a transaction of MySQL.
    Gtid(GtidEvent),
    /// All transactions in earlier files.
    PreviousGtids(GtidSet),
    /// Starts a transaction of MariaDB.
    MariaGtid(MariaGtidEvent<'a>),
    /// The last transactions in earlier files, by domain.
    MariaGtidList(MariaPosition),
    /// A statement.
    Query(Query<'a>),
    /// Commits a transaction.
    Xid(u64),
    /// Prepares a transaction of an external coordinator.
    XaPrepare(XaPrepare<'a>),
    /// The table of rows that follow.
    TableMap(TableMap<'a>),
    /// Changed rows.
    Rows(Rows<'a>),
    /// The statement whose changed rows follow, for people.
    RowsQuery(&'a [u8]),
    /// A compressed transaction.
    TransactionPayload(TransactionPayload<'a>),
    /// The server has nothing to send.
    Heartbeat(Heartbeat<'a>),
    /// The log misses changes.
    Incident(Incident<'a>),
    /// `LOAD DATA` in statement format: its file, or part of it.
    Load,
    /// What a statement needs to be executed again, or what carries nothing for us.
    Ignored,
}

impl<'a> Event<'a> {
    /// Reads an event.
    ///
    /// # Errors
    /// When the bytes are not the event that the header says, or one that is not known and not
    /// marked as ignorable.
    pub fn parse(
        header: &EventHeader,
        body: &'a [u8],
        format: Option<&FormatDescription>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let event = match header.kind {
            EventType::FORMAT_DESCRIPTION => {
                Self::FormatDescription(FormatDescription::parse(&mut reader)?)
            }
            EventType::ROTATE => Self::Rotate(Rotate::parse(&mut reader)?),
            EventType::STOP => {
                reader.rest();
                Self::Stop
            }
            EventType::GTID | EventType::ANONYMOUS_GTID => {
                let anonymous = header.kind == EventType::ANONYMOUS_GTID;
                Self::Gtid(GtidEvent::parse(&mut reader, anonymous)?)
            }
            EventType::GTID_TAGGED => Self::Gtid(GtidEvent::parse_tagged(&mut reader)?),
            EventType::PREVIOUS_GTIDS => Self::PreviousGtids(GtidSet::decode(&mut reader)?),
            EventType::MARIA_GTID => {
                Self::MariaGtid(MariaGtidEvent::parse(&mut reader, header.server_id)?)
            }
            EventType::MARIA_GTID_LIST => Self::MariaGtidList(maria_gtid_list::parse(&mut reader)?),
            EventType::QUERY => Self::Query(Query::parse(&mut reader, false)?),
            EventType::MARIA_QUERY_COMPRESSED => Self::Query(Query::parse(&mut reader, true)?),
            EventType::EXECUTE_LOAD_QUERY => Self::Query(Query::parse_load(&mut reader)?),
            EventType::XID => Self::Xid(xid::parse(&mut reader)?),
            EventType::XA_PREPARE => Self::XaPrepare(XaPrepare::parse(&mut reader)?),
            EventType::TABLE_MAP => {
                let short_id = format.is_some_and(FormatDescription::table_ids_are_short);
                Self::TableMap(TableMap::parse(&mut reader, short_id)?)
            }
            EventType::ROWS_QUERY => {
                // Its length in one byte is cut for long statements, and not needed.
                reader.u8("binlog rows_query.length")?;
                Self::RowsQuery(reader.rest())
            }
            EventType::MARIA_ANNOTATE_ROWS => Self::RowsQuery(reader.rest()),
            EventType::TRANSACTION_PAYLOAD => {
                Self::TransactionPayload(TransactionPayload::parse(&mut reader)?)
            }
            EventType::HEARTBEAT => Self::Heartbeat(Heartbeat::parse(&mut reader, header)?),
            EventType::HEARTBEAT_V2 => Self::Heartbeat(Heartbeat::parse_v2(&mut reader)?),
            EventType::INCIDENT => Self::Incident(Incident::parse(&mut reader)?),
            EventType::BEGIN_LOAD_QUERY | EventType::APPEND_BLOCK | EventType::DELETE_FILE => {
                reader.rest();
                Self::Load
            }
            EventType::INTVAR
            | EventType::RAND
            | EventType::USER_VAR
            | EventType::SLAVE
            | EventType::IGNORABLE
            | EventType::TRANSACTION_CONTEXT
            | EventType::VIEW_CHANGE
            | EventType::MARIA_BINLOG_CHECKPOINT
            | EventType::MARIA_START_ENCRYPTION => {
                reader.rest();
                Self::Ignored
            }
            EventType::START_V3 => {
                let why = "the log has another version than 4: it is of a server before MySQL 5.0";
                return Err(invalid_kind(why));
            }
            EventType::PRE_GA_WRITE_ROWS
            | EventType::PRE_GA_UPDATE_ROWS
            | EventType::PRE_GA_DELETE_ROWS => {
                return Err(invalid_kind(
                    "rows of a MySQL before 5.1.16, whose format was given up",
                ));
            }
            kind => match rows::layout(kind) {
                Some(layout) => {
                    let short_id = format.is_some_and(FormatDescription::table_ids_are_short);
                    Self::Rows(Rows::parse(&mut reader, layout, short_id)?)
                }
                None if header.flags & EventHeader::IGNORABLE != 0 => {
                    reader.rest();
                    Self::Ignored
                }
                None => {
                    let tag = DecodeErrorKind::UnknownTag { tag: kind.0 };
                    return Err(DecodeError::new(tag, 4, "binlog header.kind"));
                }
            },
        };
        // Newer servers add fields behind those that are known, so that what is left over is no error.
        Ok(event)
    }
}

/// A kind of event that is known, and not read.
const fn invalid_kind(why: &'static str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Invalid { why }, 4, "binlog header.kind")
}

/// MariaDB's compressed part of an event, or the part itself.
fn part<'a>(
    reader: &mut Reader<'a>,
    compressed: bool,
    field: &'static str,
) -> Result<std::borrow::Cow<'a, [u8]>, DecodeError> {
    if compressed {
        compressed::expand(reader, field).map(std::borrow::Cow::Owned)
    } else {
        Ok(std::borrow::Cow::Borrowed(reader.rest()))
    }
}

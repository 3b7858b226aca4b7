//! The header that every event starts with.
//!
//! | bytes | meaning |
//! |---|---|
//! | u32 | when the statement started, in seconds since 1970 |
//! | u8 | the kind of event |
//! | u32 | the server that wrote it first |
//! | u32 | the event's length, header and checksum included |
//! | u32 | where the event ends in its file: 0 in a made-up event, inside a payload, and inside transactions of MariaDB 11.8; wraps in files beyond 4 GiB |
//! | u16 | flags |
//!
//! Integers are little-endian. (MySQL: `libs/mysql/binlog/event/binlog_event.h`, "Common-Header".)

use adit_decode::{DecodeError, Reader};

/// What every event says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// When the statement started, in seconds since 1970.
    pub timestamp: u32,
    /// The kind of event.
    pub kind: EventType,
    /// The server that wrote it first.
    pub server_id: u32,
    /// The event's length in bytes, header and checksum included.
    pub length: u32,
    /// Where the event ends in its file; 0 where that is not said.
    pub end_position: u32,
    /// Flags, [`EventHeader::IGNORABLE`] among them.
    pub flags: u16,
}

impl EventHeader {
    /// Its length in bytes, in every version since 4 (MySQL 5.0).
    pub const LEN: usize = 19;
    /// `LOG_EVENT_IGNORABLE_F`: who does not know the event may go on without it.
    pub const IGNORABLE: u16 = 0x80;
    /// `LOG_EVENT_ARTIFICIAL_F`: the server made the event up for this connection.
    pub const ARTIFICIAL: u16 = 0x20;

    /// Reads it off the front of an event.
    ///
    /// # Errors
    /// When there are fewer bytes.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            timestamp: reader.u32_le("binlog header.timestamp")?,
            kind: EventType(reader.u8("binlog header.kind")?),
            server_id: reader.u32_le("binlog header.server_id")?,
            length: reader.u32_le("binlog header.length")?,
            end_position: reader.u32_le("binlog header.end_position")?,
            flags: reader.u16_le("binlog header.flags")?,
        })
    }
}

/// The number of a kind of event (`Log_event_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType(pub u8);

#[allow(missing_docs, reason = "the names are the servers' own")]
impl EventType {
    pub const START_V3: Self = Self(1);
    pub const QUERY: Self = Self(2);
    pub const STOP: Self = Self(3);
    pub const ROTATE: Self = Self(4);
    pub const INTVAR: Self = Self(5);
    pub const SLAVE: Self = Self(7);
    pub const APPEND_BLOCK: Self = Self(9);
    pub const DELETE_FILE: Self = Self(11);
    pub const RAND: Self = Self(13);
    pub const USER_VAR: Self = Self(14);
    pub const FORMAT_DESCRIPTION: Self = Self(15);
    pub const XID: Self = Self(16);
    pub const BEGIN_LOAD_QUERY: Self = Self(17);
    pub const EXECUTE_LOAD_QUERY: Self = Self(18);
    pub const TABLE_MAP: Self = Self(19);
    pub const PRE_GA_WRITE_ROWS: Self = Self(20);
    pub const PRE_GA_UPDATE_ROWS: Self = Self(21);
    pub const PRE_GA_DELETE_ROWS: Self = Self(22);
    pub const WRITE_ROWS_V1: Self = Self(23);
    pub const UPDATE_ROWS_V1: Self = Self(24);
    pub const DELETE_ROWS_V1: Self = Self(25);
    pub const INCIDENT: Self = Self(26);
    pub const HEARTBEAT: Self = Self(27);
    pub const IGNORABLE: Self = Self(28);
    pub const ROWS_QUERY: Self = Self(29);
    pub const WRITE_ROWS: Self = Self(30);
    pub const UPDATE_ROWS: Self = Self(31);
    pub const DELETE_ROWS: Self = Self(32);
    pub const GTID: Self = Self(33);
    pub const ANONYMOUS_GTID: Self = Self(34);
    pub const PREVIOUS_GTIDS: Self = Self(35);
    pub const TRANSACTION_CONTEXT: Self = Self(36);
    pub const VIEW_CHANGE: Self = Self(37);
    pub const XA_PREPARE: Self = Self(38);
    pub const PARTIAL_UPDATE_ROWS: Self = Self(39);
    pub const TRANSACTION_PAYLOAD: Self = Self(40);
    pub const HEARTBEAT_V2: Self = Self(41);
    pub const GTID_TAGGED: Self = Self(42);
    pub const MARIA_ANNOTATE_ROWS: Self = Self(160);
    pub const MARIA_BINLOG_CHECKPOINT: Self = Self(161);
    pub const MARIA_GTID: Self = Self(162);
    pub const MARIA_GTID_LIST: Self = Self(163);
    pub const MARIA_START_ENCRYPTION: Self = Self(164);
    pub const MARIA_QUERY_COMPRESSED: Self = Self(165);
    pub const MARIA_WRITE_ROWS_COMPRESSED_V1: Self = Self(166);
    pub const MARIA_UPDATE_ROWS_COMPRESSED_V1: Self = Self(167);
    pub const MARIA_DELETE_ROWS_COMPRESSED_V1: Self = Self(168);
    pub const MARIA_WRITE_ROWS_COMPRESSED: Self = Self(169);
    pub const MARIA_UPDATE_ROWS_COMPRESSED: Self = Self(170);
    pub const MARIA_DELETE_ROWS_COMPRESSED: Self = Self(171);
}

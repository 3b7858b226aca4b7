//! PostgreSQL's logical replication bytes, decoded: replication frames, pgoutput messages, tuples and values.
//!
//! A replication connection carries frames ([`ReplicationFrame`]), a frame of log data carries one
//! message of the `pgoutput` plugin ([`Message`]), and a message about a row carries a tuple
//! ([`TupleData`]) with one [`Cell`] per column. Each layer is parsed by one call and hands on a
//! slice of the same buffer; rows are never copied. Frames and status updates are encoded and
//! decoded without a clock, a socket or a file: bytes in, values out.
//!
//! Bytes from a server are not believed. Whatever arrives, parsing ends in a value or in a
//! [`DecodeError`](adit_decode::DecodeError) that names message, field and offset; it does not
//! panic, and allocates only what the input has paid for in bytes. A message or flag that this
//! crate does not know is an error as well: skipping it could lose a change.
//!
//! ```
//! use adit_pgoutput::{Cell, Message, ReplicationFrame};
//! use bytes::Bytes;
//!
//! // CopyData with an Insert of ('7', NULL) into relation 16384.
//! let payload = Bytes::from_static(
//!     b"w\0\0\0\x16\xb3\x74\xd8\x48\0\0\0\x16\xb3\x74\xd9\0\0\0\0\0\0\0\0\0\
//!       I\0\0\x40\0N\0\x02t\0\0\0\x017n",
//! );
//! let ReplicationFrame::XLogData(frame) = ReplicationFrame::parse(payload)? else {
//!     panic!("not a frame of log data");
//! };
//! assert_eq!(frame.start.to_string(), "16/B374D848");
//!
//! let Message::Insert(insert) = Message::parse(frame.data, false)? else {
//!     panic!("not an insert");
//! };
//! assert_eq!(insert.relation.0, 16384);
//! assert!(insert.new.cells().eq([Cell::Text(b"7"), Cell::Null]));
//! # Ok::<(), adit_decode::DecodeError>(())
//! ```

pub mod decoder;
pub mod lsn;
pub mod message;
pub mod replication;
pub mod table;
pub mod tuple;
pub mod types;

pub use adit_decode::DecodeError;
pub use decoder::{Decoder, DecoderError, Output};
pub use lsn::{Lsn, RelationId, Xid};
pub use message::Message;
pub use replication::{PgTimestamp, ReplicationFrame};
pub use table::{ColumnInfo, TableInfo};
pub use tuple::{Cell, TupleData};

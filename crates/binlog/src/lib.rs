//! MySQL's and MariaDB's binary log: bytes in, changes out.
//!
//! An [`Event`] is one event of the log, borrowed from the bytes it came in; there is one file for
//! each kind under `event/`. The [`Decoder`] keeps what a log needs to be understood (the format
//! description, the tables' maps, the open transaction) and turns events into `adit-event`'s
//! changes. Nothing here has a socket or a clock: a binlog file and a catalogue replay any bug.
//!
//! MySQL's log is described in "Binlog Event" of its internals manual and in
//! `libs/mysql/binlog/event`; MariaDB's in its knowledge base under "Replication Protocol".

pub mod charset;
pub mod checksum;
mod compressed;
mod coordinates;
pub mod decoder;
pub mod event;
mod flavor;
pub mod gtid;
mod header;
mod payload;
mod row;
pub mod statement;
pub mod table;
pub mod value;
mod varlen;
mod xa;

pub use coordinates::Coordinates;
pub use decoder::{Decoder, DecoderError};
pub use event::Event;
pub use flavor::Flavor;
pub use gtid::Gtid;
pub use header::{EventHeader, EventType};
pub use payload::PayloadReader;
pub use xa::XaId;

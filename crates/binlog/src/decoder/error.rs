//! Why a log cannot be understood.

use adit_decode::DecodeError;

use crate::table::ShapeError;

/// A log that cannot be understood. The same bytes fail in the same way again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// Bytes that are not an event.
    #[error("an event that ends at {at} cannot be read")]
    Event {
        /// Its end.
        at: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A table whose rows cannot be read.
    #[error("a table whose rows follow {at} cannot be read")]
    Shape {
        /// The end of its map.
        at: String,
        /// What is wrong.
        source: ShapeError,
    },
    /// Rows of a table without a map.
    #[error("rows that end at {at} are of table number {id}, which has no map before them")]
    UnknownTable {
        /// The number.
        id: u64,
        /// The end of the rows.
        at: String,
    },
    /// Something that may not come here.
    #[error("{what} came {place} (at {at})")]
    OutOfPlace {
        /// What.
        what: &'static str,
        /// Where.
        place: &'static str,
        /// The end of the event.
        at: String,
    },
    /// A transaction whose changes were handed out was rolled back, all of it or a part.
    #[error(
        "the transaction at {at} changed tables and was then rolled back in the log, which happens when it changed \
         tables of an engine without transactions too; what of it is to be undone cannot be told"
    )]
    RolledBack {
        /// Its start.
        at: String,
    },
    /// A transaction whose changes were handed out has no end.
    #[error(
        "the transaction at {at} has no end in the log: the server crashed while it wrote it, and did not take it out \
         afterwards"
    )]
    NeverEnded {
        /// Its start.
        at: String,
    },
    /// The server says that its log misses changes.
    #[error(
        "the server noted at {at} that changes are missing in its log (incident {number}: {message}); the tables must \
         be read afresh: remove the connector's state with `adit drop NAME`, then start again"
    )]
    Incident {
        /// The end of the event.
        at: String,
        /// The incident's number.
        number: u16,
        /// The server's words.
        message: String,
    },
}

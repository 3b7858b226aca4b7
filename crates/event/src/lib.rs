//! The vocabulary of adit: what a change is, whatever database it came from.
//!
//! A source decodes its log into [`Change`]s of [`Relation`]s inside [`Transaction`]s; each gets a
//! [`Position`], and the [`Encoder`] writes it as the published JSON. Nothing here does I/O, looks
//! at a clock or knows a database's wire format: a [`Row`] keeps the database's own bytes, and the
//! relation's columns carry a [`CellFormat`] that turns a cell into a value when it is written.
//!
//! ```
//! use adit_event::{PositionSpace, Position};
//!
//! let tx = PositionSpace::new("0000000001A2B3C8-", 8);
//! let first = tx.event(0).unwrap();
//! assert_eq!(first.as_str(), "0000000001A2B3C8-00000000");
//! assert!(first < tx.event(1).unwrap());
//! # let _: Position = first;
//! ```

mod change;
mod envelope;
mod position;
mod relation;
mod row;
mod source;
mod time;
mod value;

pub use change::{Before, Change, Event, EventKind, Op, Transaction};
pub use envelope::{EncodeError, Encoder, transaction_id};
pub use position::{Position, PositionError, PositionSpace};
pub use relation::{Column, Relation};
pub use row::{Cell, Cells, Row, RowBuilder};
pub use source::{Connector, SourceMeta};
pub use time::Timestamp;
pub use value::{CellFormat, Logical, ValueError, ValueOptions, ValueWriter};

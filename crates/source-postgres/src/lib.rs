//! PostgreSQL as a source: connection, slot, publication, snapshot and stream.
//!
//! [`PostgresSource`] is the pipeline's `Source`: it reads the log through a replication slot and a
//! publication, and the rows that were there before in the slot's snapshot. [`PostgresOptions`] says
//! which database and how. What is decoded is the business of `adit-pgoutput`; this crate talks to
//! the server and decides where to go on.

mod catalog;
pub mod config;
mod copy;
mod error;
mod feedback;
pub mod link;
mod preflight;
mod publication;
mod quote;
mod removal;
mod slot;
mod snapshot;
mod source;
mod state;
mod stream;
mod tls;

pub use config::ConnectConfig;
pub use error::SourceError;
pub use preflight::check;
pub use removal::remove;
pub use source::{PostgresOptions, PostgresSource};

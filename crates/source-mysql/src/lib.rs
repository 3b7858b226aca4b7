//! MySQL and MariaDB as a source: connection, binary log, snapshot and stream.
//!
//! [`MysqlSource`] is the pipeline's `Source`: it reads the log as a replica does, and the rows that were
//! there before in a consistent snapshot. [`MysqlOptions`] says which server and how. What is decoded is the
//! business of `adit-binlog`; this crate talks to the server and decides where to go on.

mod catalog;
pub mod config;
mod ddl;
mod error;
mod identity;
pub mod link;
mod place;
mod position;
mod preflight;
mod quote;
mod scan;
mod session;
mod shapes;
mod skip;
mod snapshot;
mod source;
mod state;
mod stream;
mod tls;

pub use config::ConnectConfig;
pub use error::SourceError;
pub use identity::GtidMode;
pub use preflight::check;
pub use source::{MysqlOptions, MysqlSource};

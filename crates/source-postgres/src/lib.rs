//! PostgreSQL as a source: connection, slot, publication, snapshot and stream.

pub mod config;
pub mod link;
mod tls;

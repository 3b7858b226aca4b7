//! The replication link and the SQL connection against real servers.

mod command;
mod host;
mod login;
mod stream;
mod support;

//! The link against real servers: logging in, TLS, queries, and the binary log.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod command;
mod dump;
mod encryption;
mod login;
mod support;

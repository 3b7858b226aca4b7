//! What `cargo lab demo` shows: a shop that changes, and its events as lines of text.

pub(crate) mod line;
pub(crate) mod shop;

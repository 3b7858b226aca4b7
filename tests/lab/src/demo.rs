//! What `cargo lab demo` shows: shops that change, and their events as lines of text.

pub(crate) mod line;
pub(crate) mod shop;

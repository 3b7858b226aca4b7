//! Faults that production brings, one named test each: what adit does then, and that the stream is exact all the same.
//! `docs/faults.md` lists them, with those that are tested elsewhere.

mod broker;
mod durability;
mod kills;
mod moment;
mod network;
#[path = "../support/path.rs"]
mod path;
mod resources;
mod standby;
#[path = "../support/mod.rs"]
mod support;

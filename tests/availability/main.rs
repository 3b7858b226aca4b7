//! High availability: of two processes with one configuration one works and the other takes over, on a cluster of three
//! NATS servers that die and are cut off from each other. The stream tells what happened in the database, each change
//! once and in order, and no process writes to it again once another has.
//!
//! `ADIT_SEED` repeats a run as far as a machine can. The long run is not one of those that are run by themselves:
//!
//! ```sh
//! ADIT_KILLS=200 cargo test --test availability kills -- --ignored --nocapture
//! ```

#![allow(
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

mod leader;
mod long;
mod partition;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod takeover;

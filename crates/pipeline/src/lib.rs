//! The ports and the loop of adit: what a source and a sink are, and how events pass between them
//! exactly once.
//!
//! A [`Source`] reads a database's log and hands over [`Item`]s in commit order. A [`Sink`] stores
//! messages in one stream, each directly behind the one before. Between them [`run`] numbers the
//! events ([`Core`]), keeps what is not acknowledged within limits ([`Window`]), stores the
//! [`Checkpoint`] behind the acknowledgements and only then lets the source confirm to its
//! database. Nothing here knows a database or a broker.
//!
//! ```text
//!  source ── batches ──► core ── messages ──► sink
//!    ▲                    │  ▲                 │
//!    │                    │  └── stored ───────┘
//!    └── confirmed ◄── checkpoint
//! ```

mod assembler;
mod checkpoint;
mod core;
mod error;
mod planted;
mod preflight;
mod recovery;
mod run;
mod shapes;
#[cfg(test)]
mod simulation;
mod sink;
mod snapshot;
mod source;
mod tables;
mod window;

pub use assembler::{Assembler, SpillError, Staged};
pub use checkpoint::{Checkpoint, CheckpointStore, SchemaKey};
pub use core::{Core, CoreError, Outgoing};
pub use error::{Backoff, Classify, Disposition, RunError, chain};
pub use preflight::{Finding, Verdict};
pub use recovery::{Refusal, StartPoint, start_point};
pub use run::{RunOptions, retry, run};
pub use shapes::{KeptShape, ShapeAnswer, ShapeStore, ShapeStoreError};
pub use sink::{Message, Sink, Tail, TailMessage};
pub use snapshot::{Pace, SnapshotMode, SnapshotOptions};
pub use source::{Batch, Closed, Item, Outlet, Source, SourceContext, Stored};
pub use tables::{TableFilter, TableFilterError};
pub use window::{Mark, Window, WindowError};

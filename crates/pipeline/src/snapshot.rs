//! How the rows that are in tables already are read.

use std::time::Duration;

use tokio::time::Instant;

/// When rows that are in the tables already are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    /// At the first start, and for tables that are added later.
    Initial,
    /// Never: only changes are published.
    Never,
    /// As `Initial`, and again when the log needed to go on is gone.
    WhenNeeded,
    /// Once, and then the connector ends without streaming.
    Only,
}

/// How snapshots are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// When.
    pub mode: SnapshotMode,
    /// Connections that read at the same time.
    pub workers: usize,
    /// Rows that one of them reads at a time, roughly.
    pub chunk_rows: u64,
}

/// When it is noted how far a snapshot came: at first at once, and then so seldom that it costs little.
#[derive(Debug)]
pub struct Pace {
    due: Instant,
}

impl Pace {
    /// Between two notes.
    const PERIOD_MIN: Duration = Duration::from_secs(1);
    /// Of the time, one part in so many is spent on notes.
    const SHARE: u32 = 20;

    /// A note is due.
    #[must_use]
    pub fn new() -> Self {
        Self {
            due: Instant::now(),
        }
    }

    /// Whether the next note is due.
    #[must_use]
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// A note was taken, on which work was `begun` then.
    pub fn noted(&mut self, begun: Instant) {
        let now = Instant::now();
        let cost = now.saturating_duration_since(begun);
        self.due = now + (cost * Self::SHARE).max(Self::PERIOD_MIN);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

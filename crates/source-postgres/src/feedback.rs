//! What the server hears from us: that we live, and what is stored.
//!
//! A task of its own, so that nothing that keeps the reader waiting (a full pipeline, a snapshot,
//! a disk) keeps the server waiting: it would end the connection after `wal_sender_timeout`.
//!
//! Progress rule: only what the pipeline confirmed is reported, as flushed and applied. A keepalive
//! of the server moves nothing by itself; it goes through the pipeline as progress, in the order of
//! the log, and comes back here when everything in front of it is stored.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_pgoutput::replication::StandbyStatusUpdate;
use adit_pgoutput::{Lsn, PgTimestamp};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::SourceError;
use crate::link::LinkWriter;

/// Talks to the server until the pipeline needs no more confirmations; then says the last word and
/// asks the server to end the stream.
pub(crate) async fn feedback(
    mut writer: LinkWriter,
    mut confirmed: watch::Receiver<Option<Box<str>>>,
    asked: Arc<Notify>,
    start: Lsn,
    period: Duration,
) -> Result<LinkWriter, SourceError> {
    let mut stored = start;
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let open = tokio::select! {
            changed = confirmed.changed() => changed.is_ok(),
            () = asked.notified() => true,
            _ = tick.tick() => true,
        };
        let resume = confirmed
            .borrow()
            .as_deref()
            .and_then(|resume| resume.parse().ok());
        // A confirmation never goes back.
        stored = stored.max(resume.unwrap_or(stored));
        let status = StandbyStatusUpdate {
            write: stored,
            flush: stored,
            apply: stored,
            sent_at: now(),
            // The answer tells how far the server has read its log: on an idle database that is what
            // moves the slot.
            reply_requested: open,
        };
        writer.send_copy_data(&status.encode()).await?;
        if !open {
            writer.copy_done().await?;
            return Ok(writer);
        }
    }
}

fn now() -> PgTimestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or_default();
    PgTimestamp::from_unix_micros(micros).unwrap_or(PgTimestamp(0))
}

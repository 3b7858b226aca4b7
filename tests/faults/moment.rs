//! Moments in the life of a connector, and how to wait for them.

use std::time::Duration;

use adit_lab::wait_for;
use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::support::{STREAM, Stage};

/// Longest wait for a moment: the machine may be crowded.
const WITHIN: Duration = Duration::from_secs(120);
/// Rows of a snapshot that are in the stream when it is certainly being taken.
const SNAPSHOT_ROWS: u64 = 2_000;

/// A stage of a connector's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// It has just been started.
    Connecting,
    /// It reads the tables.
    Snapshot,
    /// It has read them, or nearly, and turns to the log.
    HandOff,
    /// Part of a transaction is in the stream.
    MidTransaction,
    /// Events are in the stream behind what the checkpoint knows.
    StoredNotNoted,
    /// The checkpoint knows more than was confirmed to the database, if that is told anything.
    NotedNotConfirmed,
}

impl Moment {
    /// In the order in which they come.
    pub(crate) const ALL: [Self; 6] = [
        Self::Connecting,
        Self::Snapshot,
        Self::HandOff,
        Self::MidTransaction,
        Self::StoredNotNoted,
        Self::NotedNotConfirmed,
    ];

    /// Waits for it. adit has been started when its log had so many bytes, and writers are at work.
    pub(crate) async fn come(self, stage: &mut Stage, log: usize) -> Result<()> {
        wait_for("adit's first word", WITHIN, async || {
            Ok(stage.adit.log().len() > log)
        })
        .await?;
        if self > Self::Snapshot {
            // What is there may be of the process before.
            stage.wait_for_progress(WITHIN).await?;
        }
        let came = wait_for(&format!("{self:?}"), WITHIN, async || {
            Ok(self.is_now(stage).await.unwrap_or(false))
        })
        .await;
        // Why it did not, if that is why.
        stage.expect_alive()?;
        came
    }

    async fn is_now(self, stage: &Stage) -> Result<bool> {
        Ok(match self {
            Self::Connecting => true,
            Self::Snapshot => {
                stage.stream_len().await? >= SNAPSHOT_ROWS && is_read(&last(stage).await?)
            }
            Self::HandOff => {
                let event = last(stage).await?;
                !is_read(&event) || is_last(&event) || stage.is_snapshot_over().await?
            }
            Self::MidTransaction => {
                let event = last(stage).await?;
                !is_read(&event) && !is_last(&event)
            }
            Self::StoredNotNoted => stage.stream_len().await? > noted(stage).await? + 10,
            Self::NotedNotConfirmed => {
                // Every confirmation is held back for longer than this takes, so that it is now as soon as it was noted.
                let before = noted(stage).await?;
                before > 0 && noted(stage).await? > before
            }
        })
    }
}

/// The last event of the stream.
async fn last(stage: &Stage) -> Result<Value> {
    let stream = stage.nats.jetstream().await?.get_stream(STREAM).await?;
    let seq = stream.cached_info().state.last_sequence;
    let message = stream.get_raw_message(seq).await?;
    Ok(serde_json::from_slice(&message.payload)?)
}

fn is_read(event: &Value) -> bool {
    event.get("op").is_some_and(|op| op == "read")
}

fn is_last(event: &Value) -> bool {
    event.pointer("/tx/last").is_some_and(|last| last == true)
}

/// The message up to which the checkpoint knows the stream.
async fn noted(stage: &Stage) -> Result<u64> {
    let checkpoint = stage.checkpoint().await?;
    let seq = checkpoint.get("seq").and_then(Value::as_u64);
    seq.context("there is no checkpoint")
}

//! How far a run has come, as its stream and its checkpoint tell.

use adit_lab::workload::Dialect;
use anyhow::Result;
use async_nats::jetstream::Context;
use serde_json::Value;

use super::{CONNECTOR, STREAM};

/// What is read, and from where.
pub(crate) struct Story {
    pub(crate) jetstream: Context,
    pub(crate) dialect: Dialect,
}

impl Story {
    /// Whether the log is being streamed: the first snapshot is complete.
    pub(crate) async fn is_streaming(&self) -> Result<bool> {
        let event = self.last_ledger_event().await?;
        Ok(is_insert(&event) && self.is_snapshot_over().await?)
    }

    /// Whether no table waits for its snapshot, as the checkpoint says.
    pub(crate) async fn is_snapshot_over(&self) -> Result<bool> {
        let checkpoint = self.checkpoint().await?;
        let state = checkpoint.get("state").and_then(Value::as_str);
        Ok(state.is_some_and(|state| state.contains("\"pending\":[]")))
    }

    /// Whether the last transaction of all, the marker, is there.
    pub(crate) async fn is_over(&self) -> Result<bool> {
        let event = self.last_ledger_event().await?;
        Ok(is_insert(&event) && event.pointer("/after/writer") == Some(&0.into()))
    }

    /// The checkpoint; null as long as there is none.
    pub(crate) async fn checkpoint(&self) -> Result<Value> {
        let checkpoints = self.jetstream.get_key_value("adit_checkpoints").await?;
        let checkpoint = checkpoints.get(CONNECTOR).await?;
        let checkpoint = checkpoint.filter(|checkpoint| !checkpoint.is_empty());
        let checkpoint = checkpoint.map(|checkpoint| serde_json::from_slice(&checkpoint));
        Ok(checkpoint.transpose()?.unwrap_or_default())
    }

    /// The number of messages in the stream.
    pub(crate) async fn len(&self) -> Result<u64> {
        let stream = self.jetstream.get_stream(STREAM).await?;
        Ok(stream.get_info().await?.state.last_sequence)
    }

    async fn last_ledger_event(&self) -> Result<Value> {
        let stream = self.jetstream.get_stream(STREAM).await?;
        let ledger = self.dialect.ledger();
        let subject = format!("cdc.{CONNECTOR}.{}.{}", ledger.schema, ledger.name);
        let message = stream.get_last_raw_message_by_subject(&subject).await?;
        Ok(serde_json::from_slice(&message.payload)?)
    }
}

fn is_insert(event: &Value) -> bool {
    event.get("op").is_some_and(|op| op == "insert")
}

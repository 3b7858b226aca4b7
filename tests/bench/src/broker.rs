//! The ceiling of the broker: adit's own publisher, fed from memory with the same events.

use std::time::Instant;

use adit_event::{Event, EventKind, SourceMeta, Timestamp, Transaction, ValueOptions};
use adit_lab::Nats;
use adit_pipeline::{Message, Sink as _};
use adit_sink_nats::{NatsConfig, NatsSink};
use anyhow::{Context, Result};

use crate::changes::{Changes, Made};
use crate::dialect::Dialect;
use crate::report::Run;
use crate::usage;
use crate::workload::Workload;

/// The stream that is published to.
pub(crate) const STREAM: &str = "CDC_BENCH";
/// Some moment.
const TIME: Timestamp = Timestamp(1_795_441_020_123_456);

/// Publishes all rows once.
///
/// # Errors
/// The server is gone or refuses.
pub(crate) async fn measure(
    nats: &Nats,
    dialect: &'static dyn Dialect,
    workload: Workload,
    rows: u64,
) -> Result<Run> {
    let broker = nats.pid().context("NATS does not run")?;
    let (before, own) = (usage::cpu(broker)?, usage::cpu(std::process::id())?);
    let meta = SourceMeta {
        connector: "bench".to_owned(),
        kind: dialect.connector(),
        database: dialect.database().to_owned(),
    };
    let url = nats.url();
    let config = NatsConfig::new([url.as_str()], STREAM, "cdc.{connector}.{schema}.{table}")?;
    let start = Instant::now();
    let control = adit_sink_nats::Nats::connect(&config).await?;
    let mut sink = NatsSink::new(control, config, &meta, ValueOptions::default(), "bench")?;
    let mut changes = Changes::new(workload, dialect)?;
    let mut stored = sink.connect().await?.seq;
    let mut next = 1;
    while stored < rows {
        while next <= rows && sink.has_room() {
            publish(&mut sink, dialect, changes.make(next, rows)?, next)?;
            next += 1;
        }
        stored = sink.next().await?;
    }
    let time = start.elapsed();
    let (client, broker) = (
        usage::cpu(std::process::id())? - own,
        usage::cpu(broker)? - before,
    );
    Ok(Run {
        time,
        client,
        source: None,
        broker: Some(broker),
        memory: None,
        payload: Some(payload(nats).await?),
    })
}

fn publish(sink: &mut NatsSink, dialect: &dyn Dialect, made: Made, n: u64) -> Result<()> {
    let (id, positions) = dialect.transaction(made.transaction);
    let transaction = Transaction {
        id,
        positions,
        commit_time: TIME,
        snapshot: false,
    };
    let position = transaction.positions.event(made.change.ordinal)?;
    let event = Event {
        position: &position,
        read_time: TIME,
        kind: EventKind::Change {
            change: &made.change,
            transaction: &transaction,
            last: made.last,
        },
    };
    sink.publish(Message { seq: n, n, event })?;
    Ok(())
}

/// The size of the stream's last message, in bytes: what the two that publish must have in common.
pub(crate) async fn payload(nats: &Nats) -> Result<usize> {
    let stream = nats.jetstream().await?.get_stream(STREAM).await?;
    let last = stream.cached_info().state.last_sequence;
    Ok(stream.get_raw_message(last).await?.payload.len())
}

/// How many messages the stream holds.
pub(crate) async fn messages(nats: &Nats) -> Result<u64> {
    let stream = nats.jetstream().await?.get_stream(STREAM).await?;
    Ok(stream.cached_info().state.messages)
}

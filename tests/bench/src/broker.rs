//! The ceiling of the broker: adit's own publisher, fed from memory with the same events.

use std::time::Instant;

use adit_event::{
    Connector, Event, EventKind, PositionSpace, SourceMeta, Timestamp, Transaction, ValueOptions,
};
use adit_lab::Nats;
use adit_pipeline::{Message, Sink as _};
use adit_sink_nats::{NatsConfig, NatsSink};
use anyhow::{Context, Result};

use crate::report::Run;
use crate::usage;
use crate::workload::{Changes, Workload};

const STREAM: &str = "CDC_BENCH";
/// Some commit, and some moment.
const LSN: u64 = 0x0155_0000;
const TIME: Timestamp = Timestamp(1_795_441_020_123_456);

/// Publishes all rows once.
///
/// # Errors
/// The server is gone or refuses.
pub(crate) async fn measure(nats: &Nats, workload: Workload, rows: u64) -> Result<Run> {
    let broker = nats.pid().context("NATS does not run")?;
    let (before, own) = (usage::cpu(broker)?, usage::cpu(std::process::id())?);
    let meta = SourceMeta {
        connector: "bench".to_owned(),
        kind: Connector::Postgres,
        database: "postgres".to_owned(),
    };
    let url = nats.url();
    let config = NatsConfig::new([url.as_str()], STREAM, "cdc.{connector}.{schema}.{table}")?;
    let start = Instant::now();
    let control = adit_sink_nats::Nats::connect(&config).await?;
    let mut sink = NatsSink::new(control, config, &meta, ValueOptions::default(), "bench")?;
    let mut changes = Changes::new(workload)?;
    let mut stored = sink.connect().await?.seq;
    let mut next = 1;
    while stored < rows {
        while next <= rows && sink.has_room() {
            publish(&mut sink, &mut changes, next, rows)?;
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
        payload: Some(nats_payload(nats).await?),
    })
}

fn publish(sink: &mut NatsSink, changes: &mut Changes, id: u64, rows: u64) -> Result<()> {
    let made = changes.make(id, rows)?;
    let lsn = LSN + made.transaction * 0x100;
    let transaction = Transaction {
        id: (748 + made.transaction).to_string(),
        positions: PositionSpace::new(&format!("{lsn:016X}-"), 8),
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
    sink.publish(Message {
        seq: id,
        n: id,
        event,
    })?;
    Ok(())
}

async fn nats_payload(nats: &Nats) -> Result<usize> {
    payload(nats, STREAM).await
}

/// The size of a stream's last message, in bytes: what the two that publish must have in common.
pub(crate) async fn payload(nats: &Nats, stream: &str) -> Result<usize> {
    let stream = nats.jetstream().await?.get_stream(stream).await?;
    let last = stream.cached_info().state.last_sequence;
    Ok(stream.get_raw_message(last).await?.payload.len())
}

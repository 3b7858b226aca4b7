//! Proves that a stream tells what happened in a database: every change once, in order, none too many.
//!
//! It reads the stream from its first message to its last and knows nothing of adit but the format of its events. On the
//! way it asserts, for every message,
//!
//! - that messages are numbered without a hole (`Adit-N`), and that positions (`Adit-Pos`) rise;
//! - that the events of a transaction stand together, are numbered from 0, and that exactly the last says that it is;
//! - that a transaction holds as many events as its writer counted changes, and is the one that its writer meant to be
//!   next: see [`workload`](crate::workload);
//! - that what an event says of the past is so: no row is inserted that is there, none updated or deleted that is not,
//!   and where the log holds old rows they are the rows as they were; except while a snapshot goes on that was cut short.
//!
//! At the end the tables that the events add up to must be equal to the database's, row by row, and the transactions must
//! be those that the database's own log lists, in its order.

mod database;
mod history;
mod message;
mod rebuilt;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;
use memchr::memmem;
use tokio::time::timeout;

use crate::workload::{Server, Witness};
use history::History;
use message::{Message, Op};
use rebuilt::Rebuilt;

/// Longest wait for one message: the server may be busy, but nothing else is left to be done.
const MESSAGE_WITHIN: Duration = Duration::from_secs(60);

/// What a stream that passed held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Messages.
    pub messages: u64,
    /// Rows that snapshots read, those that were read again included.
    pub snapshot_rows: u64,
    /// Snapshots of a table that readers had to begin afresh.
    pub resnapshots: u64,
    /// Transactions of the writers.
    pub transactions: u64,
    /// Rows that were there at the end.
    pub rows: u64,
    /// Processes that wrote to the stream.
    pub writers: u64,
}

/// Checks the stream that the connector `connector` wrote against the tables of the [`workload`](crate::workload) in a
/// server, and against its [`Witness`]. Nothing may write to either meanwhile.
///
/// # Errors
///
/// The first thing that is not as it should be: where, what was found, and what was expected.
pub async fn check<'a>(
    jetstream: &jetstream::Context,
    stream: &str,
    connector: &str,
    server: impl Into<Server<'a>>,
) -> Result<Summary> {
    let server = server.into();
    let dialect = server.dialect();
    let stream = jetstream.get_stream(stream).await?;
    let state = stream.get_info().await?.state;
    ensure!(
        state.messages == state.last_sequence && state.last_sequence > 0,
        "the stream has holes: {state:?}"
    );
    let all = || dialect.tables().iter().chain([dialect.ledger()]);
    let mut tables: HashMap<(String, String), Rebuilt> = all()
        .map(|table| {
            let name = (table.schema.to_owned(), table.name.to_owned());
            (name, Rebuilt::new(table))
        })
        .collect();
    let mut last_read = 0;
    let mut messages = read(&stream).await?;
    for seq in 1..=state.last_sequence {
        // Inside a value the quotes would have backslashes.
        let message = next(&mut messages, seq).await?;
        if memmem::find(&message.payload, br#""op":"read""#).is_some() {
            last_read = seq;
        }
    }
    let mut history = History::new(last_read);
    let mut summary = Summary::default();
    let mut messages = read(&stream).await?;
    for seq in 1..=state.last_sequence {
        let raw = next(&mut messages, seq).await?;
        apply(
            seq,
            &raw,
            connector,
            &mut history,
            &mut tables,
            &mut summary,
        )
        .with_context(|| {
            let body = String::from_utf8_lossy(&raw.payload);
            let body: String = body.chars().take(1_000).collect();
            format!("message {seq} on {}: {:?} {body}", raw.subject, raw.headers)
        })?;
    }
    summary.messages = state.last_sequence;
    summary.writers = history.processes();

    let seen = history.finish()?;
    summary.transactions = u64::try_from(seen.streamed.len())?;
    let log = Witness::transactions(server).await?;
    compare_order(&log, &seen)?;
    for table in all() {
        let name = (table.schema.to_owned(), table.name.to_owned());
        let rebuilt = tables.get(&name).context("every table was put there")?;
        summary.rows += database::compare(server, table, rebuilt).await?;
    }
    Ok(summary)
}

fn apply(
    seq: u64,
    raw: &jetstream::Message,
    connector: &str,
    history: &mut History,
    tables: &mut HashMap<(String, String), Rebuilt>,
    summary: &mut Summary,
) -> Result<()> {
    let mut message = Message::parse(raw)?;
    ensure!(
        message.seq == seq,
        "it is number {} of the stream, after {}",
        message.seq,
        seq - 1
    );
    message.check_subject(connector)?;
    history.observe(&message)?;
    let extra = message.body.take_extra()?;
    let body = &message.body;
    if body.op == Op::Message {
        return Ok(());
    }
    let (Some(schema), Some(name)) = (&body.schema, &body.table) else {
        bail!("an event of a table without its name");
    };
    // Cloned keys: a lookup by two borrowed strings is not worth its code.
    let table = tables
        .get_mut(&(schema.to_string(), name.to_string()))
        .context("a table that is not captured")?;
    if body.resnapshot {
        summary.resnapshots += 1;
    }
    if body.op == Op::Read {
        summary.snapshot_rows += 1;
    }
    table.apply(body, extra, history.is_lenient())
}

/// The stream's messages from the first one on.
async fn read(stream: &jetstream::stream::Stream) -> Result<Ordered> {
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    Ok(consumer.messages().await?)
}

async fn next(messages: &mut Ordered, seq: u64) -> Result<jetstream::Message> {
    let message = timeout(MESSAGE_WITHIN, messages.next())
        .await
        .with_context(|| format!("no message {seq}"))?
        .context("the stream's consumer ended")??;
    Ok(message)
}

/// The stream must hold what the log lists, in its order: a snapshot that stands for the first transactions, and every
/// one behind them.
fn compare_order(log: &[String], seen: &history::Seen) -> Result<()> {
    ensure!(
        log.len() == seen.in_snapshot + seen.streamed.len(),
        "the database's log lists {} transactions; the stream holds {} in its snapshot and {} after it",
        log.len(),
        seen.in_snapshot,
        seen.streamed.len()
    );
    let streamed = log.iter().skip(seen.in_snapshot).zip(&seen.streamed);
    for (index, (logged, streamed)) in streamed.enumerate() {
        ensure!(
            logged == streamed,
            "transaction {} behind the snapshot is {logged} in the database's log and {streamed} in the stream",
            index + 1
        );
    }
    Ok(())
}

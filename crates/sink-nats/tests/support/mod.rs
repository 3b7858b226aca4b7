//! Events to publish, a driver that does what the pipeline does, and a reader that checks what arrived.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, of which each binary uses its part"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_event::{
    CellFormat, Change, Column, Connector, Event, EventKind, Logical, Op, PositionSpace, Relation,
    Row, RowBuilder, SourceMeta, Timestamp, Transaction, ValueError, ValueOptions, ValueWriter,
};
use adit_pipeline::{Backoff, Message, Sink, Tail};
use adit_sink_nats::{Error, Nats, NatsConfig, NatsSink};
use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::time::timeout;

pub const STREAM: &str = "CDC_SHOP";

/// Longest time for anything here: the machine may be busy.
pub const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Text;

impl CellFormat for Text {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        out.text(std::str::from_utf8(cell).unwrap());
        Ok(())
    }
}

pub fn meta() -> SourceMeta {
    SourceMeta {
        connector: "shop".into(),
        kind: Connector::Postgres,
        database: "shop".into(),
    }
}

pub fn config(url: &str) -> NatsConfig {
    let mut config = NatsConfig::new([url], STREAM, "cdc.{connector}.{schema}.{table}").unwrap();
    config.ack_timeout = Duration::from_secs(2);
    config
}

pub fn relation(table: &str) -> Arc<Relation> {
    let column = Column {
        name: "text".into(),
        type_name: "text".into(),
        logical: Logical::Text,
        nullable: true,
        key: None,
        identity: false,
        labels: Vec::new(),
        precision: None,
        scale: None,
        format: Arc::new(Text),
    };
    Arc::new(Relation::new("public".into(), table.into(), vec![column]))
}

/// Makes the message for a sequence: always the same one.
pub struct Messages {
    relation: Arc<Relation>,
    transaction: Transaction,
    pub body_len: fn(u64) -> usize,
    /// Whether it is the last one of its transaction.
    pub last: fn(u64) -> bool,
    /// The last one made.
    pub made: Arc<AtomicU64>,
}

impl Messages {
    pub fn new(table: &str, body_len: fn(u64) -> usize) -> Self {
        let transaction = Transaction {
            id: "7".into(),
            positions: PositionSpace::new("0000000001A2B3C8-", 8),
            commit_time: Timestamp(0),
            snapshot: false,
        };
        Self {
            relation: relation(table),
            transaction,
            body_len,
            last: |_| false,
            made: Arc::default(),
        }
    }

    pub fn publish(&self, sink: &mut NatsSink, seq: u64) -> Result<(), Error> {
        self.made.store(seq, Ordering::Relaxed);
        let mut row = BytesMut::new();
        let text = format!("{}{seq}", "0".repeat((self.body_len)(seq)));
        RowBuilder::new(&mut row, 1).text(text.as_bytes());
        let change = Change {
            relation: Arc::clone(&self.relation),
            op: Op::Insert,
            before: None,
            after: Some(Row::new(row.freeze())),
            ordinal: seq,
        };
        let position = self.transaction.positions.event(seq).unwrap();
        let event = Event {
            position: &position,
            read_time: Timestamp(0),
            kind: EventKind::Change {
                change: &change,
                transaction: &self.transaction,
                last: (self.last)(seq),
            },
        };
        sink.publish(Message {
            seq,
            n: seq + 1000,
            event,
        })
    }
}

pub async fn sink(config: &NatsConfig) -> Result<NatsSink> {
    let nats = Nats::connect(config).await?;
    Ok(NatsSink::new(
        nats,
        config.clone(),
        &meta(),
        ValueOptions::default(),
        "test host",
    )?)
}

/// Connects as the pipeline does: again and again while the error may heal.
pub async fn connect(sink: &mut NatsSink) -> Result<Tail, Error> {
    let mut backoff = Backoff::new();
    loop {
        match sink.connect().await {
            Err(error) if error.is_transient() => tokio::time::sleep(backoff.pause()).await,
            result => return result,
        }
    }
}

/// How a run went.
#[derive(Debug, Default)]
pub struct Run {
    pub failures: Vec<Error>,
}

/// Publishes the messages behind the stream's end up to `last` and waits until all are stored.
pub async fn publish_through(
    sink: &mut NatsSink,
    messages: &Messages,
    last: u64,
) -> Result<Run, Error> {
    let mut run = Run::default();
    let mut stored = connect(sink).await?.seq;
    sink.resume(stored);
    let mut next = stored + 1;
    while stored < last {
        while next <= last && sink.has_room() {
            messages.publish(sink, next)?;
            next += 1;
        }
        match sink.next().await {
            Ok(through) => {
                assert!(through > stored && through < next, "acknowledged {through}");
                stored = through;
            }
            Err(error) if error.is_transient() => {
                run.failures.push(error);
                let tail = connect(sink).await?;
                assert!(
                    tail.seq >= stored,
                    "acknowledged {stored}, stored {}",
                    tail.seq
                );
                stored = tail.seq;
                sink.resume(stored);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(run)
}

/// Reads the whole stream and checks that it is 1 to `last`, in order, each once.
pub async fn check_stream(js: &async_nats::jetstream::Context, last: u64) -> Result<()> {
    let stream = js.get_stream(STREAM).await?;
    let state = stream.get_info().await?.state;
    ensure!(
        (state.first_sequence, state.last_sequence, state.messages) == (1, last, last),
        "{state:?} instead of 1 to {last}"
    );
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    for seq in 1..=last {
        let message = timeout(WITHIN, messages.next())
            .await?
            .context("no message")??;
        let headers = message.headers.as_ref().context("no headers")?;
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let found = message
            .info()
            .map_err(|error| anyhow::anyhow!(error))?
            .stream_sequence;
        let expected = PositionSpace::new("0000000001A2B3C8-", 8).event(seq)?;
        ensure!(
            found == seq
                && header("Adit-N") == Some((seq + 1000).to_string())
                && header("Adit-Pos").as_deref() == Some(expected.as_str())
                && ["Nats", "Adit"].iter().any(|by| {
                    header(&format!("{by}-Expected-Last-Sequence")) == Some((seq - 1).to_string())
                }),
            "message {found} where {seq} is due: {headers:?}"
        );
        let body: serde_json::Value = serde_json::from_slice(&message.payload)?;
        let text = body["after"]["text"].as_str().context("no text")?;
        ensure!(
            text.trim_start_matches('0') == seq.to_string(),
            "{seq}: {text:.40}"
        );
    }
    Ok(())
}

/// The texts of the error and everything below it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

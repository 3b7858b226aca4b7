//! The whole path for one test: a database, a broker, adit between them, and a reader of the stream.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::Path;
use std::time::Duration;

use adit_lab::{Daemon, Nats, Postgres, Proxy, nats, pg, wait_for};
use anyhow::{Context, Result, bail};
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

/// Longest wait for anything that adit is to do: the machine may be crowded.
pub(crate) const WITHIN: Duration = Duration::from_secs(90);
/// How much of adit's log is shown when something fails.
const LOG_SHOWN: usize = 6_000;

/// A database, a broker, and adit between them.
pub(crate) struct DataPath {
    pub(crate) pg: Postgres,
    pub(crate) nats: Nats,
    pub(crate) adit: Daemon,
    /// What adit reaches the database through, where the test does something to it.
    pub(crate) proxy: Option<Proxy>,
}

impl DataPath {
    /// Starts the servers; adit does not run yet. `settings` are lines of the configuration behind the connector's name
    /// (`source.tables = …`).
    pub(crate) async fn new(version: pg::Version, settings: &str) -> Result<Self> {
        Self::with(Postgres::builder(version), settings).await
    }

    /// The same with a server of special settings.
    pub(crate) async fn with(builder: pg::Builder, settings: &str) -> Result<Self> {
        let pg = builder.start().await?;
        let nats = Nats::start(nats::Version::V2_12).await?;
        let adit = Daemon::new("adit", Path::new(env!("CARGO_BIN_EXE_adit")), &["run"])?;
        let proxy = None;
        let path = Self {
            pg,
            nats,
            adit,
            proxy,
        };
        path.configure(settings)?;
        // A table to say "the end" in: what comes before it in the log comes before it in the stream.
        path.pg
            .exec("create table the_end (id bigint generated always as identity primary key)")
            .await?;
        Ok(path)
    }

    /// Lets adit, once it is started, reach the database through a proxy.
    pub(crate) async fn proxied(&mut self, settings: &str) -> Result<&Proxy> {
        self.proxy = Some(Proxy::start(self.pg.addr()).await?);
        self.configure(settings)?;
        self.proxy.as_ref().context("it was put there")
    }

    /// Lets adit, once it is started, read so much from the database and no more.
    pub(crate) async fn throttle(&mut self, settings: &str, bytes_per_second: u32) -> Result<()> {
        let proxy = self.proxied(settings).await?;
        proxy.throttle(Some(bytes_per_second));
        Ok(())
    }

    /// It may read as fast as it can.
    pub(crate) fn hurry(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.throttle(None);
        }
    }

    /// Writes the configuration that adit reads at its next start.
    pub(crate) fn configure(&self, settings: &str) -> Result<()> {
        let proxy = self.proxy.as_ref();
        let database = proxy.map_or_else(|| self.pg.addr(), Proxy::addr);
        let config = format!(
            "[[connector]]\nname = \"shop\"\nsource.url = \"postgres://postgres@{database}/postgres\"\n\
             source.postgres.heartbeat = \"1s\"\nnats.url = \"{}\"\n{settings}\n",
            self.nats.url(),
        );
        let file = self.adit.folder().join("adit.toml");
        std::fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Starts adit and does not wait for anything.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.adit.start()
    }

    /// Stops adit as an operator would; it must end well.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let (status, _) = self.adit.stop(WITHIN).await?;
        if !status.success() {
            bail!("adit ended with {status}:\n{}", self.log());
        }
        Ok(())
    }

    /// Kills adit with SIGKILL, and ends its lease, which would hold up the next one for ten seconds.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.adit.kill().await?;
        let jetstream = self.nats.jetstream().await?;
        let leases = jetstream.get_key_value("adit_leases").await?;
        leases.purge("shop").await?;
        Ok(())
    }

    /// Waits until adit has ended by itself.
    pub(crate) async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        let mut status = None;
        let adit = &mut self.adit;
        wait_for("adit's end", WITHIN, async || {
            status = adit.exited()?;
            Ok(status.is_some())
        })
        .await
        .with_context(|| self.log())?;
        status.context("adit runs")
    }

    /// The only value of a query in the database.
    pub(crate) async fn ask(&self, sql: &str) -> Result<String> {
        let client = self.pg.client("postgres").await?;
        let row = client
            .query_one(&format!("select ({sql})::text"), &[])
            .await;
        let row = row.with_context(|| format!("running {sql:?}"))?;
        Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
    }

    /// Waits until the only value of a query is `expected`.
    pub(crate) async fn wait_until(&self, sql: &str, expected: &str) -> Result<()> {
        let what = format!("{expected:?} as the answer to {sql:?}");
        let mut last = String::new();
        let seen = wait_for(&what, WITHIN, async || {
            last = self.ask(sql).await?;
            Ok(last == expected)
        });
        seen.await
            .with_context(|| format!("the last answer was {last:?}; adit's log:\n{}", self.log()))
    }

    /// The end of adit's log.
    pub(crate) fn log(&self) -> String {
        let log = self.adit.log();
        let from = log.len().saturating_sub(LOG_SHOWN);
        let from = (from..log.len()).find(|at| log.is_char_boundary(*at));
        log.get(from.unwrap_or(0)..).unwrap_or_default().to_owned()
    }

    /// Waits until the slot is there: what is committed from then on is streamed, not read by the first snapshot.
    pub(crate) async fn slot(&self) -> Result<()> {
        let client = self.pg.client("postgres").await?;
        let sql = "select from pg_replication_slots where slot_name = 'adit_shop' and confirmed_flush_lsn is not null";
        let seen = wait_for("the slot", WITHIN, async || {
            Ok(!client.query(sql, &[]).await?.is_empty())
        });
        seen.await.with_context(|| self.log())
    }

    /// Waits until the stream holds a row of a table that a snapshot read, behind message `after`.
    pub(crate) async fn row_read(&self, table: &str, after: u64) -> Result<()> {
        let stream = self.nats.jetstream().await?.get_stream("CDC_SHOP").await?;
        let subject = format!("cdc.shop.public.{table}");
        let seen = wait_for("a row of a snapshot", WITHIN, async || {
            let row = stream.get_last_raw_message_by_subject(&subject).await?;
            let event: Event = serde_json::from_slice(&row.payload)?;
            Ok(row.sequence > after && event.source.snapshot)
        });
        seen.await.with_context(|| self.log())
    }

    /// The number of the stream's last message.
    pub(crate) async fn last_seq(&self) -> Result<u64> {
        let jetstream = self.nats.jetstream().await?;
        let mut stream = jetstream.get_stream("CDC_SHOP").await?;
        Ok(stream.info().await?.state.last_sequence)
    }

    /// Waits until no table waits for its snapshot any more, as the checkpoint says.
    pub(crate) async fn snapshot_over(&self) -> Result<()> {
        let checkpoints = self.nats.jetstream().await?;
        let checkpoints = checkpoints.get_key_value("adit_checkpoints").await?;
        let seen = wait_for("the end of the snapshot", WITHIN, async || {
            let checkpoint = checkpoints.get("shop").await?.unwrap_or_default();
            let checkpoint: serde_json::Value = serde_json::from_slice(&checkpoint)?;
            let state = checkpoint.get("state").and_then(|state| state.as_str());
            let state = state.unwrap_or_default();
            Ok(state.contains("\"pending\":[]"))
        });
        seen.await.with_context(|| self.log())
    }

    /// Waits until adit has begun to publish, and reads the stream from its first message.
    pub(crate) async fn reader(&mut self) -> Result<Reader> {
        let jetstream = self.nats.jetstream().await?;
        let adit = &mut self.adit;
        wait_for("the stream", WITHIN, async || {
            if let Some(status) = adit.exited()? {
                bail!("adit ended with {status}");
            }
            Ok(jetstream.get_stream("CDC_SHOP").await.is_ok())
        })
        .await
        .with_context(|| self.log())?;
        let stream = jetstream.get_stream("CDC_SHOP").await?;
        let consumer = stream.create_consumer(OrderedConfig::default()).await?;
        let messages = consumer.messages().await?;
        Ok(Reader {
            messages,
            log: self.adit.log_path(),
        })
    }

    /// Writes the end, and reads all that comes before it.
    pub(crate) async fn to_the_end(&self, reader: &mut Reader) -> Result<Vec<Event>> {
        self.slot().await?;
        let client = self.pg.client("postgres").await?;
        let sql = "insert into the_end default values returning id";
        let id: i64 = client.query_one(sql, &[]).await?.get(0);
        let end = format!("{{\"id\":{id}}}");
        let is_end = |event: &Event| {
            event.table == "the_end" && event.op == "insert" && event.after() == Some(&end)
        };
        let mut events = reader.until("the end", is_end).await?;
        events.retain(|event| event.table != "the_end");
        Ok(events)
    }
}

/// Reads the stream in order.
pub(crate) struct Reader {
    messages: Ordered,
    log: std::path::PathBuf,
}

impl Reader {
    /// The next event.
    pub(crate) async fn next(&mut self, wanted: &str) -> Result<Event> {
        let message = timeout(WITHIN, self.messages.next()).await;
        let Ok(message) = message else {
            let log = std::fs::read(&self.log).unwrap_or_default();
            let log = String::from_utf8_lossy(
                log.get(log.len().saturating_sub(LOG_SHOWN)..)
                    .unwrap_or(&log),
            )
            .into_owned();
            bail!("no message within {WITHIN:?} while waiting for {wanted}; adit's log:\n{log}");
        };
        let message = message.context("the consumer ended")??;
        let mut event: Event = serde_json::from_slice(&message.payload).with_context(|| {
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            format!("not an event: {body}")
        })?;
        event.subject = message.subject.to_string();
        Ok(event)
    }

    /// Events up to and with the first for which `last` is true.
    pub(crate) async fn until(
        &mut self,
        wanted: &str,
        last: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            let event = self.next(wanted).await?;
            let is_last = last(&event);
            events.push(event);
            if is_last {
                return Ok(events);
            }
        }
    }
}

/// An event as its readers see it; parts of it byte for byte.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(skip)]
    pub(crate) subject: String,
    pub(crate) op: String,
    #[serde(default)]
    pub(crate) schema: String,
    #[serde(default)]
    pub(crate) table: String,
    key: Option<Box<RawValue>>,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    #[serde(default)]
    pub(crate) columns: Vec<Column>,
    #[serde(default)]
    pub(crate) resnapshot: bool,
    pub(crate) tx: Option<Tx>,
    pub(crate) source: Source,
}

/// A column in a schema event.
#[derive(Debug, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) logical: String,
    pub(crate) nullable: bool,
    pub(crate) key: Option<u16>,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    pub(crate) precision: Option<u32>,
    pub(crate) scale: Option<i32>,
}

/// The transaction of an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Tx {
    pub(crate) id: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) last: bool,
}

/// Where an event comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    pub(crate) pos: String,
    #[serde(default)]
    pub(crate) snapshot: bool,
}

impl Event {
    /// The key, byte for byte.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref().map(RawValue::get)
    }

    /// The old row, byte for byte.
    pub(crate) fn before(&self) -> Option<&str> {
        self.before.as_deref().map(RawValue::get)
    }

    /// The new row, byte for byte.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref().map(RawValue::get)
    }

    /// What happened, in short: `insert k:{"id":1} b:- a:{"id":1,"v":2}`.
    pub(crate) fn summary(&self) -> String {
        let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let mut text = format!(
            "{} k:{} b:{} a:{}",
            self.op,
            or_none(self.key()),
            or_none(self.before()),
            or_none(self.after())
        );
        if !self.absent.is_empty() {
            text.push_str(&format!(" absent:{}", self.absent.join(",")));
        }
        text
    }
}

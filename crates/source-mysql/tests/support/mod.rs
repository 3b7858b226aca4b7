//! A connector with a stream in memory, and real servers to read.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of this"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

pub mod server;
pub mod stream;

use std::sync::Arc;
use std::time::Duration;

use adit_event::{Connector, SourceMeta};
use adit_pipeline::{RunError, RunOptions, SnapshotMode, SnapshotOptions, TableFilter, chain, run};
use adit_source_mysql::{GtidMode, MysqlOptions, MysqlSource};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use stream::{Kept, MemorySink, Published};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Options for the tables that match.
pub fn options(name: &str, url: &str, tables: &[&str], mode: SnapshotMode) -> MysqlOptions {
    MysqlOptions {
        name: name.into(),
        connect: url.parse().unwrap(),
        flavor: None,
        tables: TableFilter::parse(tables).unwrap(),
        server_id: 0,
        gtid: GtidMode::Auto,
        heartbeat: Duration::from_millis(200),
        snapshot: SnapshotOptions {
            mode,
            workers: 3,
            chunk_rows: 10,
        },
        spill_dir: std::env::temp_dir(),
        spill_memory: 1 << 20,
        leave_nothing: false,
        from_now: false,
    }
}

/// A connector that runs until it is stopped.
pub struct Running {
    pub kept: Kept,
    stop: Stop,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
}

/// Stops the connector also when the test fails.
struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A connector has a thread of its own.
fn on_a_thread<F>(
    make: impl FnOnce() -> F + Send + 'static,
) -> tokio::task::JoinHandle<Result<(), RunError>>
where
    F: Future<Output = Result<(), RunError>>,
{
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(make())
    })
}

impl Running {
    pub fn start(options: MysqlOptions, kept: &Kept) -> Self {
        let stop = CancellationToken::new();
        let meta = SourceMeta {
            connector: options.name.clone(),
            kind: Connector::Mysql,
            database: String::new(),
        };
        let sink = MemorySink::new(kept, &meta);
        let run_options = RunOptions {
            name: options.name.clone(),
            confirm_lag: Duration::ZERO,
            accept_truncated: false,
        };
        let source = MysqlSource::new(options, Some(Arc::new(kept.clone())));
        let (store, stopped) = (kept.clone(), stop.clone());
        Self {
            kept: kept.clone(),
            stop: Stop(stop),
            task: on_a_thread(move || run(source, sink, store, run_options, stopped)),
        }
    }

    /// Waits until the source has found its place.
    pub async fn placed(self) -> Self {
        let kept = self.kept.clone();
        self.until("a first checkpoint", |_| kept.checkpoint().is_some())
            .await
    }

    /// Waits until the published events are what is expected of them.
    pub async fn until(self, what: &str, fits: impl Fn(&[Published]) -> bool) -> Self {
        let start = Instant::now();
        while !fits(&self.kept.events()) {
            if self.task.is_finished() {
                let ended = self.task.await.unwrap();
                panic!(
                    "the connector ended before there was {what}: {}",
                    text(ended)
                );
            }
            assert!(
                start.elapsed() < DEADLINE,
                "no {what} in time; published: {:#?}",
                lines(&self.kept.events())
            );
            sleep(Duration::from_millis(10)).await;
        }
        self
    }

    /// Waits until a row with this key was published of a table.
    pub async fn until_key(self, table: &str, key: i64) -> Self {
        self.until(&format!("row {key} of {table}"), |events| {
            events
                .iter()
                .any(|event| event.body["table"] == table && event.body["key"]["id"] == key)
        })
        .await
    }

    pub async fn stop(self) -> Vec<Published> {
        self.stop.0.cancel();
        let ended = self.task.await.unwrap();
        assert!(ended.is_ok(), "{}", text(ended));
        self.kept.events()
    }

    /// The error that ends it.
    pub async fn error(self) -> String {
        let ended = tokio::time::timeout(DEADLINE, self.task).await;
        match ended.expect("the connector goes on").unwrap() {
            Ok(()) => panic!("the connector ended without an error"),
            Err(error) => chain(&error),
        }
    }

    /// The end of a connector that ends by itself.
    pub async fn end(self) -> Vec<Published> {
        let ended = tokio::time::timeout(DEADLINE, self.task).await;
        let ended = ended.expect("the connector goes on").unwrap();
        assert!(ended.is_ok(), "{}", text(ended));
        self.kept.events()
    }
}

fn text(ended: Result<(), RunError>) -> String {
    ended.map_or_else(|error| chain(&error), |()| "without an error".to_owned())
}

/// Events in short: what happened to which table, with the row.
pub fn lines(events: &[Published]) -> Vec<String> {
    let line = |event: &Published| {
        let body = &event.body;
        let op = body["op"].as_str().unwrap_or_default();
        let table = body["table"].as_str().unwrap_or_default();
        let row = match op {
            "delete" => &body["before"],
            _ => &body["after"],
        };
        match op {
            "schema" if body["resnapshot"] == true => format!("schema {table} afresh"),
            "schema" | "truncate" => format!("{op} {table}"),
            _ => format!("{op} {table} {row}"),
        }
    };
    events.iter().map(line).collect()
}

/// What tables hold by what was published, by table and key.
pub fn replayed(events: &[Published]) -> std::collections::BTreeMap<(String, String), Value> {
    let mut rows = std::collections::BTreeMap::new();
    for event in events {
        let body = &event.body;
        let table = body["table"].as_str().unwrap_or_default().to_owned();
        let key = |key: &Value| (table.clone(), key.to_string());
        match body["op"].as_str().unwrap_or_default() {
            "schema" if body["resnapshot"] == true => {
                rows.retain(|(of, _), _| *of != table);
            }
            "truncate" => rows.retain(|(of, _), _| *of != table),
            "delete" => {
                assert!(
                    rows.remove(&key(&body["key"])).is_some(),
                    "a delete of what is not there: {body}"
                );
            }
            "insert" | "read" => {
                let before = rows.insert(key(&body["key"]), body["after"].clone());
                assert!(before.is_none(), "a row that is there already: {body}");
            }
            "update" => {
                let before = rows.insert(key(&body["key"]), body["after"].clone());
                assert!(before.is_some(), "an update of what is not there: {body}");
            }
            _ => {}
        }
    }
    rows
}

/// Positions rise, and none comes twice.
pub fn assert_in_order(events: &[Published]) {
    for pair in events.windows(2) {
        assert!(pair[0].position < pair[1].position, "{pair:?}");
    }
}

//! Rows that are there already, and changes made while they are read: together they are what the tables hold.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use adit_pipeline::{SnapshotMode, SnapshotOptions};
use adit_source_mysql::MysqlOptions;
use serde_json::Value;
use support::server::{Server, on_every_server};
use support::stream::{Kept, Published};
use support::{Running, assert_in_order, lines, options};
use tokio::task::JoinHandle;

on_every_server! {
    rows_and_changes_meet_exactly = crate::whole;
    rows_and_changes_meet_without_the_right_to_lock_all = crate::table_locks;
    rows_and_changes_meet_without_any_lock = crate::no_locks;
    tables_that_are_rebuilt_meanwhile_are_read_again = crate::rebuilt;
    a_table_that_is_added_is_read_beside_the_stream = crate::added;
    a_snapshot_that_is_interrupted_again_and_again_comes_to_its_end = crate::interrupted;
    a_snapshot_that_was_cut_short_goes_on = crate::goes_on;
    a_row_that_moves_and_is_not_logged_whole_is_read = crate::moved_in_part;
    a_table_with_another_order_is_read_from_its_beginning = crate::another_shape;
    a_snapshot_alone_ends = crate::only;
}

/// Kinds of keys, and of engines.
const TABLES: [(&str, &str); 5] = [
    ("composite", "PRIMARY KEY (k1, k2)"),
    ("text", "PRIMARY KEY (k2), KEY (k1)"),
    ("uniq", "UNIQUE KEY (k1)"),
    ("keyless", "KEY (k1)"),
    ("enumerated", "PRIMARY KEY (k1)"),
];
const ROWS: u32 = 300;

/// Makes the tables with rows in them.
async fn fill(server: &Server) {
    server.sql(&["CREATE DATABASE shop"]).await;
    for (table, key) in TABLES {
        server
            .sql(&[format!(
                "CREATE TABLE shop.{table} (k1 INT NOT NULL, k2 VARCHAR(20) CHARACTER SET latin1 NOT NULL, v INT, {key})"
            )])
            .await;
        let rows = (0..ROWS).map(|id| format!("({id}, 'k{}é', 0)", id * 7919 % 1000));
        let rows = rows.collect::<Vec<_>>().join(", ");
        server
            .sql(&[format!("INSERT INTO shop.{table} VALUES {rows}")])
            .await;
    }
}

/// Somebody who goes on changing the tables.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU32::new(0));
        let tasks = (0..2).map(|writer| {
            let (server, stop, rounds) = (server.clone(), Arc::clone(&stop), Arc::clone(&rounds));
            tokio::spawn(async move {
                let mut conn = server.conn().await;
                conn.execute("SET SESSION innodb_lock_wait_timeout = 1")
                    .await
                    .unwrap();
                let mut round: u32 = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let id = round * 2 + writer;
                    let (old, new) = (id * 31 % ROWS, ROWS + id);
                    let mut statements = vec!["BEGIN".to_owned()];
                    for (table, _) in TABLES {
                        statements.extend([
                            format!("UPDATE shop.{table} SET v = v + 1 WHERE k1 = {old}"),
                            format!("INSERT INTO shop.{table} VALUES ({new}, 'n{new}', 0)"),
                            format!("DELETE FROM shop.{table} WHERE k1 = {}", new - 20),
                        ]);
                    }
                    statements.push("COMMIT".to_owned());
                    for sql in statements {
                        // Deadlocks of the two are no matter.
                        if conn.execute(&sql).await.is_err() {
                            let rolled_back = conn.execute("ROLLBACK").await;
                            rolled_back.unwrap();
                            break;
                        }
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Self {
            stop,
            rounds,
            tasks,
        }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut self.tasks) {
            task.await.unwrap();
        }
    }

    /// Until so many transactions were made.
    async fn going(&self, rounds: u32) {
        let wanted = self.rounds.load(Ordering::Relaxed) + rounds;
        while self.rounds.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Rows with how often each is there.
type Rows = BTreeMap<String, i64>;

fn text(table: &str, row: &Value) -> String {
    let text = |name: &str| row[name].to_string().trim_matches('"').to_owned();
    format!("{table}|{}|{}|{}", text("k1"), text("k2"), text("v"))
}

/// What was published of one row, and which snapshots there were of its table.
fn about(events: &[Published], table: &str, key: &Value) -> Vec<String> {
    let mut snapshot = Value::Null;
    let of_table = events.iter().filter(|event| event.body["table"] == table);
    let told = of_table.filter(|event| {
        let (op, tx) = (&event.body["op"], &event.body["tx"]["id"]);
        let is_another = op == "read" && *tx != snapshot;
        if is_another {
            snapshot = tx.clone();
        }
        is_another || op == "schema" || event.body["key"] == *key
    });
    told.map(|event| format!("{} {}", event.position, event.body))
        .collect()
}

/// What the tables hold by what was published. A strict reader takes no change of a row that is not there, and
/// no row that is: neither comes as long as no snapshot goes on after it was cut short.
fn published(events: &[Published], strict: bool) -> Rows {
    // Of tables with a key by the key, of the others by the whole row.
    let mut rows: BTreeMap<(String, String), (Value, i64)> = BTreeMap::new();
    for event in events {
        let body = &event.body;
        let table = body["table"].as_str().unwrap();
        if body["op"] == "schema" {
            if body["resnapshot"] == true {
                rows.retain(|(of, _), _| of != table);
            }
            continue;
        }
        let key = |row: &Value| match body["key"].as_object() {
            Some(key) => key.keys().map(|name| format!("{},", row[name])).collect(),
            None => text(table, row),
        };
        let (before, after) = (&body["before"], &body["after"]);
        let is_keyed = !body["key"].is_null();
        let old = match (before.is_null(), after.is_null()) {
            (false, _) => Some(key(before)),
            (true, false) if body["op"] == "update" => Some(key(after)),
            _ => None,
        };
        let old = old.map(|old| {
            let found = rows.get_mut(&(table.to_owned(), old));
            if let Some((row, count)) = found
                && *count > 0
            {
                *count -= 1;
                return row.clone();
            }
            assert!(
                !strict && is_keyed,
                "a change of what is not there: {body}; of that table there were {:#?}",
                about(events, table, &body["key"])
            );
            Value::Null
        });
        if after.is_null() {
            continue;
        }
        let mut after = after.clone();
        for name in body["absent"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            after[name] = old.as_ref().unwrap()[name].clone();
        }
        let (row, count) = rows
            .entry((table.to_owned(), key(&after)))
            .or_insert((Value::Null, 0));
        *row = after;
        *count += 1;
        if is_keyed {
            assert!(
                !strict || *count == 1,
                "a row that is there already: {body}; of that table there were {:#?}",
                about(events, table, &body["key"])
            );
            *count = 1;
        }
    }
    let rows = rows.into_iter().filter(|(_, (_, count))| *count > 0);
    rows.map(|((table, _), (row, count))| (text(&table, &row), count))
        .collect()
}

async fn stored(server: &Server) -> Rows {
    let mut rows = Rows::new();
    for (table, _) in TABLES {
        let sql = format!("SELECT CONCAT_WS('|', '{table}', k1, k2, v) FROM shop.{table}");
        for row in server.query(&sql).await {
            *rows.entry(row[0].clone().unwrap()).or_default() += 1;
        }
    }
    rows
}

/// Reads the tables as this user while they are changed, and compares.
async fn meets(server: &Server, url: &str, name: &str) {
    fill(server).await;
    let load = Load::start(server);
    load.going(20).await;
    let options = options(name, url, &["shop.*"], SnapshotMode::Initial);
    let running = Running::start(options, &Kept::default());
    let running = running
        .until("a row from the log", |events| {
            events
                .iter()
                .any(|event| event.body["op"] == "update" || event.body["op"] == "insert")
        })
        .await;
    load.going(50).await;
    load.end().await;
    compare(server, running, true).await;
}

/// Waits until the last change was published, and compares.
async fn compare(server: &Server, running: Running, strict: bool) {
    let mut running = running;
    let given: i64 = server
        .query("SELECT LEAST(MIN(k1), 0) FROM shop.composite")
        .await[0][0]
        .as_ref()
        .unwrap()
        .parse()
        .unwrap();
    for last in 1 - given.. {
        // Until then others follow, or changes come before rows that are read later.
        let state = running.kept.checkpoint().map(|checkpoint| checkpoint.state);
        let was_over = state.is_some_and(|state| state.contains(r#""pending":[]"#));
        let sql = format!("INSERT INTO shop.composite VALUES (-{last}, 'last', 0)");
        server.sql(&[sql]).await;
        let is_last = |event: &Published| event.body["key"]["k1"] == -last;
        running = running
            .until("the last change", |events| events.iter().any(is_last))
            .await;
        if was_over {
            break;
        }
    }
    let events = running.stop().await;
    assert_in_order(&events);
    let (found, expected) = (published(&events, strict), stored(server).await);
    let differs = |one: &Rows, other: &Rows| {
        let rows = one
            .iter()
            .filter(|(row, count)| other.get(*row) != Some(*count));
        rows.map(|(row, count)| format!("{row} x{count}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(differs(&found, &expected), differs(&expected, &found));
}

async fn whole(server: Server) {
    meets(&server, &server.url(), "whole").await;
}

async fn table_locks(server: Server) {
    let rights = "SELECT, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT";
    let url = server.user("locker", rights).await;
    meets(&server, &url, "table_locks").await;
}

async fn no_locks(server: Server) {
    let rights = "SELECT, REPLICATION SLAVE, REPLICATION CLIENT";
    let url = server.user("reader", rights).await;
    meets(&server, &url, "no_locks").await;
}

async fn rebuilt(server: Server) {
    fill(&server).await;
    let load = Load::start(&server);
    let altering = {
        let (server, stop) = (server.clone(), Arc::clone(&load.stop));
        tokio::spawn(async move {
            let mut conn = server.conn().await;
            for (table, _) in TABLES.iter().cycle().take(30) {
                if !stop.load(Ordering::Relaxed) {
                    // A deadlock with the writers is no matter.
                    let sql = format!("ALTER TABLE shop.{table} ENGINE = InnoDB");
                    conn.execute(&sql).await.ok();
                }
            }
        })
    };
    let options = options("rebuilt", &server.url(), &["shop.*"], SnapshotMode::Initial);
    let running = Running::start(options, &Kept::default());
    load.going(100).await;
    altering.await.unwrap();
    load.end().await;
    compare(&server, running, false).await;
}

async fn added(server: Server) {
    fill(&server).await;
    let few = options(
        "added",
        &server.url(),
        &["shop.composite"],
        SnapshotMode::Initial,
    );
    let kept = Kept::default();
    let load = Load::start(&server);
    let running = Running::start(few, &kept);
    let running = running
        .until("an update", |events| {
            events.iter().any(|event| event.body["op"] == "update")
        })
        .await;
    running.stop().await;
    load.going(10).await;
    let all = options("added", &server.url(), &["shop.*"], SnapshotMode::Initial);
    let running = Running::start(all, &kept);
    let running = running
        .until("an update of an added table", |events| {
            events
                .iter()
                .any(|event| event.body["op"] == "update" && event.body["table"] == "keyless")
        })
        .await;
    load.end().await;
    compare(&server, running, true).await;
}

/// The tables that readers were told to begin afresh.
fn afresh(events: &[Published]) -> Vec<String> {
    let lines = lines(events);
    let tables = lines.iter().filter_map(|line| line.strip_prefix("schema "));
    let tables = tables.filter_map(|rest| rest.strip_suffix(" afresh"));
    tables.map(ToOwned::to_owned).collect()
}

async fn interrupted(server: Server) {
    fill(&server).await;
    let named = || {
        options(
            "interrupted",
            &server.url(),
            &["shop.*"],
            SnapshotMode::Initial,
        )
    };
    let kept = Kept::default();
    let load = Load::start(&server);
    for _ in 0..3 {
        let seen = kept.events().len();
        let running = Running::start(named(), &kept);
        running
            .until("some rows", |events| events.len() > seen + 100)
            .await
            .stop()
            .await;
        // The table that was read from first goes on.
        let afresh = afresh(&kept.events()[seen..]);
        assert!(afresh.len() < TABLES.len(), "{afresh:?}");
    }
    load.end().await;
    let running = Running::start(named(), &kept);
    compare(&server, running, false).await;
}

/// A connector that was killed while part of `composite` was read, and nothing of any other table was noted.
async fn cut_short(server: &Server, name: &str) -> Kept {
    let kept = Kept::default();
    let options = options(name, &server.url(), &["shop.*"], SnapshotMode::Initial);
    let options = MysqlOptions {
        snapshot: SnapshotOptions {
            workers: 1,
            ..options.snapshot.clone()
        },
        ..options
    };
    let running = Running::start(options, &kept);
    running
        .until("rows", |events| events.len() > 100)
        .await
        .stop()
        .await;
    let history = kept.history();
    let checkpoint = history.iter().find(|one| one.state.contains("begun"));
    let checkpoint = checkpoint.expect("a note on what was read");
    // The rows behind the note are in the stream already.
    kept.cut(
        usize::try_from(checkpoint.seq).unwrap() + 7,
        checkpoint.clone(),
    )
}

async fn goes_on(server: Server) {
    fill(&server).await;
    let kept = cut_short(&server, "goes_on").await;
    let first = kept.events();
    let is_read =
        |event: &Published, table: &str| event.body["op"] == "read" && event.body["table"] == table;
    let noted = first.iter().filter(|event| is_read(event, "composite"));
    let noted = noted.count() - 7;
    assert!(noted >= 10, "{:#?}", lines(&first));
    // Rows of both parts are changed, and move from one to the other.
    server
        .sql(&[
            "UPDATE shop.composite SET v = v + 1 WHERE k1 IN (0, 299)",
            "UPDATE shop.composite SET k1 = -1 WHERE k1 = 298",
            "UPDATE shop.composite SET k1 = 1000 WHERE k1 = 1",
            "DELETE FROM shop.composite WHERE k1 IN (2, 297)",
            "INSERT INTO shop.composite VALUES (2, 'again', 5), (2000, 'new', 6)",
            "UPDATE shop.text SET v = v + 1",
        ])
        .await;
    let all = options("goes_on", &server.url(), &["shop.*"], SnapshotMode::Initial);
    compare(&server, Running::start(all, &kept), false).await;
    let events = kept.events();
    let again = afresh(&events[first.len()..]);
    assert_eq!(again, ["enumerated", "keyless", "text", "uniq"]);
    let read = events[first.len()..].iter();
    let read = read.filter(|event| is_read(event, "composite")).count();
    // Two rows came into what was left, and two went.
    assert_eq!(read, ROWS as usize - noted, "of {noted} noted ones");
}

async fn moved_in_part(server: Server) {
    fill(&server).await;
    let kept = cut_short(&server, "moved_in_part").await;
    let first = kept.events().len();
    let minimal = "SET SESSION binlog_row_image = MINIMAL";
    let moved = "UPDATE shop.composite SET k1 = -1 WHERE k1 = 299";
    server.sql(&[minimal, moved]).await;
    let name = "moved_in_part";
    let all = options(name, &server.url(), &["shop.*"], SnapshotMode::Initial);
    compare(&server, Running::start(all, &kept), false).await;
    let again = afresh(&kept.events()[first..]);
    assert!(again.contains(&"composite".to_owned()), "{again:?}");
}

async fn another_shape(server: Server) {
    fill(&server).await;
    let kept = cut_short(&server, "another_shape").await;
    let first = kept.events().len();
    // The same key, in another order.
    server
        .sql(&["ALTER TABLE shop.composite MODIFY k2 VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL"])
        .await;
    let name = "another_shape";
    let all = options(name, &server.url(), &["shop.*"], SnapshotMode::Initial);
    compare(&server, Running::start(all, &kept), false).await;
    let again = afresh(&kept.events()[first..]);
    assert!(again.contains(&"composite".to_owned()), "{again:?}");
}

async fn only(server: Server) {
    fill(&server).await;
    let options = options("only", &server.url(), &["shop.*"], SnapshotMode::Only);
    let events = Running::start(options, &Kept::default()).end().await;
    assert_eq!(published(&events, true), stored(&server).await);
    let reads = lines(&events)
        .iter()
        .filter(|line| line.starts_with("read"))
        .count();
    assert_eq!(reads, TABLES.len() * ROWS as usize);
}

//! What the log does not have, or has in another form, stops reading with a reason; what it names less of is read with
//! the catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_pipeline::SnapshotMode;
use adit_source_mysql::{GtidMode, MysqlOptions};
use support::server::{Server, Version, on_every_server};
use support::stream::{Kept, Published};
use support::{Running, assert_in_order, lines, options};

on_every_server! {
    a_purged_log_is_a_gap_that_a_snapshot_mends = crate::purged;
    a_log_that_began_anew_is_refused = crate::reset;
    changes_logged_as_statements_stop = crate::statements;
    a_log_that_names_no_columns_is_read_with_the_catalogue = crate::unnamed;
    columns_that_a_statement_makes_unknown_stop_the_connector = crate::lost;
    a_restarted_server_is_read_on = crate::restarted;
    rows_that_go_without_being_logged_are_read_again = crate::unlogged;
}

const CREATE: [&str; 2] = [
    "CREATE DATABASE shop",
    "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)",
];

fn named(name: &str, server: &Server) -> MysqlOptions {
    options(name, &server.url(), &["shop.*"], SnapshotMode::Never)
}

async fn purged(server: Server) {
    server.sql(&CREATE).await;
    let kept = Kept::default();
    let running = Running::start(named("purged", &server), &kept)
        .placed()
        .await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (1, 'a')"])
        .await;
    running.until_key("orders", 1).await.stop().await;
    server
        .sql(&[
            "INSERT INTO shop.orders VALUES (2, 'b')",
            "FLUSH BINARY LOGS",
            "INSERT INTO shop.orders VALUES (3, 'c')",
            "FLUSH BINARY LOGS",
        ])
        .await;
    // A file that is still being sent stays: the server has not missed our connection yet.
    let mut files = server.query("SHOW BINARY LOGS").await;
    while files.len() > 1 {
        let newest = files[files.len() - 1][0].clone().unwrap();
        server
            .sql(&[format!("PURGE BINARY LOGS TO '{newest}'")])
            .await;
        files = server.query("SHOW BINARY LOGS").await;
    }
    let error = Running::start(named("purged", &server), &kept)
        .error()
        .await;
    assert!(
        error.contains("purged") && error.contains("when_needed"),
        "{error}"
    );
    let mut options = named("purged", &server);
    options.snapshot.mode = SnapshotMode::WhenNeeded;
    let running = Running::start(options, &kept);
    let running = running.until_key("orders", 3).await;
    server.sql(&["DELETE FROM shop.orders WHERE id = 1"]).await;
    let events = running
        .until("the delete", |events| {
            lines(events).contains(&r#"delete orders {"id":1,"note":"a"}"#.to_owned())
        })
        .await
        .stop()
        .await;
    assert_in_order(&events);
    assert_eq!(
        lines(&events)[2..],
        [
            "schema orders afresh",
            r#"read orders {"id":1,"note":"a"}"#,
            r#"read orders {"id":2,"note":"b"}"#,
            r#"read orders {"id":3,"note":"c"}"#,
            r#"delete orders {"id":1,"note":"a"}"#,
        ]
    );
}

/// Files tell their birth in seconds.
async fn next_second() {
    let second = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let now = second();
    while second() == now {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reset(server: Server) {
    server.sql(&CREATE).await;
    for gtid in [GtidMode::Auto, GtidMode::Off] {
        let kept = Kept::default();
        let options = || MysqlOptions {
            gtid,
            ..named("reset", &server)
        };
        let running = Running::start(options(), &kept).placed().await;
        let sql = format!("REPLACE INTO shop.orders VALUES (1, '{gtid:?}')");
        server.sql(&[sql]).await;
        running.until_key("orders", 1).await.stop().await;
        next_second().await;
        let reset = match server.version() {
            Version::Mysql9_7 => "RESET BINARY LOGS AND GTIDS",
            _ => "RESET MASTER",
        };
        server.sql(&[reset]).await;
        for round in 0..20 {
            let sql = format!("REPLACE INTO shop.orders VALUES (2, '{gtid:?} {round}')");
            server.sql(&[sql]).await;
        }
        let error = Running::start(options(), &kept).error().await;
        // Or the new one is shorter.
        let is_refused = error.contains("began anew") || error.contains("lost changes");
        assert!(is_refused, "{error}");
    }
}

async fn statements(server: Server) {
    server.sql(&CREATE).await;
    server
        .sql(&["CREATE TABLE shop.other (id INT PRIMARY KEY)"])
        .await;
    let mut options = named("statements", &server);
    options.tables = adit_pipeline::TableFilter::parse(&["shop.orders"]).unwrap();
    let running = Running::start(options, &Kept::default()).placed().await;
    server
        .sql(&[
            "SET SESSION binlog_format = 'STATEMENT'",
            "INSERT INTO shop.other VALUES (1)",
            "SET SESSION binlog_format = 'ROW'",
            "INSERT INTO shop.orders VALUES (1, 'a')",
        ])
        .await;
    let running = running.until_key("orders", 1).await;
    server
        .sql(&[
            "SET SESSION binlog_format = 'STATEMENT'",
            "UPDATE shop.orders SET note = 'b'",
        ])
        .await;
    let error = running.error().await;
    assert!(
        error.contains("logged as a statement") && error.contains("orders"),
        "{error}"
    );
}

async fn unnamed(server: Server) {
    least_metadata(&server).await;
    server.sql(&CREATE).await;
    let kept = Kept::default();
    let running = Running::start(named("unnamed", &server), &kept)
        .placed()
        .await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (1, 'a')"])
        .await;
    let running = running.until_key("orders", 1).await;
    server
        .sql(&[
            "ALTER TABLE shop.orders ADD COLUMN big BIGINT UNSIGNED FIRST",
            "INSERT INTO shop.orders VALUES (18446744073709551615, 2, 'b')",
        ])
        .await;
    let running = running.until_key("orders", 2).await;
    let events = running.stop().await;
    assert_eq!(
        lines(&events),
        [
            "schema orders",
            r#"insert orders {"id":1,"note":"a"}"#,
            "schema orders",
            r#"insert orders {"big":18446744073709551615,"id":2,"note":"b"}"#,
        ]
    );
    // The catalogue knows nothing of these columns any more: what the table was like is kept, and followed.
    server
        .sql(&[
            "INSERT INTO shop.orders VALUES (3, 3, 'c')",
            "ALTER TABLE shop.orders DROP COLUMN big, ADD COLUMN state ENUM('open','done') CHARACTER SET latin1",
            "INSERT INTO shop.orders VALUES (4, 'd', 'done')",
            "RENAME TABLE shop.orders TO shop.sales",
            "INSERT INTO shop.sales VALUES (5, 'e', NULL)",
            "ALTER TABLE shop.sales CHANGE note label VARCHAR(30), RENAME TO shop.orders",
            "INSERT INTO shop.orders VALUES (6, 'f', 'open')",
            "DROP TABLE shop.orders",
        ])
        .await;
    let before = kept.events().len();
    let running = Running::start(named("unnamed", &server), &kept);
    let events = running.until_key("orders", 6).await.stop().await;
    assert_in_order(&events);
    let mut found = lines(&events[before..]);
    found.retain(|line| !line.starts_with("schema"));
    assert_eq!(
        found,
        [
            r#"insert orders {"big":3,"id":3,"note":"c"}"#,
            r#"insert orders {"id":4,"note":"d","state":"done"}"#,
            r#"insert sales {"id":5,"note":"e","state":null}"#,
            r#"insert orders {"id":6,"label":"f","state":"open"}"#,
        ]
    );
}

async fn lost(server: Server) {
    least_metadata(&server).await;
    server.sql(&CREATE).await;
    let kept = Kept::default();
    let running = Running::start(named("lost", &server), &kept).placed().await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (1, 'a')"])
        .await;
    running.until_key("orders", 1).await.stop().await;
    // Nobody knows what this makes of the second row.
    server
        .sql(&[
            "ALTER TABLE shop.orders CONVERT TO CHARACTER SET latin2",
            "INSERT INTO shop.orders VALUES (2, 'b')",
            "ALTER TABLE shop.orders DROP COLUMN note",
        ])
        .await;
    let error = Running::start(named("lost", &server), &kept).error().await;
    assert!(error.contains("binlog_row_metadata"), "{error}");
}

/// The log names no columns.
async fn least_metadata(server: &Server) {
    if server.version().names_columns() {
        let least = if server.is_mariadb() {
            "NO_LOG"
        } else {
            "MINIMAL"
        };
        server
            .sql(&[format!("SET GLOBAL binlog_row_metadata = '{least}'")])
            .await;
    }
}

async fn restarted(mut server: Server) {
    server.sql(&CREATE).await;
    let mut running = Running::start(named("restarted", &server), &Kept::default())
        .placed()
        .await;
    for id in 1..3 {
        server
            .sql(&[format!("INSERT INTO shop.orders VALUES ({id}, 'a')")])
            .await;
        running = running.until_key("orders", id).await;
        server.kill_and_restart().await;
    }
    server
        .sql(&["INSERT INTO shop.orders VALUES (3, 'a')"])
        .await;
    let events = running.until_key("orders", 3).await.stop().await;
    assert_in_order(&events);
    assert_eq!(events.len(), 4);
}

async fn unlogged(server: Server) {
    server.sql(&CREATE).await;
    server
        .sql(&[
            "CREATE TABLE shop.parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) \
             (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
            "INSERT INTO shop.parts VALUES (1), (11)",
        ])
        .await;
    let mut options = named("unlogged", &server);
    options.snapshot.mode = SnapshotMode::Initial;
    let running = Running::start(options, &Kept::default());
    let running = running.until_key("parts", 11).await;
    server
        .sql(&[
            "ALTER TABLE shop.parts DROP PARTITION p0",
            "INSERT INTO shop.parts VALUES (12)",
        ])
        .await;
    let running = running.until_key("parts", 12).await;
    let events = running.stop().await;
    assert_in_order(&events);
    let found = support::replayed(&events);
    let found: Vec<_> = found.keys().map(|(_, key)| key.as_str()).collect();
    assert_eq!(found, [r#"{"id":11}"#, r#"{"id":12}"#]);
}

/// A transaction's events have no positions of their own in a compressed payload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_inside_a_compressed_transaction() {
    let settings = [("binlog_transaction_compression", "ON")];
    let server = Server::with(Version::Mysql9_7, &settings).await;
    server.sql(&CREATE).await;
    let whole = Kept::default();
    let running = Running::start(named("payload", &server), &whole)
        .placed()
        .await;
    let rows = |from: u32| {
        let rows = (from..from + 10).map(|id| format!("({id}, REPEAT('x', 100))"));
        rows.collect::<Vec<_>>().join(", ")
    };
    server
        .sql(&[
            "BEGIN".to_owned(),
            format!("INSERT INTO shop.orders VALUES {}", rows(0)),
            "UPDATE shop.orders SET note = 'y' WHERE id < 3".to_owned(),
            "COMMIT".to_owned(),
            format!("INSERT INTO shop.orders VALUES {}", rows(10)),
        ])
        .await;
    let expected = running.until_key("orders", 19).await.stop().await;
    let first = whole.history()[0].clone();
    let positions = |events: &[Published]| {
        let rows = events.iter().filter(|event| event.body["op"] != "schema");
        rows.map(|event| event.position.to_string())
            .collect::<Vec<_>>()
    };
    for stopped in 0..=expected.len() {
        let cut = whole.cut(stopped, first.clone());
        let running = Running::start(named(&format!("payload-{stopped}"), &server), &cut);
        let again = running.until_key("orders", 19).await.stop().await;
        assert_eq!(positions(&again), positions(&expected));
    }
}

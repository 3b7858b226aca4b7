//! What real servers log comes out in order and exactly once, wherever reading was interrupted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod support;

use adit_pipeline::SnapshotMode;
use support::server::{Server, on_every_server};
use support::stream::{Kept, Published};
use support::{Running, assert_in_order, lines, options, replayed};

on_every_server! {
    changes_come_out_in_commit_order = crate::changes;
    reading_goes_on_from_every_event = crate::resume;
    prepared_transactions_come_out_at_their_commit = crate::xa;
    tables_come_go_and_swap = crate::tables;
    a_silent_end_of_the_connection_heals = crate::reconnect;
}

async fn changes(server: Server) {
    server
        .sql(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)",
        ])
        .await;
    let options = options("changes", &server.url(), &["shop.*"], SnapshotMode::Never);
    let running = Running::start(options, &Kept::default()).placed().await;
    server
        .sql(&[
            "INSERT INTO shop.orders VALUES (1, 'a'), (2, 'b')",
            "BEGIN",
            "UPDATE shop.orders SET note = 'c' WHERE id = 1",
            "DELETE FROM shop.orders WHERE id = 2",
            "SAVEPOINT s",
            "INSERT INTO shop.orders VALUES (3, 'no')",
            "ROLLBACK TO SAVEPOINT s",
            "INSERT INTO shop.orders VALUES (4, 'd')",
            "COMMIT",
            "ALTER TABLE shop.orders ADD COLUMN price DECIMAL(10, 2)",
            "INSERT INTO shop.orders VALUES (5, 'e', 1.50)",
            "FLUSH BINARY LOGS",
            "TRUNCATE TABLE shop.orders",
            "INSERT INTO shop.orders VALUES (6, NULL, NULL)",
        ])
        .await;
    let events = running.until_key("orders", 6).await.stop().await;
    assert_in_order(&events);
    assert_eq!(
        lines(&events),
        [
            "schema orders",
            r#"insert orders {"id":1,"note":"a"}"#,
            r#"insert orders {"id":2,"note":"b"}"#,
            r#"update orders {"id":1,"note":"c"}"#,
            r#"delete orders {"id":2,"note":"b"}"#,
            r#"insert orders {"id":4,"note":"d"}"#,
            "schema orders",
            r#"insert orders {"id":5,"note":"e","price":"1.50"}"#,
            "truncate orders",
            r#"insert orders {"id":6,"note":null,"price":null}"#,
        ]
    );
}

/// Kills the connector behind each event, with every checkpoint that it could have had then.
async fn resume(server: Server) {
    server
        .sql(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)",
        ])
        .await;
    let named = |name: &str| options(name, &server.url(), &["shop.*"], SnapshotMode::Never);
    let whole = Kept::default();
    let mut running = Running::start(named("resume"), &whole).placed().await;
    for id in 1..4 {
        server
            .sql(&[
                &format!("INSERT INTO shop.orders VALUES ({id}, 'a'), (1{id}, 'b'), (2{id}, 'c')"),
                "FLUSH BINARY LOGS",
                &format!("UPDATE shop.orders SET note = 'd' WHERE id > {id}"),
                "CREATE TABLE shop.other (id INT PRIMARY KEY)",
                "DROP TABLE shop.other",
                &format!("INSERT INTO shop.orders VALUES (3{id}, 'e')"),
            ])
            .await;
        let seen = format!("3{id}").parse().unwrap();
        running = running.until_key("orders", seen).await;
        let checkpoints = whole.history().len();
        let kept = whole.clone();
        running = running
            .until("another checkpoint", |events| {
                let history = kept.history();
                history.len() > checkpoints
                    || history
                        .last()
                        .is_some_and(|last| last.seq == events.len() as u64)
            })
            .await;
    }
    let expected = running.stop().await;
    for (index, checkpoint) in whole.history().into_iter().enumerate() {
        let first = usize::try_from(checkpoint.seq).unwrap();
        for events in first..=expected.len() {
            let cut = whole.cut(events, checkpoint.clone());
            let name = format!("resume-{index}-{events}");
            let running = Running::start(named(&name), &cut);
            let running = running
                .until("all events", |events| {
                    rows(events).len() >= rows(&expected).len()
                })
                .await;
            let again = running.stop().await;
            assert_in_order(&again);
            // A shape is published again if it was not noted before.
            assert_eq!(rows(&again), rows(&expected), "{checkpoint:?} {events}");
        }
    }
}

/// Changes with their positions.
fn rows(events: &[Published]) -> Vec<String> {
    let rows = events.iter().filter(|event| event.body["op"] != "schema");
    rows.map(|event| {
        format!(
            "{} {:?}",
            event.position,
            lines(std::slice::from_ref(event))
        )
    })
    .collect()
}

async fn xa(server: Server) {
    if !server.has_xa_events() {
        return;
    }
    server
        .sql(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY)",
        ])
        .await;
    let named = |name: &str| options(name, &server.url(), &["shop.*"], SnapshotMode::Never);
    let kept = Kept::default();
    let running = Running::start(named("xa"), &kept).placed().await;
    let prepare = |id: u32| {
        [
            format!("XA START 'x{id}'"),
            format!("INSERT INTO shop.orders VALUES ({id})"),
            format!("XA END 'x{id}'"),
            format!("XA PREPARE 'x{id}'"),
        ]
    };
    server.sql(&prepare(1)).await;
    server.sql(&prepare(2)).await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (3)", "FLUSH BINARY LOGS"])
        .await;
    server.sql(&["INSERT INTO shop.orders VALUES (4)"]).await;
    let running = running.until_key("orders", 4).await;
    running.stop().await;
    // What is prepared is read again from where it was prepared.
    let running = Running::start(named("xa"), &kept).placed().await;
    server.sql(&["XA COMMIT 'x2'", "XA ROLLBACK 'x1'"]).await;
    server.sql(&["INSERT INTO shop.orders VALUES (5)"]).await;
    let events = running.until_key("orders", 5).await.stop().await;
    assert_in_order(&events);
    assert_eq!(
        lines(&events),
        [
            "schema orders",
            r#"insert orders {"id":3}"#,
            r#"insert orders {"id":4}"#,
            r#"insert orders {"id":2}"#,
            r#"insert orders {"id":5}"#,
        ]
    );
}

async fn tables(server: Server) {
    server
        .sql(&[
            "CREATE DATABASE shop",
            "CREATE DATABASE stage",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY)",
            "CREATE TABLE stage.lines (id INT PRIMARY KEY)",
            "INSERT INTO stage.lines VALUES (1), (2)",
        ])
        .await;
    let options = options("tables", &server.url(), &["shop.*"], SnapshotMode::Initial);
    let running = Running::start(options, &Kept::default()).placed().await;
    server.sql(&["INSERT INTO shop.orders VALUES (1)"]).await;
    let running = running.until_key("orders", 1).await;
    server
        .sql(&[
            // A new table is captured from its first row on.
            "CREATE TABLE shop.people (id INT PRIMARY KEY)",
            "INSERT INTO shop.people VALUES (1)",
            // A swap as gh-ost makes it.
            "CREATE TABLE shop._orders_gho (id INT PRIMARY KEY, note TEXT CHARACTER SET utf8)",
            "INSERT INTO shop._orders_gho SELECT id, NULL FROM shop.orders",
            "RENAME TABLE shop.orders TO shop._orders_del, shop._orders_gho TO shop.orders",
            "INSERT INTO shop.orders VALUES (2, 'b')",
            "DROP TABLE shop._orders_del",
            // One that was not captured comes with its rows.
            "RENAME TABLE stage.lines TO shop.lines",
            "INSERT INTO shop.lines VALUES (3)",
            // Dropped and made again: readers drop what they have.
            "DROP TABLE shop.people",
            "CREATE TABLE shop.people (id INT PRIMARY KEY)",
            "INSERT INTO shop.people VALUES (2)",
            "INSERT INTO shop.orders VALUES (3, 'c')",
        ])
        .await;
    let running = running.until_key("orders", 3).await;
    let running = running.until_key("lines", 3).await;
    server.sql(&["DELETE FROM shop.lines WHERE id = 1"]).await;
    let running = running
        .until("the delete", |events| {
            lines(events).contains(&r#"delete lines {"id":1}"#.to_owned())
        })
        .await;
    let events = running.stop().await;
    assert_in_order(&events);
    let mut found = replayed(&events);
    found.retain(|(table, _), _| !table.starts_with('_'));
    let found: Vec<_> = found
        .keys()
        .map(|(table, key)| format!("{table} {key}"))
        .collect();
    assert_eq!(
        found,
        [
            r#"lines {"id":2}"#,
            r#"lines {"id":3}"#,
            r#"orders {"id":1}"#,
            r#"orders {"id":2}"#,
            r#"orders {"id":3}"#,
            r#"people {"id":2}"#,
        ]
    );
}

async fn reconnect(server: Server) {
    server
        .sql(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY)",
        ])
        .await;
    let options = options("reconnect", &server.url(), &["shop.*"], SnapshotMode::Never);
    let mut running = Running::start(options, &Kept::default()).placed().await;
    for id in 1..4 {
        server.kill_dumps().await;
        server
            .sql(&[&format!("INSERT INTO shop.orders VALUES ({id})")])
            .await;
        running = running.until_key("orders", id).await;
    }
    let events = running.stop().await;
    assert_in_order(&events);
    assert_eq!(events.len(), 4);
}

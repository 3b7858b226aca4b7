//! Another server takes over: what is published is not published again, and nothing is left out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod support;

use std::time::Duration;

use adit_pipeline::SnapshotMode;
use adit_source_mysql::GtidMode;
use support::server::{Server, Version, on_every_server};
use support::stream::{Kept, Published};
use support::{Running, lines, options};
use tokio::time::{Instant, sleep};

on_every_server! {
    a_replica_takes_over_wherever_reading_stopped = crate::takeover;
    a_replica_that_lagged_is_refused = crate::lagged;
    without_gtids_another_server_is_refused = crate::without_gtids;
}

/// A second server that replicates from the first.
async fn replica_of(server: &Server) -> Server {
    let replica = Server::start(server.version()).await;
    replica.replicate(server).await;
    replica
}

async fn has_row(server: &Server, id: u32) {
    let start = Instant::now();
    let sql = format!("SELECT COUNT(*) FROM shop.orders WHERE id = {id}");
    loop {
        let mut conn = server.conn().await;
        if let Ok(rows) = conn.query(&sql).await
            && rows[0][0].as_deref() == Some(b"1")
        {
            return;
        }
        assert!(
            start.elapsed() < support::DEADLINE,
            "the replica does not replicate"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

const CREATE: [&str; 2] = [
    "CREATE DATABASE shop",
    "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)",
];

/// Changes without their positions.
fn rows(events: &[Published]) -> Vec<String> {
    let mut lines = lines(events);
    lines.retain(|line| !line.starts_with("schema"));
    lines
}

async fn takeover(server: Server) {
    let replica = replica_of(&server).await;
    server.sql(&CREATE).await;
    let named = |name: &str, server: &Server| {
        options(name, &server.url(), &["shop.*"], SnapshotMode::Never)
    };
    let kept = Kept::default();
    let running = Running::start(named("takeover", &server), &kept)
        .placed()
        .await;
    for id in 1..6 {
        server
            .sql(&[
                format!("INSERT INTO shop.orders VALUES ({id}, 'a'), (1{id}, 'b'), (2{id}, 'c')"),
                format!("UPDATE shop.orders SET note = 'd' WHERE id = {id}"),
            ])
            .await;
    }
    let events = running
        .until("all rows", |events| rows(events).len() == 20)
        .await
        .stop()
        .await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (100, 'before')"])
        .await;
    has_row(&replica, 100).await;
    let mut expected = rows(&events);
    expected.push(r#"insert orders {"id":100,"note":"before"}"#.to_owned());
    let first = kept.history()[0].clone();
    for stopped in 0..=events.len() {
        for checkpoint in [first.clone(), kept.checkpoint().unwrap()] {
            // Behind a first schema event, and nothing else, no transaction is known: that is refused.
            if checkpoint.seq > stopped as u64 || stopped == 1 {
                continue;
            }
            let cut = kept.cut(stopped, checkpoint);
            let running = Running::start(named(&format!("takeover-{stopped}"), &replica), &cut);
            let running = running
                .until("all rows", |events| rows(events).len() >= expected.len())
                .await;
            let again = running.stop().await;
            assert_eq!(rows(&again), expected, "stopped behind event {stopped}");
            support::assert_in_order(&again);
        }
    }
}

async fn lagged(server: Server) {
    let replica = replica_of(&server).await;
    server.sql(&CREATE).await;
    let kept = Kept::default();
    let named =
        |server: &Server| options("lagged", &server.url(), &["shop.*"], SnapshotMode::Never);
    let running = Running::start(named(&server), &kept).placed().await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (1, 'a')"])
        .await;
    has_row(&replica, 1).await;
    let stop = match server.version() {
        Version::Mysql9_7 => "STOP REPLICA",
        _ => "STOP SLAVE",
    };
    replica.sql(&[stop]).await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (2, 'b')"])
        .await;
    running.until_key("orders", 2).await.stop().await;
    let error = Running::start(named(&replica), &kept).error().await;
    assert!(error.contains("lost changes that are published"), "{error}");
}

async fn without_gtids(server: Server) {
    let replica = replica_of(&server).await;
    server.sql(&CREATE).await;
    let kept = Kept::default();
    let named = |server: &Server| {
        let mut options = options("without", &server.url(), &["shop.*"], SnapshotMode::Never);
        options.gtid = GtidMode::Off;
        options
    };
    let running = Running::start(named(&server), &kept).placed().await;
    server
        .sql(&["INSERT INTO shop.orders VALUES (1, 'a')"])
        .await;
    running.until_key("orders", 1).await.stop().await;
    has_row(&replica, 1).await;
    let error = Running::start(named(&replica), &kept).error().await;
    assert!(error.contains("without GTIDs"), "{error}");
}

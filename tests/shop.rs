//! One consumer, three databases: the same shop with the same changes in PostgreSQL, MySQL and MariaDB gives the same
//! events.
//!
//! What may differ is what the manual says: `source`, `tx.id` and the times, and in schema events the types' names. Three
//! types of the shop are written in each database's own way (`text`, `double`, `bytea` and their like); their values are
//! the same.

use std::path::Path;
use std::time::Duration;

use adit_lab::{Daemon, Mysql, Nats, Postgres, mysql, nats, pg, wait_for};
use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(120);

/// The shop as it opens. `TEXT`, `DOUBLE`, `BYTES`, `MOMENT`, `JSON` and `STATUS` are written as the database has them.
const OPENING: &str = "
create table customers (id int not null primary key, name varchar(40) not null, email TEXT, since date not null, rating DOUBLE);
create table products (code varchar(20) not null primary key, name TEXT not null, price decimal(10, 2) not null, stock int not null, picture BYTES);
create table orders (id bigint not null primary key, customer_id int not null, status STATUS not null, placed_at MOMENT not null, details JSON);
create table order_lines (order_id bigint not null, line smallint not null, product varchar(20) not null, quantity int not null,
    primary key (order_id, line));
insert into customers values (1, 'Ada', 'ada@example.org', '1815-12-10', 4.5), (2, 'Zoë \"the quick\" O''Hara', null, '2024-02-29', 0.1);
insert into products values ('tea', 'Tea, green', 9.90, 100, null), ('cup', 'Cup 🍵', 1234567.00, 0, BINARY);
";

/// What happens; each line is a transaction.
const BUSINESS: [&str; 9] = [
    "insert into orders values (1, 1, 'cart', '2026-11-26 10:00:00.125', '{\"gift\": true, \"notes\": [\"ribbon\", null]}'); \
     insert into order_lines values (1, 1, 'tea', 2), (1, 2, 'cup', 1)",
    "update orders set status = 'paid' where id = 1; update products set stock = stock - 2 where code = 'tea'",
    "update order_lines set line = 7 where order_id = 1 and line = 2",
    "delete from order_lines where order_id = 1",
    "insert into customers values (-2147483648, '', 'line\nbreak\tand\\\\', '9999-12-31', -1.5e300)",
    "update customers set email = null, rating = null where id < 0",
    "update products set code = 'mug', price = -0.01, picture = null where code = 'cup'",
    "truncate table order_lines",
    "insert into orders values (2, 2, 'shipped', '1999-12-31 23:59:59.999', null)",
];

/// The shop in a database's words.
fn in_words_of(sql: &str, postgres: bool) -> String {
    let words = if postgres {
        [
            ("TEXT", "text"),
            ("DOUBLE", "double precision"),
            ("BYTES", "bytea"),
            ("MOMENT", "timestamp(3)"),
            ("JSON", "jsonb"),
            ("STATUS", "status"),
            ("BINARY", "'\\x00ff10'"),
            ("\\\\", "\\"),
        ]
    } else {
        [
            ("TEXT", "text"),
            ("DOUBLE", "double"),
            ("BYTES", "blob"),
            ("MOMENT", "datetime(3)"),
            ("JSON", "json"),
            ("STATUS", "enum('cart', 'paid', 'shipped')"),
            ("BINARY", "x'00ff10'"),
            ("\\\\", "\\\\"),
        ]
    };
    words
        .iter()
        .fold(sql.to_owned(), |sql, (word, own)| sql.replace(word, own))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_cannot_tell_which_database_an_event_came_from() -> Result<()> {
    let postgres = Postgres::start(pg::Version::V17).await?;
    let servers = [
        Mysql::start(mysql::Version::Mysql9_7).await?,
        Mysql::start(mysql::Version::Maria11_8).await?,
    ];
    let nats = Nats::start(nats::Version::V2_15).await?;
    postgres
        .exec("create schema shop; alter role postgres set search_path = shop; create type shop.status as enum ('cart', 'paid', 'shipped')")
        .await?;
    postgres.exec(&in_words_of(OPENING, true)).await?;
    for table in ["customers", "products", "orders", "order_lines"] {
        let whole = format!("alter table {table} replica identity full");
        postgres.exec(&whole).await?;
    }
    for server in &servers {
        server
            .exec("create database shop character set utf8mb4")
            .await?;
        server.exec_in("shop", &in_words_of(OPENING, false)).await?;
    }

    // One process for all three.
    let mut adit = Daemon::new("adit", Path::new(env!("CARGO_BIN_EXE_adit")), &["run"])?;
    let urls = [
        postgres.url("postgres"),
        servers[0].url("shop"),
        servers[1].url("shop"),
    ];
    let names = ["of_postgres", "of_mysql", "of_mariadb"];
    let connectors = names.iter().zip(&urls).map(|(name, url)| {
        format!(
            "[[connector]]\nname = \"{name}\"\nsource.url = \"{url}\"\nsource.tables = [\"shop.*\"]\nsnapshot.workers = 1\nnats.url = \"{}\"\n",
            nats.url()
        )
    });
    std::fs::write(
        adit.folder().join("adit.toml"),
        connectors.collect::<String>(),
    )?;
    adit.start()?;
    let jetstream = nats.jetstream().await?;
    for name in names {
        // Four shapes, and four rows that were there.
        let stream = format!("CDC_{}", name.to_uppercase());
        let read = wait_for("the shop as it opens", WITHIN, async || {
            let stream = jetstream.get_stream(&stream).await?;
            Ok(stream.get_info().await?.state.messages >= 8)
        });
        read.await.with_context(|| adit.log())?;
    }
    for business in BUSINESS {
        let transaction = |postgres| format!("begin; {}; commit", in_words_of(business, postgres));
        postgres.exec(&transaction(true)).await?;
        for server in &servers {
            server.exec_in("shop", &transaction(false)).await?;
        }
    }

    let mut seen = Vec::new();
    for name in names {
        let stream = jetstream
            .get_stream(format!("CDC_{}", name.to_uppercase()))
            .await?;
        let mut messages = stream
            .create_consumer(OrderedConfig::default())
            .await?
            .messages()
            .await?;
        let mut events = Vec::new();
        loop {
            let message = timeout(WITHIN, messages.next()).await;
            let message = message
                .with_context(|| format!("{name}: no more events; adit's log:\n{}", adit.log()))?;
            let message = message.context("the consumer ended")??;
            let event: Value = serde_json::from_slice(&message.payload)?;
            let last = event["table"] == "orders" && event["key"]["id"] == 2;
            ensure!(
                message
                    .subject
                    .as_str()
                    .strip_prefix(&format!("cdc.{name}."))
                    .is_some(),
                "{}",
                message.subject
            );
            if event["op"] != "schema" {
                events.push(common(&event));
            }
            if last {
                break;
            }
        }
        // The rows that were there come in no order that is promised.
        let read = events
            .iter()
            .take_while(|event| event["op"] == "read")
            .count();
        events[..read].sort_by_key(ToString::to_string);
        for (seq, event) in events[..read].iter_mut().enumerate() {
            event["tx"] = json!({ "seq": seq });
        }
        seen.push(events);
    }
    ensure!(seen[0].len() == 4 + 13, "{} events", seen[0].len());
    for (name, events) in names.iter().zip(&seen).skip(1) {
        for (theirs, ours) in seen[0].iter().zip(events) {
            ensure!(theirs == ours, "postgres: {theirs}\n{name}: {ours}");
        }
        ensure!(
            events.len() == seen[0].len(),
            "{name}: {} events",
            events.len()
        );
    }
    Ok(())
}

/// What all databases have in common.
fn common(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("source");
        fields.remove("ts");
        if let Some(tx) = fields.get_mut("tx").and_then(Value::as_object_mut) {
            tx.remove("id");
            tx.remove("ts");
        }
    }
    event
}

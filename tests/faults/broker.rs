//! What brokers and their operators do: no room, other configurations, rights and buckets that are gone, standing still.

use std::fs::{self, File};
use std::io::copy;
use std::time::Duration;

use adit_lab::workload::Options;
use adit_lab::{Nats, mysql, nats, pg, wait_for};
use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::kv;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio::try_join;

use crate::support::database::{Database, Kind};
use crate::support::{self, STREAM, Stage};

/// Longest wait for something that is to happen.
const WITHIN: Duration = Duration::from_secs(120);
/// For how long there is no room: longer than PostgreSQL, as it is set here, waits for a sign of life.
const FULL_FOR: Duration = Duration::from_secs(12);
/// How often adit may try meanwhile: its pauses grow.
const TRIES_MAX: usize = 12;
/// What adit may need of memory although everything waits.
const MEMORY_MAX: u64 = 64 << 20;
/// The broker's disk.
const DISK: u64 = 100 << 20;
/// How long a server stands still.
const PAUSE: Duration = Duration::from_secs(90);

const POSTGRES: Kind = Kind::Postgres(pg::Version::V17);
const MYSQL: Kind = Kind::mysql(mysql::Version::Mysql9_7);

fn options() -> Result<Options> {
    let mut options = Options::new(support::seed()?);
    options.writers = 2;
    options.initial_rows = 300;
    options.rows_max = 2_000;
    Ok(options)
}

/// PostgreSQL, and a broker that is set in a way of its own.
async fn set(nats: nats::Builder, options: &Options) -> Result<Stage> {
    let database = Database::start(POSTGRES).await?;
    Stage::between(POSTGRES, database, nats.start().await?, options).await
}

/// The newest NATS does not write to a stream any more that once met a full disk, until it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() -> Result<()> {
    let options = options()?;
    let builder = Nats::builder(nats::Version::V2_15).disk(DISK);
    let mut stage = set(builder, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    let ballast = stage.nats.store().join("ballast");
    let filled = copy(&mut File::open("/dev/zero")?, &mut File::create(&ballast)?);
    ensure!(filled.is_err(), "the disk has no end");
    is_patient(&mut stage).await?;
    fs::remove_file(&ballast)?;
    stage.nats.restart().await?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

/// The limits of the stream, then those of the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_waited_out() -> Result<()> {
    const UNLIMITED: &str = "jetstream: enabled";
    let options = options()?;
    let builder = Nats::builder(nats::Version::V2_12)
        .conf("accounts { A { jetstream: enabled, users: [{ user: adit, password: adit }] } }")
        .conf("no_auth_user: adit");
    let mut stage = set(builder, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    for limit in ["max_msgs", "max_bytes"] {
        edit_stream(&stage, json!({limit: 1})).await?;
        is_patient(&mut stage).await?;
        edit_stream(&stage, json!({limit: -1})).await?;
        stage.wait_for_progress(WITHIN).await?;
    }
    let limited = "jetstream: { max_file: 10KB }";
    stage.nats.reload(UNLIMITED, limited).await?;
    is_patient(&mut stage).await?;
    stage.nats.reload(limited, UNLIMITED).await?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

/// adit says that there is no room, now and then; it needs little memory, and keeps its connection to the database.
async fn is_patient(stage: &mut Stage) -> Result<()> {
    stage.says("publishing was interrupted", WITHIN).await?;
    let before = stage.adit.log().len();
    sleep(FULL_FOR).await;
    stage.expect_alive()?;
    let log = stage.adit.log().split_off(before);
    let tries = log.matches("publishing was interrupted").count();
    ensure!((1..=TRIES_MAX).contains(&tries), "{tries} tries:\n{log}");
    for text in ["nothing was stored", "retry_in_ms"] {
        ensure!(log.contains(text), "{text:?} is not in:\n{log}");
    }
    ensure!(
        !log.contains("reading the database's log failed"),
        "the connection was lost:\n{log}"
    );
    let memory = stage.adit.memory_peak()?;
    ensure!(memory <= MEMORY_MAX, "{memory} bytes of memory");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_no_batches_any_more_is_written_to_without() -> Result<()> {
    let options = options()?;
    let mut stage = set(Nats::builder(nats::Version::V2_15), &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    edit_stream(&stage, json!({"allow_batched": false})).await?;
    stage.says("publishing was interrupted", WITHIN).await?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_becomes_unfit_is_not_written_to() -> Result<()> {
    let options = options()?;
    let mut stage = set(Nats::builder(nats::Version::V2_15), &options).await?;
    let subjects = ["cdc.torture.*.*", "cdc.torture.$schema.*.*"];
    let changes = [
        (
            json!({"subjects": ["cdc.others.>"]}),
            json!({"subjects": subjects}),
            "does not take the subjects cdc.torture.*.*",
        ),
        (
            json!({"discard": "old", "max_msgs": 1_000_000_000}),
            json!({"discard": "new", "max_msgs": -1}),
            "throws the oldest events away when it is full",
        ),
        (
            json!({"no_ack": true}),
            json!({"no_ack": false}),
            "does not acknowledge messages (no_ack): switch no_ack off",
        ),
    ];
    let workload = stage.write(&options);
    for (change, mended, words) in changes {
        stage.adit.start()?;
        stage.wait_for_progress(WITHIN).await?;
        edit_stream(&stage, change).await?;
        gives_up(&mut stage, words).await?;
        edit_stream(&stage, mended).await?;
    }
    stage.adit.start()?;
    stage.settle(workload, WITHIN).await?;
    stage.check().await?;
    // Nothing mends that.
    edit_stream(&stage, json!({"sealed": true})).await?;
    gives_up(
        &mut stage,
        "is sealed: nothing can be written to it any more; name another",
    )
    .await
}

/// adit ends, and says so, with these words.
async fn gives_up(stage: &mut Stage, words: &str) -> Result<()> {
    let paragraph = stage.gives_up(WITHIN).await?;
    ensure!(
        paragraph.contains(words),
        "{words:?} is not in:\n{paragraph}"
    );
    Ok(())
}

/// Changes the stream's configuration as an operator would.
async fn edit_stream(stage: &Stage, changes: Value) -> Result<()> {
    let ask = async |verb: &str, request: &Value| -> Result<Value> {
        let client = stage.nats.client().await?;
        let subject = format!("$JS.API.STREAM.{verb}.{STREAM}");
        let answer = client.request(subject, request.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        ensure!(answer.get("error").is_none(), "{verb}: {answer}");
        Ok(answer)
    };
    let mut info = ask("INFO", &json!({})).await?;
    let config = info.get_mut("config").context("a stream has one")?;
    for (key, value) in changes.as_object().context("changes are an object")? {
        config[key] = value.clone();
    }
    ask("UPDATE", config).await?;
    Ok(())
}

/// What adit keeps beside the stream it can do without: it is written again when it is due.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_buckets_are_made_again_on_postgres_17() -> Result<()> {
    deleted_buckets(
        POSTGRES,
        &["adit_leases", "adit_checkpoints", "adit_schemas"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_buckets_are_made_again_on_mysql_9_7() -> Result<()> {
    deleted_buckets(
        MYSQL,
        &[
            "adit_leases",
            "adit_checkpoints",
            "adit_schemas",
            "adit_shapes",
        ],
    )
    .await
}

async fn deleted_buckets(kind: Kind, buckets: &[&str]) -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options).await?;
    if let Database::Mysql(server) = &stage.database {
        // Where the log does not name columns, tables' shapes are kept.
        server
            .exec("set global binlog_row_metadata = minimal")
            .await?;
    }
    let workload = stage.write(&options);
    stage.adit.start()?;
    wait_for("the log", WITHIN, async || stage.is_streaming().await).await?;
    let jetstream = stage.nats.jetstream().await?;
    for bucket in buckets {
        wait_for(bucket, WITHIN, async || {
            Ok(jetstream.get_key_value(*bucket).await.is_ok())
        })
        .await?;
        jetstream.delete_key_value(*bucket).await?;
    }
    // Two are written to all the time, the others when a table is altered.
    alter_ledger(&stage, "add column extra int").await?;
    for bucket in buckets {
        let again = wait_for(bucket, WITHIN, async || {
            let store = jetstream.get_key_value(*bucket).await?;
            Ok(store.status().await?.values() > 0)
        })
        .await;
        stage.expect_alive()?;
        again.with_context(|| stage.adit.log())?;
    }
    alter_ledger(&stage, "drop column extra").await?;
    for _ in 0..2 {
        stage.adit.kill().await?;
        stage.end_lease().await?;
        stage.adit.start()?;
        stage.wait_for_progress(WITHIN).await?;
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

async fn alter_ledger(stage: &Stage, change: &str) -> Result<()> {
    let sql = format!("alter table ledger {change}");
    match &stage.database {
        Database::Postgres(server) => server.exec(&sql).await,
        Database::Mysql(server) => server.exec_in("shop", &sql).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_consumers_delete_of_their_own_is_no_matter() -> Result<()> {
    let options = options()?;
    let mut stage = set(Nats::builder(nats::Version::V2_15), &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    let jetstream = stage.nats.jetstream().await?;
    let stream = jetstream.get_stream(STREAM).await?;
    let consumer = pull::Config {
        durable_name: Some("theirs".to_owned()),
        ..pull::Config::default()
    };
    stream.create_consumer(consumer).await?;
    let bucket = kv::Config {
        bucket: "theirs".to_owned(),
        ..kv::Config::default()
    };
    jetstream.create_key_value(bucket).await?;
    stage.wait_for_progress(WITHIN).await?;
    stream.delete_consumer("theirs").await?;
    jetstream.delete_key_value("theirs").await?;
    stage.wait_for_progress(WITHIN).await?;
    stage.settle(workload, WITHIN).await?;
    let log = stage.adit.log();
    ensure!(!log.contains("WARN"), "it was some matter:\n{log}");
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_end_the_run() -> Result<()> {
    const ALLOWED: &str = "deny: \"nobody.knows\"";
    let options = options()?;
    let builder = Nats::builder(nats::Version::V2_15)
        .conf(&format!("authorization {{ users: [{{ user: adit, password: adit, permissions: {{ publish: {{ {ALLOWED} }} }} }}] }}"))
        .conf("no_auth_user: adit");
    let mut stage = set(builder, &options).await?;
    let workload = stage.write(&options);
    for (denied, words) in [
        ("cdc.>", "nats user may not publish to \"cdc.torture."),
        (
            "$KV.adit_checkpoints.>",
            "nats user may not publish to \"$KV.adit_checkpoints.torture\"",
        ),
        (
            "$JS.API.>",
            "nats user may not publish to \"$JS.API.STREAM.INFO.CDC_TORTURE\"",
        ),
    ] {
        stage.adit.start()?;
        stage.wait_for_progress(WITHIN).await?;
        let denied = format!("deny: {denied:?}");
        stage.nats.reload(ALLOWED, &denied).await?;
        gives_up(&mut stage, words).await?;
        stage.nats.reload(&denied, ALLOWED).await?;
    }
    stage.adit.start()?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

/// Who stands still.
#[derive(Debug, Clone, Copy)]
enum Still {
    Broker,
    Database,
}

/// All at the same time: they only wait.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_stand_still_for_90_seconds_are_waited_for() -> Result<()> {
    try_join!(
        stands_still(POSTGRES, Still::Broker),
        stands_still(POSTGRES, Still::Database),
        stands_still(MYSQL, Still::Database),
    )?;
    Ok(())
}

async fn stands_still(kind: Kind, still: Still) -> Result<()> {
    let options = options()?;
    let mut stage = Stage::set(kind, nats::Version::V2_15, &options).await?;
    let workload = stage.write(&options);
    stage.adit.start()?;
    stage.wait_for_progress(WITHIN).await?;
    match still {
        Still::Broker => stage.nats.pause().await?,
        Still::Database => stage.database.pause().await?,
    }
    sleep(PAUSE).await;
    match still {
        Still::Broker => stage.nats.resume().await?,
        Still::Database => stage.database.resume().await?,
    }
    let memory = stage.adit.memory_peak()?;
    ensure!(memory <= MEMORY_MAX, "{memory} bytes of memory");
    let goes_on = stage.wait_for_progress(WITHIN).await;
    goes_on.with_context(|| format!("{kind}, {still:?}"))?;
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

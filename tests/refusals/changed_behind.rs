//! What somebody changed behind adit's back, so that going on could lose or repeat events; and what it copes with.

use std::process::Command;

use adit_lab::{Postgres, pg};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::{Adit, create_database, shared_nats, shared_postgres};

/// A connector that has delivered an event and was stopped.
async fn stopped(name: &str) -> Result<Adit> {
    let mut adit = Adit::shared(name).await?;
    adit.delivers(shared_postgres().await?, "before").await?;
    adit.stop().await?;
    Ok(adit)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_behind_the_same_name_is_refused_and_left_alone() -> Result<()> {
    let mut adit = stopped("other_server").await?;
    // Not of the same version: the lab's servers of one version are copies of one cluster.
    let other = Postgres::start(pg::Version::V18).await?;
    create_database(&other, "other_server").await?;
    adit.source = format!("postgres://postgres@{}/other_server", other.addr());
    adit.is_refused(&[
        "not the database that the checkpoint speaks of",
        "system identifier",
        "source.url",
    ])
    .await?;
    let client = other.client("other_server").await?;
    let row = client
        .query_one("select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots)", &[])
        .await?;
    ensure!(
        row.get::<_, i64>(0) == 0,
        "something was created on the wrong server"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_dropped_meanwhile_is_refused() -> Result<()> {
    let mut adit = stopped("dropped_slot").await?;
    let postgres = shared_postgres().await?;
    postgres
        .exec("select pg_drop_replication_slot('adit_dropped_slot')")
        .await?;
    adit.insert(postgres, "lost").await?;
    adit.is_refused(&[
        "\"adit_dropped_slot\" does not exist any more",
        "when_needed",
        "adit drop",
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_moved_on_meanwhile_is_refused() -> Result<()> {
    let mut adit = stopped("moved_slot").await?;
    let postgres = shared_postgres().await?;
    adit.insert(postgres, "lost").await?;
    let sql = "select pg_replication_slot_advance('adit_moved_slot', pg_current_wal_lsn())";
    postgres.exec_in("moved_slot", sql).await?;
    adit.is_refused(&[
        "\"adit_moved_slot\" was moved to",
        "what lies between is lost",
        "when_needed",
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_set_back_is_refused() -> Result<()> {
    let mut postgres = Postgres::start(pg::Version::V17).await?;
    create_database(&postgres, "set_back").await?;
    let mut adit = Adit::new("set_back", postgres.addr(), shared_nats().await?.addr())?;
    adit.delivers(&postgres, "before").await?;
    adit.stop().await?;
    postgres.stop().await?;
    let data = postgres.data_dir();
    let older = data.with_file_name("older");
    copy(&data, &older)?;
    postgres.restart().await?;
    // More than what a start writes into the log.
    postgres
        .exec_in(
            "set_back",
            "insert into t (v) select repeat('x', 1000) from generate_series(1, 2000)",
        )
        .await?;
    adit.delivers(&postgres, "published, then undone").await?;
    adit.stop().await?;
    postgres.stop().await?;
    std::fs::remove_dir_all(&data)?;
    std::fs::rename(&older, &data)?;
    postgres.restart().await?;
    adit.is_refused(&[
        "the database has lost changes that are published",
        "restored from a backup",
    ])
    .await
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "cp: {copied}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_meanwhile_is_refused() -> Result<()> {
    let mut adit = stopped("deleted_stream").await?;
    shared_nats()
        .await?
        .jetstream()
        .await?
        .delete_stream(adit.stream())
        .await?;
    adit.is_refused(&["the stream was deleted or created anew", "adit drop"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_under_us_ends_the_run() -> Result<()> {
    let mut adit = Adit::shared("deleted_now").await?;
    let postgres = shared_postgres().await?;
    adit.delivers(postgres, "before").await?;
    shared_nats()
        .await?
        .jetstream()
        .await?
        .delete_stream(adit.stream())
        .await?;
    adit.insert(postgres, "homeless").await?;
    adit.ends()
        .await?
        .paragraph(1, &["\"CDC_DELETED_NOW\" does not exist any more"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_stream_goes_on_where_it_was() -> Result<()> {
    let mut adit = stopped("purged").await?;
    let broker = shared_nats().await?.jetstream().await?;
    let mut stream = broker.get_stream(adit.stream()).await?;
    let last = stream.info().await?.state.last_sequence;
    stream.purge().await?;
    let postgres = shared_postgres().await?;
    adit.insert(postgres, "after").await?;
    adit.start()?;
    adit.arrives("after").await?;
    let state = stream.info().await?.state.clone();
    ensure!(
        (state.first_sequence, state.last_sequence) == (last + 1, last + 1),
        "{state:?} after {last}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_somebody_else_in_the_stream_is_refused() -> Result<()> {
    let mut adit = stopped("foreign").await?;
    let broker = shared_nats().await?.jetstream().await?;
    let foreign = || broker.publish("cdc.foreign.public.t", "{}".into());
    foreign().await?.await?;
    adit.is_refused(&["was not written by this connector", "one writer"])
        .await?;

    let mut adit = Adit::shared("foreign_now").await?;
    let postgres = shared_postgres().await?;
    adit.delivers(postgres, "before").await?;
    let published = broker
        .publish("cdc.foreign_now.public.t", "{}".into())
        .await?;
    published.await?;
    adit.insert(postgres, "behind it").await?;
    adit.ends().await?.paragraph(
        1,
        &[
            "was written by somebody else",
            "one connector writes to one stream",
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_stands_by_and_takes_over() -> Result<()> {
    let mut first = Adit::shared("twins").await?;
    let postgres = shared_postgres().await?;
    first.delivers(postgres, "by the first").await?;
    let mut second = first.second()?;
    second.start()?;
    second.says(&["standing by"]).await?;
    first.kill().await?;
    first.insert(postgres, "by the second").await?;
    second.says(&["taking over", "replication started"]).await?;
    second.arrives("by the second").await
}

/// Changes what the checkpoint of a connector says, or removes it.
async fn edit_checkpoint(name: &str, edit: impl FnOnce(&mut Value) -> bool) -> Result<()> {
    let store = shared_nats().await?.jetstream().await?;
    let store = store.get_key_value("adit_checkpoints").await?;
    let bytes = store.get(name).await?.context("no checkpoint")?;
    let mut checkpoint = serde_json::from_slice(&bytes)?;
    if edit(&mut checkpoint) {
        store
            .put(name, serde_json::to_vec(&checkpoint)?.into())
            .await?;
    } else {
        store.purge(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_purged_beyond_the_checkpoint_is_refused() -> Result<()> {
    let mut adit = stopped("purged_far").await?;
    // As if adit had been killed before it stored its last checkpoint.
    edit_checkpoint("purged_far", |checkpoint| {
        if let Some(seq) = checkpoint.get_mut("seq") {
            *seq = (seq.as_u64().unwrap_or_default() - 1).into();
        }
        true
    })
    .await?;
    let broker = shared_nats().await?.jetstream().await?;
    broker.get_stream(adit.stream()).await?.purge().await?;
    adit.is_refused(&[
        "were purged or deleted behind this connector",
        "--accept-truncated-stream",
    ])
    .await
}

/// The stream's end alone does not tell that nothing lies between it and where the slot stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_is_refused_once_the_slot_has_moved_on() -> Result<()> {
    let mut adit = stopped("lost_checkpoint").await?;
    edit_checkpoint("lost_checkpoint", |_| false).await?;
    adit.is_refused(&[
        "\"adit_lost_checkpoint\" was moved to",
        "when_needed",
        "adit drop",
    ])
    .await
}

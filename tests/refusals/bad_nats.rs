//! What can be wrong with NATS.

use adit_lab::{Nats, Proxy, nats};
use anyhow::Result;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};

use crate::support::{Adit, SECRET, create_database, shared_nats, shared_postgres};

/// A connector from the shared database server to a broker of its own.
async fn with_broker(name: &str, broker: &Nats) -> Result<Adit> {
    let postgres = shared_postgres().await?;
    create_database(postgres, name).await?;
    Adit::new(name, postgres.addr(), broker.addr())
}

/// A connector whose stream exists already, and is like that.
async fn with_stream(name: &str, config: Config) -> Result<Adit> {
    let adit = Adit::shared(name).await?;
    let config = Config {
        name: adit.stream(),
        ..config
    };
    shared_nats()
        .await?
        .jetstream()
        .await?
        .create_stream(config)
        .await?;
    Ok(adit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_is_tried_again_until_it_is_up() -> Result<()> {
    let mut adit = Adit::shared("nats_down").await?;
    let broker = shared_nats().await?;
    let mut proxy = Proxy::start(broker.addr()).await?;
    proxy.refuse(true).await?;
    adit.nats = format!("nats://{}", proxy.addr());
    adit.check().await?.with(1, &["cannot connect to nats"])?;
    adit.start()?;
    adit.says(&["cannot connect to nats", "retry_in_ms"])
        .await?;
    proxy.refuse(false).await?;
    adit.says(&["replication started"]).await?;
    adit.insert(shared_postgres().await?, "healed").await?;
    adit.arrives_at("healed", &broker.client().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_nats_password_is_refused() -> Result<()> {
    let broker = Nats::builder(nats::Version::V2_15)
        .conf("authorization { user: adit, password: right }")
        .start()
        .await?;
    let mut adit = with_broker("nats_password", &broker).await?;
    adit.nats = format!("nats://adit:{SECRET}@{}", broker.addr());
    adit.is_refused(&["refused the login", "check user and password"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_jetstream_is_refused() -> Result<()> {
    let broker = Nats::builder(nats::Version::V2_15)
        .without_jetstream()
        .start()
        .await?;
    let mut adit = with_broker("no_jetstream", &broker).await?;
    adit.is_refused(&["jetstream is not enabled on the server", "-js"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_jetstream_is_refused() -> Result<()> {
    let broker = Nats::builder(nats::Version::V2_15)
        .conf("accounts {\nA { users: [{user: adit, password: right}] }\nB { jetstream: enabled, users: [{user: b, password: b}] }\n}")
        .start()
        .await?;
    let mut adit = with_broker("no_account", &broker).await?;
    adit.nats = format!("nats://adit:right@{}", broker.addr());
    adit.is_refused(&["jetstream is not enabled for the account"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_other_subjects_is_refused() -> Result<()> {
    let config = Config {
        subjects: vec!["orders.>".to_owned()],
        ..Config::default()
    };
    let mut adit = with_stream("other_subjects", config).await?;
    adit.is_refused(&[
        "does not take the subjects cdc.other_subjects.",
        "nats.subject",
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_discards_is_refused() -> Result<()> {
    let config = Config {
        subjects: vec!["cdc.discards.>".to_owned()],
        max_messages: 1000,
        discard: DiscardPolicy::Old,
        ..Config::default()
    };
    let mut adit = with_stream("discards", config).await?;
    adit.is_refused(&["throws the oldest events away", "set discard to new"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_memory_is_refused() -> Result<()> {
    let config = Config {
        subjects: vec!["cdc.in_memory.>".to_owned()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    let mut adit = with_stream("in_memory", config).await?;
    adit.is_refused(&["is kept in memory", "use storage file"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_of_another_stream_are_refused() -> Result<()> {
    let mut adit = Adit::shared("overlap").await?;
    let config = Config {
        name: "OTHER_OVERLAP".to_owned(),
        subjects: vec!["cdc.overlap.>".to_owned()],
        ..Config::default()
    };
    shared_nats()
        .await?
        .jetstream()
        .await?
        .create_stream(config)
        .await?;
    adit.is_refused(&["cannot be created", "nats.subject"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_publish_is_refused() -> Result<()> {
    let broker = Nats::builder(nats::Version::V2_15)
        .conf("authorization { users: [{ user: adit, password: right, permissions: { publish: { deny: \"cdc.>\" } } }] }")
        .start()
        .await?;
    let mut adit = with_broker("no_publish", &broker).await?;
    adit.nats = format!("nats://adit:right@{}", broker.addr());
    adit.is_refused(&["may not publish to \"cdc.", "permissions"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_ask_jetstream_is_refused() -> Result<()> {
    let broker = Nats::builder(nats::Version::V2_15)
        .conf("authorization { users: [{ user: adit, password: right, permissions: { publish: { deny: \"$JS.API.STREAM.>\" } } }] }")
        .start()
        .await?;
    let mut adit = with_broker("no_api", &broker).await?;
    adit.nats = format!("nats://adit:right@{}", broker.addr());
    adit.is_refused(&["may not publish to \"$JS.API.STREAM.INFO."])
        .await
}

//! Each server of the lab in each version: it starts, keeps what was written, and comes back after being killed.

use std::time::Duration;

use adit_lab::{Nats, Postgres, nats, pg, wait_for};
use anyhow::{Context, Result};
use async_nats::jetstream::stream;

#[tokio::test]
async fn postgres_of_every_version_starts_and_keeps_its_rows_through_kill_and_stop() -> Result<()> {
    for version in pg::VERSIONS {
        let mut server = Postgres::start(version).await?;
        let client = server.client("postgres").await?;
        let row = client.query_one("select version()", &[]).await?;
        let text: String = row.get(0);
        assert!(
            text.starts_with(&format!("PostgreSQL {version}.")),
            "{text}"
        );
        server
            .exec("create table t (id int); insert into t values (1), (2)")
            .await?;

        server.kill().await?;
        assert!(client.simple_query("select 1").await.is_err());
        assert!(server.client("postgres").await.is_err());
        server.restart().await?;
        assert_eq!(count(&server).await?, 2);

        server.exec("insert into t values (3)").await?;
        server.stop().await?;
        server.restart().await?;
        assert_eq!(count(&server).await?, 3);
    }
    Ok(())
}

async fn count(server: &Postgres) -> Result<i64> {
    let client = server.client("postgres").await?;
    Ok(client
        .query_one("select count(*) from t", &[])
        .await?
        .get(0))
}

#[tokio::test]
async fn nats_of_every_version_starts_and_keeps_its_messages_through_kill_and_stop() -> Result<()> {
    for version in nats::VERSIONS {
        let mut server = Nats::start(version).await?;
        let client = server.client().await?;
        assert!(
            client
                .server_info()
                .version
                .starts_with(&version.to_string())
        );
        let jetstream = server.jetstream().await?;
        jetstream
            .create_stream(stream::Config {
                name: "t".to_owned(),
                subjects: vec!["t.>".to_owned()],
                ..Default::default()
            })
            .await?;
        jetstream.publish("t.1", "one".into()).await?.await?;
        jetstream.publish("t.2", "two".into()).await?.await?;

        server.kill().await?;
        server.restart().await?;
        let jetstream = server.jetstream().await?;
        let stream = jetstream.get_stream("t").await?;
        assert_eq!(
            stream.get_last_raw_message_by_subject("t.2").await?.payload,
            "two"
        );
        jetstream.publish("t.3", "three".into()).await?.await?;

        server.stop().await?;
        server.restart().await?;
        let mut stream = server.jetstream().await?.get_stream("t").await?;
        assert_eq!(stream.info().await?.state.messages, 3);
    }
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_goes_on() -> Result<()> {
    let server = Postgres::start(pg::Version::V17).await?;
    let client = server.client("postgres").await?;
    server.pause().await?;
    let query = client.simple_query("select 1");
    tokio::pin!(query);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut query).await;
    assert!(early.is_err());
    server.resume().await?;
    query.await?;

    let server = Nats::start(nats::Version::V2_12).await?;
    let client = server.client().await?;
    server.pause().await?;
    let early = tokio::time::timeout(Duration::from_millis(200), client.flush()).await;
    assert!(early.is_ok(), "a flush only writes");
    server.resume().await?;
    wait_for(
        "the server to answer",
        Duration::from_secs(10),
        async || {
            server.client().await?;
            Ok(true)
        },
    )
    .await
}

#[tokio::test]
async fn a_setting_that_postgres_refuses_is_an_error_with_its_log() -> Result<()> {
    let started = Postgres::builder(pg::Version::V17)
        .conf("wal_level", "nonsense")
        .start()
        .await;
    let error = format!("{:#}", started.err().context("it must not start")?);
    assert!(error.contains("wal_level"), "{error}");
    Ok(())
}

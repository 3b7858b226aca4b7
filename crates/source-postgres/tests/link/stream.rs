//! The link in CopyBoth mode.

use std::time::Duration;

use adit_lab::tls::Names;
use adit_lab::{Postgres, pg};
use adit_source_postgres::config::ConnectConfig;
use adit_source_postgres::link::{ConnectError, Frame, ReplicationLink};
use anyhow::{Result, bail};

use crate::support::{Seen, status_update, with_deadline};

const START: &str =
    "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')";

#[tokio::test]
async fn frames_arrive_while_status_updates_are_sent() -> Result<()> {
    const ROWS: usize = 20_000;
    let server = Postgres::builder(pg::Version::V17)
        .tls(Names::Right)
        .conf("wal_sender_timeout", "2s")
        .start()
        .await?;
    server
        .exec("create table t (id int primary key, note text); create publication p for table t")
        .await?;
    let url = format!("{}?sslmode=require", server.url("postgres"));
    let mut link = ReplicationLink::connect(&url.parse()?, &[]).await?;
    link.simple_query("CREATE_REPLICATION_SLOT s LOGICAL pgoutput")
        .await?;
    server
        .exec(&format!(
            "insert into t select i, repeat('x', i % 500) from generate_series(1, {ROWS}) i"
        ))
        .await?;
    // One message of 30 MB: far longer than the buffer.
    server
        .exec("insert into t values (0, repeat('long', 7500000))")
        .await?;

    let (mut reader, mut writer) = link.start_copy_both(START).await?;
    let updates = tokio::spawn(async move {
        for _ in 0..2000 {
            writer.send_copy_data(&status_update(0)).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, ConnectError>(writer)
    });
    let mut seen = Seen::default();
    while seen.commits < 2 {
        let mut next = with_deadline(reader.next()).await??;
        while let Some(frame) = next {
            let Frame::CopyData(payload) = frame else {
                bail!("{frame:?}")
            };
            seen.count(&payload);
            next = reader.try_next_buffered()?;
        }
    }
    assert_eq!(seen.inserts, ROWS + 1);
    assert!(seen.longest > 30_000_000);

    // Nobody reads for longer than wal_sender_timeout; the status updates keep the session.
    let mut writer = updates.await??;
    let observer = server.client("postgres").await?;
    let end = tokio::time::Instant::now() + Duration::from_secs(3);
    let mut pulse = tokio::time::interval(Duration::from_millis(200));
    while tokio::time::Instant::now() < end {
        pulse.tick().await;
        writer.send_copy_data(&status_update(seen.last_lsn)).await?;
    }
    let confirmed: i64 = observer
        .query_one(
            "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where active",
            &[],
        )
        .await?
        .try_get(0)?;
    assert_eq!(u64::try_from(confirmed)?, seen.last_lsn);

    // A reader that is cancelled loses nothing, and the stream ends in order.
    writer.copy_done().await?;
    loop {
        match tokio::time::timeout(Duration::from_micros(50), reader.next()).await {
            Err(_) | Ok(Ok(Some(Frame::CopyData(_)))) => {}
            Ok(Ok(Some(Frame::CopyDone))) => break,
            other => bail!("{other:?}"),
        }
    }
    assert_eq!(with_deadline(reader.next()).await??, None);
    writer.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_is_a_transient_error() -> Result<()> {
    for kill in [true, false] {
        let mut server = Postgres::start(pg::Version::V17).await?;
        server.exec("create publication p").await?;
        let config: ConnectConfig = server.url("postgres").parse()?;
        let mut link = ReplicationLink::connect(&config, &[]).await?;
        link.simple_query("CREATE_REPLICATION_SLOT s LOGICAL pgoutput")
            .await?;
        let (mut reader, _writer) = link.start_copy_both(START).await?;

        let second = ReplicationLink::connect(&config, &[]).await?;
        let error = second
            .start_copy_both(START)
            .await
            .expect_err("the slot is taken");
        assert_eq!(error.sqlstate(), Some("55006"));
        assert!(error.is_transient());

        let end = async {
            if kill {
                server.kill().await
            } else {
                server
                    .exec("select pg_terminate_backend(active_pid) from pg_replication_slots")
                    .await
            }
        };
        let read = async {
            loop {
                match reader.next().await {
                    Ok(Some(Frame::CopyData(_))) => {}
                    Ok(other) => bail!("{other:?}"),
                    Err(error) => return Ok(error),
                }
            }
        };
        let (ended, error) = with_deadline(async { tokio::join!(end, read) }).await?;
        ended?;
        let error = error?;
        assert!(error.is_transient(), "{error:?}");
        assert_eq!(error.sqlstate(), (!kill).then_some("57P01"), "{error:?}");
    }
    Ok(())
}

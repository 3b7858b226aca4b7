//! Transactions that become visible as a whole.

mod support;

use std::time::Duration;

use adit_lab::nats::Version;
use adit_lab::{Nats, wait_for};
use adit_pipeline::Sink as _;
use adit_sink_nats::NatsConfig;
use anyhow::{Context as _, Result, ensure};
use support::{
    Messages, STREAM, WITHIN, chain, check_stream, config, connect, publish_through, sink,
};
use tokio::time::timeout;

/// Servers that know atomic batches. They store all of a batch or nothing; who reads meanwhile may get its first messages a moment
/// before its last ones are stored.
const VERSIONS: [Version; 2] = [Version::V2_12, Version::V2_15];
/// The lengths of transactions, again and again. Only the last is too large to become visible as a whole.
const LENGTHS: [u64; 7] = [1, 3, 40, 2, 999, 1000, 1500];
const ROUND: u64 = 1 + 3 + 40 + 2 + 999 + 1000 + 1500;
const LAST: u64 = ROUND * 8;
const KILLS: u64 = 6;

fn atomic(url: &str) -> NatsConfig {
    let mut config = config(url);
    config.atomic_transactions = true;
    config
}

/// Where a message is: its transaction's length, and its last message.
fn place(seq: u64) -> (u64, u64) {
    let mut rest = (seq - 1) % ROUND + 1;
    for length in LENGTHS {
        if rest <= length {
            return (length, seq + length - rest);
        }
        rest -= length;
    }
    unreachable!("the lengths add up to a round");
}

fn messages() -> Messages {
    let mut messages = Messages::new("orders", |_| 200);
    messages.last = |seq| place(seq).1 == seq;
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_all_lengths_arrive() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&atomic(&server.url())).await?;
        let run = timeout(WITHIN, publish_through(&mut sink, &messages(), LAST)).await??;
        ensure!(run.failures.is_empty(), "{version}: {:?}", run.failures);
        check_stream(&server.jetstream().await?, LAST).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_a_publisher_that_are_killed_leave_no_half_transaction() -> Result<()> {
    for version in VERSIONS {
        let mut server = Nats::start(version).await?;
        for at in (1..=KILLS).map(|step| step * LAST / (KILLS + 1)) {
            let config = atomic(&server.url());
            let publishing = tokio::spawn(async move {
                let mut sink = sink(&config).await?;
                anyhow::Ok(publish_through(&mut sink, &messages(), LAST).await?)
            });
            let js = server.jetstream().await?;
            wait_for("enough messages", WITHIN, async || {
                let stream = js.get_stream(STREAM).await;
                Ok(stream.is_ok_and(|stream| stream.cached_info().state.last_sequence >= at))
            })
            .await?;
            server.kill().await?;
            publishing.abort();
            server.restart().await?;
            let js = server.jetstream().await?;
            let last = js
                .get_stream(STREAM)
                .await?
                .cached_info()
                .state
                .last_sequence;
            let (length, end) = place(last);
            ensure!(
                length > 1000 || last == end,
                "{version}: the stream ends with {last}, in the midst of a transaction up to {end}"
            );
        }
        let mut sink = sink(&atomic(&server.url())).await?;
        timeout(WITHIN, publish_through(&mut sink, &messages(), LAST)).await??;
        check_stream(&server.jetstream().await?, LAST).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_never_ends_is_never_seen() -> Result<()> {
    let server = Nats::start(Version::V2_12).await?;
    let mut sink = sink(&atomic(&server.url())).await?;
    let messages = messages();
    connect(&mut sink).await?;
    // The first transaction, and two messages of the second, which has three.
    for seq in 1..=3 {
        messages.publish(&mut sink, seq)?;
    }
    ensure!(
        timeout(WITHIN, sink.next()).await?? == 1,
        "not the first alone"
    );
    let more = timeout(Duration::from_millis(300), sink.next()).await;
    ensure!(more.is_err(), "{more:?}");
    messages.publish(&mut sink, 4)?;
    ensure!(timeout(WITHIN, sink.next()).await?? == 4, "not the second");
    check_stream(&server.jetstream().await?, 4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_no_batches_is_refused() -> Result<()> {
    let old = Nats::start(Version::V2_10).await?;
    let error = connect(&mut sink(&atomic(&old.url())).await?).await;
    let error = error.err().context("an old server was taken")?;
    ensure!(chain(&error).contains("NATS 2.12"), "{}", chain(&error));

    let server = Nats::start(Version::V2_15).await?;
    connect(&mut sink(&config(&server.url())).await?).await?;
    let error = connect(&mut sink(&atomic(&server.url())).await?).await;
    let error = error.err().context("the stream was taken")?;
    ensure!(chain(&error).contains("allow_atomic"), "{}", chain(&error));
    Ok(())
}

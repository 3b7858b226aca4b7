//! What the stream holds after everything that can go wrong on the way: 1 to N, in order, each once.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_lab::nats::{VERSIONS, Version};
use adit_lab::{Direction, Nats, Proxy, wait_for};
use adit_pipeline::Sink;
use adit_sink_nats::Error;
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use support::{Messages, STREAM, WITHIN, check_stream, config, connect, publish_through, sink};
use tokio::time::timeout;

fn small(_: u64) -> usize {
    200
}

/// Mostly small, now and then one that fills packets, chunks or the whole window.
fn mixed(seq: u64) -> usize {
    match seq {
        seq if seq.is_multiple_of(4999) => 700_000,
        seq if seq.is_multiple_of(497) => 20_000,
        seq => 20 + usize::from(seq.to_le_bytes()[0]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_arrive_in_order_on_every_version() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&config(&server.url())).await?;
        let messages = Messages::new("orders", small);
        let run = timeout(WITHIN, publish_through(&mut sink, &messages, 100_000)).await??;
        assert!(run.failures.is_empty(), "{version}: {:?}", run.failures);
        check_stream(&server.jetstream().await?, 100_000).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_message_is_acknowledged_at_once() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&config(&server.url())).await?;
        let messages = Messages::new("orders", small);
        let tail = connect(&mut sink).await?;
        assert_eq!((tail.seq, tail.message), (0, None));
        for seq in 1..=50 {
            messages.publish(&mut sink, seq)?;
            assert_eq!(timeout(WITHIN, sink.next()).await??, seq);
        }
        assert_eq!(sink.in_flight(), (0, 0));
        check_stream(&server.jetstream().await?, 50).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_goes_on_behind_the_tail() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let messages = Messages::new("orders", small);
        for through in [700, 1400] {
            let mut sink = sink(&config(&server.url())).await?;
            publish_through(&mut sink, &messages, through).await?;
        }
        let mut sink = sink(&config(&server.url())).await?;
        let tail = connect(&mut sink).await?;
        let message = tail.message.unwrap();
        assert_eq!((tail.seq, message.seq, message.n), (1400, 1400, Some(2400)));
        assert_eq!(
            message.position.unwrap().as_str(),
            "0000000001A2B3C8-00000578"
        );
        check_stream(&server.jetstream().await?, 1400).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_flight_leaves_neither_hole_nor_duplicate() -> Result<()> {
    const LAST: u64 = 40_000;
    for version in VERSIONS {
        let mut server = Nats::start(version).await?;
        let config = config(&server.url());
        let publishing = tokio::spawn(async move {
            let mut sink = sink(&config).await?;
            let messages = Messages::new("orders", small);
            anyhow::Ok(publish_through(&mut sink, &messages, LAST).await?)
        });
        let mut kills = 0;
        for at in (1..4).map(|step| step * LAST / 5) {
            let js = server.jetstream().await?;
            wait_for("enough messages", WITHIN, async || {
                let stream = js.get_stream(STREAM).await?;
                Ok(stream.get_info().await?.state.last_sequence >= at)
            })
            .await?;
            server.kill().await?;
            server.restart().await?;
            kills += 1;
        }
        let run = timeout(WITHIN, publishing).await???;
        assert!(
            !run.failures.is_empty() && kills == 3,
            "{version}: nothing was hit"
        );
        check_stream(&server.jetstream().await?, LAST).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_again_and_again_leaves_neither_hole_nor_duplicate() -> Result<()> {
    const LAST: u64 = 30_000;
    const SEED: u64 = 7;
    for version in VERSIONS {
        let mut random = StdRng::seed_from_u64(SEED);
        let server = Nats::start(version).await?;
        let proxy = Proxy::start(server.addr()).await?;
        let mut config = config(&format!("nats://{}", proxy.addr()));
        config.window_messages = 1500;
        let mut sink = sink(&config).await?;
        let messages = Messages::new("orders", mixed);
        let made = Arc::clone(&messages.made);
        let publishing =
            tokio::spawn(async move { publish_through(&mut sink, &messages, LAST).await });
        let mut next_cut = 500;
        while !publishing.is_finished() {
            if made.load(Ordering::Relaxed) >= next_cut {
                // In the middle of a message, of a reply, of the recovery: wherever it falls.
                let (direction, bytes) = match random.random_range(0..3) {
                    0 => (Direction::ToClient, random.random_range(1..2_000)),
                    1 => (Direction::ToServer, random.random_range(1..5_000)),
                    _ => (Direction::ToServer, random.random_range(1..400_000)),
                };
                proxy.drop_after(direction, bytes);
                next_cut += random.random_range(500..2500);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let run = publishing.await??;
        assert!(
            run.failures.len() >= 5,
            "{version}: only {:?}",
            run.failures
        );
        check_stream(&server.jetstream().await?, LAST).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_acknowledgements_do_not_repeat_anything() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let proxy = Proxy::start(server.addr()).await?;
        let mut sink = sink(&config(&format!("nats://{}", proxy.addr()))).await?;
        let messages = Messages::new("orders", small);
        sink.connect().await?;
        for seq in 1..=1000 {
            messages.publish(&mut sink, seq)?;
        }
        proxy.stall(Direction::ToClient);
        let error = sink.next().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let js = server.jetstream().await?;
        wait_for("the messages", WITHIN, async || {
            Ok(js
                .get_stream(STREAM)
                .await?
                .get_info()
                .await?
                .state
                .last_sequence
                == 1000)
        })
        .await?;
        proxy.resume();
        proxy.cut();
        let tail = connect(&mut sink).await?;
        assert_eq!(tail.seq, 1000);
        sink.resume(tail.seq);
        assert_eq!(sink.in_flight().0, 0);
        publish_through(&mut sink, &messages, 1500).await?;
        check_stream(&js, 1500).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_in_the_place_of_ours_stops_us_even_where_later_ones_fit_behind_it()
-> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&config(&server.url())).await?;
        let messages = Messages::new("orders", small);
        publish_through(&mut sink, &messages, 100).await?;
        let js = server.jetstream().await?;
        js.publish("cdc.shop.public.orders", "not ours".into())
            .await?
            .await?;
        for seq in 101..=2000 {
            messages.publish(&mut sink, seq)?;
        }
        let error = sink.next().await.unwrap_err();
        assert!(matches!(error, Error::ChainBroken { .. }), "{error}");
        let error = connect(&mut sink).await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, Error::Fenced { sequence: 101, .. }),
            "{text}"
        );
        assert!(
            text.contains("one connector writes to one stream"),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_connector_leave_an_exact_stream() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let config = config(&server.url());
        let publish = |config: adit_sink_nats::NatsConfig| async move {
            let mut sink = sink(&config).await?;
            let messages = Messages::new("orders", small);
            anyhow::Ok(publish_through(&mut sink, &messages, 30_000).await)
        };
        let first = tokio::spawn(publish(config.clone()));
        let second = tokio::spawn(publish(config.clone()));
        for run in [first.await??, second.await??] {
            assert!(matches!(run, Ok(_) | Err(Error::Fenced { .. })), "{run:?}");
        }
        // Who was fenced is started again by whoever runs it.
        publish(config).await??;
        check_stream(&server.jetstream().await?, 30_000).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_pauses_publishing_until_there_is_room() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&config(&server.url())).await?;
        let messages = Messages::new("orders", small);
        sink.connect().await?;
        let js = server.jetstream().await?;
        let mut limited = js.get_stream(STREAM).await?.get_info().await?.config;
        limited.max_messages = 150;
        js.update_stream(limited.clone()).await?;
        let mut publishing = tokio::spawn(async move {
            let run = publish_through(&mut sink, &messages, 3000).await;
            run.map(|run| run.failures)
        });
        wait_for("a full stream", WITHIN, async || {
            Ok(js
                .get_stream(STREAM)
                .await?
                .get_info()
                .await?
                .state
                .last_sequence
                == 150)
        })
        .await?;
        assert!(
            timeout(Duration::from_millis(300), &mut publishing)
                .await
                .is_err()
        );
        limited.max_messages = -1;
        js.update_stream(limited).await?;
        let failures = timeout(WITHIN, publishing).await???;
        let full = failures
            .iter()
            .any(|error| matches!(error, Error::Full { .. }));
        assert!(full, "{version}: {failures:?}");
        check_stream(&js, 3000).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_and_a_slow_line_only_delay() -> Result<()> {
    let server = Nats::start(Version::V2_15).await?;
    let proxy = Proxy::start(server.addr()).await?;
    let mut sink = sink(&config(&format!("nats://{}", proxy.addr()))).await?;
    let messages = Messages::new("orders", small);
    publish_through(&mut sink, &messages, 1000).await?;
    server.pause().await?;
    let mut publishing = tokio::spawn(async move {
        let run = publish_through(&mut sink, &messages, 5000).await;
        run.map(|_| (sink, messages))
    });
    assert!(
        timeout(Duration::from_secs(3), &mut publishing)
            .await
            .is_err()
    );
    server.resume().await?;
    let (mut sink, messages) = timeout(WITHIN, publishing).await???;
    proxy.throttle(Some(1_000_000));
    let run = timeout(WITHIN, publish_through(&mut sink, &messages, 15_000)).await??;
    assert!(run.failures.is_empty(), "{:?}", run.failures);
    check_stream(&server.jetstream().await?, 15_000).await?;
    Ok(())
}

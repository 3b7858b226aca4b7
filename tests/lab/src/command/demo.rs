//! `cargo lab demo`: the whole way of an event, to look at.

use std::fs;
use std::io::IsTerminal as _;
use std::time::Duration;

use adit_lab::{Daemon, Nats, Postgres, nats, pg, wait_for};
use anyhow::{Context, Result, bail};
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::cargo::{self, Profile};
use crate::demo::line::Event;
use crate::demo::shop::{self, Shop};

/// Time for adit to publish something; a crowded machine needs some of it.
const FIRST_WITHIN: Duration = Duration::from_secs(60);
/// Time for the last event to arrive after the last change.
const LAST_WITHIN: Duration = Duration::from_secs(30);
/// Time for adit to stop: it gives itself ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How often somebody looks whether adit still runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const STREAM: &str = "CDC_SHOP";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// End by itself after this time, like 20s or 2m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Do not show the events, only what came of them
    #[arg(long)]
    quiet: bool,
    /// The major version of PostgreSQL: 13, 15, 17, 18
    #[arg(long, default_value = "17")]
    pg: pg::Version,
    /// The version of NATS: 2.10, 2.12, 2.15
    #[arg(long, default_value = "2.15")]
    nats: nats::Version,
}

/// What arrived.
#[derive(Debug, Default)]
struct Arrived {
    changes: u64,
    others: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    println!("building adit (debug: quick to build, not quick to run) …");
    let program = cargo::build("adit", Profile::Debug)?;
    println!(
        "starting PostgreSQL {} and NATS {}; the first time they are fetched …",
        arguments.pg, arguments.nats
    );
    let postgres = Postgres::start(arguments.pg).await?;
    let nats = Nats::start(arguments.nats).await?;
    let shop = Shop::open(&postgres).await?;
    let mut adit = Daemon::new(
        "demo",
        &program,
        &["run", "--config", "adit.toml", "--log-format", "text"],
    )?;
    let configuration = adit.folder().join("adit.toml");
    let text = format!(
        "[[connector]]\nname = \"shop\"\nsource.url = \"{}\"\nnats.url = \"{}\"\n",
        postgres.url(shop::DATABASE),
        nats.url()
    );
    fs::write(&configuration, text)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stopped = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    tokio::pin!(stopped);
    adit.start()?;
    tokio::select! {
        () = &mut stopped => return Ok(()),
        opened = introduce(&arguments, &postgres, &nats, &mut adit) => opened?,
    }
    let mut events = events(&nats).await?;
    let mut arrived = Arrived::default();
    let closing = CancellationToken::new();
    let business = tokio::spawn(shop.run(closing.clone()));
    let end = arguments.time.map(|time| Instant::now() + time);
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            () = at(end) => break,
            _ = look.tick() => {
                alive(&mut adit)?;
                if business.is_finished() {
                    break;
                }
            }
            message = events.next() => show(message, &mut arrived, &arguments)?,
        }
    }
    closing.cancel();
    let changes = business.await.context("the shop panicked")??;
    let late = Instant::now() + LAST_WITHIN;
    while arrived.changes < changes {
        let Ok(message) = timeout_at(late, events.next()).await else {
            bail!(
                "the shop changed {changes} rows and only {} events of them arrived; adit says:\n{}",
                arrived.changes,
                adit.log()
            );
        };
        show(message, &mut arrived, &arguments)?;
    }
    let (status, _) = adit.stop(STOP_WITHIN).await?;
    if !status.success() {
        bail!("adit ended with {status}:\n{}", adit.log());
    }
    drop((events, adit, nats, postgres));
    conclude(changes, &arrived);
    Ok(())
}

/// Waits for adit to publish something, and tells what runs where.
async fn introduce(
    arguments: &Arguments,
    postgres: &Postgres,
    nats: &Nats,
    adit: &mut Daemon,
) -> Result<()> {
    let jetstream = nats.jetstream().await?;
    let first = async || {
        if adit.exited()?.is_some() {
            return Ok(true);
        }
        let stream = jetstream.get_stream(STREAM).await?;
        // What is there already comes first, so that whatever changes from now on is a change to adit too.
        Ok(stream.cached_info().state.messages > 0)
    };
    let waited = wait_for("adit's first event", FIRST_WITHIN, first).await;
    alive(adit)?;
    waited.with_context(|| format!("adit says:\n{}", adit.log()))?;
    let ending = match arguments.time {
        Some(time) => format!("ends after {time:?}, or with Ctrl-C"),
        None => "ends with Ctrl-C".to_owned(),
    };
    println!(
        "
  PostgreSQL   psql {}
  NATS         nats --server {} subscribe --stream {STREAM} 'cdc.shop.>'
  adit         its log is {}

A small shop does business. Change a row yourself, and see it arrive. All of this {ending}.
",
        postgres.url(shop::DATABASE),
        nats.url(),
        adit.log_path().display()
    );
    Ok(())
}

/// The events in the stream from the first one on, as any consumer gets them.
async fn events(nats: &Nats) -> Result<Ordered> {
    let stream = nats.jetstream().await?.get_stream(STREAM).await?;
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    Ok(consumer.messages().await?)
}

/// Counts an event, and shows it unless it is to be quiet.
fn show<E: std::error::Error + Send + Sync + 'static>(
    message: Option<Result<async_nats::jetstream::Message, E>>,
    arrived: &mut Arrived,
    arguments: &Arguments,
) -> Result<()> {
    let message = message
        .context("the consumer has ended")?
        .context("the consumer has failed")?;
    let event = Event::parse(&message.payload)?;
    if event.is_change() {
        arrived.changes += 1;
    } else {
        arrived.others += 1;
    }
    if !arguments.quiet {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        println!("{}", event.line(colour));
    }
    Ok(())
}

fn conclude(changes: u64, arrived: &Arrived) {
    println!(
        "
The shop changed {changes} rows; {} events of changes arrived, after {} of shapes and rows that were there before.
Everything is stopped and removed.

Your own servers: PostgreSQL with wal_level = logical, NATS with JetStream.
  cargo install --path .
  adit tail postgres://USER:PASSWORD@HOST:5432/DATABASE      just look; leaves nothing behind
  adit run --source postgres://USER:PASSWORD@HOST:5432/DATABASE --nats nats://HOST:4222",
        arrived.changes, arrived.others
    );
}

/// An error, with what it said, if adit has ended.
fn alive(adit: &mut Daemon) -> Result<()> {
    match adit.exited()? {
        Some(status) => bail!("adit ended with {status}:\n{}", adit.log()),
        None => Ok(()),
    }
}

/// At that moment, or never.
async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Reads a time like `90s`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u32 = digits
        .parse()
        .with_context(|| format!("{text:?} is no time: write it like 20s or 2m"))?;
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        _ => bail!("{text:?} has an unknown unit: use s, m or h"),
    };
    Ok(Duration::from_secs(u64::from(number) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs()).ok();
        assert_eq!(seconds("20s"), Some(20));
        assert_eq!(seconds("20"), Some(20));
        assert_eq!(seconds("2m"), Some(120));
        assert_eq!(seconds("1h"), Some(3_600));
        assert_eq!(seconds("2d"), None);
        assert_eq!(seconds("s"), None);
    }
}

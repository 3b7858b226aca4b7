//! `cargo lab demo`: the whole way of an event, to look at.

use std::fs;
use std::io::IsTerminal as _;
use std::time::Duration;

use adit_lab::{Daemon, Mysql, Nats, Postgres, mysql, nats, pg, wait_for};
use anyhow::{Context, Result, bail};
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::cargo::{self, Profile};
use crate::demo::line::Event;
use crate::demo::shop::{self, MysqlBooks, PostgresBooks};

/// Time for adit to publish something; a crowded machine needs some of it.
const FIRST_WITHIN: Duration = Duration::from_secs(60);
/// Time for the last event to arrive after the last change.
const LAST_WITHIN: Duration = Duration::from_secs(30);
/// Time for adit to stop: it gives itself ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How often somebody looks whether adit still runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The connectors' names, and their streams.
const SHOPS: [(&str, &str); 2] = [("shop", "CDC_SHOP"), ("branch", "CDC_BRANCH")];

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
    /// MySQL or MariaDB: mysql-9.7, mariadb-10.5, mariadb-10.11, mariadb-11.8; or none
    #[arg(long, default_value = "mysql-9.7", value_parser = branch)]
    mysql: Branch,
    /// The version of NATS: 2.10, 2.12, 2.15
    #[arg(long, default_value = "2.15")]
    nats: nats::Version,
}

/// The server of the shop's branch, if there is to be one.
#[derive(Debug, Clone, Copy)]
struct Branch(Option<mysql::Version>);

/// What runs.
struct Servers {
    postgres: Postgres,
    mysql: Option<Mysql>,
    nats: Nats,
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
    let and_mysql = match arguments.mysql.0 {
        Some(version) => format!(", {version}"),
        None => String::new(),
    };
    println!(
        "starting PostgreSQL {}{and_mysql} and NATS {}; the first time they are fetched …",
        arguments.pg, arguments.nats
    );
    let servers = Servers {
        postgres: Postgres::start(arguments.pg).await?,
        mysql: match arguments.mysql.0 {
            Some(version) => Some(Mysql::start(version).await.context(
                "MySQL and MariaDB come from Debian's packages; --mysql none does without them",
            )?),
            None => None,
        },
        nats: Nats::start(arguments.nats).await?,
    };
    let shop = PostgresBooks::open(&servers.postgres).await?;
    let branch = match &servers.mysql {
        Some(mysql) => Some(MysqlBooks::open(mysql).await?),
        None => None,
    };
    let mut adit = Daemon::new(
        "demo",
        &program,
        &["run", "--config", "adit.toml", "--log-format", "text"],
    )?;
    let configuration = adit.folder().join("adit.toml");
    fs::write(&configuration, servers.configuration())
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
        opened = introduce(&arguments, &servers, &mut adit) => opened?,
    }
    let mut streams = Vec::new();
    for (_, stream) in servers.shops() {
        streams.push(events(&servers.nats, stream).await?);
    }
    let mut events = select_all(streams);
    let mut arrived = Arrived::default();
    let closing = CancellationToken::new();
    let mut business = JoinSet::new();
    business.spawn(shop::run(shop, closing.clone()));
    if let Some(branch) = branch {
        business.spawn(shop::run(branch, closing.clone()));
    }
    let end = arguments.time.map(|time| Instant::now() + time);
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            () = at(end) => break,
            _ = look.tick() => {
                alive(&mut adit)?;
            }
            Some(ended) = business.join_next() => {
                ended.context("a shop panicked")??;
            }
            message = events.next() => show(message, &mut arrived, &arguments)?,
        }
    }
    closing.cancel();
    let mut changes = 0;
    while let Some(ended) = business.join_next().await {
        changes += ended.context("a shop panicked")??;
    }
    let late = Instant::now() + LAST_WITHIN;
    while arrived.changes < changes {
        let Ok(message) = timeout_at(late, events.next()).await else {
            bail!(
                "the shops changed {changes} rows and only {} events of them arrived; adit says:\n{}",
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
    drop((events, adit, servers));
    conclude(changes, &arrived);
    Ok(())
}

impl Servers {
    /// The connectors and their streams.
    fn shops(&self) -> &'static [(&'static str, &'static str)] {
        let count = if self.mysql.is_some() { 2 } else { 1 };
        SHOPS.get(..count).unwrap_or(&SHOPS)
    }

    /// The databases: for adit, and how a person looks into them.
    fn databases(&self) -> Vec<(String, String)> {
        let url = self.postgres.url(shop::DATABASE);
        let look = format!("PostgreSQL   psql {url}");
        let mut all = vec![(url, look)];
        if let Some(mysql) = &self.mysql {
            let name = if mysql.version().is_maria() {
                "MariaDB"
            } else {
                "MySQL"
            };
            let look = format!(
                "{name:11}  mysql --socket={} --user=root {}",
                mysql.socket().display(),
                shop::DATABASE
            );
            all.push((mysql.url(shop::DATABASE), look));
        }
        all
    }

    /// What adit is told.
    fn configuration(&self) -> String {
        let nats = self.nats.url();
        let shops = self.shops().iter().zip(self.databases());
        let connectors = shops.map(|((name, _), (url, _))| {
            format!(
                "[[connector]]\nname = \"{name}\"\nsource.url = \"{url}\"\nnats.url = \"{nats}\"\n"
            )
        });
        connectors.collect::<Vec<_>>().join("\n")
    }
}

/// Waits for adit to publish something of each shop, and tells what runs where.
async fn introduce(arguments: &Arguments, servers: &Servers, adit: &mut Daemon) -> Result<()> {
    let jetstream = servers.nats.jetstream().await?;
    for (name, stream) in servers.shops() {
        let first = async || {
            if adit.exited()?.is_some() {
                return Ok(true);
            }
            let stream = jetstream.get_stream(*stream).await?;
            // What is there already comes first, so that whatever changes from now on is a change to adit too.
            Ok(stream.cached_info().state.messages > 0)
        };
        let waited = wait_for(&format!("the first event of {name}"), FIRST_WITHIN, first).await;
        alive(adit)?;
        waited.with_context(|| format!("adit says:\n{}", adit.log()))?;
    }
    let ending = match arguments.time {
        Some(time) => format!("ends after {time:?}, or with Ctrl-C"),
        None => "ends with Ctrl-C".to_owned(),
    };
    let databases = servers.databases();
    let looks: Vec<_> = databases.iter().map(|(_, look)| look.as_str()).collect();
    let business = match servers.mysql {
        Some(_) => "A small shop does business, and a branch whose books are in another database.",
        None => "A small shop does business.",
    };
    println!(
        "
  {}
  NATS         nats --server {} subscribe 'cdc.>'
  adit         its log is {}

{business} Change a row yourself, and see it arrive. All of this {ending}.
",
        looks.join("\n  "),
        servers.nats.url(),
        adit.log_path().display()
    );
    Ok(())
}

/// The events in a stream from the first one on, as any consumer gets them.
async fn events(nats: &Nats, stream: &str) -> Result<Ordered> {
    let stream = nats.jetstream().await?.get_stream(stream).await?;
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
The shops changed {changes} rows; {} events of changes arrived, after {} of shapes and rows that were there before.
Everything is stopped and removed.

Your own servers: PostgreSQL with wal_level = logical, MySQL or MariaDB (mysql://, mariadb://); NATS with JetStream.
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

/// Reads the version of a server, or `none`.
fn branch(text: &str) -> Result<Branch> {
    match text {
        "none" => Ok(Branch(None)),
        version => Ok(Branch(Some(version.parse()?))),
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

//! The central proof: everything is killed again and again, and the stream still tells what happened in the database,
//! each change once and in order.
//!
//! `ADIT_SEED` repeats a run as far as a machine can, `ADIT_TORTURE_SECONDS` makes it longer, `ADIT_TORTURE_DATABASE`
//! (`postgres-18`, `mysql-9.7+compressed+coordinates`) and `ADIT_TORTURE_NATS` choose other servers, and with `ADIT_KEEP_LOG` adit's log is kept even if all went well.

mod support;

use std::env;
use std::str::FromStr;
use std::time::Duration;

use adit_lab::workload::{Options, Workload};
use adit_lab::{Direction, Proxy, mysql, nats, pg, wait_for};
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use support::Stage;
use support::database::Kind;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long writers write and things break, at least.
const SECONDS: u64 = 60;
/// Kills of adit, at least.
const ADIT_KILLS: u32 = 20;
/// Kills of each server, at least.
const SERVER_KILLS: u32 = 5;
/// Time for one more event to come, with everything up: adit may be pausing between two tries, and wait for a lease.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);
/// Time for everything that was written to arrive once nothing breaks any more.
const SETTLE_WITHIN: Duration = Duration::from_secs(240);

/// Transactions become visible as a whole.
const ATOMIC: &str = "atomic_transactions = true\n";

/// One at a time: a run keeps the whole machine busy.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_on_postgres_17_and_nats_2_15() -> Result<()> {
    torture(pg::Version::V17, nats::Version::V2_15, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_on_postgres_13_and_nats_2_10() -> Result<()> {
    torture(pg::Version::V13, nats::Version::V2_10, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_on_mysql_9_7_compressed() -> Result<()> {
    let kind = Kind::Mysql {
        version: mysql::Version::Mysql9_7,
        compressed: true,
        coordinates: false,
    };
    torture(kind, nats::Version::V2_15, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_on_mariadb_11_8_by_coordinates_and_in_atomic_batches()
-> Result<()> {
    let kind = Kind::Mysql {
        version: mysql::Version::Maria11_8,
        compressed: false,
        coordinates: true,
    };
    torture(kind, nats::Version::V2_12, ATOMIC).await
}

async fn torture(
    database: impl Into<Kind>,
    nats: nats::Version,
    settings: &'static str,
) -> Result<()> {
    let _alone = ALONE.lock().await;
    let database = variable("ADIT_TORTURE_DATABASE")?.unwrap_or_else(|| database.into());
    let nats = variable("ADIT_TORTURE_NATS")?.unwrap_or(nats);
    let seed = support::seed()?;
    let name = format!("torture-{database}-{nats}-{seed}");
    println!("{name}: ADIT_SEED={seed} repeats this run");
    let options = Options::new(seed);
    let mut stage = Stage::set(database, nats, &options).await?;
    stage.configure(settings)?;
    let result = run(&mut stage, &options).await;
    let Err(error) = result else {
        if env::var_os("ADIT_KEEP_LOG").is_some() {
            println!("adit's log is {}", stage.keep_log(&name)?.display());
        }
        return Ok(());
    };
    let log = stage.keep_log(&name)?;
    Err(error.context(format!(
        "{name} failed; adit's log is {}; repeat it with\n  ADIT_SEED={seed} ADIT_TORTURE_DATABASE={database} ADIT_TORTURE_NATS={nats} cargo test --test torture postgres_17\n",
        log.display()
    )))
}

async fn run(stage: &mut Stage, options: &Options) -> Result<()> {
    let seconds = variable("ADIT_TORTURE_SECONDS")?.unwrap_or(SECONDS);
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut done = Done::default();
    stage.adit.start()?;
    let workload = stage.write(options);
    snapshot(stage, &mut random, &mut done).await?;
    workload.allow_truncates();
    println!("{:6.1} s  streaming", started.elapsed().as_secs_f64());
    'writing: while Instant::now() < end || !done.is_enough() {
        let mut faults: Vec<_> = FAULTS
            .iter()
            .flat_map(|(fault, times)| vec![*fault; *times])
            .collect();
        faults.shuffle(&mut random);
        for fault in faults {
            // The moments at which things break are random; nothing is waited for.
            sleep(Duration::from_millis(random.random_range(100..2_000))).await;
            stage.expect_alive()?;
            if workload.failed() {
                break 'writing;
            }
            println!("{:6.1} s  {fault:?}", started.elapsed().as_secs_f64());
            done.count(fault);
            strike(stage, fault, &mut random).await?;
        }
    }
    println!("{:6.1} s  {done:?}", started.elapsed().as_secs_f64());
    finish(stage, workload, started).await
}

fn variable<T: FromStr<Err: Into<anyhow::Error>>>(name: &str) -> Result<Option<T>> {
    let Ok(text) = env::var(name) else {
        return Ok(None);
    };
    let value = text.parse().map_err(Into::into);
    value.map(Some).with_context(|| format!("{name}={text}"))
}

/// Interrupts the first snapshot some times, each in its own way, and then lets it come to its end.
async fn snapshot(stage: &mut Stage, random: &mut StdRng, done: &mut Done) -> Result<()> {
    for fault in [
        Fault::KillAdit,
        Fault::KillDatabase,
        Fault::KillNats,
        Fault::KillAdit,
        Fault::Cut,
    ] {
        stage.wait_for_progress(PROGRESS_WITHIN).await?;
        done.count(fault);
        strike(stage, fault, random).await?;
    }
    wait_for("the end of the snapshot", SETTLE_WITHIN, async || {
        stage.is_streaming().await
    })
    .await?;
    stage.expect_alive()
}

/// Lifts every fault, lets everything arrive, and checks.
async fn finish(stage: &mut Stage, workload: Workload, started: Instant) -> Result<()> {
    let written = stage.settle(workload, SETTLE_WITHIN).await?;
    println!("{:6.1} s  {written:?}", started.elapsed().as_secs_f64());
    stage.stop_adit().await?;
    let summary = stage.check().await?;
    println!("{:6.1} s  {summary:?}", started.elapsed().as_secs_f64());
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillAdit,
    KillDatabase,
    KillNats,
    /// Everything at once, as when a machine goes.
    KillAll,
    /// Connections are reset.
    Cut,
    /// Connections are reset in the middle of whatever they carry.
    CutAfterBytes,
    /// Nothing gets through for a while.
    Stall,
    /// A server stands still for a while.
    Freeze,
}

/// What happens while the log is streamed, and how often, in an order that the seed decides.
const FAULTS: [(Fault, usize); 8] = [
    (Fault::KillAdit, 18),
    (Fault::KillDatabase, 4),
    (Fault::KillNats, 4),
    (Fault::KillAll, 1),
    (Fault::Cut, 4),
    (Fault::CutAfterBytes, 7),
    (Fault::Stall, 2),
    (Fault::Freeze, 3),
];

/// What was done.
#[derive(Debug, Default)]
struct Done {
    adit_kills: u32,
    database_kills: u32,
    nats_kills: u32,
    others: u32,
}

impl Done {
    const fn is_enough(&self) -> bool {
        self.adit_kills >= ADIT_KILLS
            && self.database_kills >= SERVER_KILLS
            && self.nats_kills >= SERVER_KILLS
    }

    fn count(&mut self, fault: Fault) {
        match fault {
            Fault::KillAdit => self.adit_kills += 1,
            Fault::KillDatabase => self.database_kills += 1,
            Fault::KillNats => self.nats_kills += 1,
            Fault::KillAll => {
                self.adit_kills += 1;
                self.database_kills += 1;
                self.nats_kills += 1;
            }
            _ => self.others += 1,
        }
    }
}

async fn strike(stage: &mut Stage, fault: Fault, random: &mut StdRng) -> Result<()> {
    let down = Duration::from_millis(random.random_range(0..800));
    match fault {
        Fault::KillAdit => {
            if random.random_bool(0.7) {
                // In the midst of its work, not while it starts.
                stage.wait_for_progress(PROGRESS_WITHIN).await?;
            }
            stage.adit.kill().await?;
            sleep(down).await;
            restart_adit(stage, random).await?;
        }
        Fault::KillDatabase => {
            stage.database.kill().await?;
            sleep(down).await;
            stage.database.restart().await?;
        }
        Fault::KillNats => {
            stage.nats.kill().await?;
            sleep(down).await;
            stage.nats.restart().await?;
        }
        Fault::KillAll => {
            stage.nats.kill().await?;
            stage.adit.kill().await?;
            stage.database.kill().await?;
            sleep(down).await;
            stage.nats.restart().await?;
            restart_adit(stage, random).await?;
            stage.database.restart().await?;
        }
        Fault::Cut => proxy(stage, random).cut(),
        Fault::CutAfterBytes => {
            let (direction, bytes) = (direction(random), random.random_range(1..200_000));
            proxy(stage, random).drop_after(direction, bytes);
        }
        Fault::Stall => {
            let direction = direction(random);
            let proxy = proxy(stage, random);
            proxy.stall(direction);
            sleep(3 * down).await;
            proxy.resume();
        }
        Fault::Freeze if random.random() => {
            stage.database.pause().await?;
            sleep(3 * down).await;
            stage.database.resume().await?;
        }
        Fault::Freeze => {
            stage.nats.pause().await?;
            sleep(3 * down).await;
            stage.nats.resume().await?;
        }
    }
    Ok(())
}

/// Starts adit again. Mostly somebody ends the lease of the dead one first; else the new one has to wait for its end.
async fn restart_adit(stage: &mut Stage, random: &mut StdRng) -> Result<()> {
    if random.random_bool(0.95) {
        // Where the bucket is not there yet there is no lease, and the new one finds its way in any case.
        drop(timeout(Duration::from_secs(5), stage.end_lease()).await);
    }
    stage.adit.start()
}

fn proxy<'a>(stage: &'a Stage, random: &mut StdRng) -> &'a Proxy {
    if random.random() {
        &stage.to_database
    } else {
        &stage.to_nats
    }
}

fn direction(random: &mut StdRng) -> Direction {
    if random.random() {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

//! Servers that take over from each other under load, while adit and its connections are killed: each change is in
//! the stream once, in the order of the commits, whichever server it was read from.

mod support;

use std::time::Duration;

use adit_lab::workload::{Options, Workload};
use adit_lab::{Mysql, mysql, nats, wait_for};
use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use support::Stage;
use support::database::{Database, Kind};
use tokio::time::{sleep, timeout};

/// How often a server takes over.
const TAKEOVERS: u32 = 4;
/// Kills of adit between two of them.
const KILLS: u32 = 3;
/// Time for one more event to come, with everything up.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);
/// Time for everything that was written to arrive once nothing breaks any more.
const SETTLE_WITHIN: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_when_servers_of_mysql_9_7_take_over() -> Result<()> {
    takeovers(mysql::Version::Mysql9_7).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_when_servers_of_mariadb_11_8_take_over() -> Result<()>
{
    takeovers(mysql::Version::Maria11_8).await
}

async fn takeovers(version: mysql::Version) -> Result<()> {
    let seed = support::seed()?;
    println!("ADIT_SEED={seed} repeats this run");
    let mut options = Options::new(seed);
    options.rows_max = 5_000;
    let kind = Kind::mysql(version);
    let (source, standby) = (Database::start(kind).await?, Database::start(kind).await?);
    let (Database::Mysql(source), Database::Mysql(mut standby)) = (source, standby) else {
        bail!("these are no servers of MySQL or MariaDB");
    };
    source.forget_log().await?;
    standby.forget_log().await?;
    standby.replicate(&source).await?;
    let database = Database::Mysql(source);
    let mut stage = Stage::before(kind, database, nats::Version::V2_15, &options).await?;
    let result = run(&mut stage, &mut standby, &options).await;
    if result.is_err() {
        let log = stage.keep_log(&format!("failover-{version}-{seed}"))?;
        return result.with_context(|| format!("adit's log is {}", log.display()));
    }
    result
}

async fn run(stage: &mut Stage, standby: &mut Mysql, options: &Options) -> Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    stage.adit.start()?;
    let workload = stage.write(options);
    wait_for("the end of the snapshot", SETTLE_WITHIN, async || {
        stage.is_streaming().await
    })
    .await?;
    workload.allow_truncates();
    for takeover in 1..=TAKEOVERS {
        for _ in 0..KILLS {
            sleep(Duration::from_millis(random.random_range(200..1_500))).await;
            stage.wait_for_progress(PROGRESS_WITHIN).await?;
            stage.adit.kill().await?;
            drop(timeout(Duration::from_secs(5), stage.end_lease()).await);
            stage.adit.start()?;
            stage.to_database.cut();
        }
        println!("takeover {takeover}");
        take_over(stage, standby, &workload, &mut random).await?;
        stage.expect_alive()?;
        ensure!(!workload.failed(), "a writer has given up");
    }
    stage.wait_for_progress(PROGRESS_WITHIN).await?;
    let written = stage.settle(workload, SETTLE_WITHIN).await?;
    println!("{written:?}");
    stage.stop_adit().await?;
    let summary = stage.check().await?;
    println!("{summary:?}");
    Ok(())
}

/// The standby takes over, and the server that was replicated follows it once it is back.
async fn take_over(
    stage: &mut Stage,
    standby: &mut Mysql,
    workload: &Workload,
    random: &mut StdRng,
) -> Result<()> {
    // Sometimes adit has read all that there is, mostly it lags, sometimes it is not there.
    let adit_is_gone = random.random_bool(0.3);
    if adit_is_gone {
        stage.adit.kill().await?;
    } else if random.random_bool(0.6) {
        stage.to_database.pause();
        sleep(Duration::from_millis(random.random_range(0..2_000))).await;
    }
    let Database::Mysql(source) = &mut stage.database else {
        bail!("the stage's database is no server of MySQL or MariaDB");
    };
    source.hand_over(standby).await?;
    std::mem::swap(&mut **source, standby);
    workload.move_to(&**source);
    stage.to_database.lead_to(source.addr());
    stage.to_database.cut();
    stage.to_database.resume();
    standby.restart().await?;
    standby.replicate(source).await?;
    if adit_is_gone {
        drop(timeout(Duration::from_secs(5), stage.end_lease()).await);
        stage.adit.start()?;
    }
    Ok(())
}

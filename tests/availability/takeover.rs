//! The process that works is killed, stopped, and made to stand still.

use std::time::Duration;

use adit_lab::{mysql, pg};
use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::scene::{GIVES_WAY, Scene};
use crate::support::database::Kind;

/// How often each of it happens.
const ROUNDS: u32 = 2;
/// Longest time from a kill to the first message of the other process.
const KILLED_MAX: Duration = Duration::from_secs(10);
/// Longest time from the end of a process that was stopped to the first message of the other.
const STOPPED_MAX: Duration = Duration::from_secs(2);
/// Time for a stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_on_postgres_17() -> Result<()> {
    take_over(pg::Version::V17).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_on_mysql_9_7() -> Result<()> {
    take_over(Kind::mysql(mysql::Version::Mysql9_7)).await
}

async fn take_over(kind: impl Into<Kind>) -> Result<()> {
    let mut scene = Scene::set(kind).await?;
    let workload = scene.begin().await?;
    for _ in 0..ROUNDS {
        let took = kill(&mut scene).await?;
        println!("killed: the other works after {took:?}");
        ensure!(took <= KILLED_MAX, "that took too long");
        let took = stop(&mut scene).await?;
        println!("stopped: the other works after {took:?}");
        ensure!(took <= STOPPED_MAX, "that took too long");
        let took = stand_still(&mut scene).await?;
        println!("stood still: the other works after {took:?}");
    }
    scene.finish(workload).await
}

/// How long it takes the other to work.
pub(crate) async fn kill(scene: &mut Scene) -> Result<Duration> {
    scene.grows().await?;
    let old = scene.working().await?;
    let start = Instant::now();
    scene.adits[old].kill().await?;
    let took = scene.works(1 - old, start).await?;
    scene.start(old).await?;
    Ok(took)
}

async fn stop(scene: &mut Scene) -> Result<Duration> {
    scene.grows().await?;
    let old = scene.working().await?;
    let (status, _) = scene.adits[old].stop(STOP_WITHIN).await?;
    ensure!(status.success(), "it ended with {status}");
    let took = scene.works(1 - old, Instant::now()).await?;
    scene.start(old).await?;
    Ok(took)
}

/// The one that stood still finds that another works, and stands by.
async fn stand_still(scene: &mut Scene) -> Result<Duration> {
    scene.grows().await?;
    let old = scene.working().await?;
    let said = scene.count(old, GIVES_WAY);
    let start = Instant::now();
    scene.adits[old].pause().await?;
    let took = scene.works(1 - old, start).await?;
    scene.adits[old].resume().await?;
    scene.says(old, GIVES_WAY, said).await?;
    scene.grows().await?;
    ensure!(
        scene.working().await? == 1 - old,
        "the woken one works; {}",
        scene.logs()
    );
    Ok(took)
}

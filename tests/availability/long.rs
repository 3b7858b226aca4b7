//! A long run, by hand: see the head of `main.rs`.

use std::env;
use std::time::Duration;

use adit_lab::{mysql, pg};
use anyhow::{Context as _, Result};
use rand::Rng as _;
use tokio::time::sleep;

use crate::scene::Scene;
use crate::support::database::Kind;
use crate::takeover::kill;

/// Kills of the process that works, half of them on each kind of database.
const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes long, see the head of main.rs"]
async fn kills_of_the_process_that_works() -> Result<()> {
    let kills = match env::var("ADIT_KILLS") {
        Ok(text) => text.parse().context("ADIT_KILLS is not a number")?,
        Err(_) => KILLS,
    };
    let mut times = Vec::new();
    for kind in [
        Kind::Postgres(pg::Version::V17),
        Kind::mysql(mysql::Version::Mysql9_7),
    ] {
        times.extend(kills_on(kind, kills / 2).await?);
    }
    times.sort();
    let worst = times.last().context("no kill at all")?;
    println!(
        "{} kills: resumed after {:?} (median), {worst:?} (worst)",
        times.len(),
        times[times.len() / 2]
    );
    Ok(())
}

async fn kills_on(kind: Kind, kills: usize) -> Result<Vec<Duration>> {
    let mut scene = Scene::set(kind).await?;
    let workload = scene.begin().await?;
    let mut times = Vec::new();
    for number in 1..=kills {
        // The moment of its death is random; nothing is waited for.
        let moment = Duration::from_millis(rand::rng().random_range(0..3_000));
        sleep(moment).await;
        let took = kill(&mut scene).await?;
        println!("kill {number} on {kind}: resumed after {took:?}");
        times.push(took);
    }
    scene.finish(workload).await?;
    Ok(times)
}

//! The servers that lead what adit writes to are killed.

use std::time::Duration;

use adit_lab::pg;
use anyhow::Result;
use tokio::time::Instant;

use crate::scene::{Scene, WITHIN};
use crate::support::STREAM;

/// Whose leader is killed, one after the other: also that of what is kept beside the stream.
const KILLED: [&str; 3] = [STREAM, "KV_adit_leases", STREAM];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_when_leaders_die() -> Result<()> {
    let mut scene = Scene::set(pg::Version::V17).await?;
    let workload = scene.begin().await?;
    for stream in KILLED {
        let took = kill_leader(&mut scene, stream).await?;
        println!("the leader of {stream} is killed: adit goes on after {took:?}");
    }
    scene.finish(workload).await
}

async fn kill_leader(scene: &mut Scene, stream: &str) -> Result<Duration> {
    scene.grows().await?;
    let leader = scene.leader(stream).await?;
    let start = Instant::now();
    scene.cluster.nodes_mut()[leader].kill().await?;
    scene.grows().await?;
    let took = start.elapsed();
    scene.cluster.nodes_mut()[leader].restart().await?;
    scene.cluster.heals(WITHIN).await?;
    Ok(took)
}

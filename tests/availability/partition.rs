//! Servers are cut off from each other.

use adit_lab::{mysql, pg, wait_for};
use anyhow::Result;
use tokio::time::Instant;

use crate::scene::{GIVES_WAY, Scene, WITHIN};
use crate::support::STREAM;
use crate::support::database::Kind;

/// What adit says when the stream does not answer.
const INTERRUPTED: &str = "publishing was interrupted";

#[tokio::test(flavor = "multi_thread")]
async fn adit_goes_on_once_its_server_is_no_longer_cut_off() -> Result<()> {
    let mut scene = Scene::set(pg::Version::V17).await?;
    let workload = scene.begin().await?;
    let node = scene.leader(STREAM).await?;
    let url = [scene.cluster.nodes()[node].url()];
    for number in [1, 0] {
        scene.move_to(number, &url).await?;
    }
    scene.look_from((node + 1) % 3).await?;
    // It leads the stream, and then another does.
    for _ in 0..2 {
        scene.grows().await?;
        let (working, start) = (scene.working().await?, Instant::now());
        let said = scene.count(working, INTERRUPTED);
        scene.cluster.cut_off(node);
        scene.is_led_without(node).await?;
        scene.says(working, INTERRUPTED, said).await?;
        println!("cut off for {:?}", start.elapsed());
        let start = Instant::now();
        scene.cluster.join();
        scene.grows().await?;
        println!("joined: adit goes on after {:?}", start.elapsed());
        scene.cluster.heals(WITHIN).await?;
    }
    scene.finish(workload).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_on_two_sides_the_one_with_most_servers_works() -> Result<()> {
    let mut scene = Scene::set(Kind::mysql(mysql::Version::Mysql9_7)).await?;
    let workload = scene.begin().await?;
    let node = scene.leader(STREAM).await?;
    let mut others = scene.cluster.urls();
    let alone = [others.remove(node)];
    scene.move_to(1, &alone).await?;
    scene.move_to(0, &others).await?;
    // The one that was moved first took over when the other was.
    scene.works(1, Instant::now()).await?;
    scene.look_from((node + 1) % 3).await?;
    scene.grows().await?;
    let start = Instant::now();
    let said = scene.count(1, GIVES_WAY);
    scene.cluster.cut_off(node);
    let took = scene.works(0, start).await?;
    println!("cut off: the other works after {took:?}");
    scene.cluster.join();
    scene.says(1, GIVES_WAY, said).await?;
    scene.cluster.heals(WITHIN).await?;
    scene.grows().await?;
    scene.finish(workload).await
}

impl Scene {
    /// Stops a process and starts it again with other servers of the cluster, while the other works.
    async fn move_to(&mut self, number: usize, urls: &[String]) -> Result<()> {
        self.adits[number].stop(WITHIN).await?;
        self.works(1 - number, Instant::now()).await?;
        self.configure(number, urls)?;
        self.start(number).await
    }

    /// Waits until the others have made one of them the leader.
    async fn is_led_without(&self, node: usize) -> Result<()> {
        wait_for("another leader", WITHIN, async || {
            Ok(self.leader(STREAM).await? != node)
        })
        .await
    }
}

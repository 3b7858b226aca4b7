//! Servers that keep streams together.

use std::time::Duration;

use adit_lab::nats::{Cluster, VERSIONS};
use adit_lab::wait_for;
use anyhow::{Context as _, Result};
use async_nats::jetstream::stream::Config;

/// Time for the servers to agree on another leader, or for one to catch up.
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_leader_and_a_server_that_is_cut_off_leads_no_more() -> Result<()> {
    let newest = *VERSIONS.last().context("there is one")?;
    let mut cluster = Cluster::start(newest).await?;
    let jetstream = cluster.jetstream().await?;
    let config = Config {
        name: "S".to_owned(),
        num_replicas: 3,
        ..Config::default()
    };
    jetstream.create_stream(config).await?;
    let led_by_another = async |cluster: &Cluster, leader| {
        wait_for("another leader", WITHIN, async || {
            jetstream.publish("S", "more".into()).await?.await?;
            Ok(cluster.leader(&jetstream, "S").await? != leader)
        })
        .await
    };

    let leader = cluster.leader(&jetstream, "S").await?;
    cluster.nodes_mut()[leader].kill().await?;
    led_by_another(&cluster, leader).await?;
    cluster.nodes_mut()[leader].restart().await?;
    cluster.heals(WITHIN).await?;

    let leader = cluster.leader(&jetstream, "S").await?;
    cluster.cut_off(leader);
    // What the one that is cut off answers does not count.
    let other = &cluster.nodes()[(leader + 1) % 3];
    let others = other.jetstream().await?;
    wait_for("another leader", WITHIN, async || {
        Ok(cluster.leader(&others, "S").await? != leader)
    })
    .await?;
    cluster.join();
    cluster.heals(WITHIN).await
}

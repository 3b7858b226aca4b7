//! Three servers that are one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, Info, StorageType};
use futures_util::TryStreamExt as _;

use super::{Nats, Version};
use crate::port::Port;
use crate::proxy::Proxy;
use crate::wait_for;

/// How many: the fewest of which one may be missing.
const NODES: usize = 3;
/// Time for them to find each other.
const FORM_WITHIN: Duration = Duration::from_secs(60);
/// What servers tell each other of a way to a third one: nothing listens there, so that they use no other way than the
/// one in their configuration.
const NOWHERE: &str = "127.0.0.1:1";

/// Three NATS servers that keep streams together, each in a folder of its own.
///
/// What each of them sends to another goes through a [`Proxy`], so that one of them can be cut off from the others, as by
/// a network that loses what it carries. This needs no network of one's own, for which one would have to be root.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Nats>,
    routes: Vec<Route>,
    _ports: Vec<Port>,
}

/// The way on which one server connects to another.
#[derive(Debug)]
struct Route {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Cluster {
    /// Starts the servers, fetching them first if need be, and waits until they keep streams together.
    ///
    /// # Errors
    ///
    /// They cannot be fetched, do not start, or do not find each other.
    pub async fn start(version: Version) -> Result<Self> {
        let ports: Vec<_> = (0..NODES).map(|_| Port::reserve()).collect::<Result<_>>()?;
        let mut routes = Vec::new();
        for from in 0..NODES {
            for (to, port) in ports.iter().enumerate().filter(|(to, _)| *to != from) {
                let proxy = Proxy::start(port.addr()).await?;
                routes.push(Route { from, to, proxy });
            }
        }
        let mut nodes = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let routes: Vec<_> = routes
                .iter()
                .filter(|route| route.from == number)
                .map(|route| format!("\"nats://{}\"", route.proxy.addr()))
                .collect();
            let conf = format!(
                "cluster {{\nname: lab\nlisten: \"{}\"\nadvertise: {NOWHERE:?}\nno_advertise: true\nroutes: [{}]\n}}",
                port.addr(),
                routes.join(", ")
            );
            let node = Nats::builder(version).name(&name(number)).conf(&conf);
            nodes.push(node.start().await?);
        }
        let cluster = Self {
            nodes,
            routes,
            _ports: ports,
        };
        cluster.form().await?;
        Ok(cluster)
    }

    /// The servers.
    #[must_use]
    pub fn nodes(&self) -> &[Nats] {
        &self.nodes
    }

    /// The servers, to do something to them.
    #[must_use]
    pub fn nodes_mut(&mut self) -> &mut [Nats] {
        &mut self.nodes
    }

    /// Where the servers listen for clients.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Nats::url).collect()
    }

    /// JetStream, over a connection of its own to one of the servers that run.
    ///
    /// # Errors
    ///
    /// None of them is there.
    pub async fn jetstream(&self) -> Result<jetstream::Context> {
        let client = async_nats::connect(self.urls()).await;
        Ok(jetstream::new(client.context("no server of the cluster")?))
    }

    /// The server that leads a stream, as `jetstream` sees it; the stream of a bucket is named `KV_…`.
    ///
    /// # Errors
    ///
    /// There is no such stream, or nobody leads it just now.
    pub async fn leader(&self, jetstream: &jetstream::Context, stream: &str) -> Result<usize> {
        let info = jetstream.get_stream(stream).await?.get_info().await?;
        let leader = info.cluster.and_then(|cluster| cluster.leader);
        let leader = leader.with_context(|| format!("nobody leads stream {stream:?}"))?;
        let number = (0..NODES).find(|number| name(*number) == leader);
        number.with_context(|| format!("{leader:?} is none of the servers"))
    }

    /// Waits until every server has all of every stream.
    ///
    /// # Errors
    ///
    /// Not within that time.
    pub async fn heals(&self, within: Duration) -> Result<()> {
        wait_for("a whole cluster", within, async || {
            let streams = self.jetstream().await?.streams();
            let all: Vec<Info> = streams.try_collect().await?;
            all.iter().try_for_each(expect_whole)?;
            Ok(true)
        })
        .await
    }

    /// Cuts a server off from the others: nothing gets through, and no connection ends. Its clients stay.
    pub fn cut_off(&self, node: usize) {
        for route in &self.routes {
            if route.from == node || route.to == node {
                route.proxy.pause();
            }
        }
    }

    /// Ends [`Self::cut_off`]: what was on its way arrives, as it does when a network is mended in time.
    pub fn join(&self) {
        for route in &self.routes {
            route.proxy.resume();
        }
    }

    /// Waits until a stream with three replicas can be made.
    async fn form(&self) -> Result<()> {
        let probe = || Config {
            name: "probe".to_owned(),
            num_replicas: NODES,
            storage: StorageType::Memory,
            ..Config::default()
        };
        let jetstream = self.jetstream().await?;
        let formed = wait_for("a cluster", FORM_WITHIN, async || {
            jetstream.get_or_create_stream(probe()).await?;
            Ok(true)
        });
        let logs = || {
            let logs: Vec<_> = self.nodes.iter().map(Nats::log).collect();
            logs.join("\n")
        };
        formed.await.with_context(logs)?;
        jetstream.delete_stream("probe").await?;
        Ok(())
    }
}

/// What a server is called in the cluster.
fn name(number: usize) -> String {
    format!("lab{number}")
}

fn expect_whole(stream: &Info) -> Result<()> {
    let name = &stream.config.name;
    let cluster = stream.cluster.as_ref();
    let cluster = cluster.with_context(|| format!("stream {name:?} is in no cluster"))?;
    ensure!(
        cluster.leader.is_some() && cluster.replicas.iter().all(|peer| peer.current),
        "stream {name:?} is not whole: {cluster:?}"
    );
    Ok(())
}

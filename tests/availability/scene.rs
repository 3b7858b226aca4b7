//! Two processes of adit between a database and a cluster of NATS.

use std::fs;
use std::path::Path;
use std::time::Duration;

use adit_lab::checker;
use adit_lab::nats::{Cluster, Version};
use adit_lab::workload::{Options, Workload};
use adit_lab::{Daemon, wait_for};
use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{Context, message::StreamMessage};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use crate::support::database::{Database, Kind};
use crate::support::story::Story;
use crate::support::{self, CONNECTOR, STREAM};

/// Time for anything that nothing hinders. Three servers and two processes on a small machine that is busy: the cluster
/// itself, once its leaders changed, may not answer for half a minute.
pub(crate) const WITHIN: Duration = Duration::from_secs(180);
/// Time for everything that was written to arrive.
const SETTLE_WITHIN: Duration = Duration::from_secs(240);
/// What adit says when it is not its turn.
const STANDS_BY: &str = "another process runs this connector: standing by";
/// What it says when it finds that another works in its place.
pub(crate) const GIVES_WAY: &str = "another process has taken the lease: stopped here";
/// Who wrote a message.
const WRITER: &str = "Adit-Writer";

/// Everything that a run needs.
pub(crate) struct Scene {
    kind: Kind,
    options: Options,
    pub(crate) database: Database,
    pub(crate) cluster: Cluster,
    pub(crate) adits: [Daemon; 2],
    /// How the test itself sees the cluster.
    jetstream: Context,
}

impl Scene {
    /// Starts the servers, with the first rows in the database.
    pub(crate) async fn set(kind: impl Into<Kind>) -> Result<Self> {
        let kind = kind.into();
        let mut options = Options::new(support::seed()?);
        println!("{kind}: ADIT_SEED={} repeats this run", options.seed);
        options.rows_max = 2_000;
        options.initial_rows = 500;
        let cluster = Cluster::start(Version::V2_15).await?;
        let database = Database::start(kind).await?;
        Workload::prepare(database.server(), &options).await?;
        let scene = Self {
            kind,
            options,
            jetstream: cluster.jetstream().await?,
            database,
            cluster,
            adits: [adit()?, adit()?],
        };
        for number in 0..scene.adits.len() {
            scene.configure(number, &scene.cluster.urls())?;
        }
        Ok(scene)
    }

    /// Says which servers of the cluster a process of adit knows, before it is started.
    pub(crate) fn configure(&self, number: usize, urls: &[String]) -> Result<()> {
        let folder = self.adits[number].folder();
        let config = format!(
            "[[connector]]\nname = {CONNECTOR:?}\n\
             [connector.source]\n{}\
             spill_dir = {:?}\nspill_memory = \"1MB\"\n\
             [connector.snapshot]\nworkers = 2\nchunk_rows = 500\n\
             [connector.nats]\nurl = {urls:?}\nstream = {STREAM:?}\nreplicas = 3\n",
            self.database.source(self.database.addr(), self.kind),
            folder.display().to_string(),
        );
        fs::write(folder.join("adit.toml"), config)?;
        Ok(())
    }

    /// Looks at the cluster through one of its servers from now on.
    pub(crate) async fn look_from(&mut self, node: usize) -> Result<()> {
        self.jetstream = self.cluster.nodes()[node].jetstream().await?;
        Ok(())
    }

    /// Starts the first process and the writers, waits until the log is streamed, and starts the second process.
    pub(crate) async fn begin(&mut self) -> Result<Workload> {
        self.adits[0].start()?;
        let workload = Workload::start(self.database.server(), &self.options);
        let story = self.story();
        let streaming = wait_for("the end of the snapshot", SETTLE_WITHIN, async || {
            story.is_streaming().await
        });
        streaming.await.with_context(|| self.logs())?;
        workload.allow_truncates();
        self.start(1).await?;
        Ok(workload)
    }

    /// Starts a process while the other works, and waits until it stands by.
    pub(crate) async fn start(&mut self, number: usize) -> Result<()> {
        let said = self.count(number, STANDS_BY);
        self.adits[number].start()?;
        self.says(number, STANDS_BY, said).await
    }

    /// Waits until a process has said something more often than it had.
    pub(crate) async fn says(&self, number: usize, text: &str, before: usize) -> Result<()> {
        let said = wait_for(text, WITHIN, async || Ok(self.count(number, text) > before));
        said.await.with_context(|| self.logs())
    }

    /// How often a process has said something.
    pub(crate) fn count(&self, number: usize, text: &str) -> usize {
        self.adits[number].log().matches(text).count()
    }

    /// The process that wrote the last message.
    pub(crate) async fn working(&self) -> Result<usize> {
        let message = self.last_message().await?;
        for number in 0..self.adits.len() {
            if self.wrote(number, &message)? {
                return Ok(number);
            }
        }
        bail!("the last message is of neither process: {message:?}")
    }

    /// Waits until a process writes: how long that took since `start`.
    pub(crate) async fn works(&self, number: usize, start: Instant) -> Result<Duration> {
        let working = wait_for("a message of the other process", WITHIN, async || {
            self.wrote(number, &self.last_message().await?)
        });
        working.await.with_context(|| self.logs())?;
        Ok(start.elapsed())
    }

    /// Waits until the stream grows.
    pub(crate) async fn grows(&self) -> Result<()> {
        let (story, mut before) = (self.story(), None);
        let grown = wait_for("one more event", WITHIN, async || {
            let len = story.len().await?;
            Ok(len > *before.get_or_insert(len))
        });
        grown.await.with_context(|| self.logs())
    }

    /// The server that leads a stream.
    pub(crate) async fn leader(&self, stream: &str) -> Result<usize> {
        self.cluster.leader(&self.jetstream, stream).await
    }

    /// Lets everything arrive that was written, and checks.
    pub(crate) async fn finish(&mut self, workload: Workload) -> Result<()> {
        self.cluster.heals(WITHIN).await?;
        let written = workload.finish().await?;
        let story = self.story();
        let arrived = wait_for("the marker in the stream", SETTLE_WITHIN, async || {
            story.is_over().await
        });
        arrived.await.with_context(|| self.logs())?;
        for adit in &mut self.adits {
            ensure!(adit.exited()?.is_none(), "a process of adit has ended");
            let (status, _) = adit.stop(WITHIN).await?;
            ensure!(status.success(), "a process of adit ended with {status}");
        }
        let server = self.database.server();
        let checked = checker::check(&self.jetstream, STREAM, CONNECTOR, server).await;
        let summary = checked.with_context(|| self.logs())?;
        println!("{written:?}\n{summary:?}");
        let turns = self.turns().await?;
        ensure!(
            turns == summary.writers,
            "{} processes wrote in {turns} turns: one wrote again after another had",
            summary.writers
        );
        Ok(())
    }

    /// How often the writer of a message is not that of the one before.
    async fn turns(&self) -> Result<u64> {
        let stream = self.jetstream.get_stream(STREAM).await?;
        let len = stream.get_info().await?.state.last_sequence;
        let config = OrderedConfig {
            headers_only: true,
            ..OrderedConfig::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        let (mut turns, mut last) = (0, String::new());
        for _ in 0..len {
            let message = timeout(WITHIN, messages.next()).await?;
            let message = message.context("the consumer ended")??;
            let headers = message.headers.as_ref().context("no headers")?;
            let writer = headers.get(WRITER).context("no writer")?.as_str();
            if writer != last {
                writer.clone_into(&mut last);
                turns += 1;
            }
        }
        Ok(turns)
    }

    fn wrote(&self, number: usize, message: &StreamMessage) -> Result<bool> {
        let writer = message.headers.get(WRITER).context("no writer")?.as_str();
        // The id of a process that has ended is no matter: somebody else's.
        let pid = self.adits[number].pid();
        Ok(pid.is_ok_and(|pid| writer.contains(&format!("-{pid}-"))))
    }

    async fn last_message(&self) -> Result<StreamMessage> {
        let stream = self.jetstream.get_stream(STREAM).await?;
        let subject = format!("cdc.{CONNECTOR}.>");
        Ok(stream.get_last_raw_message_by_subject(&subject).await?)
    }

    fn story(&self) -> Story {
        Story {
            jetstream: self.jetstream.clone(),
            dialect: self.database.server().dialect(),
        }
    }

    /// What both processes have said.
    pub(crate) fn logs(&self) -> String {
        let [first, second] = &self.adits;
        format!("the first:\n{}\nthe second:\n{}", first.log(), second.log())
    }
}

fn adit() -> Result<Daemon> {
    let program = Path::new(env!("CARGO_BIN_EXE_adit"));
    Daemon::new("adit", program, &["run", "--log-format", "text"])
}

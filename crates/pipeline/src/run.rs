//! The driver: takes an input, lets the core decide, performs what is due, and repeats.
//!
//! ```text
//!            ┌───────────────────────────── one connector ─────────────────────────────┐
//!  source task ──batches──► receive ──► core ──poll──► publish ──► sink ──next──► stored │
//!       ▲                                                                          │     │
//!       └──────────── confirmed ◄──── checkpoint stored ◄──── durable ◄────────────┘     │
//!            └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Progress rule: what is told to the source as confirmed was stored in a checkpoint before, and
//! every message in front of it was acknowledged before that.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adit_event::Timestamp;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};

use crate::checkpoint::{Checkpoint, CheckpointStore};
use crate::core::{Core, Outgoing};
use crate::error::{Backoff, Classify, Disposition, RunError, chain};
use crate::recovery::start_point;
use crate::sink::{Sink, Tail};
use crate::source::{Batch, Item, Outlet, Source, SourceContext};

/// How a connector runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The connector's name, for log lines.
    pub name: String,
    /// How long a stored checkpoint is held back before it is confirmed to the database: the
    /// broker's sync interval, if its host may lose power and the stream has one replica.
    pub confirm_lag: Duration,
    /// Go on although messages at the stream's end were purged behind us; some events may come
    /// twice.
    pub accept_truncated: bool,
}

/// Checkpoints are stored this often at most.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// A line about the progress is logged this often, if there is any.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long a clean stop waits for outstanding acknowledgements; with the source's farewell it
/// stays within the 10 seconds that a supervisor gives.
const DRAIN_MAX: Duration = Duration::from_secs(6);
/// How long a stopped source may take to say good-bye.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Runs one connector until `stop`.
///
/// Errors that may heal are retried for ever with growing pauses and logged. A clean stop waits for
/// outstanding acknowledgements, stores the checkpoint and lets the source confirm it.
///
/// # Errors
/// When something happened that trying again cannot mend.
pub async fn run<S: Source, K: Sink, C: CheckpointStore>(
    source: S,
    mut sink: K,
    store: C,
    options: RunOptions,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let Some(core) = open(&mut sink, &store, &options, &stop).await? else {
        return Ok(());
    };
    let mut driver = Driver {
        source: Arc::new(source),
        sink,
        store,
        core,
        confirm: Confirm::new(options.confirm_lag),
        options,
        stop,
        batch: VecDeque::new(),
        read_time: Timestamp::default(),
        reading: Reading::Waiting(Instant::now()),
        source_backoff: Backoff::new(),
        sink_backoff: Backoff::new(),
        in_vain: false,
        storing: None,
        store_backoff: Backoff::new(),
        store_after: Instant::now(),
        checkpoint_after: Instant::now(),
        reported: 0,
    };
    let result = driver.stream().await;
    let closed = driver.close(result.is_ok()).await;
    result.and(closed)
}

/// Reads what is durable and decides where to go on; none when told to stop meanwhile.
async fn open<K: Sink, C: CheckpointStore>(
    sink: &mut K,
    store: &C,
    options: &RunOptions,
    stop: &CancellationToken,
) -> Result<Option<Core>, RunError> {
    let Some(tail) = connect(sink, options, stop).await? else {
        return Ok(None);
    };
    let name = &options.name;
    let load = async || store.load().await;
    let Some(checkpoint) = retry(name, "reading the checkpoint", stop, load).await? else {
        return Ok(None);
    };
    let load = async || store.schemas().await;
    let Some(schemas) = retry(name, "reading the stored schemas", stop, load).await? else {
        return Ok(None);
    };
    let start = start_point(&tail, checkpoint.as_ref(), options.accept_truncated)
        .map_err(|refusal| RunError::new("refusing to start", refusal))?;
    if start.regressed {
        warn!(
            connector = %name, stream_seq = start.seq,
            "the broker lost messages that it had acknowledged; they are published again from the database's log, \
             if it still has them"
        );
    }
    info!(connector = %name, stream_seq = start.seq, position = start.last.map(|p| p.to_string()), "publishing goes on behind the stream's last message");
    Ok(Some(Core::new(start, tail.created, schemas)))
}

/// Connects the sink, for ever; none when told to stop.
async fn connect<K: Sink>(
    sink: &mut K,
    options: &RunOptions,
    stop: &CancellationToken,
) -> Result<Option<Tail>, RunError> {
    let connect = async || sink.connect().await;
    retry(&options.name, "connecting to the broker", stop, connect).await
}

/// Tries something until it works or cannot, with growing pauses and a log line each; none when told
/// to stop.
///
/// # Errors
/// The first error that trying again cannot mend.
pub async fn retry<T, E: Classify>(
    connector: &str,
    doing: &'static str,
    stop: &CancellationToken,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<Option<T>, RunError> {
    let mut backoff = Backoff::new();
    loop {
        let result = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            result = attempt() => result,
        };
        match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => match error.disposition() {
                Disposition::Halt => return Err(RunError::new(doing, error)),
                Disposition::Retry => {
                    let pause = backoff.pause();
                    warn!(
                        connector,
                        error = chain(&error),
                        retry_in_ms = milliseconds(pause),
                        "{doing} failed"
                    );
                    tokio::select! {
                        () = stop.cancelled() => return Ok(None),
                        () = sleep(pause) => {}
                    }
                }
            },
        }
    }
}

/// What the source is doing.
enum Reading<E> {
    /// It reads, on a thread of its own.
    Running {
        task: JoinHandle<Result<(), E>>,
        batches: mpsc::Receiver<Batch>,
        stop: CancellationToken,
        /// Ends the source wherever it is.
        _abandon: DropGuard,
    },
    /// It failed, and is started again at this time.
    Waiting(Instant),
}

/// A write to the store that is under way; one at a time.
type Storing<E> = Pin<Box<dyn Future<Output = (Write, Result<(), E>)> + Send>>;

enum Write {
    Checkpoint(Checkpoint),
    Schema(Box<Outgoing>),
}

struct Driver<S: Source, K, C: CheckpointStore> {
    source: Arc<S>,
    sink: K,
    store: C,
    core: Core,
    confirm: Confirm,
    options: RunOptions,
    stop: CancellationToken,
    /// Items that the core has not seen yet.
    batch: VecDeque<Item>,
    read_time: Timestamp,
    reading: Reading<S::Error>,
    source_backoff: Backoff,
    sink_backoff: Backoff,
    /// Whether nothing was stored since the sink failed last.
    in_vain: bool,
    storing: Option<Storing<C::Error>>,
    store_backoff: Backoff,
    /// No write to the store before this.
    store_after: Instant,
    /// No checkpoint before this that is not urgent.
    checkpoint_after: Instant,
    reported: u64,
}

/// What woke the loop. `K` and `C` are the errors of the sink and of the store.
enum Input<K, C> {
    Stop,
    Start,
    Batch(Option<Batch>),
    Stored(Result<u64, K>),
    Written(Write, Result<(), C>),
    Tick,
}

impl<S: Source, K: Sink, C: CheckpointStore> Driver<S, K, C> {
    /// Until told to stop.
    async fn stream(&mut self) -> Result<(), RunError> {
        let mut tick = interval(Duration::from_millis(200));
        let mut report = Instant::now();
        loop {
            self.publish()?;
            self.write_state(false);
            let hungry = self.batch.is_empty() && self.sink.has_room() && !self.core.waits();
            let input = tokio::select! {
                () = self.stop.cancelled() => Input::Stop,
                stored = self.sink.next() => Input::Stored(stored),
                batch = receive(&mut self.reading), if hungry => batch,
                (write, result) = written(&mut self.storing) => Input::Written(write, result),
                _ = tick.tick() => Input::Tick,
            };
            match input {
                Input::Stop => return Ok(()),
                Input::Start => self.start_source()?,
                Input::Batch(Some(batch)) => {
                    self.read_time = batch.read_time;
                    self.batch = batch.items.into();
                }
                Input::Batch(None) => {
                    if self.source_ended().await? {
                        return Ok(());
                    }
                }
                Input::Stored(Ok(through)) => {
                    self.stored(through)?;
                    self.source_backoff.reset();
                }
                Input::Stored(Err(error)) => self.recover(error).await?,
                Input::Written(write, result) => self.state_written(write, result)?,
                Input::Tick => {
                    self.confirm.release();
                    if report.elapsed() >= REPORT_INTERVAL {
                        report = Instant::now();
                        self.report();
                    }
                }
            }
        }
    }

    /// Hands the sink what it has room for.
    fn publish(&mut self) -> Result<(), RunError> {
        while self.sink.has_room() {
            if let Some(outgoing) = self.core.poll() {
                self.sink
                    .publish(outgoing.message())
                    .map_err(|error| RunError::new("publishing an event", error))?;
                if outgoing.schema().is_some() {
                    self.core.published_shape(outgoing);
                }
            } else if !self.core.waits()
                && let Some(item) = self.batch.pop_front()
            {
                self.core.receive(item, self.read_time).map_err(halted)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn start_source(&mut self) -> Result<(), RunError> {
        let (out, batches) = Outlet::channel();
        let stop = CancellationToken::new();
        let (stored, last, last_transaction) = self.core.source_start();
        let confirmed = self.confirm.subscribe();
        let source = Arc::clone(&self.source);
        let cx = SourceContext {
            stored,
            last,
            last_transaction,
            out,
            confirmed,
            stop: stop.clone(),
        };
        // A thread of its own: decoding goes on beside encoding and publishing, and a source may pause its
        // thread to gather what comes.
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            RunError::new(
                "starting the source (are there enough file descriptors, ulimit -n?)",
                error,
            )
        })?;
        let abandoned = CancellationToken::new();
        let abandon = abandoned.clone().drop_guard();
        let task = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(async {
                tokio::select! {
                    result = source.run(cx) => result,
                    () = abandoned.cancelled() => Ok(()),
                }
            });
            // Not by dropping it, which would wait for a look-up or a read that hangs.
            runtime.shutdown_background();
            result
        });
        self.reading = Reading::Running {
            task,
            batches,
            stop,
            _abandon: abandon,
        };
        Ok(())
    }

    /// The source's channel is closed: its task is over, or about to be. True if it has handed over
    /// all that it ever will.
    async fn source_ended(&mut self) -> Result<bool, RunError> {
        let ended = std::mem::replace(&mut self.reading, Reading::Waiting(Instant::now()));
        let Reading::Running { task, _abandon, .. } = ended else {
            return Ok(false);
        };
        // A source that has closed its channel may still wait for its last confirmation.
        self.confirm.close();
        let result = task
            .await
            .map_err(|panic| RunError::new("reading the database's log", panic))?;
        let Err(error) = result else {
            return Ok(true);
        };
        self.core.source_restarts();
        match error.disposition() {
            Disposition::Halt => Err(RunError::new("reading the database's log", error)),
            Disposition::Retry => {
                let pause = self.source_backoff.pause();
                warn!(
                    connector = %self.options.name, error = chain(&error), retry_in_ms = milliseconds(pause),
                    "reading the database's log failed"
                );
                self.reading = Reading::Waiting(Instant::now() + pause);
                Ok(false)
            }
        }
    }

    fn stored(&mut self, through: u64) -> Result<(), RunError> {
        self.in_vain = false;
        self.sink_backoff.reset();
        self.core.stored(through).map_err(halted)
    }

    /// The sink failed: connect again, see what is stored, send the rest again. At once after work, and with growing pauses
    /// while nothing is stored: a stream that is full may take connections and no message.
    async fn recover(&mut self, error: K::Error) -> Result<(), RunError> {
        if error.disposition() == Disposition::Halt {
            return Err(RunError::new("publishing", error));
        }
        let pause = match self.in_vain {
            true => self.sink_backoff.pause(),
            false => Duration::ZERO,
        };
        warn!(
            connector = %self.options.name, error = chain(&error), retry_in_ms = milliseconds(pause),
            "publishing was interrupted{}",
            if self.in_vain { ", and nothing was stored since it was the last time; the broker's log may tell more" } else { "" }
        );
        // During a clean stop the drain's own time limit ends this.
        let stop = if self.stop.is_cancelled() {
            &CancellationToken::new()
        } else {
            &self.stop
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(pause) => {}
        }
        let Some(tail) = connect(&mut self.sink, &self.options, stop).await? else {
            return Ok(());
        };
        let (_, before) = self.core.progress();
        self.core.recover(&tail).map_err(halted)?;
        self.sink.resume(tail.seq);
        let (issued, acked) = self.core.progress();
        self.in_vain = acked == before;
        info!(connector = %self.options.name, stream_seq = acked, again = issued - acked, "publishing goes on");
        Ok(())
    }

    /// Starts the next write to the store, if one is due and none is under way.
    fn write_state(&mut self, at_once: bool) {
        let now = Instant::now();
        if self.storing.is_some() || now < self.store_after {
            return;
        }
        let write = if let Some(schema) = self.core.schema() {
            Write::Schema(Box::new(schema))
        } else if let Some((checkpoint, urgent)) = self.core.checkpoint()
            && (urgent || at_once || now >= self.checkpoint_after)
        {
            self.checkpoint_after = now + CHECKPOINT_INTERVAL;
            Write::Checkpoint(checkpoint)
        } else {
            return;
        };
        let store = self.store.clone();
        self.storing = Some(Box::pin(async move {
            let result = match &write {
                Write::Checkpoint(checkpoint) => store.store(checkpoint).await,
                Write::Schema(outgoing) => {
                    let message = outgoing.message();
                    store
                        .store_schema(message.event.relation(), message.event)
                        .await
                }
            };
            (write, result)
        }));
    }

    fn state_written(
        &mut self,
        write: Write,
        result: Result<(), C::Error>,
    ) -> Result<(), RunError> {
        self.storing = None;
        if result.is_ok() {
            self.store_backoff.reset();
        }
        match (write, result) {
            (Write::Checkpoint(checkpoint), Ok(())) => {
                self.core.checkpointed(&checkpoint);
                self.confirm.push(checkpoint.resume.into());
                Ok(())
            }
            (Write::Schema(_), Ok(())) => Ok(()),
            (write, Err(error)) => match error.disposition() {
                Disposition::Halt => Err(RunError::new("storing the connector's state", error)),
                Disposition::Retry => {
                    let pause = self.store_backoff.pause();
                    self.store_after = Instant::now() + pause;
                    warn!(
                        connector = %self.options.name, error = chain(&error), retry_in_ms = milliseconds(pause),
                        "storing the connector's state failed"
                    );
                    if let Write::Schema(outgoing) = write {
                        self.core.published_shape(*outgoing);
                    }
                    Ok(())
                }
            },
        }
    }

    /// Stops the source, and after a clean run waits until what was sent is stored and confirmed.
    async fn close(&mut self, drain: bool) -> Result<(), RunError> {
        if let Reading::Running { stop, .. } = &self.reading {
            stop.cancel();
        }
        let mut result = Ok(());
        if drain {
            match timeout(DRAIN_MAX, self.drain()).await {
                Ok(drained) => result = drained,
                Err(_) => warn!(
                    connector = %self.options.name,
                    "the broker did not acknowledge in time; what is missing is published at the next start"
                ),
            }
        }
        self.confirm.release();
        self.confirm.close();
        let reading = std::mem::replace(&mut self.reading, Reading::Waiting(Instant::now()));
        if let Reading::Running {
            task,
            batches,
            _abandon,
            ..
        } = reading
        {
            drop(batches);
            if timeout(FAREWELL_MAX, task).await.is_err() {
                warn!(connector = %self.options.name, "the source did not end in time");
            }
        }
        result
    }

    async fn drain(&mut self) -> Result<(), RunError> {
        loop {
            self.write_state(true);
            let (issued, acked) = self.core.progress();
            if issued == acked && self.storing.is_none() {
                return Ok(());
            }
            tokio::select! {
                stored = self.sink.next(), if issued != acked => match stored {
                    Ok(through) => self.stored(through)?,
                    Err(error) => self.recover(error).await?,
                },
                (write, result) = written(&mut self.storing) => self.state_written(write, result)?,
            }
        }
    }

    fn report(&mut self) {
        let (issued, acked) = self.core.progress();
        if acked != self.reported {
            info!(
                connector = %self.options.name, stream_seq = acked, in_flight = issued - acked,
                position = self.core.stored_position().map(|p| p.to_string()), "published"
            );
            self.reported = acked;
        }
    }
}

/// The source's next batch, or that it has ended, or that it is time to start it.
async fn receive<E, K, C>(reading: &mut Reading<E>) -> Input<K, C> {
    match reading {
        Reading::Running { batches, .. } => Input::Batch(batches.recv().await),
        Reading::Waiting(until) => {
            sleep_until(*until).await;
            Input::Start
        }
    }
}

/// The end of the write that is under way; never, if there is none.
async fn written<E>(storing: &mut Option<Storing<E>>) -> (Write, Result<(), E>) {
    match storing {
        Some(storing) => storing.await,
        None => std::future::pending().await,
    }
}

fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

fn halted(error: crate::core::CoreError) -> RunError {
    error!(error = chain(&error), "the pipeline stops");
    RunError::new("keeping the order of events", error)
}

/// What may be confirmed to the database, held back by the lag.
struct Confirm {
    lag: Duration,
    /// Bounded: one for each checkpoint of the lag's time.
    held: VecDeque<(Instant, Box<str>)>,
    sender: Option<watch::Sender<Option<Box<str>>>>,
}

impl Confirm {
    const fn new(lag: Duration) -> Self {
        Self {
            lag,
            held: VecDeque::new(),
            sender: None,
        }
    }

    /// A source starts: it hears of what becomes due from now on.
    fn subscribe(&mut self) -> watch::Receiver<Option<Box<str>>> {
        let (sender, receiver) = watch::channel(None);
        self.sender = Some(sender);
        receiver
    }

    fn push(&mut self, resume: Box<str>) {
        self.held.push_back((Instant::now() + self.lag, resume));
        self.release();
    }

    fn release(&mut self) {
        let now = Instant::now();
        let mut due = None;
        while let Some((_, resume)) = self.held.pop_front_if(|(at, _)| *at <= now) {
            due = Some(resume);
        }
        if let (Some(resume), Some(sender)) = (due, &self.sender) {
            sender.send_replace(Some(resume));
        }
    }

    fn close(&mut self) {
        self.sender = None;
    }
}

//! The port of databases.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_event::{Change, Position, Relation, Timestamp, Transaction};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::error::Classify;

/// What a source hands over, in log order.
///
/// A transaction is `Begin`, any number of `Change` and `Schema`, `Commit`. Between transactions, and
/// between the rows of a snapshot, there may be `Progress`.
#[derive(Debug, Clone)]
pub enum Item {
    /// A committed transaction (or a snapshot) starts. All its changes follow without others between.
    Begin(Transaction),
    /// One change; its ordinal counts what the database sent, before any filter.
    Change(Change),
    /// The transaction is complete.
    Commit {
        /// From here the database is asked for the log once everything so far is stored. None: a later item
        /// says it, soon, because it is work to say.
        resume: Option<Box<str>>,
    },
    /// The shape of a table whose changes follow. Whether it is published, the pipeline decides.
    Schema {
        /// The shape.
        relation: Arc<Relation>,
        /// The ordinal of the next change of the open transaction.
        ordinal: u64,
        /// The table is read afresh from here on: readers drop what they hold of it.
        resnapshot: bool,
    },
    /// The log was read up to here and nothing of it is missing in what was handed over.
    Progress {
        /// From here the database is asked for the log once everything so far is stored.
        resume: Box<str>,
        /// What the source wants to find in the checkpoint from here on. No event behind it is published
        /// before it is there.
        state: Option<Box<str>>,
    },
}

/// Items that were read together.
#[derive(Debug)]
pub struct Batch {
    /// In log order.
    pub items: Vec<Item>,
    /// When they were read.
    pub read_time: Timestamp,
}

/// Where a source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The last `resume` that became durable.
    pub resume: Box<str>,
    /// The last `state` that became durable.
    pub state: Box<str>,
}

/// What a source is given for one run.
#[derive(Debug)]
pub struct SourceContext {
    /// Where to go on; `None` at the first start, or when the checkpoint is lost.
    pub stored: Option<Stored>,
    /// The last event that is published or about to be. Events up to it may be handed over again:
    /// the pipeline drops them.
    pub last: Option<Position>,
    /// The transaction of that event, or of the last one before it that is part of one, as far as that is
    /// known. On another server positions say nothing, and transactions are known by their names.
    pub last_transaction: Option<Box<str>>,
    /// Where items go.
    pub out: Outlet,
    /// What may be confirmed to the database: the latest durable `resume`. It changes at any time,
    /// also while [`Outlet::flush`] waits. When the channel closes, the run is over: send the last
    /// value to the database and return.
    pub confirmed: watch::Receiver<Option<Box<str>>>,
    /// Stop reading and hand over nothing more, but go on confirming until `confirmed` closes.
    pub stop: CancellationToken,
}

/// A database whose log is read.
///
/// `run` returns `Ok` after `stop`, after a closed channel, or when everything has been handed over
/// and nothing will ever follow: then the connector ends. It may be called again after an error
/// that heals. It never panics on what the database sends, and bytes that it does not understand
/// end in an error that halts: nothing is skipped.
///
/// While `out` is full the database must still be told that we live: back-pressure stops the
/// reading, not the talking.
pub trait Source: Send + Sync + 'static {
    /// Its errors.
    type Error: Classify;

    /// Reads the log and hands it over until told to stop.
    fn run(&self, cx: SourceContext) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The pipeline has ended and takes no more items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline takes no more items")]
pub struct Closed;

/// Where a source puts its items: they are collected and passed on in batches.
#[derive(Debug)]
pub struct Outlet {
    sender: mpsc::Sender<Batch>,
    items: Vec<Item>,
    bytes: usize,
}

impl Outlet {
    /// Batches waiting between the source and the loop: one being taken, one ready.
    const BATCHES_MAX: usize = 2;
    /// Items of a batch: enough to make the hand-over cheap, few enough to keep the latency low.
    const ITEMS_MAX: usize = 512;
    /// Row bytes of a batch; a single larger row makes a batch of its own.
    const BYTES_MAX: usize = 512 * 1024;

    pub(crate) fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(Self::BATCHES_MAX);
        (
            Self {
                sender,
                items: Vec::with_capacity(Self::ITEMS_MAX),
                bytes: 0,
            },
            receiver,
        )
    }

    /// Adds an item. Call [`Outlet::flush`] when [`Outlet::is_full`], and when there is nothing more
    /// to read for now.
    pub fn push(&mut self, item: Item) {
        if let Item::Change(change) = &item {
            self.bytes += change.len();
        }
        self.items.push(item);
    }

    /// Whether nothing was collected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the batch is to be passed on before the next item.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.items.len() >= Self::ITEMS_MAX || self.bytes >= Self::BYTES_MAX
    }

    /// Passes on what was collected; waits while the pipeline is busy. Cancel-safe: nothing is lost
    /// when the future is dropped.
    ///
    /// # Errors
    /// When the pipeline has ended.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        if self.items.is_empty() {
            return Ok(());
        }
        let permit = self.sender.reserve().await.map_err(|_| Closed)?;
        let items = std::mem::replace(&mut self.items, Vec::with_capacity(Self::ITEMS_MAX));
        self.bytes = 0;
        permit.send(Batch {
            items,
            read_time: now(),
        });
        Ok(())
    }

    /// Adds an item and passes the batch on if it is full.
    ///
    /// # Errors
    /// When the pipeline has ended.
    pub async fn send(&mut self, item: Item) -> Result<(), Closed> {
        self.push(item);
        if self.is_full() {
            self.flush().await
        } else {
            Ok(())
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

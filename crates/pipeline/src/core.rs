//! The core: items in, numbered messages out, durable marks between.
//!
//! Pure and deterministic: no I/O, no clock, no task. The driver feeds it ([`Core::receive`],
//! [`Core::stored`], [`Core::recover`]) and takes what is due ([`Core::poll`],
//! [`Core::checkpoint`], [`Core::schema`]).
//!
//! One change is held back until the next one or the commit is seen, because the last event of a
//! transaction says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use adit_event::{
    Change, Event, EventKind, Position, PositionError, Relation, Timestamp, Transaction,
};

use crate::checkpoint::{Checkpoint, SchemaKey};
use crate::planted::{Bug, is_planted};
use crate::recovery::StartPoint;
use crate::sink::{Message, Tail};
use crate::source::{Item, Stored};
use crate::window::{Mark, Window, WindowError};

/// Items that do not follow the contract of a source, or a stream that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The source handed over an item where it may not come.
    #[error("the source sent {item} {place}")]
    OutOfPlace {
        /// The item.
        item: &'static str,
        /// Where.
        place: &'static str,
    },
    /// An event did not come behind the one before it.
    #[error("the source sent event {position} behind event {before}: the log is not in order")]
    OutOfOrder {
        /// The event's position.
        position: Position,
        /// The one before.
        before: Position,
    },
    /// A position cannot be written.
    #[error("a position cannot be written")]
    Position(#[from] PositionError),
    /// The broker contradicts us.
    #[error(transparent)]
    Window(#[from] WindowError),
}

/// A message that is due, with everything its event borrows.
#[derive(Debug)]
pub struct Outgoing {
    seq: u64,
    n: u64,
    position: Position,
    read_time: Timestamp,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Change {
        change: Change,
        transaction: Arc<Transaction>,
        last: bool,
    },
    Schema {
        relation: Arc<Relation>,
        resnapshot: bool,
    },
}

impl Outgoing {
    /// The message as a sink takes it.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let kind = match &self.body {
            Body::Change {
                change,
                transaction,
                last,
            } => EventKind::Change {
                change,
                transaction,
                last: *last,
            },
            Body::Schema {
                relation,
                resnapshot,
            } => EventKind::Schema {
                relation,
                resnapshot: *resnapshot,
            },
        };
        let event = Event {
            position: &self.position,
            read_time: self.read_time,
            kind,
        };
        Message {
            seq: self.seq,
            n: self.n,
            event,
        }
    }

    /// The table whose shape it publishes, if it is a schema event.
    #[must_use]
    pub const fn schema(&self) -> Option<&Arc<Relation>> {
        match &self.body {
            Body::Schema { relation, .. } => Some(relation),
            Body::Change { .. } => None,
        }
    }
}

/// What waits to be numbered.
#[derive(Debug)]
enum Ready {
    Event {
        position: Position,
        read_time: Timestamp,
        body: Body,
    },
    Mark(Mark),
}

/// A change that waits for the next one, and the shapes and marks that came after it.
#[derive(Debug)]
struct Held {
    change: Change,
    position: Position,
    read_time: Timestamp,
    behind: Vec<Ready>,
}

/// A transaction of which an event has a number.
#[derive(Debug)]
enum Issued {
    /// In an earlier run.
    Named(Box<str>),
    /// In this one.
    Here(Arc<Transaction>),
}

/// The state machine of one connector.
#[derive(Debug)]
pub struct Core {
    window: Window,
    created: String,
    /// `Adit-N` minus sequence number, constant while we are the only writer; wraps.
    n_offset: u64,
    /// The last event received, or the tail at the start: what comes again up to it is dropped.
    last: Option<Position>,
    /// Whether the source has passed `last` since it started; from then on positions must rise.
    caught_up: bool,
    transaction: Option<Arc<Transaction>>,
    /// The name of the transaction of the last event that has a number.
    issued: Option<Issued>,
    held: Option<Held>,
    ready: VecDeque<Ready>,
    announced: HashMap<SchemaKey, u64>,
    /// Shapes that came with changes which are published already, and of which it is not known that they are announced: due
    /// before the table's next change.
    owed: HashMap<SchemaKey, Arc<Relation>>,
    /// Published shapes that wait to be kept, each until its message is stored.
    shapes: VecDeque<Outgoing>,
    durable: Option<Stored>,
    checkpointed: Option<Stored>,
    /// Notes of the source that have to be in a checkpoint before the next event gets its number: what is
    /// behind them in the stream is never found together with older ones.
    notes: Option<Box<str>>,
}

impl Core {
    /// Starts behind the stream's tail.
    #[must_use]
    pub fn new(start: StartPoint, created: String, announced: HashMap<SchemaKey, u64>) -> Self {
        Self {
            window: Window::new(start.seq, start.last),
            created,
            n_offset: start.n.wrapping_sub(start.seq),
            last: start.last,
            caught_up: false,
            transaction: None,
            issued: start.transaction.map(Issued::Named),
            held: None,
            ready: VecDeque::new(),
            announced,
            owed: HashMap::new(),
            shapes: VecDeque::new(),
            durable: start.stored.clone(),
            checkpointed: start.stored,
            notes: None,
        }
    }

    /// Where the source goes on when it is started now: behind everything that has a number, as far as it was said; and the last
    /// event that has one, with its transaction. From an earlier place, what is durable would go back.
    #[must_use]
    pub fn source_start(&self) -> (Option<Stored>, Option<Position>, Option<Box<str>>) {
        let transaction = self.issued.as_ref().map(|issued| match issued {
            Issued::Named(name) => name.clone(),
            Issued::Here(transaction) => transaction.id.as_str().into(),
        });
        let position = self.window.issued_position();
        let durable = self.durable.clone();
        let stored = match self.window.pending() {
            Some(Mark { resume, state }) => {
                let state = state.or_else(|| Some(durable?.state));
                Some(Stored {
                    resume,
                    state: state.unwrap_or_default(),
                })
            }
            None => durable,
        };
        (stored, position, transaction)
    }

    /// The source is started again: it sends everything from [`Core::source_start`] on once more.
    pub fn source_restarts(&mut self) {
        // What has no number yet comes again, and so do the marks behind it.
        let held = self.held.take().into_iter().flat_map(|held| held.behind);
        for ready in self.ready.drain(..).chain(held) {
            if let Ready::Event {
                body: Body::Schema { relation, .. },
                ..
            } = ready
                && !is_planted(Bug::AnnouncementsKept)
            {
                self.announced.remove(&key_of(&relation));
            }
        }
        self.transaction = None;
        self.owed.clear();
        self.last = self.window.issued_position();
        self.caught_up = false;
    }

    /// Takes the next item of the source.
    ///
    /// # Errors
    /// When it may not come here.
    pub fn receive(&mut self, item: Item, read_time: Timestamp) -> Result<(), CoreError> {
        match item {
            Item::Begin(transaction) => {
                if self.transaction.is_some() {
                    return Err(out_of_place(
                        "a transaction's begin",
                        "inside a transaction",
                    ));
                }
                self.transaction = Some(Arc::new(transaction));
                Ok(())
            }
            Item::Change(change) => self.change(change, read_time),
            Item::Schema {
                relation,
                ordinal,
                resnapshot,
            } => self.shape(relation, ordinal, resnapshot, read_time),
            Item::Commit { resume } => {
                let transaction = self.transaction.take();
                let transaction =
                    transaction.ok_or(out_of_place("a commit", "outside a transaction"))?;
                self.release(&transaction, true);
                let mark = resume.map(|resume| Mark {
                    resume,
                    state: None,
                });
                self.ready.extend(mark.map(Ready::Mark));
                Ok(())
            }
            Item::Progress { resume, state } => {
                let transaction = self.transaction.as_ref();
                if transaction.is_some_and(|transaction| !transaction.snapshot) {
                    return Err(out_of_place("progress", "inside a transaction"));
                }
                self.behind(Ready::Mark(Mark { resume, state }));
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change, read_time: Timestamp) -> Result<(), CoreError> {
        let transaction = self
            .transaction
            .clone()
            .ok_or(out_of_place("a change", "outside a transaction"))?;
        let position = transaction.positions.event(change.ordinal)?;
        if !self.owed.is_empty()
            && self.last.is_none_or(|last| last < position)
            && let Some(relation) = self.owed.remove(&key_of(&change.relation))
        {
            self.shape(relation, change.ordinal, false, read_time)?;
        }
        if self.is_new(position)? {
            self.release(&transaction, false);
            self.held = Some(Held {
                change,
                position,
                read_time,
                behind: Vec::new(),
            });
        }
        Ok(())
    }

    fn shape(
        &mut self,
        relation: Arc<Relation>,
        ordinal: u64,
        resnapshot: bool,
        read_time: Timestamp,
    ) -> Result<(), CoreError> {
        let transaction = self
            .transaction
            .as_ref()
            .ok_or(out_of_place("a schema", "outside a transaction"))?;
        let positions = transaction.positions;
        let key = key_of(&relation);
        if self.announced.get(&key) == Some(&relation.fingerprint()) && !resnapshot {
            self.owed.remove(&key);
            return Ok(());
        }
        let position = positions.schema(ordinal, self.last.as_ref())?;
        if !self.is_new(position)? {
            self.owed.insert(key, relation);
            return Ok(());
        }
        self.owed.remove(&key);
        self.announced.insert(key, relation.fingerprint());
        self.behind(Ready::Event {
            position,
            read_time,
            body: Body::Schema {
                relation,
                resnapshot,
            },
        });
        Ok(())
    }

    /// Adds what is due behind everything received so far.
    fn behind(&mut self, ready: Ready) {
        match &mut self.held {
            Some(held) => held.behind.push(ready),
            None => self.ready.push_back(ready),
        }
    }

    /// Whether an event is still to be published.
    fn is_new(&mut self, position: Position) -> Result<bool, CoreError> {
        let was_published = |last: &Position| {
            position < *last || position == *last && !is_planted(Bug::TailPublishedAgain)
        };
        let Some(before) = self.last.filter(was_published) else {
            self.caught_up = true;
            self.last = Some(position);
            return Ok(true);
        };
        if self.caught_up {
            return Err(CoreError::OutOfOrder { position, before });
        }
        Ok(false)
    }

    /// The change that was held back is due now.
    fn release(&mut self, transaction: &Arc<Transaction>, last: bool) {
        if let Some(Held {
            change,
            position,
            read_time,
            behind,
        }) = self.held.take()
        {
            let body = Body::Change {
                change,
                transaction: Arc::clone(transaction),
                last,
            };
            self.ready.push_back(Ready::Event {
                position,
                read_time,
                body,
            });
            self.ready.extend(behind);
        }
    }

    /// Whether nothing is due before the next checkpoint is stored; until then no item is to be received.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.notes.is_some()
    }

    /// The next message to hand to the sink.
    pub fn poll(&mut self) -> Option<Outgoing> {
        loop {
            if self.waits() {
                return None;
            }
            match self.ready.pop_front()? {
                Ready::Mark(mark) => {
                    let stored = self.checkpointed.as_ref().map(|stored| &stored.state);
                    if mark.state.is_some()
                        && mark.state.as_ref() != stored
                        && !is_planted(Bug::NotesNotAwaited)
                    {
                        self.notes.clone_from(&mark.state);
                    }
                    self.window.mark(mark);
                }
                Ready::Event {
                    position,
                    read_time,
                    body,
                } => {
                    let seq = self.window.issue(position);
                    if let Body::Change { transaction, .. } = &body {
                        self.issued = Some(Issued::Here(Arc::clone(transaction)));
                    }
                    let n = seq.wrapping_add(self.n_offset);
                    return Some(Outgoing {
                        seq,
                        n,
                        position,
                        read_time,
                        body,
                    });
                }
            }
        }
    }

    /// A schema event was handed to the sink: its shape is to be stored once the message is.
    pub fn published_shape(&mut self, outgoing: Outgoing) {
        self.shapes.push_back(outgoing);
    }

    /// Messages up to `through` are stored.
    ///
    /// # Errors
    /// When that many were never sent.
    pub fn stored(&mut self, through: u64) -> Result<(), CoreError> {
        self.window.ack(through)?;
        self.settle();
        Ok(())
    }

    /// The sink connected again after a failure and found the stream's end.
    ///
    /// # Errors
    /// When the stream's end is not ours: another writer, or messages that were lost.
    pub fn recover(&mut self, tail: &Tail) -> Result<(), CoreError> {
        let position = match &tail.message {
            Some(message) if message.seq == tail.seq => message.position,
            // The last message was purged; nobody can tell it from ours but by its number.
            _ if tail.seq == self.window.acked() => self.window.acked_position(),
            _ => None,
        };
        if tail.created != self.created {
            return Err(WindowError::Fenced {
                tail: tail.seq,
                found: format!("a stream created {}", tail.created),
                expected: format!("the stream created {}", self.created),
            }
            .into());
        }
        self.window.recover(tail.seq, position)?;
        self.settle();
        Ok(())
    }

    /// Takes over the marks that became true.
    fn settle(&mut self) {
        while let Some(mark) = self.window.durable() {
            let state = mark.state.or_else(|| Some(self.durable.take()?.state));
            self.durable = Some(Stored {
                resume: mark.resume,
                state: state.unwrap_or_default(),
            });
        }
    }

    /// The last sequence number handed out, and the one up to which everything is stored.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.window.issued(), self.window.acked())
    }

    /// The position of the last stored message.
    #[must_use]
    pub const fn stored_position(&self) -> Option<Position> {
        self.window.acked_position()
    }

    /// A checkpoint to store, if something became durable since the last one; and whether the
    /// source's notes changed, so that it is urgent.
    pub fn checkpoint(&mut self) -> Option<(Checkpoint, bool)> {
        // Marks behind nothing that is in flight are true without an acknowledgement.
        self.settle();
        let durable = self.durable.as_ref()?;
        if self.checkpointed.as_ref() == Some(durable) {
            return None;
        }
        let urgent = self
            .checkpointed
            .as_ref()
            .is_none_or(|stored| stored.state != durable.state);
        let seq = self.window.acked();
        let checkpoint = Checkpoint {
            version: Checkpoint::VERSION,
            created: self.created.clone(),
            seq,
            n: seq.wrapping_add(self.n_offset),
            position: self
                .window
                .acked_position()
                .map(|position| position.to_string()),
            resume: durable.resume.to_string(),
            state: durable.state.to_string(),
        };
        Some((checkpoint, urgent))
    }

    /// A checkpoint is stored; only now its `resume` may be confirmed to the database.
    pub fn checkpointed(&mut self, checkpoint: &Checkpoint) {
        self.checkpointed = Some(Stored {
            resume: checkpoint.resume.as_str().into(),
            state: checkpoint.state.as_str().into(),
        });
        if self.notes.as_deref() == Some(&checkpoint.state) {
            self.notes = None;
        }
    }

    /// A published shape whose message is stored, to be kept for the next start.
    pub fn schema(&mut self) -> Option<Outgoing> {
        let acked = self.window.acked();
        self.shapes.pop_front_if(|outgoing| outgoing.seq <= acked)
    }
}

fn key_of(relation: &Relation) -> SchemaKey {
    (relation.schema().to_owned(), relation.table().to_owned())
}

const fn out_of_place(item: &'static str, place: &'static str) -> CoreError {
    CoreError::OutOfPlace { item, place }
}

#[cfg(test)]
mod tests;

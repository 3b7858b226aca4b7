//! A process of the connector: the core, and what its driver does around it, one thing at a time.

use std::collections::VecDeque;

use adit_event::{EventKind, Timestamp};

use super::Lot;
use super::broker::{Broker, Sent, Told};
use super::database::{Database, Reader, identity};
use crate::checkpoint::Checkpoint;
use crate::core::{Core, Outgoing};
use crate::planted::{Bug, is_planted};
use crate::recovery::{Refusal, start_point};
use crate::source::Item;

/// Messages that are kept until they are acknowledged, at most.
const WINDOW: usize = 12;

/// Why a process goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody else wrote.
    Fenced,
}

enum Write {
    Checkpoint(Checkpoint),
    Schema(Box<Outgoing>),
}

pub(super) struct Process {
    number: u64,
    /// What its filter says.
    keeps: bool,
    core: Core,
    reader: Reader,
    batch: VecDeque<Item>,
    /// Not acknowledged yet; the first `sent` of them are on their way.
    window: VecDeque<Sent>,
    sent: usize,
    connected: bool,
    wire: VecDeque<Sent>,
    /// A message was refused on this connection.
    refused: bool,
    /// Answers that are on their way: stored up to here, or refused.
    answers: VecDeque<Result<u64, ()>>,
    storing: Option<Write>,
    revision: u64,
}

impl Process {
    pub(super) fn start(
        number: u64,
        keeps: bool,
        broker: &Broker,
        database: &mut Database,
    ) -> Result<Self, Refusal> {
        let tail = broker.tail();
        let start = start_point(&tail, broker.checkpoint.as_ref(), false)?;
        let core = Core::new(start, tail.created, broker.schemas.clone());
        let reader = Reader::start(core.source_start().0.as_ref(), number, keeps, database);
        Ok(Self {
            number,
            keeps,
            core,
            reader,
            batch: VecDeque::new(),
            window: VecDeque::new(),
            sent: 0,
            connected: true,
            wire: VecDeque::new(),
            refused: false,
            answers: VecDeque::new(),
            storing: None,
            revision: broker.revision,
        })
    }

    /// Nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.window.is_empty() && self.storing.is_none() && self.batch.is_empty()
    }

    /// Nothing is on its way to the broker.
    pub(super) fn is_silent(&self) -> bool {
        self.wire.is_empty()
    }

    /// The source fails and is started again.
    pub(super) fn source_fails(&mut self, database: &mut Database) {
        self.batch.clear();
        self.core.source_restarts();
        let (stored, ..) = self.core.source_start();
        self.reader = Reader::start(stored.as_ref(), self.number, self.keeps, database);
    }

    /// The connection ends: of what is on its way some arrives, and no answer comes back.
    pub(super) fn disconnect(&mut self, broker: &mut Broker, database: &Database, lot: &mut Lot) {
        self.connected = false;
        self.answers.clear();
        let arrive = lot.below(self.wire.len() as u64 + 1);
        for message in self.wire.drain(..).take(arrive as usize) {
            if !broker.publish(message, database) {
                break;
            }
        }
    }

    /// Does one thing.
    pub(super) fn step(
        &mut self,
        broker: &mut Broker,
        database: &mut Database,
        lot: &mut Lot,
    ) -> Result<(), Ended> {
        match lot.below(8) {
            0 => self.read(broker, database, lot),
            1 => self.publish(),
            2 => self.send(),
            3 => self.arrive(broker, database),
            4 => self.answered(broker, database, lot),
            5 => return self.connect(broker),
            6 => self.write(broker, database),
            _ => return self.written(broker, database, lot),
        }
        Ok(())
    }

    fn read(&mut self, broker: &Broker, database: &mut Database, lot: &mut Lot) {
        if !self.batch.is_empty() || self.core.waits() || self.window.len() >= WINDOW {
            return;
        }
        for _ in 0..=lot.below(4) {
            let Some(item) = self.reader.next(database) else {
                return;
            };
            if let Item::Commit {
                resume: Some(resume),
            } = &item
                && is_planted(Bug::ConfirmedBeforeAck)
            {
                database.confirm(self.number, resume, broker);
            }
            self.batch.push_back(item);
        }
    }

    fn publish(&mut self) {
        while self.window.len() < WINDOW {
            if let Some(outgoing) = self.core.poll() {
                let message = outgoing.message();
                let told = match message.event.kind {
                    EventKind::Change { change, .. } => Told::Change(identity(change)),
                    EventKind::Schema { relation, .. } => Told::Schema(
                        relation.table().parse().expect("a number"),
                        relation.columns().len() as u64 - 1,
                        relation.fingerprint(),
                    ),
                };
                self.window.push_back(Sent {
                    seq: message.seq,
                    n: message.n,
                    position: *message.event.position,
                    writer: self.number,
                    told,
                });
                if outgoing.schema().is_some() {
                    self.core.published_shape(outgoing);
                }
            } else if !self.core.waits()
                && let Some(item) = self.batch.pop_front()
            {
                let received = self.core.receive(item, Timestamp(0));
                received.expect("the source keeps its contract");
            } else {
                return;
            }
        }
    }

    fn send(&mut self) {
        if let Some(message) = self
            .window
            .get(self.sent)
            .filter(|_| self.connected && !self.refused)
        {
            self.wire.push_back(message.clone());
            self.sent += 1;
        }
    }

    fn arrive(&mut self, broker: &mut Broker, database: &Database) {
        if let Some(message) = self.wire.pop_front() {
            let seq = message.seq;
            let stored = broker.publish(message, database);
            self.answers.push_back(stored.then_some(seq).ok_or(()));
            if !stored {
                // Behind a gap nothing of a batch is stored.
                self.wire.clear();
                self.refused = true;
            }
        }
    }

    fn answered(&mut self, broker: &mut Broker, database: &Database, lot: &mut Lot) {
        match self.answers.pop_front() {
            // One may be lost, which is noticed when no other comes.
            Some(_) if lot.once_in(60) => self.disconnect(broker, database, lot),
            Some(Ok(seq)) => {
                for _ in 0..=lot.below(3) / 2 {
                    let stored = self.core.stored(seq);
                    stored.expect("no more is stored than was sent");
                }
                self.keep_behind(seq);
            }
            Some(Err(())) => self.disconnect(broker, database, lot),
            None => {}
        }
    }

    /// Messages up to this one are stored.
    fn keep_behind(&mut self, seq: u64) {
        while self
            .window
            .pop_front_if(|message| message.seq <= seq)
            .is_some()
        {
            self.sent = self.sent.saturating_sub(1);
        }
    }

    fn connect(&mut self, broker: &Broker) -> Result<(), Ended> {
        if self.connected {
            return Ok(());
        }
        if !is_planted(Bug::SentAgainBlindly) {
            let tail = broker.tail();
            let (_, acked) = self.core.progress();
            let mut unheard = broker.stream.iter().skip(acked as usize);
            let is_ours = unheard.all(|message| message.writer == self.number);
            if !is_ours && !is_planted(Bug::FencingIgnored) {
                return Err(Ended::Fenced);
            }
            self.core.recover(&tail).map_err(|_| Ended::Fenced)?;
            self.keep_behind(tail.seq);
        }
        self.sent = 0;
        self.refused = false;
        self.connected = true;
        Ok(())
    }

    fn write(&mut self, broker: &Broker, database: &mut Database) {
        if self.storing.is_some() {
            return;
        }
        if let Some(outgoing) = self.core.schema() {
            self.storing = Some(Write::Schema(Box::new(outgoing)));
        } else if let Some((checkpoint, _)) = self.core.checkpoint() {
            if is_planted(Bug::ConfirmedBeforeCheckpoint) {
                database.confirm(self.number, &checkpoint.resume, broker);
            }
            self.storing = Some(Write::Checkpoint(checkpoint));
        }
    }

    fn written(
        &mut self,
        broker: &mut Broker,
        database: &mut Database,
        lot: &mut Lot,
    ) -> Result<(), Ended> {
        // It may fail, and it may be stored without our hearing of it.
        let (is_stored, is_heard) = (!lot.once_in(10), !lot.once_in(10));
        match self.storing.take() {
            None => {}
            Some(Write::Schema(outgoing)) if !is_stored || !is_heard => {
                self.core.published_shape(*outgoing);
            }
            Some(Write::Schema(_)) => {}
            Some(Write::Checkpoint(checkpoint)) if is_stored => {
                if broker.revision != self.revision {
                    return Err(Ended::Fenced);
                }
                broker.revision += 1;
                self.revision = broker.revision;
                broker.checkpoint = Some(checkpoint.clone());
                if is_heard {
                    self.core.checkpointed(&checkpoint);
                    database.confirm(self.number, &checkpoint.resume, broker);
                }
            }
            Some(Write::Checkpoint(_)) => {}
        }
        Ok(())
    }
}

//! The order of things: messages, transactions, and what each writer committed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::message::{Body, Message, Op, Row, Tx};
use crate::workload::LEDGER;

/// What has been seen so far.
pub(super) struct History {
    /// `Adit-N` minus the message's number: always the same.
    offset: Option<u64>,
    position: String,
    open: Option<Open>,
    ended: HashSet<String>,
    ledger: BTreeMap<i64, Counters>,
    streamed: Vec<String>,
    processes: BTreeSet<String>,
}

/// Whose transactions are in.
#[derive(Default)]
struct Counters {
    /// The last one, without a gap up to there.
    last: i64,
    /// Read by a snapshot, in any order; empty once it is complete.
    read: BTreeSet<i64>,
}

/// A transaction, or a snapshot, whose last event has not come.
struct Open {
    id: String,
    ts: String,
    snapshot: bool,
    events: u64,
    /// The changes that its writer counted.
    counted: Option<u64>,
}

/// The transactions of a whole stream.
pub(super) struct Seen {
    /// How many a snapshot stands for.
    pub(super) in_snapshot: usize,
    /// The ids of the others, in order.
    pub(super) streamed: Vec<String>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            offset: None,
            position: String::new(),
            open: None,
            ended: HashSet::new(),
            ledger: BTreeMap::new(),
            streamed: Vec::new(),
            processes: BTreeSet::new(),
        }
    }

    /// Takes the next message.
    pub(super) fn observe(&mut self, message: &Message<'_>) -> Result<()> {
        let offset = message.n.wrapping_sub(message.seq);
        ensure!(
            *self.offset.get_or_insert(offset) == offset,
            "Adit-N is {}, which is not one more than before",
            message.n
        );
        ensure!(
            self.position.as_str() < message.position,
            "position {} does not come behind {}",
            message.position,
            self.position
        );
        message.position.clone_into(&mut self.position);
        if !self.processes.contains(message.writer) {
            self.processes.insert(message.writer.to_owned());
        }
        let body = &message.body;
        match (&body.tx, body.op) {
            (None, Op::Schema) => self.schema(body),
            (Some(tx), _) if body.op != Op::Schema => self.event(body, tx),
            _ => bail!("exactly the schema events are in no transaction"),
        }
    }

    /// How many processes wrote to the stream.
    pub(super) fn processes(&self) -> u64 {
        self.processes.len() as u64
    }

    /// The stream is over.
    pub(super) fn finish(self) -> Result<Seen> {
        if let Some(open) = &self.open {
            bail!("transaction {} has no last event", open.id);
        }
        let committed: i64 = self.ledger.values().map(|counters| counters.last).sum();
        let committed = usize::try_from(committed)?;
        let in_snapshot = committed
            .checked_sub(self.streamed.len())
            .context("more transactions than counters")?;
        Ok(Seen {
            in_snapshot,
            streamed: self.streamed,
        })
    }

    fn schema(&mut self, body: &Body<'_>) -> Result<()> {
        if body.resnapshot {
            // The snapshot in front of it was given up.
            ensure!(
                self.open.as_ref().is_none_or(|open| open.snapshot),
                "a new snapshot inside a transaction"
            );
            self.open = None;
            if body.table.as_deref() == Some(LEDGER.name) {
                for counters in self.ledger.values_mut() {
                    counters.read.clear();
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, body: &Body<'_>, tx: &Tx<'_>) -> Result<()> {
        ensure!(
            body.source.snapshot == (body.op == Op::Read),
            "exactly the rows of a snapshot are of a snapshot"
        );
        let open = match &mut self.open {
            Some(open) => {
                ensure!(
                    open.id == tx.id && open.ts == tx.ts && open.snapshot == body.source.snapshot,
                    "it is in the midst of transaction {}, which began with {} events",
                    open.id,
                    open.events
                );
                open
            }
            None => {
                ensure!(
                    !self.ended.contains(tx.id),
                    "transaction {} was over already",
                    tx.id
                );
                self.open.insert(Open {
                    id: tx.id.to_owned(),
                    ts: tx.ts.to_owned(),
                    snapshot: body.source.snapshot,
                    events: 0,
                    counted: None,
                })
            }
        };
        ensure!(
            tx.seq == open.events,
            "it is event {} of its transaction, after {} others",
            tx.seq,
            open.events
        );
        open.events += 1;
        if body.table.as_deref() == Some(LEDGER.name) {
            let row = body.after.as_ref().context("the ledger only grows")?;
            let counters = self.ledger.entry(number(row, "writer")?).or_default();
            let counter = number(row, "counter")?;
            if open.snapshot {
                ensure!(
                    counters.read.insert(counter),
                    "the snapshot holds this row twice"
                );
            } else {
                ensure!(
                    counter == counters.last + 1,
                    "its writer's transaction {} comes behind {}",
                    counter,
                    counters.last
                );
                counters.last = counter;
                ensure!(
                    row.get("xid").and_then(Value::as_str) == Some(tx.id),
                    "its writer wrote it in another transaction"
                );
                ensure!(
                    open.counted.is_none(),
                    "a second ledger row in one transaction"
                );
                open.counted = Some(u64::try_from(number(row, "changes")?)?);
            }
        }
        if tx.last {
            self.end()?;
        }
        Ok(())
    }

    /// The last event of a transaction was seen.
    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if open.snapshot {
            for (writer, counters) in &mut self.ledger {
                let read = std::mem::take(&mut counters.read);
                let dense = read.iter().zip(1..).all(|(counter, due)| *counter == due);
                ensure!(
                    dense,
                    "the snapshot holds a transaction of writer {writer} but not all before it"
                );
                let last = read.last().copied().unwrap_or(0);
                ensure!(
                    last >= counters.last,
                    "the snapshot lacks transaction {} of writer {writer}",
                    counters.last
                );
                counters.last = last;
            }
        } else {
            ensure!(
                open.counted == Some(open.events - 1),
                "transaction {} holds {} events, but its writer counted {:?} and the ledger's",
                open.id,
                open.events,
                open.counted
            );
            self.streamed.push(open.id.clone());
        }
        self.ended.insert(open.id);
        Ok(())
    }
}

fn number(row: &Row, column: &str) -> Result<i64> {
    row.get(column)
        .and_then(Value::as_i64)
        .with_context(|| format!("the ledger's row has no {column}"))
}

//! The order of things: messages, transactions, and what each writer committed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::message::{Body, Message, Op, Row, Tx};

/// Where writers note what they committed.
const LEDGER: &str = "ledger";

/// What has been seen so far.
///
/// Up to the last row that a snapshot read, transactions may come between its rows: it was cut short, and went on later.
/// Of these transactions only the tables are there that were read in part already.
pub(super) struct History {
    /// The number of the message with the last row that a snapshot read.
    last_read: u64,
    /// That message has not come yet.
    in_snapshot: bool,
    /// A snapshot was cut short before.
    interrupted: bool,
    seq: u64,
    /// `Adit-N` minus the message's number: always the same.
    offset: Option<u64>,
    position: String,
    open: Option<Open>,
    ended: HashSet<String>,
    ledger: BTreeMap<i64, Counters>,
    streamed: Vec<String>,
    /// Transactions that are nothing but a truncation, which no writer counts: in MySQL it is one of its own.
    truncations: usize,
    processes: BTreeSet<String>,
}

/// Whose transactions are in.
#[derive(Default)]
struct Counters {
    /// The last one, without a gap up to there; as long as the snapshot is not complete, the last one that came beside it.
    last: i64,
    /// Read by the snapshot, in any order, or come beside it; empty once it is complete.
    read: BTreeSet<i64>,
    /// Read by the snapshot that is open.
    read_here: BTreeSet<i64>,
}

/// A transaction, or a snapshot, whose last event has not come.
struct Open {
    id: String,
    ts: String,
    snapshot: bool,
    events: u64,
    /// The changes that its writer counted.
    counted: Option<u64>,
    /// It began with a truncation, where that is a transaction of its own.
    truncation: bool,
}

/// The transactions of a whole stream.
pub(super) struct Seen {
    /// How many a snapshot stands for.
    pub(super) in_snapshot: usize,
    /// The ids of the others, in order.
    pub(super) streamed: Vec<String>,
}

impl History {
    /// For a stream of which this message has the last row that a snapshot read.
    pub(super) fn new(last_read: u64) -> Self {
        Self {
            last_read,
            in_snapshot: true,
            interrupted: false,
            seq: 0,
            offset: None,
            position: String::new(),
            open: None,
            ended: HashSet::new(),
            ledger: BTreeMap::new(),
            streamed: Vec::new(),
            truncations: 0,
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
        self.seq = message.seq;
        self.in_snapshot = message.seq <= self.last_read;
        let body = &message.body;
        match (&body.tx, body.op) {
            (None, Op::Schema) => self.schema(body),
            (Some(tx), _) if body.op != Op::Schema => self.event(body, tx),
            _ => bail!("exactly the schema events are in no transaction"),
        }
    }

    /// Whether what comes need not follow from what came before: rows may come again, and changes before the rows.
    pub(super) const fn is_lenient(&self) -> bool {
        self.in_snapshot && self.interrupted
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
            .checked_sub(self.streamed.len() - self.truncations)
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
            if body.table.as_deref() == Some(LEDGER) {
                for counters in self.ledger.values_mut() {
                    *counters = Counters {
                        last: if self.in_snapshot { 0 } else { counters.last },
                        ..Counters::default()
                    };
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
        let in_snapshot = self.in_snapshot;
        if in_snapshot && !body.source.snapshot {
            self.interrupted = true;
        }
        let is_cut_short = |open: &mut Open| in_snapshot && open.snapshot && open.id != tx.id;
        if self.open.take_if(is_cut_short).is_some() {
            self.interrupted = true;
        }
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
                if body.source.snapshot {
                    for counters in self.ledger.values_mut() {
                        counters.read_here.clear();
                    }
                }
                self.open.insert(Open {
                    id: tx.id.to_owned(),
                    ts: tx.ts.to_owned(),
                    snapshot: body.source.snapshot,
                    events: 0,
                    counted: None,
                    truncation: body.op == Op::Truncate && body.source.kind != "postgres",
                })
            }
        };
        ensure!(
            tx.seq == open.events || in_snapshot && !open.snapshot,
            "it is event {} of its transaction, after {} others",
            tx.seq,
            open.events
        );
        open.events += 1;
        if body.table.as_deref() == Some(LEDGER) {
            let row = body.after.as_ref().context("the ledger only grows")?;
            let counters = self.ledger.entry(number(row, "writer")?).or_default();
            let counter = number(row, "counter")?;
            if open.snapshot {
                ensure!(
                    counters.read_here.insert(counter),
                    "the snapshot holds this row twice"
                );
                counters.read.insert(counter);
            } else {
                let is_first = in_snapshot && counters.last == 0;
                if in_snapshot {
                    counters.read.insert(counter);
                }
                ensure!(
                    counter == counters.last + 1 || is_first,
                    "its writer's transaction {} comes behind {}",
                    counter,
                    counters.last
                );
                counters.last = counter;
                ensure!(
                    row.get("xid").is_none_or(|xid| xid.as_str() == Some(tx.id)),
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
        if open.snapshot && self.seq < self.last_read || !open.snapshot && self.in_snapshot {
            // What it lacks comes with the last snapshot.
        } else if open.snapshot {
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
        } else if open.truncation {
            ensure!(open.events == 1, "a truncation together with other changes");
            self.truncations += 1;
            self.streamed.push(open.id.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the checker says to a stream of these messages: `N POSITION BODY`, the body without its source.
    fn check(messages: &[&str]) -> Result<usize> {
        let is_read = |message: &&str| message.contains(r#""op":"read""#);
        let last_read = messages.iter().rposition(is_read);
        let mut history = History::new(last_read.map_or(0, |index| index as u64 + 1));
        for (index, message) in messages.iter().enumerate() {
            let mut parts = message.splitn(3, ' ');
            let (n, position) = (parts.next().unwrap(), parts.next().unwrap());
            let snapshot = message.contains(r#""op":"read""#);
            let body = format!(
                r#"{{{},"schema":"public","source":{{"connector":"c","kind":"postgres","pos":"{position}","snapshot":{snapshot}}}}}"#,
                parts.next().unwrap()
            );
            history.observe(&Message {
                seq: index as u64 + 1,
                n: n.parse()?,
                position,
                writer: "w",
                subject: "s",
                body: serde_json::from_str(&body)?,
            })?;
        }
        Ok(history.finish()?.streamed.len())
    }

    fn refused(messages: &[&str], why: &str) {
        let error = check(messages).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    fn row(id: u32, seq: u32) -> String {
        format!(r#""op":"insert","table":"tags","tx":{{"id":"{id}","seq":{seq},"ts":"t"}}"#)
    }

    fn ledger(id: u32, seq: u32, counter: u32, changes: u32) -> String {
        format!(
            r#""op":"insert","table":"ledger","after":{{"writer":1,"counter":{counter},"changes":{changes},"xid":"{id}"}},"tx":{{"id":"{id}","seq":{seq},"last":true,"ts":"t"}}"#
        )
    }

    #[test]
    fn two_whole_transactions_in_order_pass() {
        let messages = [
            format!("5 a {}", row(1, 0)),
            format!("6 b {}", ledger(1, 1, 1, 1)),
            format!("7 c {}", ledger(2, 0, 2, 0)),
        ];
        assert_eq!(check(&messages.each_ref().map(String::as_str)).unwrap(), 2);
    }

    #[test]
    fn a_hole_in_the_numbers_is_found() {
        let (one, two) = (format!("5 a {}", row(1, 0)), format!("7 b {}", row(1, 1)));
        refused(&[&one, &two], "not one more");
    }

    #[test]
    fn a_position_that_does_not_rise_is_found() {
        let (one, two) = (format!("5 b {}", row(1, 0)), format!("6 b {}", row(1, 1)));
        refused(&[&one, &two], "does not come behind");
    }

    #[test]
    fn transactions_in_each_other_are_found() {
        let (one, two) = (format!("5 a {}", row(1, 0)), format!("6 b {}", row(2, 1)));
        refused(&[&one, &two], "in the midst of transaction 1");
    }

    #[test]
    fn a_lost_event_of_a_transaction_is_found() {
        let (one, two) = (format!("5 a {}", row(1, 0)), format!("6 b {}", row(1, 2)));
        refused(&[&one, &two], "event 2 of its transaction, after 1");
        let cut = format!("6 b {}", ledger(1, 1, 1, 2));
        refused(&[&one, &cut], "its writer counted");
    }

    #[test]
    fn a_transaction_without_an_end_is_found() {
        refused(&[&format!("5 a {}", row(1, 0))], "no last event");
    }

    #[test]
    fn a_lost_or_repeated_transaction_is_found() {
        let one = format!("5 a {}", ledger(1, 0, 1, 0));
        refused(
            &[&one, &format!("6 b {}", ledger(3, 0, 3, 0))],
            "transaction 3 comes behind 1",
        );
        refused(
            &[&one, &format!("6 b {}", ledger(1, 0, 1, 0))],
            "was over already",
        );
    }

    #[test]
    fn a_snapshot_that_is_begun_afresh_may_be_cut_short_and_one_that_is_not_may_not() {
        let read = |id: u32, counter: u32, last: bool| {
            format!(
                r#""op":"read","table":"ledger","after":{{"writer":1,"counter":{counter},"changes":0,"xid":"1"}},"tx":{{"id":"s{id}","seq":0,"last":{last},"ts":"t"}}"#
            )
        };
        let schema = r#""op":"schema","table":"ledger","columns":[],"resnapshot":true"#;
        let first = format!("5 a {}", read(1, 1, false));
        let again = format!("6 b {schema}");
        let second = format!("7 c {}", read(2, 1, true));
        let streamed = format!("8 d {}", ledger(9, 0, 2, 0));
        assert_eq!(check(&[&first, &again, &second, &streamed]).unwrap(), 1);
        let streamed = format!("6 b {}", ledger(9, 0, 2, 0));
        refused(&[&first, &streamed], "in the midst");
        refused(&[&format!("5 a {}", read(1, 2, true))], "not all before it");
    }

    #[test]
    fn a_snapshot_that_goes_on_has_all_that_came_before_its_end() {
        let read = |id: u32, seq: u32, counter: u32, last: bool| {
            format!(
                r#""op":"read","table":"ledger","after":{{"writer":1,"counter":{counter},"changes":0,"xid":"1"}},"tx":{{"id":"s{id}","seq":{seq},"last":{last},"ts":"t"}}"#
            )
        };
        // Of the third transaction only the ledger is there; the second one is read at last.
        let cut = format!("5 a {}", read(1, 0, 1, false));
        let beside = format!("6 b {}", ledger(3, 1, 3, 1));
        let rest = format!("7 c {}", read(2, 0, 2, false));
        let again = format!("8 d {}", read(2, 1, 3, true));
        let streamed = format!("9 e {}", ledger(4, 0, 4, 0));
        let messages = [&*cut, &beside, &rest, &again, &streamed];
        assert_eq!(check(&messages).unwrap(), 1);
        let end = format!("7 c {}", read(2, 0, 3, true));
        refused(&[&cut, &beside, &end], "not all before it");
        let twice = format!("8 d {}", read(2, 1, 2, true));
        refused(&[&cut, &beside, &rest, &twice], "twice");
        let lost = format!("9 e {}", ledger(5, 0, 5, 0));
        refused(&[&cut, &beside, &rest, &again, &lost], "comes behind 3");
    }
}

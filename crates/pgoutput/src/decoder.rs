//! The decoder: pgoutput messages in, changes of known tables out.
//!
//! It remembers the relations that the server described and which transaction or stream chunk is
//! open. It has no socket and asks nobody: a table that it does not know yet is
//! [`Output::NeedTable`], answered by [`Decoder::table`]. Parts of transactions that the server
//! streams before their commit come out as [`Output::Stage`]; whoever keeps them gives them back
//! through [`Decoder::staged`] when the transaction is committed.

use std::collections::HashMap;
use std::sync::Arc;

use adit_decode::DecodeError;
use adit_event::{Before, Change, Op, PositionSpace, Relation, Row, Timestamp, Transaction};
use bytes::Bytes;

use crate::lsn::{Lsn, RelationId, Xid};
use crate::message::{self, LogicalMessage, Message, OldTuple, StreamCommit};
use crate::replication::PgTimestamp;
use crate::table::{TableInfo, relation};

/// What a message means.
#[derive(Debug)]
pub enum Output {
    /// Nothing that anybody has to know.
    Nothing,
    /// A committed transaction starts.
    Begin {
        /// The transaction.
        transaction: Transaction,
        /// Where its commit record starts: transactions come in this order.
        commit_lsn: Lsn,
    },
    /// A row changed.
    Change(Change),
    /// Several tables were emptied at once.
    Truncate(Vec<Change>),
    /// The shape of a table whose changes follow.
    Schema {
        /// The shape.
        relation: Arc<Relation>,
        /// The ordinal of the next change.
        ordinal: u64,
    },
    /// The transaction is complete.
    Commit {
        /// From here on the log has not been seen; this is what may be confirmed.
        end_lsn: Lsn,
    },
    /// A table that is not known, or not in this shape: answer with [`Decoder::table`].
    NeedTable(message::Relation),
    /// A record of a transaction that is not committed yet.
    Stage {
        /// The transaction.
        transaction: Xid,
        /// The sub-transaction that it belongs to, or the transaction itself.
        part: Xid,
        /// To be given back through [`Decoder::staged`].
        record: Bytes,
    },
    /// A staged transaction is committed: give its records back between [`Decoder::begin_staged`]
    /// and [`Decoder::commit_staged`].
    StreamCommit(StreamCommit),
    /// A staged transaction, or a part of it, was rolled back.
    StreamAbort {
        /// The transaction.
        transaction: Xid,
        /// What was rolled back; the transaction itself if it is all of it.
        part: Xid,
    },
}

/// A stream of messages that cannot be understood. The same bytes fail in the same way again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// Bytes that are not a message.
    #[error("a message of the server cannot be read")]
    Message(#[from] DecodeError),
    /// A change of a table that the server never described.
    #[error("a change of relation {} came before the relation's description", id.0)]
    UnknownRelation {
        /// `pg_class.oid`.
        id: RelationId,
    },
    /// A message where it may not come.
    #[error("message {message} came {place}")]
    OutOfPlace {
        /// Its name in the manual.
        message: &'static str,
        /// Where.
        place: &'static str,
    },
    /// Begin and Commit of one transaction contradict each other.
    #[error("a transaction that began for commit at {begin} was committed at {commit}")]
    CommitMismatch {
        /// The commit's position as Begin says it.
        begin: Lsn,
        /// The same as Commit says it.
        commit: Lsn,
    },
    /// A commit time that is outside the range of microseconds since 1970.
    #[error("a commit time is out of range")]
    TimeOutOfRange,
    /// A two-phase message, which is sent only to those who ask for it.
    #[error(
        "the slot sends prepared transactions (two_phase), which adit did not ask for; use a slot without two_phase"
    )]
    TwoPhase,
}

/// What is known of one `pg_class.oid`.
#[derive(Debug)]
struct Known {
    described: message::Relation,
    /// None for a table that nobody wants.
    relation: Option<Arc<Relation>>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    commit_lsn: Lsn,
    end_lsn: Option<Lsn>,
    ordinal: u64,
}

/// Decodes the messages of one replication connection.
#[derive(Debug, Default)]
pub struct Decoder {
    relations: HashMap<RelationId, Known>,
    needed: Option<message::Relation>,
    open: Option<Open>,
    chunk: Option<Xid>,
}

impl Decoder {
    /// A decoder for a connection that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a committed transaction has begun and not ended.
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// The shape with this [`Relation::id`], if it is one of those that the connection described
    /// last.
    #[must_use]
    pub fn shape(&self, id: u64) -> Option<Arc<Relation>> {
        let mut shapes = self
            .relations
            .values()
            .filter_map(|known| known.relation.as_ref());
        shapes.find(|relation| relation.id() == id).map(Arc::clone)
    }

    /// Takes one message.
    ///
    /// # Errors
    /// When it cannot be understood; the decoder is of no use then.
    pub fn handle(&mut self, bytes: Bytes) -> Result<Output, DecoderError> {
        if self.needed.is_some() {
            return Err(out_of_place("any", "while a table was asked for"));
        }
        let Some(transaction) = self.chunk else {
            return self.message(Message::parse(bytes, false)?);
        };
        match bytes.first() {
            // The messages that carry the xid of their sub-transaction inside a chunk.
            Some(b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M') => {
                let part = bytes
                    .get(1..5)
                    .and_then(|xid| <[u8; 4]>::try_from(xid).ok());
                let part = part.map_or(transaction, |xid| Xid(u32::from_be_bytes(xid)));
                Ok(Output::Stage {
                    transaction,
                    part,
                    record: bytes,
                })
            }
            _ => match Message::parse(bytes, true)? {
                Message::StreamStop => {
                    self.chunk = None;
                    Ok(Output::Nothing)
                }
                Message::Origin(_) => Ok(Output::Nothing),
                other => Err(out_of_place(name(&other), "inside a stream chunk")),
            },
        }
    }

    /// A staged transaction starts to be given back.
    ///
    /// # Errors
    /// When another transaction is open.
    pub fn begin_staged(&mut self, commit: &StreamCommit) -> Result<Output, DecoderError> {
        self.begin(
            commit.xid,
            commit.commit_lsn,
            Some(commit.end_lsn),
            commit.committed_at,
        )
    }

    /// Takes one record of the staged transaction.
    ///
    /// # Errors
    /// As [`Decoder::handle`].
    pub fn staged(&mut self, record: Bytes) -> Result<Output, DecoderError> {
        self.message(Message::parse(record, true)?)
    }

    /// The staged transaction has been given back.
    ///
    /// # Errors
    /// When none was begun.
    pub fn commit_staged(&mut self) -> Result<Output, DecoderError> {
        let open = self.open.take();
        let end_lsn = open.and_then(|open| open.end_lsn);
        let end_lsn = end_lsn.ok_or(out_of_place("Stream Commit", "outside a transaction"))?;
        Ok(Output::Commit { end_lsn })
    }

    /// Answers [`Output::NeedTable`]: what the catalogue says about the table, or none if nobody
    /// wants its changes.
    ///
    /// # Errors
    /// When no table was asked for.
    pub fn table(&mut self, info: Option<&TableInfo>) -> Result<Output, DecoderError> {
        let described = self
            .needed
            .take()
            .ok_or(out_of_place("an answer", "without a question"))?;
        let relation = info.map(|info| Arc::new(relation(&described, info)));
        let output = match &relation {
            Some(relation) => Output::Schema {
                relation: Arc::clone(relation),
                ordinal: self.open.map_or(0, |open| open.ordinal),
            },
            None => Output::Nothing,
        };
        self.relations.insert(
            described.id,
            Known {
                described,
                relation,
            },
        );
        Ok(output)
    }

    fn message(&mut self, message: Message) -> Result<Output, DecoderError> {
        match message {
            Message::Insert(insert) => {
                let after = Some(Row::new(insert.new.bytes().clone()));
                self.change(insert.relation, Op::Insert, None, after)
            }
            Message::Update(update) => {
                let after = Some(Row::new(update.new.bytes().clone()));
                self.change(update.relation, Op::Update, update.old.map(before), after)
            }
            Message::Delete(delete) => {
                self.change(delete.relation, Op::Delete, Some(before(delete.old)), None)
            }
            Message::Truncate(truncate) => {
                let mut changes = Vec::new();
                for id in truncate.relations {
                    if let Output::Change(change) = self.change(id, Op::Truncate, None, None)? {
                        changes.push(change);
                    }
                }
                Ok(Output::Truncate(changes))
            }
            Message::Relation(described) => self.relation(described),
            Message::Begin(begin) => {
                self.begin(begin.xid, begin.final_lsn, None, begin.committed_at)
            }
            Message::Commit(commit) => {
                let open = self.open.take();
                let open = open.ok_or(out_of_place("Commit", "outside a transaction"))?;
                if open.commit_lsn != commit.commit_lsn {
                    return Err(DecoderError::CommitMismatch {
                        begin: open.commit_lsn,
                        commit: commit.commit_lsn,
                    });
                }
                Ok(Output::Commit {
                    end_lsn: commit.end_lsn,
                })
            }
            Message::Logical(LogicalMessage {
                transactional: true,
                ..
            }) => {
                self.count("Message")?;
                Ok(Output::Nothing)
            }
            Message::Logical(_) | Message::Type(_) | Message::Origin(_) => Ok(Output::Nothing),
            Message::StreamStart(start) => {
                if self.open.is_some() || self.chunk.is_some() {
                    return Err(out_of_place("Stream Start", "inside a transaction"));
                }
                self.chunk = Some(start.xid);
                Ok(Output::Nothing)
            }
            Message::StreamStop => Err(out_of_place("Stream Stop", "outside a stream chunk")),
            Message::StreamCommit(commit) => Ok(Output::StreamCommit(commit)),
            Message::StreamAbort(abort) => Ok(Output::StreamAbort {
                transaction: abort.xid,
                part: abort.subxid,
            }),
            Message::BeginPrepare(_)
            | Message::Prepare(_)
            | Message::CommitPrepared(_)
            | Message::RollbackPrepared(_)
            | Message::StreamPrepare(_) => Err(DecoderError::TwoPhase),
        }
    }

    fn begin(
        &mut self,
        xid: Xid,
        commit_lsn: Lsn,
        end_lsn: Option<Lsn>,
        committed_at: PgTimestamp,
    ) -> Result<Output, DecoderError> {
        if self.open.is_some() || self.chunk.is_some() {
            return Err(out_of_place("Begin", "inside a transaction"));
        }
        self.open = Some(Open {
            commit_lsn,
            end_lsn,
            ordinal: 0,
        });
        let commit_time = committed_at
            .to_unix_micros()
            .ok_or(DecoderError::TimeOutOfRange)?;
        let transaction = Transaction {
            id: xid.0.to_string(),
            positions: transaction_positions(commit_lsn),
            commit_time: Timestamp(commit_time),
            snapshot: false,
        };
        Ok(Output::Begin {
            transaction,
            commit_lsn,
        })
    }

    fn relation(&mut self, mut described: message::Relation) -> Result<Output, DecoderError> {
        // The xid of a stream chunk is no part of the shape.
        described.xid = None;
        if self.open.is_none() {
            return Err(out_of_place("Relation", "outside a transaction"));
        }
        if self
            .relations
            .get(&described.id)
            .is_some_and(|known| known.described == described)
        {
            return Ok(Output::Nothing);
        }
        self.needed = Some(described.clone());
        Ok(Output::NeedTable(described))
    }

    fn change(
        &mut self,
        id: RelationId,
        op: Op,
        before: Option<Before>,
        after: Option<Row>,
    ) -> Result<Output, DecoderError> {
        let ordinal = self.count("a change")?;
        let known = self
            .relations
            .get(&id)
            .ok_or(DecoderError::UnknownRelation { id })?;
        Ok(match &known.relation {
            None => Output::Nothing,
            Some(relation) => Output::Change(Change {
                relation: Arc::clone(relation),
                op,
                before,
                after,
                ordinal,
            }),
        })
    }

    /// Gives the next change its ordinal: everything that the server sends as a change counts.
    fn count(&mut self, message: &'static str) -> Result<u64, DecoderError> {
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| out_of_place(message, "outside a transaction"))?;
        let ordinal = open.ordinal;
        open.ordinal += 1;
        Ok(ordinal)
    }
}

fn before(old: OldTuple) -> Before {
    match old {
        OldTuple::Key(tuple) => Before::Key(Row::new(tuple.bytes().clone())),
        OldTuple::Full(tuple) => Before::Full(Row::new(tuple.bytes().clone())),
    }
}

/// The positions of a transaction that was committed at `commit_lsn`:
/// `{commit LSN, 16 hex digits}-{ordinal, 8 hex digits}`.
#[must_use]
pub fn transaction_positions(commit_lsn: Lsn) -> PositionSpace {
    PositionSpace::new(&format!("{}-", hex(commit_lsn)), 8)
}

/// The positions of rows read by a snapshot whose stream goes on at `consistent_point`:
/// `{consistent point - 1, 16 hex digits}r{running number, 12 hex digits}`.
///
/// No commit record lies one byte before the consistent point (records are aligned to 8 bytes), so
/// that these positions come behind everything committed before it and in front of the rest.
#[must_use]
pub fn snapshot_positions(consistent_point: Lsn) -> PositionSpace {
    PositionSpace::new(
        &format!("{}r", hex(Lsn(consistent_point.0.saturating_sub(1)))),
        12,
    )
}

fn hex(lsn: Lsn) -> String {
    lsn.to_hex16().map(char::from).iter().collect()
}

const fn out_of_place(message: &'static str, place: &'static str) -> DecoderError {
    DecoderError::OutOfPlace { message, place }
}

const fn name(message: &Message) -> &'static str {
    match message {
        Message::Begin(_) => "Begin",
        Message::Commit(_) => "Commit",
        Message::StreamStart(_) => "Stream Start",
        Message::StreamCommit(_) => "Stream Commit",
        Message::StreamAbort(_) => "Stream Abort",
        _ => "a message",
    }
}

#[cfg(test)]
mod tests;

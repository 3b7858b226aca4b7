//! The broker: one stream, and the store of checkpoints and shapes.

use std::collections::{HashMap, HashSet};

use adit_event::Position;

use super::database::{Database, FILTERED};
use crate::checkpoint::{Checkpoint, SchemaKey};
use crate::sink::{Tail, TailMessage};

/// What a message says.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// The change with this identity.
    Change((u64, u64)),
    /// A table has this shape, with this fingerprint.
    Schema(u64, u64, u64),
    /// Somebody else wrote it.
    Foreign,
}

/// A message as it is sent and stored.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) seq: u64,
    pub(super) n: u64,
    pub(super) position: Position,
    pub(super) writer: u64,
    pub(super) told: Told,
}

#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) stream: Vec<Sent>,
    changes: HashSet<(u64, u64)>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Counts the writes of the checkpoint.
    pub(super) revision: u64,
    pub(super) schemas: HashMap<SchemaKey, u64>,
}

impl Broker {
    pub(super) fn last(&self) -> u64 {
        self.stream.len() as u64
    }

    /// Somebody else writes to the stream.
    pub(super) fn disturb(&mut self, position: Position) {
        self.stream.push(Sent {
            seq: self.last() + 1,
            n: 0,
            position,
            writer: 0,
            told: Told::Foreign,
        });
    }

    pub(super) fn is_disturbed(&self) -> bool {
        self.stream.iter().any(|message| message.writer == 0)
    }

    /// Stores a message if it belongs directly behind the last one.
    pub(super) fn publish(&mut self, message: Sent, database: &Database) -> bool {
        if message.seq != self.last() + 1 {
            return false;
        }
        if let Told::Change(event) = message.told {
            let noted = self.checkpoint.as_ref().map_or((0, 0), |checkpoint| {
                let (notes, read) = checkpoint.state.split_once('.').expect("notes");
                (
                    notes.parse().expect("a number"),
                    read.parse().expect("a number"),
                )
            });
            let needed = database.notes_of(event);
            let resume: u64 = self
                .checkpoint
                .as_ref()
                .map_or(0, |checkpoint| checkpoint.resume.parse().expect("a place"));
            assert!(
                noted >= needed || resume > event.0,
                "{event:?} is stored in front of notes {needed:?}, with {noted:?}"
            );
            self.changes.insert(event);
        }
        if let Told::Schema(table, _, fingerprint) = message.told {
            // What is announced is known from the stream. The real store keeps it a moment later, so that an announcement may come
            // again; two processes at once, of which one knows it and one does not, are not simulated.
            let key = ("s".to_owned(), table.to_string());
            self.schemas.insert(key, fingerprint);
        }
        self.stream.push(message);
        true
    }

    pub(super) fn tail(&self) -> Tail {
        Tail {
            seq: self.last(),
            created: "then".into(),
            message: self.stream.last().map(|message| {
                let is_ours = message.writer > 0;
                TailMessage {
                    seq: message.seq,
                    position: is_ours.then_some(message.position),
                    n: is_ours.then_some(message.n),
                    transaction: None,
                }
            }),
        }
    }

    pub(super) fn has(&self, event: (u64, u64)) -> bool {
        self.changes.contains(&event)
    }

    pub(super) fn has_all(&self, database: &Database) -> bool {
        database.expected().all(|event| self.has(event))
    }

    /// The stream is exact: each event once, in the order of the log, with the shape that it has.
    pub(super) fn check(&self, database: &Database) {
        let mut shapes = HashMap::new();
        let mut position: Option<Position> = None;
        let mut expected = database.expected();
        let mut filtered = HashSet::new();
        for message in &self.stream {
            assert_eq!(message.n, message.seq, "the counter has a hole");
            assert!(
                position.is_none_or(|last| last < message.position),
                "positions do not rise at {message:?}"
            );
            position = Some(message.position);
            match message.told {
                Told::Foreign => panic!("adit went on behind somebody else's message"),
                Told::Schema(table, shape, _) => {
                    shapes.insert(table, shape);
                }
                Told::Change(event) => {
                    let (table, shape) = database.shape_of(event);
                    assert_eq!(
                        shapes.get(&table),
                        Some(&shape),
                        "the shape of {event:?} is not told"
                    );
                    if table == FILTERED {
                        assert!(filtered.insert(event), "{event:?} comes twice");
                    } else {
                        assert_eq!(expected.next(), Some(event), "it is not in its place");
                    }
                }
            }
        }
        assert_eq!(expected.next(), None, "it is not in the stream");
    }
}

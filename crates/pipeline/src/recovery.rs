//! What the stream's tail and the checkpoint mean together at a start.
//!
//! Pure. The tail is the truth: everything up to it is stored, nothing after it is. The checkpoint
//! says from where to ask the database, and serves when the tail message itself is gone.

use adit_event::Position;

use crate::checkpoint::Checkpoint;
use crate::sink::Tail;
use crate::source::Stored;

/// Where publishing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPoint {
    /// The stream's last sequence number.
    pub seq: u64,
    /// The `Adit-N` of that message, 0 before the first.
    pub n: u64,
    /// The position of that message, none before the first.
    pub last: Option<Position>,
    /// The transaction of that message, or of the last one before it that has one.
    pub transaction: Option<Box<str>>,
    /// Where the source goes on; none: it has to find the place itself, by `last` and by what the
    /// database still offers.
    pub stored: Option<Stored>,
    /// The broker lost messages that it had acknowledged.
    pub regressed: bool,
}

/// Why publishing does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// SINK_GONE: the stream is not the one that the checkpoint speaks of.
    #[error(
        "the stream was deleted or created anew behind this connector: the checkpoint knows {seq} messages in a \
         stream created {expected}, this one was created {found}; to begin afresh with a new snapshot, remove the \
         connector's state with `adit drop NAME`, then start again"
    )]
    SinkGone {
        /// The checkpoint's sequence number.
        seq: u64,
        /// The creation time in the checkpoint.
        expected: String,
        /// The creation time found.
        found: String,
    },
    /// FOREIGN_WRITER: the last message is not ours.
    #[error(
        "the last message of the stream ({seq}) was not written by this connector: a stream must have one writer; \
         give the connector a stream of its own, and let only adit's user publish to its subjects"
    )]
    ForeignWriter {
        /// The last message's sequence number.
        seq: u64,
    },
    /// The last messages were removed, and the checkpoint does not say what they were.
    #[error(
        "the last messages of the stream were purged or deleted behind this connector: the stream counts {seq} \
         messages, the last one that can be read is {readable}, the checkpoint knows {checkpoint}; going on could \
         publish up to {unknown} events again; if that is acceptable start once with --accept-truncated-stream"
    )]
    Truncated {
        /// The stream's last sequence number.
        seq: u64,
        /// The last message that can be read, 0 for none.
        readable: u64,
        /// The sequence number in the checkpoint, 0 for none.
        checkpoint: u64,
        /// How many messages may come again.
        unknown: u64,
    },
    /// The checkpoint holds a position that this build does not understand.
    #[error("the checkpoint's position {position:?} is not one that adit writes")]
    BadCheckpoint {
        /// What it holds.
        position: String,
    },
}

/// Decides where publishing goes on, or why it does not.
///
/// # Errors
/// When going on could lose, repeat or mix events.
pub fn start_point(
    tail: &Tail,
    checkpoint: Option<&Checkpoint>,
    accept_truncated: bool,
) -> Result<StartPoint, Refusal> {
    if let Some(checkpoint) = checkpoint
        && (checkpoint.created != tail.created || (tail.seq == 0 && checkpoint.seq > 0))
    {
        return Err(Refusal::SinkGone {
            seq: checkpoint.seq,
            expected: checkpoint.created.clone(),
            found: tail.created.clone(),
        });
    }
    let stored = checkpoint.map(|checkpoint| Stored {
        resume: checkpoint.resume.as_str().into(),
        state: checkpoint.state.as_str().into(),
    });
    if tail.seq == 0 {
        return Ok(StartPoint {
            seq: 0,
            n: 0,
            last: None,
            transaction: None,
            stored,
            regressed: false,
        });
    }
    match &tail.message {
        Some(message) if message.seq == tail.seq => {
            let (Some(position), Some(n)) = (message.position, message.n) else {
                return Err(Refusal::ForeignWriter { seq: tail.seq });
            };
            let start = |stored, regressed| StartPoint {
                seq: tail.seq,
                n,
                last: Some(position),
                transaction: message.transaction.clone(),
                stored,
                regressed,
            };
            match checkpoint {
                Some(checkpoint) if checkpoint.seq > tail.seq => Ok(start(None, true)),
                Some(checkpoint)
                    if checkpoint.seq == tail.seq
                        && checkpoint.position.as_deref() != Some(position.as_str()) =>
                {
                    Err(Refusal::ForeignWriter { seq: tail.seq })
                }
                Some(_) | None => Ok(start(stored, false)),
            }
        }
        message => {
            let known = checkpoint.map_or(0, |checkpoint| checkpoint.seq);
            let unknown = tail.seq.saturating_sub(known);
            if unknown > 0 && !accept_truncated || known > tail.seq || checkpoint.is_none() {
                return Err(Refusal::Truncated {
                    seq: tail.seq,
                    readable: message.as_ref().map_or(0, |message| message.seq),
                    checkpoint: known,
                    unknown,
                });
            }
            let last = checkpoint.and_then(|checkpoint| checkpoint.position.as_deref());
            let last = last
                .map(|text| {
                    Position::parse(text).map_err(|_| Refusal::BadCheckpoint {
                        position: text.to_owned(),
                    })
                })
                .transpose()?;
            let n = checkpoint.map_or(0, |checkpoint| checkpoint.n) + unknown;
            Ok(StartPoint {
                seq: tail.seq,
                n,
                last,
                transaction: None,
                stored,
                regressed: false,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::TailMessage;

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    fn tail(seq: u64, message: Option<(u64, Option<&str>)>) -> Tail {
        let message = message.map(|(seq, text)| TailMessage {
            seq,
            position: text.map(position),
            n: text.map(|_| seq + 1000),
            transaction: text.map(|text| format!("tx {text}").into()),
        });
        Tail {
            seq,
            created: "then".into(),
            message,
        }
    }

    fn checkpoint(seq: u64, at: Option<&str>) -> Checkpoint {
        Checkpoint {
            version: Checkpoint::VERSION,
            created: "then".into(),
            seq,
            n: seq + 1000,
            position: at.map(Into::into),
            resume: "r".into(),
            state: "s".into(),
        }
    }

    fn stored() -> Option<Stored> {
        Some(Stored {
            resume: "r".into(),
            state: "s".into(),
        })
    }

    #[test]
    fn an_empty_stream_without_a_checkpoint_is_a_first_start() {
        let start = start_point(&tail(0, None), None, false).unwrap();
        assert_eq!(
            start,
            StartPoint {
                seq: 0,
                n: 0,
                last: None,
                transaction: None,
                stored: None,
                regressed: false
            }
        );
    }

    #[test]
    fn the_tail_says_what_is_stored_and_the_checkpoint_where_to_ask() {
        let start = start_point(
            &tail(7, Some((7, Some("b")))),
            Some(&checkpoint(5, Some("a"))),
            false,
        )
        .unwrap();
        assert_eq!(
            (start.seq, start.n, start.last),
            (7, 1007, Some(position("b")))
        );
        assert_eq!(start.transaction.as_deref(), Some("tx b"));
        assert_eq!(start.stored, stored());
    }

    #[test]
    fn a_stream_that_was_created_anew_is_refused() {
        let gone = |tail: &Tail| start_point(tail, Some(&checkpoint(5, Some("a"))), false);
        assert!(matches!(
            gone(&tail(0, None)),
            Err(Refusal::SinkGone { .. })
        ));
        let mut other = tail(7, Some((7, Some("b"))));
        other.created = "now".into();
        assert!(matches!(gone(&other), Err(Refusal::SinkGone { .. })));
    }

    #[test]
    fn a_checkpoint_before_the_first_message_goes_on_with_an_empty_stream() {
        let start = start_point(&tail(0, None), Some(&checkpoint(0, None)), false).unwrap();
        assert_eq!((start.last, start.stored), (None, stored()));
    }

    #[test]
    fn a_last_message_that_is_not_ours_is_refused() {
        let foreign = tail(7, Some((7, None)));
        assert!(matches!(
            start_point(&foreign, None, false),
            Err(Refusal::ForeignWriter { seq: 7 })
        ));
        let other = start_point(
            &tail(5, Some((5, Some("b")))),
            Some(&checkpoint(5, Some("a"))),
            false,
        );
        assert!(matches!(other, Err(Refusal::ForeignWriter { seq: 5 })));
    }

    #[test]
    fn a_stream_that_lost_messages_goes_on_from_its_tail_by_what_the_database_has() {
        let start = start_point(
            &tail(4, Some((4, Some("a")))),
            Some(&checkpoint(9, Some("b"))),
            false,
        )
        .unwrap();
        assert!(start.regressed);
        assert_eq!(
            (start.seq, start.last, start.stored),
            (4, Some(position("a")), None)
        );
    }

    #[test]
    fn a_purged_stream_goes_on_only_where_the_checkpoint_knows_its_end() {
        let purged = tail(9, None);
        let start = start_point(&purged, Some(&checkpoint(9, Some("b"))), false).unwrap();
        assert_eq!(
            (start.seq, start.n, start.last),
            (9, 1009, Some(position("b")))
        );
        let older = checkpoint(7, Some("a"));
        let refused = start_point(&purged, Some(&older), false);
        assert!(matches!(
            refused,
            Err(Refusal::Truncated { unknown: 2, .. })
        ));
        let accepted = start_point(&purged, Some(&older), true).unwrap();
        assert_eq!(
            (accepted.seq, accepted.n, accepted.last),
            (9, 1009, Some(position("a")))
        );
        assert!(matches!(
            start_point(&purged, None, true),
            Err(Refusal::Truncated { .. })
        ));
    }
}

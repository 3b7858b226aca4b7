//! The publish window: numbers messages, tracks which are stored, and says what became durable.
//!
//! Pure: no I/O and no clock.

use std::collections::VecDeque;

use adit_event::Position;

use crate::planted::{Bug, is_planted};

/// Something that becomes true when every message issued before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// From here the database may be asked for the log.
    pub resume: Box<str>,
    /// The source's notes from here on, where they changed.
    pub state: Option<Box<str>>,
}

/// The broker said something that cannot be true of a stream that only we write to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// More was acknowledged than was sent.
    #[error("message {through} was acknowledged, but the last one sent is {issued}")]
    AckBeyondIssued {
        /// The acknowledged sequence number.
        through: u64,
        /// The last one issued.
        issued: u64,
    },
    /// The stream's end is not among the messages that we sent.
    #[error(
        "the stream ends at message {tail} ({found}), which is not what this connector sent there ({expected}): \
         somebody else writes to the stream; stop the other writer, and if it is another adit of the same \
         configuration, keep one of them"
    )]
    Fenced {
        /// The stream's last sequence number.
        tail: u64,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// The stream lost messages that it had acknowledged.
    #[error(
        "the stream ends at message {tail}, but message {acked} was acknowledged: the broker lost what it had \
         stored; start again to go on from what is there, if the database still has the log"
    )]
    Regressed {
        /// The stream's last sequence number.
        tail: u64,
        /// The last sequence number that was acknowledged.
        acked: u64,
    },
}

/// Messages issued and not yet stored, and the marks between them.
#[derive(Debug)]
pub struct Window {
    acked: u64,
    acked_position: Option<Position>,
    /// Positions of `acked + 1 ..= issued`.
    in_flight: VecDeque<Position>,
    /// Each with the sequence number that it waits for, rising.
    marks: VecDeque<(u64, Mark)>,
}

impl Window {
    /// Starts behind the stream's last message.
    #[must_use]
    pub const fn new(seq: u64, position: Option<Position>) -> Self {
        Self {
            acked: seq,
            acked_position: position,
            in_flight: VecDeque::new(),
            marks: VecDeque::new(),
        }
    }

    /// Gives the next message its sequence number.
    pub fn issue(&mut self, position: Position) -> u64 {
        self.in_flight.push_back(position);
        self.issued()
    }

    /// Adds a mark behind what was issued so far.
    pub fn mark(&mut self, mark: Mark) {
        let waits_for = self.issued();
        // Marks that wait for the same message become true together: only the last one counts.
        if let Some((seq, last)) = self.marks.back_mut()
            && *seq == waits_for
        {
            last.resume = mark.resume;
            if mark.state.is_some() {
                last.state = mark.state;
            }
            return;
        }
        self.marks.push_back((waits_for, mark));
    }

    /// The last sequence number issued.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.acked + self.in_flight.len() as u64
    }

    /// The sequence number up to which everything is stored.
    #[must_use]
    pub const fn acked(&self) -> u64 {
        self.acked
    }

    /// The position of the last stored message.
    #[must_use]
    pub const fn acked_position(&self) -> Option<Position> {
        self.acked_position
    }

    /// The position of the last message issued.
    #[must_use]
    pub fn issued_position(&self) -> Option<Position> {
        self.in_flight.back().copied().or(self.acked_position)
    }

    /// Messages up to `through` are stored.
    ///
    /// # Errors
    /// When that many were never issued.
    pub fn ack(&mut self, through: u64) -> Result<(), WindowError> {
        if through > self.issued() {
            return Err(WindowError::AckBeyondIssued {
                through,
                issued: self.issued(),
            });
        }
        let through = if is_planted(Bug::AckCountedTwice) && through == self.acked {
            self.issued().min(through + 1)
        } else {
            through
        };
        while self.acked < through {
            self.acked_position = self.in_flight.pop_front();
            self.acked += 1;
        }
        Ok(())
    }

    /// What will be true when everything issued so far is stored, if that is more than what is true already.
    #[must_use]
    pub fn pending(&self) -> Option<Mark> {
        let (_, last) = self.marks.back()?;
        let mut marks = self.marks.iter().rev();
        Some(Mark {
            resume: last.resume.clone(),
            state: marks.find_map(|(_, mark)| mark.state.clone()),
        })
    }

    /// The marks that became true, merged into one; each is told once.
    pub fn durable(&mut self) -> Option<Mark> {
        let mut durable: Option<Mark> = None;
        while self.marks.front().is_some_and(|(waits_for, _)| {
            *waits_for <= self.acked || is_planted(Bug::CheckpointAheadOfAck)
        }) {
            let Some((_, mut mark)) = self.marks.pop_front() else {
                break;
            };
            if mark.state.is_none() {
                mark.state = durable.and_then(|earlier| earlier.state);
            }
            durable = Some(mark);
        }
        durable
    }

    /// After a failure the stream was found to end at `tail`, with a message at `position`: what is
    /// stored counts as acknowledged, the rest is to be sent again.
    ///
    /// # Errors
    /// When the stream's end is not one of ours, or lies before what was acknowledged.
    pub fn recover(&mut self, tail: u64, position: Option<Position>) -> Result<(), WindowError> {
        if tail < self.acked {
            return Err(WindowError::Regressed {
                tail,
                acked: self.acked,
            });
        }
        let expected = match tail.checked_sub(self.acked + 1) {
            None => self.acked_position,
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|i| self.in_flight.get(i).copied()),
        };
        let is_ours = expected == position || is_planted(Bug::FencingIgnored);
        if tail > self.issued() || !is_ours {
            let text =
                |p: Option<Position>| p.map_or_else(|| "nothing".to_owned(), |p| p.to_string());
            return Err(WindowError::Fenced {
                tail,
                found: text(position),
                expected: text(expected),
            });
        }
        if is_planted(Bug::ResumedTooLate) {
            return self.ack(self.issued().min(tail + 1));
        }
        self.ack(tail)
    }
}

#[cfg(test)]
mod tests {
    use adit_event::PositionSpace;

    use super::*;

    fn position(k: u64) -> Position {
        PositionSpace::new("00-", 8).event(k).unwrap()
    }

    fn mark(resume: &str) -> Mark {
        Mark {
            resume: resume.into(),
            state: None,
        }
    }

    fn window(issued: u64) -> Window {
        let mut window = Window::new(100, None);
        for k in 0..issued {
            assert_eq!(window.issue(position(k)), 101 + k);
        }
        window
    }

    #[test]
    fn a_mark_is_not_durable_before_all_messages_in_front_of_it_are_stored() {
        let mut window = window(2);
        window.mark(mark("a"));
        window.issue(position(2));
        window.mark(mark("b"));
        window.ack(101).unwrap();
        assert_eq!(window.durable(), None);
        window.ack(102).unwrap();
        assert_eq!(window.durable(), Some(mark("a")));
        assert_eq!(window.durable(), None);
        window.ack(103).unwrap();
        assert_eq!(window.durable(), Some(mark("b")));
        assert_eq!(window.acked_position(), Some(position(2)));
    }

    #[test]
    fn a_mark_behind_nothing_is_durable_at_once() {
        let mut window = window(0);
        window.mark(mark("a"));
        assert_eq!(window.durable(), Some(mark("a")));
    }

    #[test]
    fn a_state_survives_later_marks_without_one() {
        let mut window = window(1);
        window.mark(Mark {
            resume: "a".into(),
            state: Some("s".into()),
        });
        window.mark(mark("b"));
        window.issue(position(1));
        window.mark(mark("c"));
        window.ack(102).unwrap();
        assert_eq!(
            window.durable(),
            Some(Mark {
                resume: "c".into(),
                state: Some("s".into())
            })
        );
    }

    #[test]
    fn an_ack_of_something_never_sent_is_refused() {
        let mut window = window(1);
        assert_eq!(
            window.ack(102),
            Err(WindowError::AckBeyondIssued {
                through: 102,
                issued: 101
            })
        );
    }

    #[test]
    fn recovery_counts_what_the_stream_holds_and_resends_the_rest() {
        let mut window = window(4);
        window.ack(101).unwrap();
        window.recover(103, Some(position(2))).unwrap();
        assert_eq!((window.acked(), window.issued()), (103, 104));
        window.recover(103, Some(position(2))).unwrap();
    }

    #[test]
    fn a_foreign_message_at_the_end_fences() {
        let mut sent = window(2);
        assert!(matches!(
            sent.recover(102, None),
            Err(WindowError::Fenced { .. })
        ));
        assert!(matches!(
            sent.recover(102, Some(position(7))),
            Err(WindowError::Fenced { .. })
        ));
        assert!(matches!(
            sent.recover(103, Some(position(1))),
            Err(WindowError::Fenced { .. })
        ));
    }

    #[test]
    fn a_stream_that_lost_acknowledged_messages_is_not_written_to() {
        let mut window = window(2);
        window.ack(102).unwrap();
        assert_eq!(
            window.recover(101, Some(position(0))),
            Err(WindowError::Regressed {
                tail: 101,
                acked: 102
            })
        );
    }
}

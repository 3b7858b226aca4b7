//! Bugs that the simulation has to find: the proof that it bites. Only the tests' build has them.

#[cfg(test)]
use std::cell::Cell;

/// A mistake that somebody could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "some are of the simulated driver")
)]
pub(crate) enum Bug {
    /// A mark is true before the messages in front of it are acknowledged.
    CheckpointAheadOfAck,
    /// Events behind new notes do not wait until these are stored.
    NotesNotAwaited,
    /// The event at the stream's end is taken for a new one.
    TailPublishedAgain,
    /// Shapes that were announced and not published are not announced again.
    AnnouncementsKept,
    /// Somebody else's message at the stream's end is taken for ours.
    FencingIgnored,
    /// An acknowledgement that comes again counts again.
    AckCountedTwice,
    /// After a failure one message too many is taken for stored.
    ResumedTooLate,
    /// A place is confirmed to the database when it was read.
    ConfirmedBeforeAck,
    /// A place is confirmed to the database before the checkpoint is stored.
    ConfirmedBeforeCheckpoint,
    /// After a failure everything is sent again, without a look at the stream's end.
    SentAgainBlindly,
    /// Events are counted after the filter.
    CountedAfterFilter,
}

#[cfg(not(test))]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants a bug in this thread, or takes it out.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

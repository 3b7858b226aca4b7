//! The port of brokers.

use adit_event::{Event, Position};

use crate::error::Classify;

/// One message to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The sequence number that it gets in the stream: one more than the message before it.
    pub seq: u64,
    /// The dense counter of the connector's own messages (`Adit-N`).
    pub n: u64,
    /// What it says.
    pub event: Event<'a>,
}

/// How the stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The stream's last sequence number, 0 where nothing was ever stored.
    pub seq: u64,
    /// When the stream was created, as the broker says it: tells a stream from a later one of the
    /// same name.
    pub created: String,
    /// The last message that can still be read.
    pub message: Option<TailMessage>,
}

/// The last message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailMessage {
    /// Its sequence number; smaller than the stream's last one when later messages were removed.
    pub seq: u64,
    /// Its `Adit-Pos`; none if adit did not write it.
    pub position: Option<Position>,
    /// Its `Adit-N`; none if adit did not write it.
    pub n: Option<u64>,
    /// The transaction that it is part of, or of the last event before it that is part of one.
    pub transaction: Option<Box<str>>,
}

/// One stream that only we write to.
///
/// A sink stores message `seq` only directly behind message `seq - 1`, and refuses everything
/// behind a message that it refused. It keeps each message until it is stored.
pub trait Sink: Send + 'static {
    /// Its errors.
    type Error: Classify;

    /// Connects, at first and after every failure, and reads the stream's tail. What earlier
    /// connections still had under way has arrived or never will when this returns.
    ///
    /// # Errors
    /// When the broker cannot be reached, or its stream is not fit.
    fn connect(&mut self) -> impl Future<Output = Result<Tail, Self::Error>> + Send;

    /// Whether another message may be handed over now. A sink without room gets it by
    /// [`Sink::next`].
    fn has_room(&self) -> bool;

    /// Takes a message; it is sent by [`Sink::next`]. No I/O happens here.
    ///
    /// # Errors
    /// When the event cannot be written, or is larger than the broker takes.
    fn publish(&mut self, message: Message<'_>) -> Result<(), Self::Error>;

    /// After [`Sink::connect`]: messages up to `stored` are in the stream and are let go, all later
    /// ones that were handed over are sent again, in order.
    fn resume(&mut self, stored: u64);

    /// Sends and receives until more messages are stored; returns the sequence number up to which
    /// all are. Cancel-safe.
    ///
    /// # Errors
    /// On any doubt: a message was refused, an acknowledgement is not the expected one, the
    /// connection is lost. Then nothing is sent until [`Sink::connect`].
    fn next(&mut self) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}

//! Publishing that is pipelined, ordered and fenced at once.
//!
//! Every message says behind which stream sequence it belongs (`Nats-Expected-Last-Sequence`), so that the stream is a compare-and-set log:
//! whatever is lost, refused or written by somebody else, everything behind it is refused too. All messages of the window are under way at
//! the same time; what is not acknowledged stays in the [`Outbox`] and can be sent again from any point.
//!
//! Two ways of sending, the same bytes: on streams that allow it (`allow_batched`, NATS 2.14) as *fast-ingest batches*, elsewhere as single
//! publishes. A batch is what is released for sending in one go: its last message commits it and brings an ordinary acknowledgement with
//! the stream sequence, which must be the planned one. So no batch is ever left open, an idle connector holds nothing on the server, and no
//! "stored up to here" of the flow control has to be believed: on a replicated stream these count proposals, and only the sequence in the
//! final acknowledgement proves that every message of the chain before it was stored. Flow-control messages only show that the server lives.
//!
//! With `atomic_transactions` a transaction goes as an *atomic batch*, of which the server shows nothing until it has all of it; small
//! ones that wait together share one. The chain is the same: the expected sequence stands in a batch's first message. Only transactions
//! too large for a batch go one of the two ways above.
//!
//! How much is released in one go follows Nagle: at once while fewer than two acknowledgements are due, else when a good piece has come
//! together. One event is sent in the moment it comes; under load batches grow by themselves.

use std::{borrow::Cow, fmt::Display, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::{
    config::NatsConfig,
    error::{ApiError, Error},
    link::{Incoming, Link, PING_INTERVAL},
    outbox::{BATCH_LEN_MAX, Mode, Outbox, Publication},
    protocol::ServerMessage,
};

/// Acknowledgements due up to which every message is sent at once.
const EAGER_DUE: usize = 2;
/// With more than that due, this many bytes are worth being sent: a few packets, or a large batch.
const PIECE_LEN_SINGLE: usize = 16 * 1024;
const PIECE_LEN_BATCHED: usize = 128 * 1024;
/// A line that carries fewer bytes per second than this is given up as a broken one. On a slow one a large message takes longer than an
/// acknowledgement may.
const SLOWEST_LINE: u64 = 64 * 1024;
/// Used until the server has said otherwise; NATS's default.
const MAX_PAYLOAD_DEFAULT: u64 = 1024 * 1024;

/// The publisher of one stream. Not connected at first.
pub(crate) struct Publisher {
    config: NatsConfig,
    outbox: Outbox,
    link: Option<Link>,
    mode: Mode,
    max_payload: u64,
    /// The stream's own limit on a message.
    max_message: u64,
    /// Last time anything came in or went out.
    last_activity: Instant,
    ping_sent: bool,
    next_server: usize,
}

impl Publisher {
    /// A publisher whose replies come to subjects below `inbox`.
    pub(crate) fn new(config: NatsConfig, inbox: &str, writer: &str) -> Self {
        let outbox = Outbox::new(
            inbox,
            &config.stream,
            writer,
            config.window_messages,
            config.window_bytes,
            config.atomic_transactions,
        );
        Self {
            config,
            outbox,
            link: None,
            mode: Mode::Single,
            max_payload: MAX_PAYLOAD_DEFAULT,
            max_message: u64::MAX,
            last_activity: Instant::now(),
            ping_sent: false,
            next_server: 0,
        }
    }

    /// What is retained.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether another message may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Encodes a message into the outbox; no I/O, and no allocation once the buffers have grown.
    ///
    /// # Errors
    /// Those of `body`, and [`Error::Oversize`]; nothing was pushed then.
    pub(crate) fn push<P: Display, E: From<Error>>(
        &mut self,
        message: &Publication<'_, P>,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.outbox.push(message, self.size_max(), body)
    }

    /// Throws the connection away: nothing more is sent until [`Self::connect`].
    pub(crate) fn disconnect(&mut self) {
        self.link = None;
        self.outbox.restart();
    }

    /// Makes a new connection to the first server that takes it, beginning with the one after the last.
    ///
    /// # Errors
    /// The last server's, or the first one that trying another server does not mend.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        self.disconnect();
        let inbox = self.outbox.subscription();
        let servers = self.config.servers.clone();
        let mut failure = Error::Config("no server is configured".to_owned());
        for _ in 0..servers.len() {
            let Some(server) = servers.get(self.next_server % servers.len()) else {
                break;
            };
            match Box::pin(Link::connect(&self.config, server, &inbox)).await {
                Ok(link) => {
                    self.max_payload = link.info().max_payload;
                    self.link = Some(link);
                    self.heard();
                    return Ok(());
                }
                Err(error) => {
                    self.next_server += 1;
                    let give_up = !error.is_transient();
                    failure = error;
                    if give_up {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// Says how to send from now on, and the stream's own limit on a message in bytes.
    pub(crate) fn set_stream(&mut self, mode: Mode, max_message: u64) {
        self.mode = mode;
        self.max_message = max_message;
    }

    /// After [`Self::connect`]: messages up to `stored` are in the stream; the others are sent again.
    pub(crate) fn resume(&mut self, stored: u64) {
        if self.outbox.len() == 0 || stored >= self.outbox.next_sequence() {
            self.outbox.clear(stored + 1);
        } else {
            self.outbox.acknowledge(stored);
        }
    }

    /// Writes and reads until more messages are acknowledged; returns the sequence up to which all are.
    ///
    /// Cancel-safe. Waits for ever while nothing is under way.
    ///
    /// # Errors
    /// On the first doubt. The connection is gone then.
    pub(crate) async fn next(&mut self) -> Result<u64, Error> {
        let result = self.next_untidied().await;
        if result.is_err() {
            self.disconnect();
        }
        result
    }

    async fn next_untidied(&mut self) -> Result<u64, Error> {
        loop {
            if let Some(through) = self.read_replies()? {
                return Ok(through);
            }
            self.check_sizes()?;
            if self.should_release() {
                self.outbox.release(self.mode);
            }
            let deadline = self.deadline();
            let Some(link) = &mut self.link else {
                return Err(not_connected(&self.config));
            };
            tokio::select! {
                biased;
                activity = link.drive(&mut self.outbox) => {
                    if activity?.read {
                        self.heard();
                    } else if !self.ping_sent {
                        // What goes out shows that there is progress, but not that anybody is there.
                        self.last_activity = Instant::now();
                    }
                }
                () = sleep_until(deadline) => self.late()?,
            }
        }
    }

    /// Deals with everything that has been read; returns the last acknowledged sequence if there is a new one.
    fn read_replies(&mut self) -> Result<Option<u64>, Error> {
        let Some(link) = &mut self.link else {
            return Err(not_connected(&self.config));
        };
        let server = link.server().clone();
        let mut acknowledged = None;
        while let Some(incoming) = link.next_incoming()? {
            match incoming {
                Incoming::Message(message) => {
                    if let Some(through) = judge(&message, &self.config.stream, &self.outbox)? {
                        self.outbox.acknowledge(through);
                        acknowledged = Some(through);
                    }
                }
                Incoming::Err(text) => return Err(Link::complaint(&server, text)),
                Incoming::Pong => {}
            }
        }
        if link.info().ldm && self.outbox.next_due().is_none() {
            return Err(Error::Disconnected {
                server: server.to_string(),
                why: "it is about to stop".to_owned(),
            });
        }
        self.max_payload = link.info().max_payload;
        Ok(acknowledged)
    }

    /// A limit that was lowered behind us would close the connection at the first message above it, again and again.
    fn check_sizes(&self) -> Result<(), Error> {
        self.outbox.oversize(self.size_max()).map_or(Ok(()), Err)
    }

    fn size_max(&self) -> u64 {
        self.max_payload.min(self.max_message)
    }

    fn should_release(&self) -> bool {
        let waiting = self.outbox.releasable();
        let piece = match self.mode {
            Mode::Batched => PIECE_LEN_BATCHED,
            Mode::Single => PIECE_LEN_SINGLE,
        };
        waiting > 0
            && (self.outbox.due_len() < EAGER_DUE
                || waiting >= BATCH_LEN_MAX
                || self.outbox.unreleased_bytes() >= piece)
    }

    fn heard(&mut self) {
        self.last_activity = Instant::now();
        self.ping_sent = false;
    }

    /// When silence becomes suspicious.
    fn deadline(&self) -> Instant {
        self.last_activity + self.patience()
    }

    fn patience(&self) -> Duration {
        match self.outbox.next_due() {
            Some(due) => {
                let on_the_way = due.bytes as u64 / SLOWEST_LINE;
                self.config.ack_timeout + Duration::from_secs(on_the_way)
            }
            None if self.ping_sent => self.config.ack_timeout,
            None => PING_INTERVAL,
        }
    }

    /// The deadline has passed: asks an idle server whether it is there, and gives up one that does not answer.
    fn late(&mut self) -> Result<(), Error> {
        let Some(link) = &mut self.link else {
            return Err(not_connected(&self.config));
        };
        if let Some(due) = self.outbox.next_due() {
            let doing = format!(
                "acknowledging message {} of stream {:?}",
                due.through, self.config.stream
            );
            return Err(Error::Timeout { doing });
        }
        if self.ping_sent {
            return Err(Error::Disconnected {
                server: link.server().to_string(),
                why: "no answer to a ping".to_owned(),
            });
        }
        link.ping();
        self.last_activity = Instant::now();
        self.ping_sent = true;
        Ok(())
    }
}

fn not_connected(config: &NatsConfig) -> Error {
    let server = config
        .servers
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    Error::Disconnected {
        server,
        why: "not connected".to_owned(),
    }
}

/// Everything that comes back for a publish: an acknowledgement, an error, or flow control.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply<'a> {
    /// `ack`, `gap` or `err` in flow control.
    #[serde(rename = "type", borrow)]
    flow: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    seq: u64,
    duplicate: bool,
    /// Messages in the batch.
    count: Option<u64>,
    error: Option<ApiError>,
}

/// What a reply means: `Some` for the acknowledgement that is due, `None` for flow control.
fn judge(message: &ServerMessage<'_>, stream: &str, outbox: &Outbox) -> Result<Option<u64>, Error> {
    let first = outbox.first_sequence();
    if message.status() == Some(503) {
        return Err(Error::NoResponders {
            doing: format!("publishing to stream {stream:?}"),
        });
    }
    let reply: Reply<'_> =
        serde_json::from_slice(message.payload).map_err(|error| Error::Malformed {
            what: format!("an acknowledgement of stream {stream:?}"),
            why: error.to_string(),
        })?;
    if let Some(error) = &reply.error {
        return Err(error.on_publish(stream, first));
    }
    let broken = |answer: String| Error::ChainBroken {
        stream: stream.to_owned(),
        sequence: first,
        answer,
    };
    match reply.flow.as_deref() {
        None => {}
        Some("ack") => return Ok(None),
        Some(other) => return Err(broken(format!("the batch was broken off ({other})"))),
    }
    let Some(due) = outbox.next_due() else {
        return Err(broken(format!(
            "message {} was acknowledged, and none was due",
            reply.seq
        )));
    };
    let count = reply.count.unwrap_or(1);
    if reply.stream.as_deref() != Some(stream)
        || reply.seq != due.through
        || count != due.count as u64
        || reply.duplicate
    {
        return Err(broken(format!(
            "the acknowledgement is for {count} messages up to {} of stream {:?}{}, due are {} up to {}",
            reply.seq,
            reply.stream.as_deref().unwrap_or_default(),
            if reply.duplicate {
                " (a duplicate)"
            } else {
                ""
            },
            due.count,
            due.through,
        )));
    }
    Ok(Some(due.through))
}

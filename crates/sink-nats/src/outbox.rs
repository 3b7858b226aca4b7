//! Every message that is not acknowledged yet, as the bytes that go to the server.
//!
//! Messages are encoded once, straight into chunks that are used again and again, and stay there until they are acknowledged, so that after
//! a failure they can be sent again from any point. What differs from one sending to the next (the reply subject, which tells connections
//! and batches apart) has a fixed width and is filled in when a message is released for sending:
//!
//! ```text
//! HPUB {subject} {inbox}.{epoch}.{salt}{epoch}{batch}.500.fail.{n}.{op}.{mark} {header bytes} {total bytes}\r\n
//!                        ^8 hex  ^8    ^8     ^8               ^5   ^1   ^3     ^9 digits      ^9 digits
//! ```
//! With the mark `$FI` this is the reply subject of a fast-ingest batch (ADR-50): `{salt}{epoch}{batch}` is the batch's id, 500 the number of
//! messages per acknowledgement that we can do with, `fail` ends the batch at the first gap, `n` counts from 1 in the batch and `op` is 0
//! for its first message, 1 for the following and 2 for the last, which commits it. With the mark `one` it is an ordinary reply subject.
//!
//! Where transactions are to become visible as a whole, they go as *atomic batches* (ADR-50), which other headers make:
//!
//! ```text
//! Nats-Expected-Last-Sequence: {sequence - 1}
//! Nats-Batch-Id: {salt}{epoch}{batch}
//! Nats-Batch-Sequence: {n}
//! Nats-Batch-Commit: 1
//! ```
//! The first belongs to the first message of a batch alone, the last to its last one, and none of the batch's to messages that are not in
//! one. A header that does not apply is `Adit-…` instead of `Nats-…`, which no server looks at. Only the last message has a reply subject;
//! the others have spaces there.

mod release;

use std::{collections::VecDeque, fmt::Display, io::Write as _, ops::Range};

use crate::{error::Error, link::Outgoing};

/// Messages in one batch at most: the server acknowledges at least every 500, so that a full batch takes one acknowledgement.
pub(crate) const BATCH_LEN_MAX: usize = 500;

/// A chunk is closed when it holds this much; it is written to the socket in one piece.
const CHUNK_LEN: usize = 256 * 1024;
/// A chunk that grew beyond this for a large message is given back instead of being used again.
const CHUNK_LEN_KEPT: usize = 2 * CHUNK_LEN;
/// Chunks kept for later.
const CHUNKS_KEPT: usize = 40;

/// A number of this many digits is what the server reads at most in a control line.
const SIZE_DIGITS: usize = 9;
/// What an atomic batch adds to the header of a message. The id and the number are filled in when it is released.
const BATCH_HEADERS: &[u8] =
    b"\r\nAdit-Batch-Id: 000000000000000000000000\r\nAdit-Batch-Sequence: 00000\r\nAdit-Batch-Commit: 1";
/// Longest message that [`SIZE_DIGITS`] can tell.
const SIZE_MAX: u64 = 999_999_999;
/// Length of `{epoch}.{salt}{epoch}{batch}.500.fail.{n}.{op}.{mark}`.
const REPLY_TAIL_LEN: usize = 8 + 1 + 8 + 8 + 8 + ".500.fail.".len() + 5 + 1 + 1 + 1 + 3;

/// What to publish, besides the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publication<'a, P> {
    /// Subject, already encoded.
    pub(crate) subject: &'a str,
    /// Position token, for `Adit-Pos`.
    pub(crate) position: P,
    /// Dense counter, for `Adit-N`.
    pub(crate) n: u64,
    /// More headers. Names and values must hold no line breaks.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Whether what may become visible behind it need not wait for what follows: a transaction ends here.
    pub(crate) ends: bool,
}

/// A message between being encoded and being acknowledged.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Number of its chunk, counted from the first ever.
    chunk: u64,
    start: usize,
    len: usize,
    /// Where the variable part of the reply subject begins, from `start`.
    reply: usize,
    /// Where the position token is, from `start`.
    position: usize,
    position_len: usize,
    n: u64,
    /// Header and body, which is what the server's limit is about.
    size: u64,
    /// Where the header with the expected sequence begins, and where it ends and those of a batch begin, from `start`.
    expected: usize,
    batch: usize,
    /// Whether a transaction ends here.
    ends: bool,
}

impl Entry {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// How messages are grouped when they are released for sending, if they need not become visible together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In fast-ingest batches, with one acknowledgement each.
    Batched,
    /// One by one, with one acknowledgement each.
    Single,
}

/// An acknowledgement that is due: for `count` messages, the last of which has the stream sequence `through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) through: u64,
    pub(crate) count: usize,
    /// What the messages have in all.
    pub(crate) bytes: usize,
}

/// The retained messages. Stream sequences are dense: the first retained one has `first`, the next `first + 1`, and so on.
#[derive(Debug)]
pub(crate) struct Outbox {
    inbox: String,
    salt: String,
    /// Everything from `NATS/1.0` to the expected last sequence.
    head: Vec<u8>,
    /// Transactions become visible as a whole.
    atomic: bool,
    window_messages: usize,
    window_bytes: usize,
    entries: VecDeque<Entry>,
    /// Stream sequence of the first entry.
    first: u64,
    bytes: usize,
    chunks: VecDeque<Vec<u8>>,
    /// Number of the first chunk.
    first_chunk: u64,
    spare: Vec<Vec<u8>>,
    /// Entries released for sending; these are in `due`.
    released: usize,
    released_bytes: usize,
    /// Entries up to the end of the last transaction that is there whole.
    whole: usize,
    /// Whether a transaction ended with the message in front of the first entry.
    ended: bool,
    /// At least the size of the largest entry that is not released.
    unreleased_size_max: u64,
    /// Of the released entries, those that are wholly written.
    sent: usize,
    /// Bytes written of the entry behind those.
    sent_bytes: usize,
    due: VecDeque<Due>,
    epoch: u32,
    batch: u32,
}

impl Outbox {
    /// An empty outbox whose first message will get the sequence 1.
    pub(crate) fn new(
        inbox: &str,
        stream: &str,
        writer: &str,
        window_messages: usize,
        window_bytes: usize,
        atomic: bool,
    ) -> Self {
        let mut salt: String = inbox
            .chars()
            .rev()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        while salt.len() < 8 {
            salt.push('0');
        }
        Self {
            inbox: inbox.to_owned(),
            salt,
            head: format!(
                "NATS/1.0\r\nNats-Expected-Stream: {stream}\r\nAdit-Writer: {writer}\r\n"
            )
            .into_bytes(),
            atomic,
            window_messages,
            window_bytes,
            entries: VecDeque::with_capacity(window_messages),
            first: 1,
            bytes: 0,
            chunks: VecDeque::with_capacity(CHUNKS_KEPT),
            first_chunk: 0,
            spare: Vec::with_capacity(CHUNKS_KEPT),
            released: 0,
            released_bytes: 0,
            whole: 0,
            ended: true,
            unreleased_size_max: 0,
            sent: 0,
            sent_bytes: 0,
            due: VecDeque::with_capacity(window_messages),
            epoch: 0,
            batch: 0,
        }
    }

    /// The subject that replies of this connection come to.
    pub(crate) fn subscription(&self) -> String {
        format!("{}.{:08x}.>", self.inbox, self.epoch)
    }

    /// Sequence that the next message will get.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Sequence of the first retained message, or of the next one if there is none.
    pub(crate) fn first_sequence(&self) -> u64 {
        self.first
    }

    /// Messages retained.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes retained.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether another message may be pushed. One message always may, however large.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.is_empty()
            || (self.entries.len() < self.window_messages && self.bytes < self.window_bytes)
    }

    /// The acknowledgement that comes next.
    pub(crate) fn next_due(&self) -> Option<Due> {
        self.due.front().copied()
    }

    /// Acknowledgements that are due.
    pub(crate) fn due_len(&self) -> usize {
        self.due.len()
    }

    /// Whether no transaction is open behind the last message.
    pub(crate) fn is_at_end(&self) -> bool {
        self.entries.back().map_or(self.ended, |entry| entry.ends)
    }

    /// Bytes of the messages not released for sending yet.
    pub(crate) fn unreleased_bytes(&self) -> usize {
        self.bytes - self.released_bytes
    }

    /// The error about the largest message that is not released yet, if it is larger than `size_max`.
    pub(crate) fn oversize(&self, size_max: u64) -> Option<Error> {
        if self.unreleased_size_max <= size_max {
            return None;
        }
        let entry = self
            .entries
            .range(self.released..)
            .max_by_key(|entry| entry.size)
            .filter(|entry| entry.size > size_max)?;
        let chunk = self
            .chunks
            .get(usize::try_from(entry.chunk - self.first_chunk).ok()?)?;
        let line = chunk.get(entry.start + "HPUB ".len()..entry.start + entry.reply)?;
        let subject = line.split(|byte| *byte == b' ').next()?;
        let position = entry.start + entry.position;
        let position = chunk.get(position..position + entry.position_len)?;
        Some(Error::Oversize {
            subject: String::from_utf8_lossy(subject).into_owned(),
            position: String::from_utf8_lossy(position).into_owned(),
            size: entry.size,
            size_max,
        })
    }

    /// Position token and counter of the retained message with that sequence.
    pub(crate) fn identity(&self, sequence: u64) -> Option<(&[u8], u64)> {
        let entry = self
            .entries
            .get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)?;
        let chunk = self
            .chunks
            .get(usize::try_from(entry.chunk - self.first_chunk).ok()?)?;
        let at = entry.start + entry.position;
        Some((chunk.get(at..at + entry.position_len)?, entry.n))
    }

    /// Encodes a message behind the last one. `body` writes the body; if it fails, or the message is larger than `size_max`, nothing was
    /// pushed.
    pub(crate) fn push<P: Display, E: From<Error>>(
        &mut self,
        message: &Publication<'_, P>,
        size_max: u64,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sequence = self.next_sequence();
        self.open_chunk();
        let chunk_number = self.first_chunk + self.chunks.len() as u64 - 1;
        let chunk = self.chunks.back_mut().expect("open_chunk made one");
        let start = chunk.len();
        chunk.extend_from_slice(b"HPUB ");
        chunk.extend_from_slice(message.subject.as_bytes());
        chunk.push(b' ');
        chunk.extend_from_slice(self.inbox.as_bytes());
        chunk.push(b'.');
        let reply = chunk.len() - start;
        chunk.resize(chunk.len() + REPLY_TAIL_LEN, b'0');
        chunk.push(b' ');
        let sizes = chunk.len();
        chunk.extend_from_slice(b"000000000 000000000\r\n");
        let header_start = chunk.len();
        chunk.extend_from_slice(&self.head);
        let expected = chunk.len() - start;
        chunk.extend_from_slice(b"Nats-Expected-Last-Sequence: ");
        let mut digits = itoa::Buffer::new();
        chunk.extend_from_slice(digits.format(sequence - 1).as_bytes());
        let batch = chunk.len() - start;
        if self.atomic {
            chunk.extend_from_slice(BATCH_HEADERS);
        }
        chunk.extend_from_slice(b"\r\nAdit-N: ");
        chunk.extend_from_slice(digits.format(message.n).as_bytes());
        chunk.extend_from_slice(b"\r\nAdit-Pos: ");
        let position_start = chunk.len();
        write!(chunk, "{}", message.position).expect("writing to a Vec cannot fail");
        let position_end = chunk.len();
        for (name, value) in message.headers {
            chunk.extend_from_slice(b"\r\n");
            chunk.extend_from_slice(name.as_bytes());
            chunk.extend_from_slice(b": ");
            chunk.extend_from_slice(value.as_bytes());
        }
        chunk.extend_from_slice(b"\r\n\r\n");
        let header_len = chunk.len() - header_start;
        if let Err(error) = body(chunk) {
            chunk.truncate(start);
            return Err(error);
        }
        let size = (chunk.len() - header_start) as u64;
        if size > size_max.min(SIZE_MAX) {
            chunk.truncate(start);
            shrink(chunk);
            return Err(Error::Oversize {
                subject: message.subject.to_owned(),
                position: message.position.to_string(),
                size,
                size_max: size_max.min(SIZE_MAX),
            }
            .into());
        }
        chunk.extend_from_slice(b"\r\n");
        if let Some(field) = chunk.get_mut(sizes..sizes + 2 * SIZE_DIGITS + 1) {
            let (header, total) = field.split_at_mut(SIZE_DIGITS);
            write_decimal(header_len as u64, header);
            write_decimal(size, total.get_mut(1..).unwrap_or_default());
        }
        let len = chunk.len() - start;
        self.entries.push_back(Entry {
            chunk: chunk_number,
            start,
            len,
            reply,
            position: position_start - start,
            position_len: position_end - position_start,
            n: message.n,
            size,
            expected,
            batch,
            ends: message.ends,
        });
        self.bytes += len;
        if message.ends {
            self.whole = self.entries.len();
        }
        self.unreleased_size_max = self.unreleased_size_max.max(size);
        Ok(())
    }

    /// Everything up to and including `through` is stored: forgets it. Acknowledgements due for it are dropped.
    pub(crate) fn acknowledge(&mut self, through: u64) {
        while self.first <= through {
            let Some(entry) = self.entries.pop_front() else {
                self.first = through + 1;
                break;
            };
            self.first += 1;
            self.bytes -= entry.len;
            self.whole = self.whole.saturating_sub(1);
            self.ended = entry.ends;
            if self.released > 0 {
                self.released -= 1;
                self.released_bytes -= entry.len;
            }
            if self.sent > 0 {
                self.sent -= 1;
            } else {
                self.sent_bytes = 0;
            }
        }
        while self.due.front().is_some_and(|due| due.through <= through) {
            self.due.pop_front();
        }
        self.drop_chunks();
    }

    /// Begins a new connection: nothing has been sent on it, and it has a [`Self::subscription`] of its own.
    pub(crate) fn restart(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.rewind();
    }

    /// Forgets everything; the next message gets the sequence `next`.
    pub(crate) fn clear(&mut self, next: u64) {
        self.acknowledge(self.next_sequence().saturating_sub(1));
        self.rewind();
        self.first = next;
        self.ended = true;
    }

    /// Nothing has been released or sent.
    fn rewind(&mut self) {
        self.released = 0;
        self.released_bytes = 0;
        self.unreleased_size_max = self
            .entries
            .iter()
            .map(|entry| entry.size)
            .max()
            .unwrap_or_default();
        self.sent = 0;
        self.sent_bytes = 0;
        self.due.clear();
    }

    fn open_chunk(&mut self) {
        if self
            .chunks
            .back()
            .is_none_or(|chunk| chunk.len() >= CHUNK_LEN)
        {
            let chunk = self
                .spare
                .pop()
                .unwrap_or_else(|| Vec::with_capacity(CHUNK_LEN + CHUNK_LEN / 4));
            self.chunks.push_back(chunk);
        }
    }

    /// Takes back the chunks before the one of the first entry.
    fn drop_chunks(&mut self) {
        let needed = self
            .entries
            .front()
            .map_or(self.first_chunk + self.chunks.len() as u64, |entry| {
                entry.chunk
            });
        while self.first_chunk < needed {
            let Some(mut chunk) = self.chunks.pop_front() else {
                break;
            };
            self.first_chunk += 1;
            chunk.clear();
            if self.spare.len() < CHUNKS_KEPT {
                shrink(&mut chunk);
                self.spare.push(chunk);
            }
        }
    }
}

impl Outgoing for Outbox {
    fn ready(&self) -> &[u8] {
        if self.sent >= self.released {
            return &[];
        }
        let (Some(entry), Some(last)) = (
            self.entries.get(self.sent),
            self.entries.get(self.released - 1),
        ) else {
            return &[];
        };
        let chunk = usize::try_from(entry.chunk - self.first_chunk)
            .ok()
            .and_then(|index| self.chunks.get(index));
        let end = if last.chunk == entry.chunk {
            last.range().end
        } else {
            usize::MAX
        };
        chunk
            .and_then(|chunk| chunk.get(entry.start + self.sent_bytes..end.min(chunk.len())))
            .unwrap_or_default()
    }

    fn rest_of_message(&self) -> &[u8] {
        let Some(entry) = self.entries.get(self.sent).filter(|_| self.sent_bytes > 0) else {
            return &[];
        };
        self.ready()
            .get(..entry.len - self.sent_bytes)
            .unwrap_or_default()
    }

    fn written(&mut self, count: usize) {
        self.sent_bytes += count;
        while let Some(entry) = self
            .entries
            .get(self.sent)
            .filter(|entry| self.sent_bytes >= entry.len)
        {
            self.sent_bytes -= entry.len;
            self.sent += 1;
        }
    }
}

fn shrink(chunk: &mut Vec<u8>) {
    if chunk.capacity() > CHUNK_LEN_KEPT {
        chunk.shrink_to(CHUNK_LEN + CHUNK_LEN / 4);
    }
}

/// Writes `value` right-aligned, with zeros before it.
fn write_decimal(value: u64, field: &mut [u8]) {
    field.fill(b'0');
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    let at = field.len().saturating_sub(digits.len());
    for (place, digit) in field.iter_mut().skip(at).zip(digits) {
        *place = *digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(
            "_INBOX.abcdefgh12345678",
            "CDC",
            "w",
            1000,
            64 * 1024,
            false,
        )
    }

    fn push(outbox: &mut Outbox, len: usize) {
        let n = outbox.next_sequence() + 100;
        let message = Publication {
            subject: "cdc.t",
            position: format_args!("p{n}"),
            n,
            headers: &[("A", "b")],
            ends: true,
        };
        let body = |out: &mut Vec<u8>| {
            out.resize(out.len() + len, b'x');
            Ok::<(), Error>(())
        };
        outbox.push(&message, 1_000_000, body).unwrap();
    }

    /// Writes what is ready in pieces of `piece` bytes.
    fn written(outbox: &mut Outbox, piece: usize) -> String {
        let mut out = Vec::new();
        while !outbox.ready().is_empty() {
            let count = piece.min(outbox.ready().len());
            out.extend_from_slice(&outbox.ready()[..count]);
            outbox.written(count);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_written_as_the_protocol_wants_it() {
        let mut outbox = outbox();
        push(&mut outbox, 3);
        assert!(outbox.ready().is_empty());
        outbox.release(Mode::Batched);
        let bytes = written(&mut outbox, 7);
        let (line, message) = bytes.split_once("\r\n").unwrap();
        assert_eq!(
            line,
            "HPUB cdc.t _INBOX.abcdefgh12345678.00000000.876543210000000000000001.500.fail.00001.2.$FI 000000122 000000125"
        );
        assert_eq!(
            message,
            "NATS/1.0\r\nNats-Expected-Stream: CDC\r\nAdit-Writer: w\r\nNats-Expected-Last-Sequence: 0\r\n\
             Adit-N: 101\r\nAdit-Pos: p101\r\nA: b\r\n\r\nxxx\r\n"
        );
        assert_eq!(message.len(), 125 + 2);
        assert_eq!(message.find("xxx"), Some(122));
        assert_eq!(outbox.identity(1), Some((b"p101".as_slice(), 101)));
    }

    #[test]
    fn batches_begin_go_on_and_end_with_their_operations() {
        let mut outbox = outbox();
        for _ in 0..BATCH_LEN_MAX + 2 {
            push(&mut outbox, 1);
        }
        outbox.release(Mode::Batched);
        let bytes = written(&mut outbox, 1000);
        let ops: Vec<&str> = bytes
            .lines()
            .filter_map(|line| line.strip_suffix(|c: char| c.is_ascii_digit()))
            .collect();
        assert_eq!(
            ops.len(),
            2 + BATCH_LEN_MAX + ops.iter().filter(|line| !line.starts_with("HPUB")).count()
        );
        for (tail, count) in [
            ("00000001.500.fail.00001.0.$FI", 1),
            ("00000001.500.fail.00250.1.$FI", 1),
            ("00000001.500.fail.00500.2.$FI", 1),
            ("00000002.500.fail.00001.0.$FI", 1),
            ("00000002.500.fail.00002.2.$FI", 1),
            (".2.$FI", 2),
        ] {
            assert_eq!(bytes.matches(tail).count(), count, "{tail}");
        }
        let due = |outbox: &Outbox| outbox.next_due().map(|due| (due.through, due.count));
        assert_eq!(due(&outbox), Some((500, 500)));
        outbox.acknowledge(500);
        assert_eq!(due(&outbox), Some((502, 2)));
        assert_eq!(outbox.next_due().unwrap().bytes, outbox.bytes());
    }

    #[test]
    fn after_a_restart_what_is_left_is_sent_again_under_a_new_subject() {
        let mut outbox = outbox();
        for len in [10, 300_000, 10, 10] {
            push(&mut outbox, len);
        }
        outbox.release(Mode::Single);
        let subscription = outbox.subscription();
        outbox.written(500);
        assert!(!outbox.rest_of_message().is_empty());
        outbox.restart();
        assert_ne!(outbox.subscription(), subscription);
        assert!(outbox.ready().is_empty() && outbox.next_due().is_none());
        outbox.acknowledge(2);
        outbox.release(Mode::Single);
        let bytes = written(&mut outbox, 100);
        assert_eq!(bytes.matches("HPUB").count(), 2);
        assert!(
            bytes.contains("Nats-Expected-Last-Sequence: 2\r\n") && bytes.contains(".00000001.")
        );
        assert!(bytes.contains(".one "));
        outbox.acknowledge(4);
        assert_eq!(
            (outbox.len(), outbox.bytes(), outbox.next_sequence()),
            (0, 0, 5)
        );
    }

    #[test]
    fn a_message_that_fails_or_is_too_large_leaves_no_trace() {
        let mut outbox = outbox();
        push(&mut outbox, 5);
        let message = Publication {
            subject: "cdc.big",
            position: "p",
            n: 2,
            headers: &[],
            ends: true,
        };
        let large = outbox.push(&message, 200, |out| {
            out.resize(out.len() + 300, b'x');
            Ok::<(), Error>(())
        });
        assert!(matches!(large, Err(Error::Oversize { size_max: 200, .. })));
        let failed = outbox.push(&message, 200, |out| {
            out.push(b'x');
            Err(Error::Config("no".into()))
        });
        assert!(failed.is_err());
        push(&mut outbox, 5);
        outbox.release(Mode::Single);
        let bytes = written(&mut outbox, 33);
        assert!(!bytes.contains("cdc.big") && bytes.contains("Nats-Expected-Last-Sequence: 1\r\n"));
        assert!(outbox.oversize(1).is_none());
        outbox.restart();
        assert!(
            matches!(outbox.oversize(1), Some(Error::Oversize { subject, .. }) if subject == "cdc.t")
        );
    }

    /// An outbox with transactions of so many messages each, the last one without its end.
    fn transactions(lengths: &[usize]) -> Outbox {
        let mut outbox = Outbox::new("_INBOX.abcdefgh12345678", "CDC", "w", 9000, 1 << 20, true);
        for (index, len) in lengths.iter().enumerate() {
            for n in 1..=*len {
                let message = Publication {
                    subject: "cdc.t",
                    position: "p",
                    n: 0,
                    headers: &[],
                    ends: n == *len && index + 1 < lengths.len(),
                };
                let body = |out: &mut Vec<u8>| {
                    out.push(b'x');
                    Ok::<(), Error>(())
                };
                outbox.push(&message, 1_000_000, body).unwrap();
            }
        }
        outbox
    }

    /// The acknowledgements that are due: of how many messages.
    fn due(outbox: &Outbox) -> Vec<usize> {
        outbox.due.iter().map(|due| due.count).collect()
    }

    #[test]
    fn small_transactions_share_a_batch_and_an_open_one_waits() {
        let mut outbox = transactions(&[2, 1, 3]);
        assert_eq!(outbox.releasable(), 3);
        outbox.release(Mode::Batched);
        assert_eq!(due(&outbox), [3]);
        let bytes = written(&mut outbox, 50);
        let spaces = " ".repeat("_INBOX.abcdefgh12345678.".len() + REPLY_TAIL_LEN);
        let head = "NATS/1.0\r\nNats-Expected-Stream: CDC\r\nAdit-Writer: w\r\n";
        let id = "876543210000000000000001";
        let tail = "\r\nAdit-N: 0\r\nAdit-Pos: p\r\n\r\nx\r\n";
        let sizes = "000000202 000000203";
        assert_eq!(
            bytes,
            format!(
                "HPUB cdc.t {spaces} {sizes}\r\n{head}Nats-Expected-Last-Sequence: 0\r\nNats-Batch-Id: {id}\r\n\
                 Nats-Batch-Sequence: 00001\r\nAdit-Batch-Commit: 1{tail}\
                 HPUB cdc.t {spaces} {sizes}\r\n{head}Adit-Expected-Last-Sequence: 1\r\nNats-Batch-Id: {id}\r\n\
                 Nats-Batch-Sequence: 00002\r\nAdit-Batch-Commit: 1{tail}\
                 HPUB cdc.t _INBOX.abcdefgh12345678.00000000.{id}.500.fail.00001.2.one {sizes}\r\n\
                 {head}Adit-Expected-Last-Sequence: 2\r\nNats-Batch-Id: {id}\r\n\
                 Nats-Batch-Sequence: 00003\r\nNats-Batch-Commit: 1{tail}"
            )
        );
        // The same messages, when they are sent again alone.
        outbox.restart();
        outbox.acknowledge(2);
        outbox.release(Mode::Batched);
        assert_eq!(due(&outbox), [1]);
        let bytes = written(&mut outbox, 50);
        assert!(
            bytes.contains("Nats-Expected-Last-Sequence: 2\r\nAdit-Batch-Id: "),
            "{bytes}"
        );
        assert!(bytes.contains("\r\nAdit-Batch-Commit: 1\r\n") && bytes.contains(".2.$FI "));
    }

    #[test]
    fn a_transaction_that_is_too_large_goes_piece_by_piece() {
        let mut outbox = transactions(&[1, 1000, 1200, 2, 1]);
        outbox.release(Mode::Batched);
        assert_eq!(due(&outbox), [1, 1000, 500, 500, 200, 2]);
        // It is not known yet how large it will be, but it is too large; then its rest follows as it comes.
        let mut outbox = transactions(&[2, 1100]);
        outbox.release(Mode::Single);
        assert_eq!(due(&outbox).len(), 1 + 1100);
    }

    #[test]
    fn what_follows_the_stored_part_of_a_transaction_does_not_wait() {
        let mut outbox = transactions(&[3, 1200]);
        outbox.release(Mode::Batched);
        assert_eq!(due(&outbox), [3, 500, 500, 200]);
        outbox.restart();
        outbox.acknowledge(503);
        assert_eq!(outbox.releasable(), 700);
        outbox.release(Mode::Batched);
        assert_eq!(due(&outbox), [500, 200]);
    }

    #[test]
    fn memory_stays_flat_and_one_large_message_always_fits() {
        let mut outbox = outbox();
        push(&mut outbox, 400_000);
        assert!(!outbox.has_room());
        outbox.acknowledge(1);
        for _ in 0..10_000 {
            while outbox.has_room() {
                push(&mut outbox, 700);
            }
            outbox.release(Mode::Batched);
            outbox.written(outbox.ready().len());
            outbox.acknowledge(outbox.next_due().unwrap().through);
        }
        let kept: usize = outbox
            .chunks
            .iter()
            .chain(&outbox.spare)
            .map(Vec::capacity)
            .sum();
        assert!(kept < 3 * CHUNK_LEN_KEPT, "{kept} bytes kept");
    }
}

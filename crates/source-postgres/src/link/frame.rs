//! Cutting the byte stream into protocol messages, without copying them.
//!
//! Every message is a tag byte and a 32-bit length that counts itself.
//! `postgres_protocol`'s parser does not know CopyBothResponse and sets no
//! limit, so frames are cut here and the rest is left to it.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Size of a read buffer, and so the most that one held frame keeps alive
/// besides itself. Large enough that a busy stream costs few system calls.
const READ_BUFFER: usize = 256 * 1024;
/// Less room than this and a fresh buffer is worth more than a small read.
const READ_ROOM_MIN: usize = 64 * 1024;
/// Longest message before the server has let us in. `libpq` takes 30 000
/// bytes of an error there.
pub(super) const STARTUP_MESSAGE_MAX: usize = 64 * 1024;
/// Longest message later on: PostgreSQL builds none larger (`MaxAllocSize`).
pub(super) const MESSAGE_MAX: usize = 1 << 30;
/// Tag and length.
const HEADER_LEN: usize = 5;

/// One message as it came, header included.
#[derive(Debug)]
pub(super) struct RawFrame {
    pub(super) tag: u8,
    bytes: BytesMut,
}

impl RawFrame {
    /// What follows the header.
    pub(super) fn into_body(mut self) -> Bytes {
        self.bytes.advance(HEADER_LEN.min(self.bytes.len()));
        self.bytes.freeze()
    }

    /// Its meaning, for every message but CopyBothResponse.
    pub(super) fn parse(mut self) -> io::Result<Message> {
        Message::parse(&mut self.bytes)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Bytes read and not yet taken as frames.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    bytes: BytesMut,
    /// Size of the allocation that `bytes` is a part of.
    allocated: usize,
    message_max: usize,
}

impl FrameBuffer {
    pub(super) fn new(message_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            allocated: 0,
            message_max,
        }
    }

    /// Changes the limit, once the server is known.
    pub(super) fn set_message_max(&mut self, message_max: usize) {
        self.message_max = message_max;
    }

    /// The next whole message, if it has arrived.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<RawFrame>> {
        match self.frame_len()? {
            Some((tag, len)) if self.bytes.len() >= len => Ok(Some(RawFrame {
                tag,
                bytes: self.bytes.split_to(len),
            })),
            _ => Ok(None),
        }
    }

    /// Reads what the stream has, at most what fits; 0 at the end of it.
    ///
    /// Cancel safe: bytes are either in the buffer or still in the stream.
    pub(super) async fn fill<R>(&mut self, stream: &mut R) -> io::Result<usize>
    where
        R: AsyncRead + Unpin,
    {
        self.make_room()?;
        let room = self.bytes.capacity() - self.bytes.len();
        // Without the limit `read_buf` would grow a full buffer by itself.
        stream.read_buf(&mut (&mut self.bytes).limit(room)).await
    }

    /// Tag and whole length of the message at the front, if its header is here.
    fn frame_len(&self) -> io::Result<Option<(u8, usize)>> {
        let Some(header) = Header::parse(&self.bytes)? else {
            return Ok(None);
        };
        let len = usize::try_from(header.len())
            .ok()
            .filter(|len| *len <= self.message_max)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "a message of {} bytes, where at most {} are allowed",
                        header.len(),
                        self.message_max
                    ),
                )
            })?;
        Ok(Some((header.tag(), len + 1)))
    }

    /// Sees to it that there is room to read into.
    ///
    /// A buffer of ordinary size is used again as soon as nobody holds a frame
    /// of it. One that was made for a long message is let go with it.
    fn make_room(&mut self) -> io::Result<()> {
        let unread = self.bytes.len();
        let room = self.bytes.capacity() - unread;
        let missing = match self.frame_len()? {
            Some((_, len)) => len.saturating_sub(unread),
            None => 0,
        };
        let enough = if missing > READ_ROOM_MIN {
            missing
        } else {
            READ_ROOM_MIN
        };
        if room >= enough {
            return Ok(());
        }
        let wanted = (unread + enough).max(READ_BUFFER);
        if self.allocated == wanted && self.bytes.try_reclaim(wanted - unread) {
            return Ok(());
        }
        let mut fresh = BytesMut::with_capacity(wanted);
        fresh.extend_from_slice(&self.bytes);
        self.bytes = fresh;
        self.allocated = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], &len[..], body].concat()
    }

    /// Reads everything there is, `step` bytes at a time.
    async fn frames(input: &[u8], step: usize) -> Vec<(u8, Bytes)> {
        let (mut near, mut far) = tokio::io::duplex(step);
        let mut buffer = FrameBuffer::new(MESSAGE_MAX);
        let mut found = Vec::new();
        let writer = async {
            tokio::io::AsyncWriteExt::write_all(&mut far, input)
                .await
                .unwrap();
            drop(far);
        };
        let reader = async {
            loop {
                while let Some(frame) = buffer.next_frame().unwrap() {
                    found.push((frame.tag, frame.into_body()));
                }
                if buffer.fill(&mut near).await.unwrap() == 0 {
                    break;
                }
            }
        };
        tokio::join!(writer, reader);
        found
    }

    #[tokio::test]
    async fn frames_are_cut_wherever_the_reads_end() {
        let input = [
            message(b'd', b"one"),
            message(b'd', b""),
            message(b'c', b"three"),
        ]
        .concat();
        for step in 1..=input.len() {
            let found = frames(&input, step).await;
            assert_eq!(
                found,
                [
                    (b'd', Bytes::from_static(b"one")),
                    (b'd', Bytes::new()),
                    (b'c', Bytes::from_static(b"three")),
                ],
                "{step} bytes a read"
            );
        }
    }

    #[tokio::test]
    async fn a_message_longer_than_the_buffer_arrives_whole() {
        let body = vec![7; 3 * READ_BUFFER + 1];
        let input = [message(b'd', &body), message(b'd', b"after")].concat();
        let found = frames(&input, 100_000).await;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1, body);
        assert_eq!(found[1].1, Bytes::from_static(b"after"));
    }

    #[tokio::test]
    async fn the_buffer_is_used_again_and_shrinks_after_a_long_message() {
        let mut buffer = FrameBuffer::new(MESSAGE_MAX);
        let small = message(b'd', &[1; 1000]);
        let long = message(b'd', &vec![2; 5 * READ_BUFFER]);
        let mut first = None;
        for turn in 0..3000 {
            let mut input = if turn == 1500 { &long[..] } else { &small[..] };
            while buffer.fill(&mut input).await.unwrap() > 0 && !input.is_empty() {}
            let frame = buffer.next_frame().unwrap().unwrap().into_body();
            assert!(!frame.is_empty());
            if turn < 1500 {
                let start = *first.get_or_insert(frame.as_ptr());
                let distance = (frame.as_ptr() as usize).wrapping_sub(start as usize);
                assert!(distance < READ_BUFFER, "a new buffer at turn {turn}");
            }
        }
        assert_eq!(buffer.allocated, READ_BUFFER);
    }

    #[tokio::test]
    async fn held_frames_keep_their_bytes_while_reading_goes_on() {
        let input: Vec<u8> = (0..2000u32)
            .flat_map(|number| message(b'd', &number.to_be_bytes().repeat(100)))
            .collect();
        for (number, (_, body)) in frames(&input, 9000).await.into_iter().enumerate() {
            let expected = u32::try_from(number).unwrap().to_be_bytes().repeat(100);
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn lengths_outside_the_limit_are_refused_before_anything_is_allocated() {
        for length in [u32::MAX, 1 << 31, (1 << 30) + 1, 3, 0] {
            let mut buffer = FrameBuffer::new(MESSAGE_MAX);
            buffer.bytes.extend_from_slice(b"d");
            buffer.bytes.extend_from_slice(&length.to_be_bytes());
            assert!(buffer.next_frame().is_err(), "{length}");
            assert!(buffer.make_room().is_err(), "{length}");
        }
        let mut early = FrameBuffer::new(STARTUP_MESSAGE_MAX);
        early.bytes.extend_from_slice(b"R\0\x10\0\0");
        assert!(early.next_frame().is_err());
    }
}

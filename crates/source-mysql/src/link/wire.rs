//! Packets: what the protocol is made of.
//!
//! A packet is its length in three bytes, little-endian, a number that rises within an exchange, and the
//! payload. One of the longest possible length goes on in the next. With compression, packets of the same
//! kind are around them: length, number, and the length when expanded, 0 if it is not compressed.
//! (Manual of the protocol, "MySQL Packets", "Compressed Packet".)

use std::io::{self, Read as _, Write as _};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::error::LinkError;
use super::transport::Transport;

/// The most bytes in one packet; a longer payload goes on in the next.
const PACKET_MAX: usize = 0xff_ffff;
/// The most bytes of a payload: `max_allowed_packet` at its highest, and what is around it.
pub(super) const PAYLOAD_MAX: usize = (1 << 30) + 1024;
/// The most bytes of a payload before the server knows us, and we it: a greeting has about 100, a key 500.
const LOGIN_PAYLOAD_MAX: usize = 64 * 1024;
/// Room for reading. A read fills as much of it as the server has sent.
const READ_LEN: usize = 64 * 1024;
/// Shorter payloads are not compressed, as the servers do not either.
const COMPRESS_MIN: usize = 50;

/// A stream of packets.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    /// What was read and not yet taken: packets, or parts of them.
    input: BytesMut,
    /// The same in compressed form.
    packed: BytesMut,
    compressed: bool,
    /// The number of the next packet.
    sequence: u8,
    /// The number of the next compressed packet.
    packed_sequence: u8,
    /// The beginning of a payload that goes on in the next packet.
    begun: Option<BytesMut>,
    /// The most bytes of a payload.
    limit: usize,
    /// The answer to a command has not been read to its end.
    answering: bool,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            input: BytesMut::with_capacity(READ_LEN),
            packed: BytesMut::new(),
            compressed: false,
            sequence: 0,
            packed_sequence: 0,
            begun: None,
            limit: LOGIN_PAYLOAD_MAX,
            answering: false,
        }
    }

    pub(super) const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The stream below, and the number of the next packet, between two packets.
    pub(super) fn into_transport(self) -> Result<(Transport, u8), LinkError> {
        if !self.input.is_empty() {
            // Somebody on the way may have put it there, to be taken for what came encrypted.
            return Err(LinkError::Protocol {
                doing: "beginning TLS",
                why: "something came in clear that was not asked for",
            });
        }
        Ok((self.transport, self.sequence))
    }

    pub(super) fn resume(transport: Transport, sequence: u8) -> Self {
        Self {
            sequence,
            ..Self::new(transport)
        }
    }

    /// From here on payloads may be long, and packets are compressed if that was agreed.
    pub(super) const fn logged_in(&mut self, compressed: bool) {
        self.limit = PAYLOAD_MAX;
        self.compressed = compressed;
    }

    /// Sends a command, with which numbers start again.
    pub(super) async fn command(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        if self.answering {
            // What comes next would be taken for the new command's answer.
            return Err(LinkError::Unread);
        }
        self.answering = true;
        self.last_command(payload).await
    }

    /// The answer to the command has been read to its end.
    pub(super) const fn answered(&mut self) {
        self.answering = false;
    }

    /// Sends a command behind which nothing follows.
    pub(super) async fn last_command(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        self.sequence = 0;
        self.packed_sequence = 0;
        self.send(payload).await
    }

    /// Sends a payload.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        let mut out = BytesMut::with_capacity(payload.len() + 8);
        let mut rest = payload;
        loop {
            let (part, tail) = rest.split_at(rest.len().min(PACKET_MAX));
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            out.put_uint_le(u64::from(len), 3);
            out.put_u8(self.sequence);
            out.put_slice(part);
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if part.len() < PACKET_MAX {
                break;
            }
        }
        let out = if self.compressed {
            self.pack(&out).map_err(LinkError::Broken)?
        } else {
            out
        };
        self.transport
            .write_all(&out)
            .await
            .map_err(LinkError::Broken)?;
        self.transport.flush().await.map_err(LinkError::Broken)
    }

    fn pack(&mut self, packets: &[u8]) -> io::Result<BytesMut> {
        let mut out = BytesMut::new();
        for part in packets.chunks(PACKET_MAX) {
            let (content, expanded) = if part.len() < COMPRESS_MIN {
                (part.to_vec(), 0)
            } else {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(part)?;
                (encoder.finish()?, part.len())
            };
            out.put_uint_le(content.len() as u64, 3);
            out.put_u8(self.packed_sequence);
            out.put_uint_le(expanded as u64, 3);
            out.put_slice(&content);
            self.packed_sequence = self.packed_sequence.wrapping_add(1);
        }
        Ok(out)
    }

    /// The next payload.
    pub(super) async fn payload(&mut self) -> Result<Bytes, LinkError> {
        loop {
            if let Some(payload) = self.buffered()? {
                return Ok(payload);
            }
            self.fill().await?;
        }
    }

    /// The next payload, if it has been read already. Payloads of one packet are slices of what was read.
    pub(super) fn buffered(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            let Some((len, sequence)) = head(&self.input) else {
                return Ok(None);
            };
            // In compressed packets a server sets this number anew whenever it has sent what it gathered, to that of
            // the packet around it (net_flush in sql-common/net_serv.cc); that one is checked, and the checksum.
            if !self.compressed && sequence != self.sequence {
                return Err(LinkError::Protocol {
                    doing: "reading packets",
                    why: "a packet is missing, or came twice",
                });
            }
            let begun = self.begun.as_ref().map_or(0, |begun| begun.len());
            if begun + len > self.limit {
                return Err(LinkError::TooLarge { limit: self.limit });
            }
            if self.input.len() < 4 + len {
                // The rest will come: in one piece, if it is there.
                self.input
                    .reserve((4 + len - self.input.len()).min(READ_LEN * 4));
                return Ok(None);
            }
            self.sequence = sequence.wrapping_add(1);
            self.input.advance(4);
            let part = self.input.split_to(len);
            match &mut self.begun {
                Some(begun) => {
                    begun.extend_from_slice(&part);
                    if len < PACKET_MAX {
                        return Ok(self.begun.take().map(BytesMut::freeze));
                    }
                }
                None if len < PACKET_MAX => return Ok(Some(part.freeze())),
                None => self.begun = Some(part),
            }
        }
    }

    /// Reads what there is. Cancel-safe.
    async fn fill(&mut self) -> Result<(), LinkError> {
        let buffer = if self.compressed {
            &mut self.packed
        } else {
            &mut self.input
        };
        if buffer.capacity() - buffer.len() < READ_LEN / 4 {
            buffer.reserve(READ_LEN);
        }
        let read = self.transport.read_buf(buffer).await;
        if read.map_err(LinkError::Broken)? == 0 {
            return Err(LinkError::Closed);
        }
        if self.compressed {
            self.unpack()?;
        }
        Ok(())
    }

    /// Expands the compressed packets that are whole.
    fn unpack(&mut self) -> Result<(), LinkError> {
        let wrong = |why| LinkError::Protocol {
            doing: "reading compressed packets",
            why,
        };
        while let Some((len, sequence)) = head(&self.packed) {
            if self.packed.len() < 7 + len {
                break;
            }
            if sequence != self.packed_sequence {
                return Err(wrong("a packet is missing, or came twice"));
            }
            self.packed_sequence = sequence.wrapping_add(1);
            self.packed.advance(4);
            let expanded = usize::try_from(self.packed.get_uint_le(3)).unwrap_or(usize::MAX);
            let content = self.packed.split_to(len);
            if expanded == 0 {
                self.input.extend_from_slice(&content);
                continue;
            }
            // At most 16 MiB: three bytes.
            let before = self.input.len();
            self.input.resize(before + expanded, 0);
            let space = self.input.get_mut(before..).unwrap_or_default();
            let mut decoder = ZlibDecoder::new(&content[..]);
            // The checksum is looked at when there is no more.
            let expanded = decoder
                .read_exact(space)
                .and_then(|()| decoder.read(&mut [0]));
            if !matches!(expanded, Ok(0)) {
                return Err(wrong("a packet cannot be expanded"));
            }
        }
        Ok(())
    }
}

/// Length and number at the front of a packet.
fn head(buffer: &[u8]) -> Option<(usize, u8)> {
    let &[low, middle, high, sequence] = buffer.first_chunk::<4>()?;
    let len = u32::from_le_bytes([low, middle, high, 0]);
    Some((usize::try_from(len).ok()?, sequence))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    /// A wire on which somebody sends these bytes and closes it.
    async fn wire(bytes: &[u8]) -> Wire {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let bytes = bytes.to_vec();
        tokio::spawn(async move { theirs.write_all(&bytes).await });
        Wire::new(Transport::Unix(ours))
    }

    fn compressed(content: &[u8], expanded: u8) -> Vec<u8> {
        let len = u8::try_from(content.len()).unwrap();
        [&[len, 0, 0, 0, expanded, 0, 0], content].concat()
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn before_the_login_only_short_packets_in_order_are_read() {
        let mut good = wire(b"\x02\0\0\0ab\x01\0\0\x01c").await;
        assert_eq!(good.payload().await.unwrap(), "ab");
        assert_eq!(good.payload().await.unwrap(), "c");
        assert!(matches!(good.payload().await, Err(LinkError::Closed)));
        for (bytes, long) in [
            (&b"\x02\0\0\x01ab"[..], false),
            // What SSH says.
            (b"SSH-2.0-OpenSSH", false),
            (b"\x01\0\x01\0", true),
        ] {
            let error = wire(bytes).await.payload().await.unwrap_err();
            let too_large = matches!(error, LinkError::TooLarge { .. });
            assert_eq!(too_large, long, "{error}");
        }
        let mut early = wire(b"\x01\0\0\0ax").await;
        early.payload().await.unwrap();
        assert!(early.into_transport().is_err());
    }

    #[tokio::test]
    async fn compressed_packets_are_expanded_whole_or_not_at_all() {
        let packets = b"\x03\0\0\x07abc\x01\0\0\x07d";
        let packed = zlib(packets);
        let mut good = wire(&compressed(&packed, 12)).await;
        good.logged_in(true);
        assert_eq!(good.payload().await.unwrap(), "abc");
        assert_eq!(good.payload().await.unwrap(), "d");

        let (last, start) = packed.split_last().unwrap();
        let wrong_sum = [start, &[!last]].concat();
        for bad in [
            compressed(&packed, 11),
            compressed(&packed, 13),
            compressed(start, 12),
            compressed(&wrong_sum, 12),
            compressed(b"no zlib", 12),
        ] {
            let mut wire = wire(&bad).await;
            wire.logged_in(true);
            let error = wire.payload().await.unwrap_err();
            assert!(matches!(error, LinkError::Protocol { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn no_bytes_panic() {
        // A generator of Marsaglia's: the same bytes in every run.
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..2000 {
            let mut bytes: Vec<u8> = (0..random() % 100)
                .map(|_| random().to_le_bytes()[0])
                .collect();
            // Lengths that fit, so that there is something to look into.
            for at in [1, 2, 5, 6] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 0;
                }
            }
            let mut wire = wire(&bytes).await;
            if round % 3 > 0 {
                wire.logged_in(round % 3 == 1);
            }
            while wire.payload().await.is_ok() {}
        }
    }
}

//! The events inside a transaction payload, one after the other.
//!
//! A payload may expand to gigabytes. It is expanded piece by piece: what is held is the compressed
//! event, which came in one packet, and one inner event at a time.

use adit_decode::limits::BINLOG_EVENT_BYTES_MAX;
use adit_decode::{DecodeError, DecodeErrorKind};
use bytes::{Buf as _, Bytes, BytesMut};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use crate::event::Compression;
use crate::header::EventHeader;

/// How much is expanded at a time.
const PIECE_LEN: usize = 64 * 1024;

/// Reads the events of one payload after the other.
#[derive(Default)]
pub struct PayloadReader {
    is_open: bool,
    compressed: Bytes,
    is_plain: bool,
    /// Made for the first payload that needs it: that costs more than to expand a small one.
    decoder: Option<Decoder<'static>>,
    expanded: BytesMut,
    /// How much is expanded at a time: all of a small payload.
    piece_len: usize,
    /// Bytes that came out so far.
    offset: usize,
    /// The frame is over.
    ended: bool,
}

impl std::fmt::Debug for PayloadReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadReader")
            .field("left", &self.compressed.len())
            .finish_non_exhaustive()
    }
}

impl PayloadReader {
    /// Starts to read a payload that says of itself that it is `expanded_len` bytes long when expanded, which
    /// need not be true.
    ///
    /// # Errors
    /// When there is no memory for the window of the decompressor.
    pub fn open(
        &mut self,
        compression: Compression,
        payload: Bytes,
        expanded_len: u64,
    ) -> Result<(), DecodeError> {
        self.is_plain = compression == Compression::None;
        if !self.is_plain {
            let no_memory = |_| error("there is no memory", 0);
            match &mut self.decoder {
                Some(decoder) => decoder.reinit().map_err(no_memory)?,
                decoder => *decoder = Some(Decoder::new().map_err(no_memory)?),
            }
        }
        self.is_open = true;
        self.compressed = payload;
        self.expanded.clear();
        self.piece_len = usize::try_from(expanded_len)
            .unwrap_or(PIECE_LEN)
            .clamp(EventHeader::LEN, PIECE_LEN);
        self.offset = 0;
        self.ended = false;
        Ok(())
    }

    /// Whether a payload is being read.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The next event of the open payload, header included; it has no checksum. None at the end, which closes
    /// the payload.
    ///
    /// # Errors
    /// When the payload cannot be expanded, or ends inside an event.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator over results would not end at the first error"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, DecodeError> {
        loop {
            let len = self
                .expanded
                .get(9..13)
                .and_then(|len| <[u8; 4]>::try_from(len).ok());
            let needed = match len {
                None => EventHeader::LEN,
                Some(len) => usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX),
            };
            if len.is_some() && !(EventHeader::LEN..=BINLOG_EVENT_BYTES_MAX).contains(&needed) {
                return Err(error("an event in it has no possible length", self.offset));
            }
            if len.is_some() && self.expanded.len() >= needed {
                self.offset += needed;
                return Ok(Some(self.expanded.split_to(needed).freeze()));
            }
            if !self.expand(needed)? {
                if self.expanded.is_empty() {
                    self.is_open = false;
                    return Ok(None);
                }
                return Err(error("it ends inside an event", self.offset));
            }
        }
    }

    /// Expands a piece more; false at the end.
    fn expand(&mut self, wanted: usize) -> Result<bool, DecodeError> {
        let decoder = match &mut self.decoder {
            Some(decoder) if !self.is_plain => decoder,
            _ => {
                let len = self.compressed.len().min(wanted.max(self.piece_len));
                let piece = self.compressed.split_to(len);
                self.expanded.extend_from_slice(&piece);
                return Ok(len > 0);
            }
        };
        let before = self.expanded.len();
        while self.expanded.len() == before {
            if self.ended && self.compressed.is_empty() {
                return Ok(false);
            }
            if self.ended {
                // Another frame follows.
                decoder
                    .reinit()
                    .map_err(|_| error("it cannot be expanded", self.offset))?;
                self.ended = false;
            }
            self.expanded.resize(before + self.piece_len, 0);
            let space = self.expanded.get_mut(before..).unwrap_or_default();
            let mut input = InBuffer::around(&self.compressed);
            let mut output = OutBuffer::around(space);
            let hint = decoder
                .run(&mut input, &mut output)
                .map_err(|_| error("it cannot be expanded", self.offset))?;
            let (read, written) = (input.pos(), output.pos());
            self.compressed.advance(read);
            self.expanded.truncate(before + written);
            self.ended = hint == 0;
            if read == 0 && written == 0 {
                return Err(error("it ends before its frame does", self.offset));
            }
        }
        Ok(true)
    }
}

const fn error(why: &'static str, offset: usize) -> DecodeError {
    DecodeError::new(
        DecodeErrorKind::Invalid { why },
        offset,
        "binlog payload.payload",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> Vec<u8> {
        let mut event = vec![7u8; len];
        event[9..13].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        event
    }

    fn all(compression: Compression, payload: &[u8]) -> Result<Vec<usize>, DecodeError> {
        let mut reader = PayloadReader::default();
        // Whatever the payload says of its length, and in a reader that was used before.
        let mut all = Vec::new();
        for expanded_len in [0, 19, 500, u64::MAX] {
            let payload = Bytes::copy_from_slice(payload);
            reader.open(compression, payload, expanded_len)?;
            let mut lengths = Vec::new();
            while let Some(event) = reader.next()? {
                lengths.push(event.len());
            }
            assert!(!reader.is_open());
            all.push(lengths);
        }
        all.dedup();
        assert_eq!(all.len(), 1);
        Ok(all.remove(0))
    }

    #[test]
    fn events_of_any_length_come_out_one_by_one() {
        let lengths = [19, 200, PIECE_LEN, 5 * PIECE_LEN + 3, 19];
        let plain: Vec<u8> = lengths.iter().flat_map(|len| event(*len)).collect();
        assert_eq!(all(Compression::None, &plain).unwrap(), lengths);
        let packed = zstd::bulk::compress(&plain, 3).unwrap();
        assert_eq!(all(Compression::Zstd, &packed).unwrap(), lengths);
        let two = [packed.clone(), packed.clone()].concat();
        assert_eq!(all(Compression::Zstd, &two).unwrap().len(), 10);
        for end in 1..packed.len() {
            assert!(all(Compression::Zstd, &packed[..end]).is_err(), "{end}");
        }
        for end in [1, 18, 20, 218] {
            assert!(all(Compression::None, &plain[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_an_error() {
        let mut short = event(19);
        short[9] = 3;
        assert!(all(Compression::None, &short).is_err());
        short[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(all(Compression::None, &short).is_err());
        assert!(all(Compression::Zstd, b"no frame at all").is_err());
    }
}

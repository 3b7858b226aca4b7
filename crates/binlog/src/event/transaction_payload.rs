//! `TRANSACTION_PAYLOAD_EVENT`: the events of a transaction, compressed (MySQL 8.0.20 and later).
//!
//! Fields of a number, a length and a value, all length-encoded: 1 the payload's length, 2 how it is
//! compressed, 3 its length when expanded, 0 the end. Then the payload. (`Transaction_payload_event`.)

use adit_decode::{DecodeError, DecodeErrorKind, Reader};

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard.
    Zstd,
    /// Not at all.
    None,
}

/// A transaction without its GTID event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    /// How it is compressed.
    pub compression: Compression,
    /// What the event says of its length when expanded, in bytes.
    pub expanded_len: u64,
    /// The compressed bytes.
    pub payload: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (mut compression, mut expanded_len, mut payload_len) = (None, 0, None);
        loop {
            let field = reader.lenenc("binlog payload.field")?;
            if field == 0 {
                break;
            }
            let len = reader.lenenc_size(usize::MAX, "binlog payload.length")?;
            let mut value = reader.sub(len, "binlog payload.value")?;
            match field {
                1 => payload_len = Some(value.lenenc_size(usize::MAX, "binlog payload.size")?),
                2 => {
                    compression = match value.lenenc("binlog payload.compression")? {
                        0 => Some(Compression::Zstd),
                        255 => Some(Compression::None),
                        _ => {
                            let why = "it is compressed in a way that is not known";
                            let kind = DecodeErrorKind::Invalid { why };
                            return Err(value.error(kind, "binlog payload.compression"));
                        }
                    };
                }
                3 => expanded_len = value.lenenc("binlog payload.expanded_size")?,
                _ => {}
            }
        }
        let Some(compression) = compression else {
            let why = "it does not say how it is compressed";
            let kind = DecodeErrorKind::Invalid { why };
            return Err(reader.error(kind, "binlog payload.compression"));
        };
        let payload_len = payload_len.unwrap_or_else(|| reader.left());
        Ok(Self {
            compression,
            expanded_len,
            payload: reader.bytes(payload_len, "binlog payload.payload")?,
        })
    }
}

//! The checksum behind each event.

use adit_decode::{DecodeError, DecodeErrorKind};

use crate::header::{EventHeader, EventType};

/// What stands behind each event (`enum_binlog_checksum_alg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// Nothing.
    None,
    /// Four bytes: the CRC-32 of the event, little-endian.
    Crc32,
}

/// Bytes of a checksum.
pub(crate) const CHECKSUM_LEN: usize = 4;
/// `LOG_EVENT_BINLOG_IN_USE_F`: set while the file is written, and not part of the checksum.
const IN_USE: u8 = 1;
/// Where the low byte of the flags is.
const FLAGS_AT: usize = 17;

/// Verifies and takes off an event's checksum.
///
/// # Errors
/// When it does not fit: the event was damaged on its way or on the server's disk.
pub fn verify(event: &[u8]) -> Result<&[u8], DecodeError> {
    let field = "binlog event.checksum";
    let missing = DecodeErrorKind::Truncated {
        needed: EventHeader::LEN + CHECKSUM_LEN,
        left: event.len(),
    };
    let Some((content, sum)) = event.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(DecodeError::new(missing, 0, field));
    };
    if content.len() < EventHeader::LEN {
        return Err(DecodeError::new(missing, 0, field));
    }
    if crc(content) != u32::from_le_bytes(*sum) {
        let why = "the event is damaged: its checksum does not fit";
        let kind = DecodeErrorKind::Invalid { why };
        return Err(DecodeError::new(kind, content.len(), field));
    }
    Ok(content)
}

fn crc(content: &[u8]) -> u32 {
    let format = content.get(4) == Some(&EventType::FORMAT_DESCRIPTION.0);
    match content.get(FLAGS_AT) {
        Some(flags) if format && flags & IN_USE != 0 => {
            let (before, rest) = content.split_at(FLAGS_AT);
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(before);
            hasher.update(&[flags & !IN_USE]);
            hasher.update(rest.get(1..).unwrap_or_default());
            hasher.finalize()
        }
        _ => crc32fast::hash(content),
    }
}

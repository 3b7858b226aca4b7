//! MariaDB's compressed parts of events (`log_bin_compress`).
//!
//! | bytes | meaning |
//! |---|---|
//! | u8 | 0x80, the algorithm in bits 4 to 6 (0 is zlib), and the number of bytes of the length in bits 0 to 2 |
//! | 1 to 4 | the length when expanded, big-endian |
//! | rest | the compressed bytes |
//!
//! (`binlog_buf_uncompress` in `sql/log_event.cc`.)

use std::io::Read as _;

use adit_decode::limits::BINLOG_EVENT_BYTES_MAX;
use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use flate2::read::ZlibDecoder;

/// Expands all that is left. The buffer grows with what comes out, not with what the bytes claim.
pub(crate) fn expand(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<u8>, DecodeError> {
    let head = reader.u8(field)?;
    if head & 0xf0 != 0x80 {
        return Err(reader.error(DecodeErrorKind::UnknownTag { tag: head }, field));
    }
    let mut len: usize = 0;
    for byte in reader.bytes(usize::from(head & 0x07), field)? {
        len = len << 8 | usize::from(*byte);
    }
    if len > BINLOG_EVENT_BYTES_MAX {
        let max = BINLOG_EVENT_BYTES_MAX;
        return Err(reader.error(DecodeErrorKind::AboveLimit { value: len, max }, field));
    }
    let invalid = |why| DecodeErrorKind::Invalid { why };
    let at = reader.clone();
    let mut out = Vec::new();
    let read = ZlibDecoder::new(reader.rest())
        .take(len as u64 + 1)
        .read_to_end(&mut out);
    if read.is_err() {
        return Err(at.error(invalid("it cannot be expanded"), field));
    }
    if out.len() != len {
        return Err(at.error(invalid("it expands to another length than it says"), field));
    }
    Ok(out)
}

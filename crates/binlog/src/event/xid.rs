//! `XID_EVENT`: a transaction is committed. Its body is the server's own number for it, u64.

use adit_decode::{DecodeError, Reader};

pub(super) fn parse(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.u64_le("binlog xid.number")
}

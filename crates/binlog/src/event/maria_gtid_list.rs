//! MariaDB's `GTID_LIST_EVENT`: what earlier files hold.
//!
//! | bytes | meaning |
//! |---|---|
//! | u32 | the number of entries in the lower 28 bits, flags above |
//! | u32, u32, u64 | per entry: domain, server, number; the last entry of a domain is its last transaction |

use adit_decode::{DecodeError, Reader};

use crate::gtid::{MariaGtid, MariaPosition};

pub(super) fn parse(reader: &mut Reader<'_>) -> Result<MariaPosition, DecodeError> {
    let count = reader.u32_le("binlog gtid_list.count")? & 0x0fff_ffff;
    let mut position = MariaPosition::default();
    for _ in 0..count {
        position.set(MariaGtid {
            domain: reader.u32_le("binlog gtid_list.domain")?,
            server: reader.u32_le("binlog gtid_list.server")?,
            number: reader.u64_le("binlog gtid_list.number")?,
        });
    }
    Ok(position)
}

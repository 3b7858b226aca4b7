//! `HEARTBEAT_LOG_EVENT` and its second version: the server has nothing to send, or skips.
//!
//! The first has the file's name as its body and the position in the header. The second has fields
//! of a number, a length and a value: 1 the file, 2 the position, 0 the end.

use adit_decode::{DecodeError, Reader};

use crate::header::EventHeader;

/// How far the server's reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Where in it, in bytes.
    pub position: u64,
}

impl<'a> Heartbeat<'a> {
    pub(super) fn parse(
        reader: &mut Reader<'a>,
        header: &EventHeader,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            file: reader.str(reader.left(), "binlog heartbeat.file")?,
            position: u64::from(header.end_position),
        })
    }

    pub(super) fn parse_v2(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (mut file, mut position) = ("", 0);
        while !reader.is_empty() {
            let field = reader.lenenc("binlog heartbeat_v2.field")?;
            if field == 0 {
                break;
            }
            let len = reader.lenenc_size(usize::MAX, "binlog heartbeat_v2.length")?;
            let mut value = reader.sub(len, "binlog heartbeat_v2.value")?;
            match field {
                1 => file = value.str(len, "binlog heartbeat_v2.file")?,
                2 => position = value.lenenc("binlog heartbeat_v2.position")?,
                _ => {}
            }
        }
        Ok(Self { file, position })
    }
}

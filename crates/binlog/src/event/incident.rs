//! `INCIDENT_EVENT`: something happened that the log does not hold.
//!
//! | bytes | meaning |
//! |---|---|
//! | u16 | what: 1 for lost events |
//! | u8, text | a message for people |

use adit_decode::{DecodeError, Reader};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident<'a> {
    /// What: 1 for lost events.
    pub number: u16,
    /// The server's words.
    pub message: &'a str,
}

impl<'a> Incident<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let number = reader.u16_le("binlog incident.number")?;
        let len = usize::from(reader.u8("binlog incident.length")?);
        let message = reader.str(len, "binlog incident.message")?;
        Ok(Self { number, message })
    }
}

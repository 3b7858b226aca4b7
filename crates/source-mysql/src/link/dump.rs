//! Asking for the binary log, and its events.

use adit_binlog::Flavor;
use bytes::{Buf as _, Bytes};

use super::error::LinkError;
use super::rows::is_eof;
use super::wire::Wire;

/// `COM_BINLOG_DUMP`
const BINLOG_DUMP: u8 = 0x12;
/// `COM_REGISTER_SLAVE`
const REGISTER_SLAVE: u8 = 0x15;
/// `COM_BINLOG_DUMP_GTID`
const BINLOG_DUMP_GTID: u8 = 0x1e;
/// `BINLOG_THROUGH_GTID`: the set of GTIDs follows.
const THROUGH_GTID: u16 = 0x04;
/// The start of a file, behind its magic number.
const FILE_START: u64 = 4;

/// Where the log is to be sent from, by coordinates. MariaDB takes them too, and looks at session variables
/// if the file is empty.
#[derive(Debug, Clone, Copy)]
pub struct DumpRequest<'a> {
    /// Who asks.
    pub server_id: u32,
    /// `BINLOG_DUMP_NON_BLOCK` (1): end at the log's end. `BINLOG_SEND_ANNOTATE_ROWS_EVENT` (2) of MariaDB.
    pub flags: u16,
    /// The file.
    pub file: &'a str,
    /// Where in it.
    pub position: u64,
}

/// Where the log is to be sent from, by MySQL's GTIDs.
#[derive(Debug, Clone)]
pub struct DumpGtid {
    /// Who asks.
    pub server_id: u32,
    /// As in [`DumpRequest`].
    pub flags: u16,
    /// What is known already, in binary form.
    pub gtid_set_encoded: Vec<u8>,
}

impl DumpRequest<'_> {
    /// The command. Its position has four bytes: a transaction never starts beyond 4 GiB.
    pub(super) fn command(&self) -> Result<Vec<u8>, LinkError> {
        let position = u32::try_from(self.position).map_err(|_| LinkError::Protocol {
            doing: "asking for the binary log",
            why: "a transaction that starts beyond 4 GiB of a file",
        })?;
        let mut out = vec![BINLOG_DUMP];
        out.extend_from_slice(&position.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.server_id.to_le_bytes());
        out.extend_from_slice(self.file.as_bytes());
        Ok(out)
    }
}

impl DumpGtid {
    pub(super) fn command(&self) -> Vec<u8> {
        let mut out = vec![BINLOG_DUMP_GTID];
        out.extend_from_slice(&(self.flags | THROUGH_GTID).to_le_bytes());
        out.extend_from_slice(&self.server_id.to_le_bytes());
        // No file: the server finds it.
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&FILE_START.to_le_bytes());
        let len = u32::try_from(self.gtid_set_encoded.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.gtid_set_encoded);
        out
    }
}

/// The command by which a replica tells who it is, for who lists the replicas: no host, user or password.
pub(super) fn register(server_id: u32) -> Vec<u8> {
    let mut out = vec![REGISTER_SLAVE];
    out.extend_from_slice(&server_id.to_le_bytes());
    out.extend_from_slice(&[0; 3]);
    // Port, rank, and the source's id.
    out.extend_from_slice(&[0; 2 + 4 + 4]);
    out
}

/// The events of a log, as the server sends them.
#[derive(Debug)]
pub struct EventReader {
    wire: Wire,
    flavor: Flavor,
    ended: bool,
}

impl EventReader {
    pub(super) const fn new(wire: Wire, flavor: Flavor) -> Self {
        Self {
            wire,
            flavor,
            ended: false,
        }
    }

    /// Who writes the log.
    #[must_use]
    pub const fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The next event; none when the server has come to the end, if it was asked to stop there. Cancel-safe.
    ///
    /// # Errors
    /// When the server reports one, or the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        if self.ended {
            return Ok(None);
        }
        let payload = self.wire.payload().await?;
        self.event(payload)
    }

    /// The next event, if it has been read already.
    ///
    /// # Errors
    /// As [`EventReader::next`].
    pub fn try_next_buffered(&mut self) -> Result<Option<Bytes>, LinkError> {
        if self.ended {
            return Ok(None);
        }
        match self.wire.buffered()? {
            Some(payload) => self.event(payload),
            None => Ok(None),
        }
    }

    fn event(&mut self, mut payload: Bytes) -> Result<Option<Bytes>, LinkError> {
        match payload.first() {
            Some(0x00) => {
                payload.advance(1);
                Ok(Some(payload))
            }
            Some(0xff) => {
                self.ended = true;
                Err(super::server_error(&payload))
            }
            Some(0xfe) if is_eof(&payload) => {
                self.ended = true;
                Ok(None)
            }
            _ => Err(LinkError::Protocol {
                doing: "reading the binary log",
                why: "a packet that is no event",
            }),
        }
    }
}

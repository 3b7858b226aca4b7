//! `ROTATE_EVENT`: the log goes on in another file.
//!
//! | bytes | meaning |
//! |---|---|
//! | u64 | where in the file, 4 for its start |
//! | rest | the file's name |
//!
//! The server also makes one up at the start of a connection and after each file; those have the
//! timestamp 0 and the artificial flag.

use adit_decode::{DecodeError, Reader};

/// Where the log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// Where in the file, in bytes.
    pub position: u64,
    /// The file's name.
    pub file: &'a str,
}

impl<'a> Rotate<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let position = reader.u64_le("binlog rotate.position")?;
        let file = reader.str(reader.left(), "binlog rotate.file")?;
        Ok(Self {
            position,
            // Some servers send a NUL behind it.
            file: file.trim_end_matches('\0'),
        })
    }
}

//! Binlog coordinates: a file and a place in it.

use std::fmt;

/// A place in one server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// The file's name, such as `binlog.000042`.
    pub file: String,
    /// A byte offset in it: the end of an event, which is the start of the next.
    pub position: u64,
}

impl Coordinates {
    /// The number at the end of the file's name: files come in its order.
    ///
    /// It has six digits at least and goes on with more (`MYSQL_BIN_LOG::find_uniq_filename`).
    #[must_use]
    pub fn file_number(&self) -> Option<u32> {
        let (_, number) = self.file.rsplit_once('.')?;
        number.parse().ok()
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

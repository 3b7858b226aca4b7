//! Transactions that the log shows before they are committed: kept until their commit, then handed
//! out in commit order; the larger ones on disk.
//!
//! The records are opaque: a source stores the log's own bytes and decodes them when the
//! transaction is taken. A transaction has parts (sub-transactions); a part that is rolled back is
//! left out when the records are read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::{Buf as _, Bytes};

/// A transaction that could not be put on disk, or not be read back.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} the spill file of a large transaction in {}; make room there or set another spill_dir", dir.display())]
pub struct SpillError {
    doing: &'static str,
    dir: PathBuf,
    source: io::Error,
}

/// Keeps open transactions, in memory up to a limit and on disk beyond it.
///
/// The files have no name: they are gone when the process is, however it ends. Writing goes to the
/// page cache and is done in place; it is not worth a thread.
#[derive(Debug)]
pub struct Assembler {
    dir: PathBuf,
    memory_max: usize,
    in_memory: usize,
    open: HashMap<u64, Open>,
}

#[derive(Debug, Default)]
struct Open {
    records: Vec<u8>,
    spilled: Option<File>,
    aborted: HashSet<u32>,
}

/// Part, then length.
const HEADER_LEN: usize = 8;

impl Assembler {
    /// Keeps at most `memory_max` bytes in memory; files go to `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, memory_max: usize) -> Self {
        Self {
            dir,
            memory_max,
            in_memory: 0,
            open: HashMap::new(),
        }
    }

    /// Adds a record to a transaction, which is opened if it is not.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn append(&mut self, transaction: u64, part: u32, record: &[u8]) -> Result<(), SpillError> {
        let open = self.open.entry(transaction).or_default();
        let len = u32::try_from(record.len()).map_err(|_| SpillError {
            doing: "write a record of more than 4 GiB to",
            dir: self.dir.clone(),
            source: io::ErrorKind::FileTooLarge.into(),
        })?;
        open.records.extend_from_slice(&part.to_be_bytes());
        open.records.extend_from_slice(&len.to_be_bytes());
        open.records.extend_from_slice(record);
        self.in_memory += HEADER_LEN + record.len();
        if self.in_memory > self.memory_max {
            self.spill_largest()
        } else {
            Ok(())
        }
    }

    /// A part of a transaction was rolled back: its records are left out.
    pub fn abort_part(&mut self, transaction: u64, part: u32) {
        if let Some(open) = self.open.get_mut(&transaction) {
            open.aborted.insert(part);
        }
    }

    /// A transaction was rolled back.
    pub fn abort(&mut self, transaction: u64) {
        if let Some(open) = self.open.remove(&transaction) {
            self.in_memory -= open.records.len();
        }
    }

    /// Forgets everything: the log will be read again.
    pub fn clear(&mut self) {
        self.open.clear();
        self.in_memory = 0;
    }

    /// A transaction is committed: hands out its records.
    ///
    /// # Errors
    /// When the disk does not give them back.
    pub fn take(&mut self, transaction: u64) -> Result<Staged, SpillError> {
        let mut open = self.open.remove(&transaction).unwrap_or_default();
        self.in_memory -= open.records.len();
        if let Some(file) = &mut open.spilled {
            let rewound = file.seek(SeekFrom::Start(0));
            rewound.map_err(|source| self.error("read", source))?;
        }
        Ok(Staged {
            dir: self.dir.clone(),
            spilled: open.spilled,
            records: open.records.into(),
            piece: Bytes::new(),
            aborted: open.aborted,
        })
    }

    /// The bytes held in memory.
    #[must_use]
    pub const fn in_memory(&self) -> usize {
        self.in_memory
    }

    fn spill_largest(&mut self) -> Result<(), SpillError> {
        let Some(open) = self.open.values_mut().max_by_key(|open| open.records.len()) else {
            return Ok(());
        };
        let records = std::mem::take(&mut open.records);
        self.in_memory -= records.len();
        let written = match &mut open.spilled {
            Some(file) => file.write_all(&records),
            none => tempfile::tempfile_in(&self.dir)
                .and_then(|file| none.insert(file).write_all(&records)),
        };
        written.map_err(|source| self.error("write", source))
    }

    fn error(&self, doing: &'static str, source: io::Error) -> SpillError {
        SpillError {
            doing,
            dir: self.dir.clone(),
            source,
        }
    }
}

/// The records of a committed transaction, in log order.
#[derive(Debug)]
pub struct Staged {
    dir: PathBuf,
    spilled: Option<File>,
    /// What follows the file.
    records: Bytes,
    /// What was read of the file, or the records that follow it: whole records, then part of one.
    piece: Bytes,
    aborted: HashSet<u32>,
}

/// How much of a file is read at once; a record that is larger is read whole.
const PIECE_LEN: usize = 256 * 1024;

impl Staged {
    /// The next record that counts, a slice of a piece that was read at once; none when there is
    /// none left.
    ///
    /// # Errors
    /// When the disk does not give it back.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator over results would not end at the first error"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, SpillError> {
        loop {
            match split(&mut self.piece) {
                Ok((part, _)) if self.aborted.contains(&part) => {}
                Ok((_, record)) => return Ok(Some(record)),
                Err(missing) => {
                    let more = self.read(missing).map_err(|source| SpillError {
                        doing: "read",
                        dir: self.dir.clone(),
                        source,
                    })?;
                    if !more {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Puts at least `missing` bytes more behind what is left of the piece; false at the end.
    fn read(&mut self, missing: usize) -> io::Result<bool> {
        if let Some(file) = &mut self.spilled {
            let wanted = missing.max(PIECE_LEN);
            let mut piece = Vec::with_capacity(self.piece.len() + wanted);
            piece.extend_from_slice(&self.piece);
            let read = file.take(wanted as u64).read_to_end(&mut piece)?;
            self.piece = piece.into();
            if read > 0 {
                return Ok(true);
            }
            self.spilled = None;
        }
        if !self.piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.piece = std::mem::take(&mut self.records);
        Ok(!self.piece.is_empty())
    }
}

/// Takes a whole record, with its part, off the front; else says how many bytes are missing.
fn split(piece: &mut Bytes) -> Result<(u32, Bytes), usize> {
    let number = |at| {
        piece
            .get(at..)?
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
    };
    let (Some(part), Some(len)) = (number(0), number(4)) else {
        return Err(HEADER_LEN - piece.len());
    };
    let end = usize::try_from(len).map_or(usize::MAX, |len| len.saturating_add(HEADER_LEN));
    if piece.len() < end {
        return Err(end - piece.len());
    }
    let mut record = piece.split_to(end);
    record.advance(HEADER_LEN);
    Ok((part, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembler(memory_max: usize) -> Assembler {
        Assembler::new(std::env::temp_dir(), memory_max)
    }

    fn records(staged: &mut Staged) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(record) = staged.next().unwrap() {
            all.push(String::from_utf8(record.to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn interleaved_transactions_come_out_whole_and_in_order_at_any_limit() {
        for memory_max in [0, 20, 1000] {
            let mut assembler = assembler(memory_max);
            for round in 0..5 {
                for tx in [7, 8] {
                    assembler
                        .append(tx, 1, format!("{tx}.{round}").as_bytes())
                        .unwrap();
                }
            }
            assert!(assembler.in_memory() <= memory_max.max(1000));
            assert_eq!(
                records(&mut assembler.take(8).unwrap()),
                ["8.0", "8.1", "8.2", "8.3", "8.4"]
            );
            assert_eq!(
                records(&mut assembler.take(7).unwrap()),
                ["7.0", "7.1", "7.2", "7.3", "7.4"]
            );
            assert_eq!(assembler.in_memory(), 0);
        }
    }

    #[test]
    fn a_part_that_was_rolled_back_is_left_out_also_when_it_is_on_disk() {
        for memory_max in [0, 1000] {
            let mut assembler = assembler(memory_max);
            for (part, text) in [(1, "a"), (2, "b"), (3, "c"), (1, "d")] {
                assembler.append(7, part, text.as_bytes()).unwrap();
            }
            assembler.abort_part(7, 2);
            assert_eq!(records(&mut assembler.take(7).unwrap()), ["a", "c", "d"]);
        }
    }

    #[test]
    fn records_of_any_length_come_back_from_disk() {
        let mut assembler = assembler(100_000);
        let lengths = [0, 1, 7, 8, 9, PIECE_LEN, 5, PIECE_LEN - 8, 3 * PIECE_LEN, 0];
        for len in lengths {
            assembler.append(7, 1, &vec![b'x'; len]).unwrap();
        }
        let found = records(&mut assembler.take(7).unwrap());
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), lengths);
    }

    #[test]
    fn a_transaction_that_was_rolled_back_leaves_nothing() {
        let mut assembler = assembler(0);
        assembler.append(7, 1, b"a").unwrap();
        assembler.abort(7);
        assert_eq!(records(&mut assembler.take(7).unwrap()), [""; 0]);
        assert_eq!(assembler.in_memory(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_in_the_error() {
        let mut assembler = Assembler::new("/does/not/exist".into(), 0);
        let error = assembler.append(7, 1, b"a").unwrap_err().to_string();
        assert!(
            error.contains("/does/not/exist") && error.contains("spill_dir"),
            "{error}"
        );
    }
}

//! Transactions that the log shows before they are committed: kept until their commit, then handed
//! out in commit order; the larger ones on disk.
//!
//! The records are opaque: a source stores the log's own bytes and decodes them when the
//! transaction is taken. A transaction has parts (sub-transactions); a part that is rolled back is
//! left out when the records are read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

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
        let open = self.open.remove(&transaction).unwrap_or_default();
        self.in_memory -= open.records.len();
        let spilled = match open.spilled {
            None => None,
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))
                    .map_err(|source| self.error("read", source))?;
                Some(BufReader::with_capacity(256 * 1024, file))
            }
        };
        Ok(Staged {
            dir: self.dir.clone(),
            spilled,
            records: io::Cursor::new(open.records),
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
    spilled: Option<BufReader<File>>,
    records: io::Cursor<Vec<u8>>,
    aborted: HashSet<u32>,
}

impl Staged {
    /// Puts the next record that counts into `record`; false when there is none left.
    ///
    /// # Errors
    /// When the disk does not give it back.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Result<bool, SpillError> {
        loop {
            match self.read(record) {
                Ok(None) => return Ok(false),
                Ok(Some(part)) if self.aborted.contains(&part) => {}
                Ok(Some(_)) => return Ok(true),
                Err(source) => {
                    return Err(SpillError {
                        doing: "read",
                        dir: self.dir.clone(),
                        source,
                    });
                }
            }
        }
    }

    fn read(&mut self, record: &mut Vec<u8>) -> io::Result<Option<u32>> {
        if let Some(spilled) = &mut self.spilled {
            if let Some(part) = read_record(spilled, record)? {
                return Ok(Some(part));
            }
            self.spilled = None;
        }
        read_record(&mut self.records, record)
    }
}

fn read_record(from: &mut impl io::BufRead, record: &mut Vec<u8>) -> io::Result<Option<u32>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut part = [0; 4];
    let mut len = [0; 4];
    from.read_exact(&mut part)?;
    from.read_exact(&mut len)?;
    record.clear();
    let len = u64::from(u32::from_be_bytes(len));
    if from.take(len).read_to_end(record)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(u32::from_be_bytes(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembler(memory_max: usize) -> Assembler {
        Assembler::new(std::env::temp_dir(), memory_max)
    }

    fn records(staged: &mut Staged) -> Vec<String> {
        let mut record = Vec::new();
        let mut all = Vec::new();
        while staged.next(&mut record).unwrap() {
            all.push(String::from_utf8(record.clone()).unwrap());
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

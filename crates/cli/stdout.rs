//! Standard output as a sink, and memory as its checkpoint store: what `adit tail` runs on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use adit_event::{EncodeError, Encoder, Event, Relation, SourceMeta, ValueOptions};
use adit_pipeline::{
    Checkpoint, CheckpointStore, Classify, Disposition, Message, SchemaKey, Sink, Tail,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::task::{JoinError, JoinHandle};

/// Bytes that wait for a slow reader; then the database's log waits.
const WAITING_MAX: usize = 256 * 1024;

/// One JSON object a line on standard output.
#[derive(Debug)]
pub(crate) struct Stdout {
    encoder: Encoder,
    /// Lines that are not being written yet.
    waiting: Vec<u8>,
    /// The sequence of the last line in `waiting`.
    taken: u64,
    /// The write that is under way. It blocks while the reader is slow, so it has a thread.
    writing: Option<JoinHandle<io::Result<()>>>,
    /// The sequence of its last line.
    writing_through: u64,
    written: u64,
}

/// Why lines cannot be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StdoutError {
    /// The reader has gone, as `head` does when it has enough.
    #[error("nobody reads standard output any more")]
    Closed,
    /// Anything else, such as a full disk.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// The process is about to end.
    #[error("writing to standard output was broken off")]
    Broken(#[source] JoinError),
    /// An event cannot be written as JSON.
    #[error("cannot write an event as JSON")]
    Encode(#[from] EncodeError),
}

impl Classify for StdoutError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Closed | Self::Write(_) | Self::Broken(_) | Self::Encode(_) => Disposition::Halt,
        }
    }
}

impl Stdout {
    /// Prints the events of one connector.
    pub(crate) fn new(meta: &SourceMeta, values: ValueOptions) -> Self {
        Self {
            encoder: Encoder::new(meta, values),
            waiting: Vec::new(),
            taken: 0,
            writing: None,
            writing_through: 0,
            written: 0,
        }
    }
}

impl Sink for Stdout {
    type Error = StdoutError;

    async fn connect(&mut self) -> Result<Tail, StdoutError> {
        Ok(Tail {
            seq: self.written,
            created: String::new(),
            message: None,
        })
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    fn publish(&mut self, message: Message<'_>) -> Result<(), StdoutError> {
        self.encoder.write(&message.event, &mut self.waiting)?;
        self.waiting.push(b'\n');
        self.taken = message.seq;
        Ok(())
    }

    /// Every error here halts, so nothing is ever sent again.
    fn resume(&mut self, _stored: u64) {}

    async fn next(&mut self) -> Result<u64, StdoutError> {
        loop {
            if let Some(writing) = &mut self.writing {
                let result = writing.await;
                self.writing = None;
                result.map_err(StdoutError::Broken)?.map_err(failed)?;
                self.written = self.writing_through;
                return Ok(self.written);
            }
            if self.waiting.is_empty() {
                return std::future::pending().await;
            }
            let lines = std::mem::take(&mut self.waiting);
            self.writing_through = self.taken;
            self.writing = Some(tokio::task::spawn_blocking(move || {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&lines)?;
                stdout.flush()
            }));
        }
    }
}

fn failed(error: io::Error) -> StdoutError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        StdoutError::Closed
    } else {
        StdoutError::Write(error)
    }
}

/// Blocks until nobody reads standard output any more, which a quiet database would not show for
/// a long time. For ever, if that is a file.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn wait_until_unread() -> io::Result<()> {
    let stdout = io::stdout();
    // Without any event asked for, only errors and hang-ups are reported.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    loop {
        match poll(&mut watched, None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A checkpoint that ends with the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    checkpoint: Arc<Mutex<Option<Checkpoint>>>,
}

/// What cannot happen.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Never(#[from] Infallible);

impl Classify for Never {
    fn disposition(&self) -> Disposition {
        match self.0 {}
    }
}

impl CheckpointStore for Memory {
    type Error = Never;

    async fn load(&self) -> Result<Option<Checkpoint>, Never> {
        let checkpoint = self.checkpoint.lock();
        Ok(checkpoint.unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn store(&self, checkpoint: &Checkpoint) -> Result<(), Never> {
        let mut stored = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *stored = Some(checkpoint.clone());
        Ok(())
    }

    async fn schemas(&self) -> Result<HashMap<SchemaKey, u64>, Never> {
        Ok(HashMap::new())
    }

    async fn store_schema(&self, _: &Relation, _: Event<'_>) -> Result<(), Never> {
        Ok(())
    }
}

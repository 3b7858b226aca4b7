//! The stream: events of the log in, items out, in commit order.
//!
//! ```text
//!  events ─► decoder ─► items ─► outlet
//!              │  ▲
//!   XA PREPARE ▼  │ XA COMMIT
//!           assembler (memory, then disk)
//! ```
//!
//! The server gathers by itself what it sends: under load it fills its network buffer, and flushes it when
//! it has come to the end of its log, once for each group of commits. So a read serves many events, and
//! there is no pause to gather more, as PostgreSQL's packets need one.
//!
//! While tables wait for their snapshot, the stream runs up to the anchor's point, leaves out those
//! tables' changes (the snapshot shows them), hands over the rows, and goes on. Of a table of which part
//! was read before, the changes are handed over: that part is not read again.

mod hold;
mod tables;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adit_binlog::decoder::{Decoder, Output, Previous};
use adit_binlog::gtid::GtidSet;
use adit_binlog::{Coordinates, DecoderError, EventType, Flavor, Gtid};
use adit_event::Relation;
use adit_pipeline::{Assembler, Closed, Item, Outlet, SnapshotMode};
use bytes::Bytes;
use tokio::time::timeout;

use crate::ddl;
use crate::error::SourceError;
use crate::link::{EventReader, MysqlLink};
use crate::position::{Executed, Place, parse_gtid, reaches};
use crate::scan::Ahead;
use crate::session::{self, dump_error};
use crate::shapes::Shapes;
use crate::skip::{Skip, Verdict};
use crate::source::MysqlOptions;
use crate::state::{State, TableName, Token};

use hold::anchored;
pub(crate) use hold::{Hold, anchor_later};

/// The server gives a sign of life in each heartbeat period; after so many without one it is given up.
const SILENT_PERIODS: u32 = 3;
/// The shortest time after which it is given up: it may be busy.
const SILENCE_MIN: Duration = Duration::from_secs(10);
/// How much of an event that cannot be decoded is shown: its header and the beginning of its body, and
/// little of a row's values, which do not belong into logs.
const WINDOW_BYTES: usize = 40;

/// Under load a place to go on is said only behind so many transactions: to write it down costs as much as to
/// read a small one.
const COMMITS_UNSAID_MAX: u32 = 64;

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The pipeline takes no more items.
    Closed,
    /// All that was wanted has been handed over.
    Finished,
    /// Something failed.
    Failed(SourceError),
}

impl From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl<E: Into<SourceError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An XA transaction that is prepared and not yet decided.
#[derive(Debug)]
pub(crate) struct Prepared {
    key: u64,
    /// In front of it: from here it has to be read again.
    from: Place,
}

/// Everything that one run of the stream needs.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    pub(crate) options: &'a MysqlOptions,
    pub(crate) reader: EventReader,
    /// For the catalogue; opened when it is needed, and again when it broke.
    pub(crate) sql: Option<MysqlLink>,
    pub(crate) flavor: Flavor,
    /// Transactions have GTIDs, and they are used.
    pub(crate) gtids: bool,
    /// Names are stored in lower case.
    pub(crate) lower_case: bool,
    pub(crate) out: Outlet,
    pub(crate) state: State,
    pub(crate) hold: Option<Hold>,
    /// Up to here the log has been handed over.
    pub(crate) place: Place,
    /// The file that is being read, and when it was begun. The place may still be at the end of the one
    /// before.
    pub(crate) file: (String, u32),
    /// It moved since something was handed over that says so.
    pub(crate) moved: bool,
    /// Transactions since then.
    pub(crate) unsaid: u32,
    pub(crate) decoder: Decoder,
    pub(crate) assembler: Assembler,
    /// Prepared XA transactions, the oldest first.
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) skip: Option<Skip>,
    /// What of the transaction that comes is published.
    pub(crate) verdict: Verdict,
    /// The resume position in front of the open transaction, if the notes changed within it.
    pub(crate) before: Option<Box<str>>,
    /// Shapes of tables whose changes were all published so far.
    pub(crate) unannounced: Vec<Arc<Relation>>,
    pub(crate) proof: Option<Proof>,
    /// The server's log names columns.
    pub(crate) names_columns: bool,
    /// Changes of shapes ahead, where the log does not name columns.
    pub(crate) ahead: Ahead,
    /// What tables were like, for the same.
    pub(crate) shapes: Shapes,
    /// Tables whose shapes are to be kept from the beginning.
    pub(crate) new: Vec<TableName>,
    /// The last event that was published or handed over by a snapshot.
    pub(crate) last: Option<Token>,
}

/// A transaction that must be where it was.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) gtid: Gtid,
    /// The end of its first event.
    pub(crate) at: Coordinates,
    /// The event that is published.
    pub(crate) published: String,
}

impl Stream<'_> {
    /// Reads until the pipeline ends or something fails; never returns `Ok`. Cancelling it loses nothing that the log
    /// does not have.
    pub(crate) async fn run(&mut self, first: VecDeque<Bytes>) -> Result<Infallible, Stop> {
        let silence = (session::heartbeat(self.options) * SILENT_PERIODS).max(SILENCE_MIN);
        let new = std::mem::take(&mut self.new);
        self.keep_shapes(&new).await?;
        for event in first {
            self.event(event).await?;
        }
        loop {
            while let Some(event) = self.next_buffered()? {
                self.event(event).await?;
            }
            self.snapshot_due().await?;
            if self.moved && !self.decoder.in_transaction() {
                self.said();
                let resume = self.resume();
                self.out.push(Item::Progress {
                    resume,
                    state: None,
                });
            }
            self.out.flush().await?;
            if self.options.snapshot.mode == SnapshotMode::Only && self.hold.is_none() {
                return Err(Stop::Finished);
            }
            let next = tokio::select! {
                next = timeout(silence, self.reader.next()) => next,
                () = anchored(&mut self.hold) => continue,
            };
            let next = next.map_err(|_| SourceError::Silent {
                seconds: silence.as_secs(),
            })?;
            let event = next.map_err(|error| self.read_error(error))?;
            self.event(event.ok_or(SourceError::StreamEnded)?).await?;
        }
    }

    fn next_buffered(&mut self) -> Result<Option<Bytes>, SourceError> {
        let next = self.reader.try_next_buffered();
        next.map_err(|error| dump_error(self.options, self.place.coordinates.to_string(), error))
    }

    fn read_error(&self, error: crate::link::LinkError) -> SourceError {
        dump_error(self.options, self.place.coordinates.to_string(), error)
    }

    /// Performs what an event means.
    async fn event(&mut self, event: Bytes) -> Result<(), Stop> {
        if self.hold.is_some() && !self.decoder.in_transaction() {
            // What comes next may lie behind the anchor.
            self.snapshot_due().await?;
        }
        let window = event.clone();
        let handled = self.decoder.handle(event);
        handled.map_err(|source| decode_error(&self.decoder, &window, source))?;
        if let Some(born) = born(&window)
            && let Some(here) = self.decoder.coordinates()
        {
            self.file = (here.file, born);
            self.move_to(self.place.coordinates.clone());
        }
        self.poll(&window).await
    }

    async fn poll(&mut self, window: &Bytes) -> Result<(), Stop> {
        loop {
            let output = self.decoder.poll();
            let output = output.map_err(|source| decode_error(&self.decoder, window, source))?;
            let Some(output) = output else {
                return Ok(());
            };
            self.output(output, window).await?;
        }
    }

    async fn output(&mut self, output: Output, window: &Bytes) -> Result<(), Stop> {
        // Most are changes, which are only passed on.
        let item = match output {
            Output::Change(change) => {
                match self.verdict {
                    Verdict::New => {}
                    Verdict::Published => return Ok(()),
                    Verdict::Partly(through) if change.ordinal <= through => return Ok(()),
                    Verdict::Partly(_) => {}
                }
                if !self.unannounced.is_empty() {
                    self.announce(&change);
                }
                if !self.state.begun.is_empty() {
                    self.changed_while_begun(&change);
                }
                Item::Change(change)
            }
            Output::Schema { relation, ordinal } => {
                if self.verdict == Verdict::Published {
                    // Its next change may be a new one.
                    self.unannounced.push(relation);
                    return Ok(());
                }
                let resnapshot = self.state.comes_again(relation.schema(), relation.table());
                if resnapshot && self.before.is_none() {
                    self.before = Some(self.resume());
                }
                Item::Schema {
                    relation,
                    ordinal,
                    resnapshot,
                }
            }
            Output::Begin(transaction) => {
                if self.skip.is_some() {
                    let gtid = parse_gtid(&transaction.id, self.flavor);
                    self.verdict = self.judge(gtid.as_ref())?;
                }
                if self.verdict == Verdict::Published {
                    return Ok(());
                }
                Item::Begin(transaction)
            }
            Output::Commit { end, gtid } => {
                self.pass(end, gtid.as_ref())?;
                let verdict = std::mem::replace(&mut self.verdict, Verdict::New);
                if verdict == Verdict::Published {
                    return Ok(());
                }
                self.unsaid += 1;
                if let Some(before) = self.before.take() {
                    // What changed in the notes is to become durable together with the transaction.
                    let resume = Some(before);
                    self.out.push(Item::Commit { resume });
                    self.progress()
                } else if self.unsaid < COMMITS_UNSAID_MAX {
                    Item::Commit { resume: None }
                } else {
                    let resume = Some(self.resume());
                    self.said();
                    Item::Commit { resume }
                }
            }
            Output::NeedTable {
                schema,
                table,
                described,
            } => {
                let answer = self.look_up(TableName { schema, table }, described).await?;
                let answered = self.decoder.table(answer);
                return Ok(answered.map_err(|source| decode_error(&self.decoder, window, source))?);
            }
            other => return Box::pin(self.between(other, window)).await,
        };
        Ok(self.out.send(item).await?)
    }

    /// Performs what stands between transactions.
    async fn between(&mut self, output: Output, window: &Bytes) -> Result<(), Stop> {
        match output {
            Output::Progress { end, gtid } => {
                self.judge(gtid.as_ref())?;
                Ok(self.pass(end, gtid.as_ref())?)
            }
            Output::FileStarted { previous, .. } => {
                let previous = previous.map(|previous| match previous {
                    Previous::Mysql(base) => Executed::Mysql {
                        base,
                        since: GtidSet::default(),
                    },
                    Previous::Mariadb(position) => Executed::Mariadb(position),
                });
                self.file_started(previous).await
            }
            Output::Ddl {
                statement,
                sql,
                database,
                end,
                gtid,
            } => {
                self.judge(gtid.as_ref())?;
                let before = self.place.coordinates.clone();
                self.pass(end, gtid.as_ref())?;
                self.keep_changes(&statement, &sql, &database, &before)
                    .await?;
                let effects =
                    ddl::effects(&statement, &database, &self.options.tables, self.lower_case);
                self.shapes_changed(effects).await
            }
            Output::Statement { tables } => {
                let names = tables.into_iter().map(|(schema, table)| {
                    let name = TableName::new(schema, table);
                    if self.lower_case { name.folded() } else { name }
                });
                Ok(self.statement(&names.collect::<Vec<_>>())?)
            }
            Output::Stage { key, record } => {
                if !self.prepared.iter().any(|prepared| prepared.key == key) {
                    let from = self.place.clone();
                    self.prepared.push(Prepared { key, from });
                }
                Ok(self.assembler.append(key, 0, &record)?)
            }
            Output::StagedRollback { key } => {
                self.assembler.abort(key);
                self.prepared.retain(|prepared| prepared.key != key);
                Ok(())
            }
            Output::StagedCommit { key, .. } => self.staged(key, window).await,
            _ => Ok(()),
        }
    }

    /// Gives back a transaction that was prepared and is now committed.
    async fn staged(&mut self, key: u64, window: &Bytes) -> Result<(), Stop> {
        let Some(index) = self
            .prepared
            .iter()
            .position(|prepared| prepared.key == key)
        else {
            return Err(SourceError::XaUnknown {
                at: self.place.coordinates.to_string(),
            }
            .into());
        };
        self.prepared.remove(index);
        let mut records = self.assembler.take(key)?;
        let begun = self.decoder.begin_staged(key);
        begun.map_err(|source| decode_error(&self.decoder, window, source))?;
        self.poll(window).await?;
        while let Some(record) = records.next()? {
            let given = self.decoder.staged(record.clone());
            given.map_err(|source| decode_error(&self.decoder, &record, source))?;
            self.poll(&record).await?;
        }
        let ended = self.decoder.commit_staged();
        ended.map_err(|source| decode_error(&self.decoder, window, source))?;
        self.poll(window).await
    }

    /// Whether a transaction is published already, after another server took over.
    fn judge(&mut self, gtid: Option<&Gtid>) -> Result<Verdict, SourceError> {
        match (&mut self.skip, gtid) {
            (Some(skip), Some(gtid)) => skip.judge(gtid),
            _ => Ok(Verdict::New),
        }
    }

    /// The log has been read up to here.
    fn pass(&mut self, end: Coordinates, gtid: Option<&Gtid>) -> Result<(), SourceError> {
        if let Some(proof) = &self.proof {
            if gtid == Some(&proof.gtid) {
                self.proof = None;
            } else if reaches(&end, &proof.at) {
                return Err(SourceError::NotThere {
                    published: proof.published.clone(),
                });
            }
        }
        if let Some(gtid) = gtid {
            self.place.executed.add(gtid);
        }
        if let Some(skip) = &self.skip {
            skip.check(&end)?;
        }
        self.move_to(end);
        self.moved = true;
        Ok(())
    }

    /// The place is here now; when its file was begun is known once the file is being read.
    fn move_to(&mut self, coordinates: Coordinates) {
        let (file, born) = &self.file;
        if *file == coordinates.file {
            self.place.born = *born;
        } else if coordinates.file != self.place.coordinates.file {
            self.place.born = 0;
        }
        self.place.coordinates = coordinates;
    }

    /// From where the log is to be read again if this were all that is stored.
    fn resume(&self) -> Box<str> {
        let prepared = self.prepared.first().map(|prepared| &prepared.from);
        prepared.unwrap_or(&self.place).to_resume()
    }

    fn said(&mut self) {
        self.moved = false;
        self.unsaid = 0;
    }

    fn progress(&mut self) -> Item {
        self.said();
        Item::Progress {
            resume: self.resume(),
            state: Some(self.state.to_text()),
        }
    }

    /// A new file begins: the transactions so far are noted in one piece.
    async fn file_started(&mut self, previous: Option<Executed>) -> Result<(), Stop> {
        if !self.prepared.is_empty() {
            return Ok(());
        }
        if !self.place.executed.is_known()
            && self.gtids
            && let Some(previous) = previous
        {
            self.place.executed = previous;
        }
        self.place.executed.rebase();
        if let Some(skip) = &self.skip
            && skip.is_over(&self.place.executed)
        {
            self.skip = None;
        }
        let base = self.place.executed.base();
        if base == self.state.base {
            return Ok(());
        }
        self.state.base = base;
        let progress = self.progress();
        Ok(self.out.send(progress).await?)
    }

    /// The shapes of published tables that were left out, before their first change that is not.
    fn announce(&mut self, change: &adit_event::Change) {
        let relation = &change.relation;
        let known = self.unannounced.iter();
        let found = known.clone().rposition(|known| {
            known.schema() == relation.schema() && known.table() == relation.table()
        });
        if found.is_none() {
            return;
        }
        self.unannounced.retain(|known| {
            known.schema() != relation.schema() || known.table() != relation.table()
        });
        self.out.push(Item::Schema {
            relation: Arc::clone(relation),
            ordinal: change.ordinal,
            resnapshot: false,
        });
    }
}

/// When a file was begun, if the event is its format description.
pub(crate) fn born(event: &[u8]) -> Option<u32> {
    let kind = event.get(4).copied().map(EventType);
    let time = event.first_chunk::<4>()?;
    (kind == Some(EventType::FORMAT_DESCRIPTION)).then(|| u32::from_le_bytes(*time))
}

pub(crate) fn decode_error(decoder: &Decoder, bytes: &Bytes, source: DecoderError) -> SourceError {
    let at = decoder.coordinates();
    SourceError::Decode {
        at: at.map_or_else(|| "its beginning".to_owned(), |at| at.to_string()),
        window: bytes
            .iter()
            .take(WINDOW_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        source: Box::new(source),
    }
}

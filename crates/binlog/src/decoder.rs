//! The decoder: events of a log in, changes of known tables out.
//!
//! It keeps what the log needs to be understood: the format, the file and the place in it, the tables'
//! maps, and the open transaction. [`Decoder::handle`] takes an event, and [`Decoder::poll`] says what it
//! means, again and again until it says nothing more: an event may hold thousands of rows, or a whole
//! compressed transaction. It asks nobody: a table that it does not know is [`Output::NeedTable`],
//! answered by [`Decoder::table`].
//!
//! ## Transactions
//! MySQL's begin with a GTID event (also without GTIDs, from 5.7 on) and `BEGIN`, or with `BEGIN` alone;
//! MariaDB's with its GTID event, which says by a flag that one statement follows and no commit. They end
//! with an XID event or `COMMIT`. Other statements are transactions of their own.
//!
//! A position is made of the end of the transaction's first event, which is never 0 and never beyond
//! 4 GiB: the servers begin a new file before that, and only within a transaction a file grows further.
//!
//! ## XA
//! The changes of an XA transaction are in the log when it is prepared, and whether it was committed
//! comes later. They come out as [`Output::Stage`] and are given back when [`Output::StagedCommit`] says so.

mod error;
mod open;
mod rows;
mod tables;

use std::collections::VecDeque;
use std::sync::Arc;

use adit_decode::{DecodeError, DecodeErrorKind, Reader};
use adit_event::{Change, Op, PositionSpace, Relation, Timestamp, Transaction};
use bytes::{Bytes, BytesMut};

use crate::charset::Charset;
use crate::checksum::{self, CHECKSUM_LEN, ChecksumAlgorithm};
use crate::coordinates::Coordinates;
use crate::event::{Event, FormatDescription, MariaGtidEvent, Query, Rows, knows_checksums};
use crate::flavor::Flavor;
use crate::gtid::{Gtid, GtidSet, MariaPosition};
use crate::header::{EventHeader, EventType};
use crate::payload::PayloadReader;
use crate::statement::{Ddl, Statement, TableRef, classify};
use crate::table::TableInfo;
use crate::xa::XaId;

pub use error::DecoderError;

use open::{DdlStatement, Open};
use rows::RowsCursor;
use tables::{Tables, What};

/// What a decoder is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct DecoderOptions {
    /// Who writes the log.
    pub flavor: Flavor,
    /// Counts the servers that were read one after the other; part of the positions.
    pub epoch: u16,
}

/// All transactions in front of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// MySQL's.
    Mysql(GtidSet),
    /// MariaDB's.
    Mariadb(MariaPosition),
}

/// What is known of a table.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Its changes are wanted; with what the catalogue says, if the table is still there.
    Wanted(Option<TableInfo>),
    /// Nobody wants its changes.
    Unwanted,
}

/// What an event means.
#[derive(Debug)]
pub enum Output {
    /// A committed transaction starts, of which changes are wanted.
    Begin(Transaction),
    /// A row changed, or a table was emptied.
    Change(Change),
    /// The shape of a table whose changes follow.
    Schema {
        /// The shape.
        relation: Arc<Relation>,
        /// The ordinal of the next change.
        ordinal: u64,
    },
    /// The transaction is complete.
    Commit {
        /// Its end, from where the log can be read again.
        end: Coordinates,
        /// Its name.
        gtid: Option<Gtid>,
    },
    /// A table that is not known, or not in this shape: answer with [`Decoder::table`] before anything else.
    NeedTable {
        /// Its database.
        schema: String,
        /// Its name.
        table: String,
        /// The log names its columns, so that the catalogue only adds to it.
        described: bool,
    },
    /// Tables came, changed or went. The decoder has forgotten their shapes.
    Ddl {
        /// What was done.
        statement: Ddl,
        /// Its text.
        sql: String,
        /// The default database.
        database: String,
        /// The end of the transaction that it is, or is part of.
        end: Coordinates,
        /// Its name.
        gtid: Option<Gtid>,
    },
    /// The log was read up to here, and there was nothing in it that is wanted.
    Progress {
        /// From here the log can be read again.
        end: Coordinates,
        /// The transaction that it was.
        gtid: Option<Gtid>,
    },
    /// Rows changed in statement format, of tables that may be wanted.
    Statement {
        /// The tables as far as they are known, with their databases; empty if they are not.
        tables: Vec<(String, String)>,
    },
    /// An event of an XA transaction that is not yet committed.
    Stage {
        /// Tells XA transactions apart.
        key: u64,
        /// To be given back through [`Decoder::staged`].
        record: Bytes,
    },
    /// An XA transaction is committed: give its events back between [`Decoder::begin_staged`] and
    /// [`Decoder::commit_staged`].
    StagedCommit {
        /// Which.
        key: u64,
    },
    /// An XA transaction was rolled back.
    StagedRollback {
        /// Which.
        key: u64,
    },
    /// A file begins.
    FileStarted {
        /// Its name.
        file: String,
        /// The transactions in earlier files; none where the log does not say, or says it with the next.
        previous: Option<Previous>,
    },
}

/// Decodes the events of one log.
#[derive(Debug)]
pub struct Decoder {
    options: DecoderOptions,
    format: Option<FormatDescription>,
    /// The end of the last event.
    here: Coordinates,
    /// The end of the last complete transaction, or of what stood behind it.
    complete: Option<Coordinates>,
    tables: Tables,
    open: Option<Open>,
    /// A transaction whose changes are being given back.
    giving_back: bool,
    out: VecDeque<Output>,
    rows: Option<RowsCursor>,
    payload: PayloadReader,
    /// A truncated table that was asked for.
    truncated: Option<TableRef>,
    buffer: BytesMut,
}

/// The table id of the event that ends a statement without rows.
const NO_TABLE: u64 = 0xff_ffff;

impl Decoder {
    /// A decoder for a log that is read from some transaction's start on.
    #[must_use]
    pub fn new(options: DecoderOptions) -> Self {
        Self {
            options,
            format: None,
            here: Coordinates {
                file: String::new(),
                position: 0,
            },
            complete: None,
            tables: Tables::default(),
            open: None,
            giving_back: false,
            out: VecDeque::new(),
            rows: None,
            payload: PayloadReader::default(),
            truncated: None,
            buffer: BytesMut::new(),
        }
    }

    /// The events that follow are those from this place on: for who reads a file, and gets no rotate event
    /// that says so.
    pub fn start_at(&mut self, place: Coordinates) {
        self.here = place;
    }

    /// Whether a transaction has begun and not ended.
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Up to where the log was read, or inside a transaction the end of the one before it: from there it can
    /// be read again.
    #[must_use]
    pub fn coordinates(&self) -> Option<Coordinates> {
        if self.open.is_none() && !self.here.file.is_empty() {
            return Some(self.here.clone());
        }
        self.complete.clone()
    }

    /// Forgets a table, so that it is asked for again.
    pub fn forget(&mut self, schema: &str, table: &str) {
        self.tables.forget(schema, table);
    }

    /// Takes one event, header and checksum included.
    ///
    /// # Errors
    /// When it cannot be understood; the decoder is of no use then.
    pub fn handle(&mut self, event: Bytes) -> Result<(), DecoderError> {
        if self.tables.is_asked() || self.payload.is_open() || self.rows.is_some() {
            return Err(self.misplaced("an event", "before the last one was polled to its end"));
        }
        let mut reader = Reader::new(&event);
        let header = EventHeader::parse(&mut reader).map_err(|error| self.at(error))?;
        if usize::try_from(header.length) != Ok(event.len()) {
            let why = "the event is not as long as it says";
            let kind = DecodeErrorKind::Invalid { why };
            return Err(self.at(DecodeError::new(kind, 9, "binlog header.length")));
        }
        let content_len = self.content_len(&header, &event)?;
        let event = event.slice(..content_len);
        let before = self.here.position;
        self.advance(&header);
        self.event(&header, event, before)
    }

    /// Says what the last event means, one thing after the other; none when that was all.
    ///
    /// # Errors
    /// When it cannot be understood; the decoder is of no use then.
    pub fn poll(&mut self) -> Result<Option<Output>, DecoderError> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Ok(Some(output));
            }
            if self.tables.is_asked() {
                return Ok(None);
            }
            if let Some(mut cursor) = self.rows.take() {
                if let Some(change) = self.row(&mut cursor)? {
                    self.rows = Some(cursor);
                    return Ok(Some(self.hand_out(change)));
                }
                continue;
            }
            if !self.payload.is_open() {
                return Ok(None);
            }
            match self.payload.next() {
                Ok(Some(event)) => {
                    let header = EventHeader::parse(&mut Reader::new(&event));
                    let header = header.map_err(|error| self.at(error))?;
                    let before = self.here.position;
                    self.event(&header, event, before)?;
                }
                Ok(None) => {}
                Err(error) => return Err(self.at(error)),
            }
        }
    }

    /// Answers [`Output::NeedTable`].
    ///
    /// # Errors
    /// When no table was asked for, or the table's rows cannot be read.
    pub fn table(&mut self, answer: Answer) -> Result<(), DecoderError> {
        if let Some(name) = self.truncated.take() {
            let schema = name.schema.unwrap_or_default();
            let flavor = self.options.flavor;
            let relation = self
                .tables
                .answer_by_name(&schema, &name.table, answer, flavor)
                .map_err(|error| self.shape(error))?;
            return self.truncate(relation);
        }
        let flavor = self.options.flavor;
        match self.tables.answer(answer, flavor) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.misplaced("an answer", "without a question")),
            Err(error) => Err(self.shape(error)),
        }
    }

    /// The events of an XA transaction are given back from now on.
    ///
    /// # Errors
    /// When its commit was not the last thing.
    pub fn begin_staged(&mut self, key: u64) -> Result<(), DecoderError> {
        match &mut self.open {
            Some(open) if open.commits == Some(key) => {
                self.giving_back = true;
                Ok(())
            }
            _ => Err(self.misplaced("a transaction to give back", "that was not committed")),
        }
    }

    /// Takes back one event of the XA transaction; poll what it means.
    ///
    /// # Errors
    /// As [`Decoder::handle`].
    pub fn staged(&mut self, record: Bytes) -> Result<(), DecoderError> {
        let header = EventHeader::parse(&mut Reader::new(&record)).map_err(|e| self.at(e))?;
        let before = self.here.position;
        self.event(&header, record, before)
    }

    /// The XA transaction has been given back.
    ///
    /// # Errors
    /// When none was begun.
    pub fn commit_staged(&mut self) -> Result<(), DecoderError> {
        if !std::mem::take(&mut self.giving_back) {
            return Err(self.misplaced("a commit", "of a transaction that was not given back"));
        }
        self.finish();
        Ok(())
    }

    /// The event's length without its checksum, which is verified.
    fn content_len(&self, header: &EventHeader, event: &[u8]) -> Result<usize, DecoderError> {
        let algorithm = match &self.format {
            _ if header.kind == EventType::FORMAT_DESCRIPTION => {
                return self.format_content_len(event);
            }
            Some(format) => format.checksum,
            // Before the first format description: what fits is one.
            None => match checksum::verify(event) {
                Ok(content) => return Ok(content.len()),
                Err(_) => ChecksumAlgorithm::None,
            },
        };
        match algorithm {
            ChecksumAlgorithm::None => Ok(event.len()),
            ChecksumAlgorithm::Crc32 => {
                let content = checksum::verify(event).map_err(|error| self.at(error))?;
                Ok(content.len())
            }
        }
    }

    /// A format description has a checksum whenever the server knows them; it means something only if
    /// the algorithm in front of it says so.
    fn format_content_len(&self, event: &[u8]) -> Result<usize, DecoderError> {
        let version = event.get(EventHeader::LEN + 2..).unwrap_or_default();
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let version = String::from_utf8_lossy(version.get(..50).unwrap_or(version));
        if !knows_checksums(&version) {
            return Ok(event.len());
        }
        let len = event.len().saturating_sub(CHECKSUM_LEN);
        if event.get(len.wrapping_sub(1)) == Some(&1) {
            checksum::verify(event).map_err(|error| self.at(error))?;
        }
        Ok(len)
    }

    /// Takes note of where the event ends.
    fn advance(&mut self, header: &EventHeader) {
        if header.flags & EventHeader::ARTIFICIAL != 0 {
            return;
        }
        let position = &mut self.here.position;
        if header.end_position == 0 {
            // Made up, or inside a transaction of MariaDB 11.8.
            let made_up = matches!(
                header.kind,
                EventType::ROTATE | EventType::FORMAT_DESCRIPTION
            );
            if !made_up && self.open.is_some() {
                *position += u64::from(header.length);
            }
            return;
        }
        let heartbeat = matches!(header.kind, EventType::HEARTBEAT | EventType::HEARTBEAT_V2);
        if heartbeat {
            return;
        }
        // The header has the lower half only.
        let mut end = (*position & !0xffff_ffff) | u64::from(header.end_position);
        if end < *position {
            end += 1 << 32;
        }
        *position = end;
    }

    /// Performs what one event means. `before` is where it started in the file.
    fn event(
        &mut self,
        header: &EventHeader,
        event: Bytes,
        before: u64,
    ) -> Result<(), DecoderError> {
        let body = event.slice(EventHeader::LEN.min(event.len())..);
        let parsed = Event::parse(header, &body, self.format.as_ref());
        let parsed = parsed.map_err(|error| self.at(error.shifted(EventHeader::LEN)))?;
        if let Some(key) = self.open.as_ref().and_then(|open| open.stages)
            && matches!(parsed, Event::TableMap(_) | Event::Rows(_))
        {
            self.out.push_back(Output::Stage { key, record: event });
            return Ok(());
        }
        match parsed {
            Event::Rows(rows) => self.rows(&body, rows),
            Event::TableMap(map) => {
                let what = self.tables.map(&body, &map);
                let what = what.map_err(|error| self.at(error))?;
                if let What::Ask { described } = what {
                    self.out.push_back(Output::NeedTable {
                        schema: map.schema.to_owned(),
                        table: map.table.to_owned(),
                        described,
                    });
                }
                Ok(())
            }
            Event::Xid(_) => {
                self.finish();
                Ok(())
            }
            Event::Gtid(gtid) => {
                let time = gtid
                    .original_commit
                    .and_then(|time| i64::try_from(time).ok());
                let gtid = gtid.gtid.map(Gtid::Mysql);
                self.begin(header, before, gtid, time, false)
            }
            Event::MariaGtid(gtid) => {
                let standalone = gtid.flags & MariaGtidEvent::STANDALONE != 0;
                let name = Some(Gtid::Mariadb(gtid.gtid));
                self.begin(header, before, name, None, !standalone)?;
                if gtid.flags & MariaGtidEvent::PREPARED_XA != 0
                    && let (Some(open), Some(id)) = (&mut self.open, &gtid.xa)
                {
                    open.stages = Some(xa_key(id));
                }
                Ok(())
            }
            Event::Query(query) => self.query(header, &query, before),
            Event::TransactionPayload(payload) => {
                let bytes = body.slice_ref(payload.payload);
                let opened = self
                    .payload
                    .open(payload.compression, bytes, payload.expanded_len);
                opened.map_err(|error| self.at(error))
            }
            Event::XaPrepare(_) if self.giving_back => Ok(()),
            Event::XaPrepare(prepare) => {
                let key = xa_key(&prepare.id);
                // Also where it changed nothing: its commit will come.
                self.out.push_back(Output::Stage { key, record: event });
                if prepare.one_phase {
                    self.xa_commit(key);
                } else {
                    self.finish();
                }
                Ok(())
            }
            Event::FormatDescription(format) => self.format(header, format),
            Event::Rotate(rotate) => {
                self.here = Coordinates {
                    file: rotate.file.to_owned(),
                    position: rotate.position,
                };
                let made_up = header.end_position == 0
                    || header.flags & EventHeader::ARTIFICIAL != 0
                    || header.timestamp == 0;
                if !made_up && self.open.is_none() {
                    self.progress(None);
                }
                Ok(())
            }
            Event::Heartbeat(heartbeat) => {
                if self.open.is_none() && heartbeat.position > 0 {
                    self.here = Coordinates {
                        file: heartbeat.file.to_owned(),
                        position: heartbeat.position,
                    };
                    self.progress(None);
                }
                Ok(())
            }
            Event::PreviousGtids(set) => {
                self.file_started(Some(Previous::Mysql(set)));
                Ok(())
            }
            Event::MariaGtidList(position) => {
                self.file_started(Some(Previous::Mariadb(position)));
                Ok(())
            }
            Event::Incident(incident) => Err(DecoderError::Incident {
                at: self.here.to_string(),
                number: incident.number,
                message: incident.message.to_owned(),
            }),
            Event::Load => {
                self.out.push_back(Output::Statement { tables: Vec::new() });
                Ok(())
            }
            Event::RowsQuery(_) | Event::Stop | Event::Ignored => Ok(()),
        }
    }

    fn format(
        &mut self,
        header: &EventHeader,
        format: FormatDescription,
    ) -> Result<(), DecoderError> {
        if let Some(open) = self.open.take()
            && open.begun
        {
            return Err(DecoderError::NeverEnded {
                at: open.started.to_string(),
            });
        }
        self.format = Some(format);
        if header.end_position != 0 && header.flags & EventHeader::ARTIFICIAL == 0 {
            self.file_started(None);
        }
        Ok(())
    }

    fn file_started(&mut self, previous: Option<Previous>) {
        self.complete = Some(self.here.clone());
        self.out.push_back(Output::FileStarted {
            file: self.here.file.clone(),
            previous,
        });
    }

    /// A transaction starts with this event.
    fn begin(
        &mut self,
        header: &EventHeader,
        before: u64,
        gtid: Option<Gtid>,
        time: Option<i64>,
        has_commit: bool,
    ) -> Result<(), DecoderError> {
        if let Some(open) = &self.open {
            if open.begun || open.has_commit {
                return Err(self.misplaced("a transaction's start", "inside a transaction"));
            }
            // A statement without any meaning for us, which has no commit.
            self.finish();
        }
        let seconds = i64::from(header.timestamp);
        let time = time.unwrap_or_else(|| seconds * 1_000_000);
        self.open = Some(Open {
            gtid,
            time: Timestamp(time),
            started: Coordinates {
                file: self.here.file.clone(),
                position: before,
            },
            first_end: self.here.position,
            has_commit,
            begun: false,
            ordinal: 0,
            savepoints: Vec::new(),
            stages: None,
            commits: None,
            ddl: Vec::new(),
        });
        Ok(())
    }

    /// The transaction that a statement is in, or is.
    fn opened(&mut self, header: &EventHeader, before: u64) -> Result<&mut Open, DecoderError> {
        if self.open.is_none() {
            self.begin(header, before, None, None, false)?;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            None => Err(DecoderError::OutOfPlace {
                what: "a statement",
                place: "outside a transaction",
                at: self.here.to_string(),
            }),
        }
    }

    fn query(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        before: u64,
    ) -> Result<(), DecoderError> {
        let charset = query.client_collation.and_then(Charset::by_collation);
        let charset = charset.unwrap_or(Charset::UTF8);
        let sql = charset.to_text(&query.sql);
        let sql = sql.unwrap_or_else(|_| String::from_utf8_lossy(&query.sql).into_owned());
        let statement = classify(&sql, query.ansi_quotes());
        if statement == Statement::Other && self.open.is_none() {
            // No transaction, as before MySQL 5.7 without GTIDs.
            self.progress(None);
            return Ok(());
        }
        let open = self.opened(header, before)?;
        let ends = !open.has_commit;
        match statement {
            Statement::Begin => open.has_commit = true,
            Statement::Commit => self.finish(),
            Statement::Rollback => {
                if open.begun {
                    return Err(DecoderError::RolledBack {
                        at: open.started.to_string(),
                    });
                }
                self.finish();
            }
            Statement::Savepoint(name) => open.savepoint(name),
            Statement::RollbackTo(name) => {
                if open.begun && !open.is_at(&name) {
                    return Err(DecoderError::RolledBack {
                        at: open.started.to_string(),
                    });
                }
            }
            Statement::XaStart(id) => {
                open.has_commit = true;
                open.stages = Some(xa_key(&id));
            }
            Statement::XaEnd => {}
            Statement::XaCommit { id, one_phase } => {
                let staged = open.stages.take();
                if one_phase && staged.is_none() {
                    // It was written like any other transaction.
                    self.finish();
                } else {
                    self.xa_commit(xa_key(&id));
                }
            }
            Statement::XaRollback(id) => {
                let key = xa_key(&id);
                self.out.push_back(Output::StagedRollback { key });
                self.finish();
            }
            Statement::Truncate(name) => self.truncated(name, query.database)?,
            Statement::Ddl(ddl) => {
                self.tables.forget_all_of(&ddl, query.database);
                if let Some(open) = &mut self.open {
                    open.ddl.push(DdlStatement {
                        ddl,
                        sql,
                        database: query.database.to_owned(),
                    });
                }
                if ends {
                    self.finish();
                }
            }
            Statement::Dml { tables, complete } => {
                open.ordinal += 1;
                let tables = if complete && !query.load {
                    named(tables, query.database)
                } else {
                    Vec::new()
                };
                self.out.push_back(Output::Statement { tables });
            }
            Statement::Other => {
                if query.load {
                    self.out.push_back(Output::Statement { tables: Vec::new() });
                }
                if ends {
                    self.finish();
                }
            }
        }
        Ok(())
    }

    fn xa_commit(&mut self, key: u64) {
        if let Some(open) = &mut self.open {
            open.stages = None;
            open.commits = Some(key);
        }
        self.out.push_back(Output::StagedCommit { key });
    }

    fn rows(&mut self, body: &Bytes, rows: Rows<'_>) -> Result<(), DecoderError> {
        if rows.table_id == NO_TABLE {
            return Ok(());
        }
        if self.open.is_none() {
            return Err(self.misplaced("rows", "outside a transaction"));
        }
        let Some(known) = self.tables.get(rows.table_id) else {
            return Err(DecoderError::UnknownTable {
                id: rows.table_id,
                at: self.here.to_string(),
            });
        };
        if known.columns.len() != rows.columns {
            let why = "there are not as many columns as in the table's map";
            let kind = DecodeErrorKind::Invalid { why };
            return Err(self.at(DecodeError::new(kind, 0, "binlog rows.columns")));
        }
        self.rows = Some(RowsCursor::new(body, rows, known));
        Ok(())
    }

    /// The next wanted change of a rows event; none at its end.
    fn row(&mut self, cursor: &mut RowsCursor) -> Result<Option<Change>, DecoderError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let read = cursor.next(&mut open.ordinal, &mut self.buffer);
        read.map_err(|error| self.at(error))
    }

    /// A wanted change, behind what has to come before it.
    fn hand_out(&mut self, change: Change) -> Output {
        let announce = self.tables.announce(&change.relation);
        let begin = match &mut self.open {
            Some(open) if !open.begun => {
                open.begun = true;
                Some(open.transaction(self.options.epoch))
            }
            _ => None,
        };
        if begin.is_none() && !announce {
            return Output::Change(change);
        }
        if announce {
            self.out.push_back(Output::Schema {
                relation: Arc::clone(&change.relation),
                ordinal: change.ordinal,
            });
        }
        self.out.push_back(Output::Change(change));
        match begin {
            Some(transaction) => Output::Begin(transaction),
            None => self
                .out
                .pop_front()
                .unwrap_or(Output::Statement { tables: Vec::new() }),
        }
    }

    /// A table is emptied; its shape may have to be asked for.
    fn truncated(&mut self, name: TableRef, database: &str) -> Result<(), DecoderError> {
        let schema = name.schema.unwrap_or_else(|| database.to_owned());
        if let Some(known) = self.tables.by_name(&schema, &name.table) {
            return self.truncate(known);
        }
        self.tables.ask();
        self.out.push_back(Output::NeedTable {
            schema: schema.clone(),
            table: name.table.clone(),
            described: true,
        });
        self.truncated = Some(TableRef {
            schema: Some(schema),
            table: name.table,
        });
        Ok(())
    }

    fn truncate(&mut self, relation: Option<Arc<Relation>>) -> Result<(), DecoderError> {
        let Some(open) = &mut self.open else {
            return Err(self.misplaced("a truncation", "outside a transaction"));
        };
        let ordinal = open.ordinal;
        open.ordinal += 1;
        let ends = !open.has_commit;
        if let Some(relation) = relation {
            let change = Change {
                relation,
                op: Op::Truncate,
                before: None,
                after: None,
                ordinal,
            };
            let first = self.hand_out(change);
            self.out.push_front(first);
        }
        if ends {
            self.finish();
        }
        Ok(())
    }

    /// The open transaction ends here.
    fn finish(&mut self) {
        let Some(open) = self.open.take() else {
            self.progress(None);
            return;
        };
        let end = self.here.clone();
        self.complete = Some(end.clone());
        let gtid = open.gtid;
        let mut ddl = open.ddl.into_iter();
        if open.begun {
            self.out.push_back(Output::Commit {
                end: end.clone(),
                gtid: gtid.clone(),
            });
        } else if ddl.len() == 0 {
            self.out.push_back(Output::Progress {
                end: end.clone(),
                gtid: gtid.clone(),
            });
        }
        for statement in ddl.by_ref() {
            self.out.push_back(Output::Ddl {
                statement: statement.ddl,
                sql: statement.sql,
                database: statement.database,
                end: end.clone(),
                gtid: gtid.clone(),
            });
        }
    }

    fn progress(&mut self, gtid: Option<Gtid>) {
        let end = self.here.clone();
        self.complete = Some(end.clone());
        self.out.push_back(Output::Progress { end, gtid });
    }

    fn at(&self, source: DecodeError) -> DecoderError {
        DecoderError::Event {
            at: self.here.to_string(),
            source,
        }
    }

    fn shape(&self, source: crate::table::ShapeError) -> DecoderError {
        DecoderError::Shape {
            at: self.here.to_string(),
            source,
        }
    }

    fn misplaced(&self, what: &'static str, place: &'static str) -> DecoderError {
        DecoderError::OutOfPlace {
            what,
            place,
            at: self.here.to_string(),
        }
    }
}

fn named(tables: Vec<TableRef>, database: &str) -> Vec<(String, String)> {
    let tables = tables.into_iter().map(|name| {
        let schema = name.schema.unwrap_or_else(|| database.to_owned());
        (schema, name.table)
    });
    tables.collect()
}

/// A number for an XA transaction's name (FNV-1a; names of transactions that are open at a time are few).
fn xa_key(id: &XaId<'_>) -> u64 {
    let format = id.format.to_le_bytes();
    let gtrid_len = id.gtrid.len().to_le_bytes();
    let bytes = format
        .iter()
        .chain(&gtrid_len)
        .chain(&*id.gtrid)
        .chain(&*id.bqual);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The positions of snapshot rows that were read as of this place: behind everything in front of it, and
/// in front of everything behind it.
#[must_use]
pub fn snapshot_positions(epoch: u16, point: &Coordinates) -> Option<PositionSpace> {
    let prefix = format!(
        "{epoch:04X}-{:08X}-{:016X}r",
        point.file_number()?,
        point.position
    );
    Some(PositionSpace::new(&prefix, 12))
}

//! The replication stream: frames in, items out, in commit order.
//!
//! ```text
//!  frames ─► decoder ─► items ─► outlet
//!              │  ▲
//!        stage ▼  │ at the commit
//!           assembler (memory, then disk)
//! ```
//!
//! While tables wait for their snapshot, the stream runs up to the anchor's point, leaves out those
//! tables' changes (the snapshot shows them), hands over the rows, and goes on. Of a table of which part
//! was read before, the changes are handed over: that part is not read again.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adit_event::{Cell, Change, Relation, Row};
use adit_pgoutput::message::StreamCommit;
use adit_pgoutput::{Decoder, Lsn, Output, ReplicationFrame};
use adit_pipeline::{Assembler, Closed, Item, Outlet, SnapshotMode};
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::catalog::{is_visible, matching_tables, table_info};
use crate::error::SourceError;
use crate::link::{Frame, LinkReader, ReplicationLink, ServerMessage};
use crate::publication;
use crate::slot;
use crate::snapshot::{Anchor, Plan, read};
use crate::source::PostgresOptions;
use crate::state::{State, TableName};

/// How often tables that came or went are looked for, and the publication is checked, where
/// heartbeats are not more frequent.
const WATCH_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// The server sends a packet for each message. What comes first after a pause is handed over at once;
/// then messages are gathered for this long, so that under load a read, a hand-over and a wake-up serve
/// many. Longer would fill the socket's buffer, and the server would wait for us.
const GATHER: Duration = Duration::from_micros(250);
/// A pause between looks at whether a commit that is in the log can be seen.
const VISIBLE_AFTER: Duration = Duration::from_millis(2);
/// How much of a message that cannot be decoded is shown: its kind, relation and lengths, and little
/// of a row's values, which do not belong into logs.
const WINDOW_BYTES: usize = 24;

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

/// Tables that wait for their snapshot.
pub(crate) struct Hold {
    pub(crate) tables: Vec<TableName>,
    /// Readers may hold rows of these tables already.
    pub(crate) resnapshot: bool,
    /// The anchor's point is not before this.
    pub(crate) floor: Lsn,
    pub(crate) anchor: Anchoring,
}

/// The snapshot's anchor.
pub(crate) enum Anchoring {
    /// Being set up: the server waits for transactions that are open.
    Pending(AbortOnDropHandle<Result<Anchor, SourceError>>),
    Ready(Anchor),
}

/// Everything that one run of the stream needs.
pub(crate) struct Stream<'a> {
    pub(crate) options: &'a PostgresOptions,
    pub(crate) reader: LinkReader,
    pub(crate) client: Client,
    pub(crate) server_version: u32,
    pub(crate) out: Outlet,
    pub(crate) asked: Arc<Notify>,
    pub(crate) state: State,
    pub(crate) hold: Option<Hold>,
    /// Up to here the log has been handed over.
    pub(crate) position: Lsn,
    pub(crate) decoder: Decoder,
    pub(crate) assembler: Assembler,
    /// The open transaction, until the catalogue was seen to show it.
    pub(crate) xid: Option<u32>,
    /// Tables that match and that we may not add to the publication.
    pub(crate) refused: Vec<TableName>,
    /// Relations of tables that wait for their snapshot.
    pub(crate) held: HashSet<u64>,
    /// The notes changed within the open transaction.
    pub(crate) renoted: bool,
    /// Relations that were held and may have another shape than the snapshot showed.
    pub(crate) unannounced: HashMap<u64, Arc<Relation>>,
}

impl Stream<'_> {
    /// Reads until the pipeline ends or something fails; never returns `Ok`. Cancelling it loses nothing that the log
    /// does not have.
    pub(crate) async fn run(&mut self) -> Result<Infallible, Stop> {
        let watch_interval = self.options.heartbeat.min(WATCH_INTERVAL_MAX);
        let mut watch_at = Instant::now() + watch_interval;
        let mut gathered_at = Instant::now();
        let mut received = false;
        loop {
            received |= self.buffered().await?;
            self.snapshot_due(self.position).await?;
            if received {
                let pause = gathered_at.saturating_duration_since(Instant::now());
                if !pause.is_zero() {
                    // The thread sleeps, not the task: else every packet would still wake the runtime. It is the
                    // source's own thread, and nothing else on it is in such a hurry.
                    std::thread::sleep(pause);
                    yield_now().await;
                    if let Some(frame) = self.reader.next().now_or_never() {
                        self.frame(frame?.ok_or(SourceError::StreamEnded)?).await?;
                        self.buffered().await?;
                    }
                }
                gathered_at = Instant::now() + GATHER;
                received = false;
            }
            self.out.flush().await?;
            if self.options.snapshot.mode == SnapshotMode::Only && self.hold.is_none() {
                return Err(Stop::Finished);
            }
            tokio::select! {
                frame = self.reader.next() => {
                    let frame = frame?.ok_or(SourceError::StreamEnded)?;
                    self.frame(frame).await?;
                    received = true;
                }
                () = anchored(&mut self.hold) => self.asked.notify_one(),
                () = sleep_until(watch_at) => {
                    watch_at = Instant::now() + watch_interval;
                    self.watch().await?;
                }
            }
        }
    }

    /// Takes all frames that have been read already; says whether there were any.
    async fn buffered(&mut self) -> Result<bool, Stop> {
        let mut any = false;
        while let Some(frame) = self.reader.try_next_buffered()? {
            self.frame(frame).await?;
            any = true;
        }
        Ok(any)
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Stop> {
        let payload = match frame {
            Frame::CopyData(payload) => payload,
            Frame::Notice(notice) => return Ok(self.notice(&notice)?),
            Frame::CopyDone => return Err(SourceError::StreamEnded.into()),
        };
        match ReplicationFrame::parse(payload)? {
            ReplicationFrame::XLogData(data) => {
                let window = data.data.clone();
                let output = self.decoder.handle(data.data);
                let output = output.map_err(|source| decode_error(data.start, &window, source))?;
                self.output(output, data.start).await
            }
            ReplicationFrame::PrimaryKeepalive(keepalive) => {
                if keepalive.reply_requested {
                    self.asked.notify_one();
                }
                // Everything that was committed before this point has been received. Inside a
                // transaction its end says it.
                if !self.decoder.in_transaction() && keepalive.server_end > self.position {
                    // A snapshot up to there comes first: progress never goes back.
                    self.snapshot_due(keepalive.server_end).await?;
                    self.position = keepalive.server_end;
                    let resume = self.position.to_string().into();
                    self.out
                        .send(Item::Progress {
                            resume,
                            state: None,
                        })
                        .await?;
                }
                Ok(())
            }
        }
    }

    /// Performs what a message means.
    async fn output(&mut self, output: Output, lsn: Lsn) -> Result<(), Stop> {
        // Most messages are changes, which are only passed on.
        let item = match output {
            Output::Change(change) => {
                if !self.held.is_empty() && self.held.contains(&change.relation.id()) {
                    return Ok(());
                }
                if !self.unannounced.is_empty()
                    && let Some(relation) = self.unannounced.remove(&change.relation.id())
                {
                    let ordinal = change.ordinal;
                    self.out.push(Item::Schema {
                        relation,
                        ordinal,
                        resnapshot: false,
                    });
                }
                if !self.state.begun.is_empty() {
                    self.changed_while_begun(&change);
                }
                Item::Change(change)
            }
            Output::Truncate(changes) => {
                for change in changes {
                    Box::pin(self.output(Output::Change(change), lsn)).await?;
                }
                return Ok(());
            }
            Output::Nothing => return Ok(()),
            Output::Begin {
                transaction,
                commit_lsn,
            } => {
                self.snapshot_due(commit_lsn).await?;
                self.xid = transaction.id.parse().ok();
                Item::Begin(transaction)
            }
            Output::Schema { relation, ordinal } => {
                self.hold_new(&relation).await?;
                if self.is_held(&relation) {
                    self.held.insert(relation.id());
                    return Ok(());
                }
                Item::Schema {
                    relation,
                    ordinal,
                    resnapshot: false,
                }
            }
            Output::Commit { end_lsn } => {
                self.position = end_lsn;
                let resume = end_lsn.to_string().into();
                if std::mem::take(&mut self.renoted) {
                    // What changed in the notes is to become durable together with the transaction.
                    self.out.push(Item::Commit { resume: None });
                    let state = Some(self.state.to_text());
                    Item::Progress { resume, state }
                } else {
                    Item::Commit {
                        resume: Some(resume),
                    }
                }
            }
            Output::NeedTable(described) => {
                let wanted = self
                    .options
                    .tables
                    .matches(&described.namespace, &described.name);
                let info = if wanted {
                    self.catalogue_catches_up().await?;
                    Some(table_info(&self.client, &described).await?)
                } else {
                    None
                };
                let answer = self.decoder.table(info.as_ref());
                let answer = answer.map_err(|source| decode_error(lsn, &Bytes::new(), source))?;
                return Box::pin(self.output(answer, lsn)).await;
            }
            Output::Stage {
                transaction,
                part,
                record,
            } => {
                self.assembler
                    .append(u64::from(transaction.0), part.0, &record)?;
                return Ok(());
            }
            Output::StreamAbort { transaction, part } => {
                let transaction_id = u64::from(transaction.0);
                if transaction == part {
                    self.assembler.abort(transaction_id);
                } else {
                    self.assembler.abort_part(transaction_id, part.0);
                }
                return Ok(());
            }
            Output::StreamCommit(commit) => return Box::pin(self.staged(commit, lsn)).await,
        };
        Ok(self.out.send(item).await?)
    }

    /// Gives back a transaction that was staged and is now committed.
    async fn staged(&mut self, commit: StreamCommit, lsn: Lsn) -> Result<(), Stop> {
        let error = |source| decode_error(lsn, &Bytes::new(), source);
        let mut records = self.assembler.take(u64::from(commit.xid.0))?;
        let begin = self.decoder.begin_staged(&commit).map_err(error)?;
        self.output(begin, lsn).await?;
        while let Some(record) = records.next()? {
            let output = self.decoder.staged(record.clone());
            let output = output.map_err(|source| decode_error(lsn, &record, source))?;
            self.output(output, lsn).await?;
        }
        let end = self.decoder.commit_staged().map_err(error)?;
        self.output(end, lsn).await
    }

    /// Hands over the snapshot if the stream has reached its point with everything before `next`.
    async fn snapshot_due(&mut self, next: Lsn) -> Result<(), Stop> {
        let Some(hold) = &mut self.hold else {
            return Ok(());
        };
        if next < hold.floor {
            return Ok(());
        }
        if let Anchoring::Pending(task) = &mut hold.anchor {
            hold.anchor = Anchoring::Ready(task.await??);
        }
        if let Anchoring::Ready(anchor) = &hold.anchor
            && next < anchor.point
        {
            return Ok(());
        }
        let Some(Hold {
            tables,
            resnapshot,
            anchor: Anchoring::Ready(anchor),
            ..
        }) = self.hold.take()
        else {
            return Ok(());
        };
        // The anchor may have become ready when the stream was further on, with nothing of these tables.
        self.position = self.position.max(anchor.point);
        let plan = Plan {
            tables: &tables,
            publication: &self.options.publication,
            server_version: self.server_version,
            chunk_rows: self.options.snapshot.chunk_rows,
            resnapshot,
            resume: self.position,
        };
        read(anchor, plan, &mut self.state, &mut self.out).await?;
        let held = self.held.drain();
        let relations = held.filter_map(|id| Some((id, self.decoder.shape(id)?)));
        self.unannounced = relations.collect();
        let resume = self.position.to_string().into();
        let state = Some(self.state.to_text());
        Ok(self.out.send(Item::Progress { resume, state }).await?)
    }

    /// Waits until the catalogue shows what the open transaction did to it.
    async fn catalogue_catches_up(&mut self) -> Result<(), SourceError> {
        while let Some(xid) = self.xid {
            if is_visible(&self.client, xid).await? {
                self.xid = None;
            } else {
                sleep(VISIBLE_AFTER).await;
            }
        }
        Ok(())
    }

    fn is_held(&self, relation: &Relation) -> bool {
        self.hold.as_ref().is_some_and(|hold| {
            let mut tables = hold.tables.iter();
            tables.any(|t| t.schema == relation.schema() && t.table == relation.table())
        }) && !self.state.has_begun(relation.schema(), relation.table())
    }

    /// Takes note of a change in a table of which part is read.
    ///
    /// A row that gets into that part, and of which the log does not have every column, would never be known
    /// whole; and with every update a row may get into any block. Then all of the table is read again.
    fn changed_while_begun(&mut self, change: &Change) {
        let relation = &change.relation;
        let mut cells = change.after.iter().flat_map(Row::cells);
        if cells.any(|cell| cell == Cell::Unchanged)
            && self.state.begin_again(relation.schema(), relation.table())
        {
            info!(
                schema = relation.schema(),
                table = relation.table(),
                "a row was changed of which not all columns are in the log; the table is read from its beginning"
            );
            self.renoted = true;
        }
    }

    /// Holds back a table that came, or got its name, since the last look: readers get its rows first,
    /// as its changes alone mean nothing to them.
    async fn hold_new(&mut self, relation: &Relation) -> Result<(), SourceError> {
        let name = TableName {
            schema: relation.schema().to_owned(),
            table: relation.table().to_owned(),
        };
        if self.options.snapshot.mode == SnapshotMode::Never || self.state.captured.contains(&name)
        {
            return Ok(());
        }
        // The log may speak of tables that are gone by now. There is nothing to be read of them.
        let existing = matching_tables(&self.client, &self.options.tables).await?;
        if !existing.contains(&name) {
            return Ok(());
        }
        info!(
            schema = name.schema,
            table = name.table,
            "a new table; it is read and then streamed"
        );
        // The checkpoint need not know yet: at another start the table is as new as now.
        self.state.captured.push(name.clone());
        self.state.pending.push(name.clone());
        let waiting = self.hold.take().map(|hold| hold.tables);
        let tables = waiting.into_iter().flatten().chain([name]).collect();
        self.hold = Some(anchor_later(self.options, &self.client, tables, true).await?);
        Ok(())
    }

    /// Looks for tables that came, and whether the publication is still the same.
    async fn watch(&mut self) -> Result<(), SourceError> {
        let name = &self.options.publication;
        let lost = |said: &str| SourceError::PublicationLost {
            publication: name.clone(),
            said: said.to_owned(),
        };
        let found = publication::read(&self.client, name).await?;
        let found = found.ok_or_else(|| lost("it does not exist any more"))?;
        if found.oid != self.state.publication {
            return Err(lost("another one of the same name exists now"));
        }
        if self.hold.is_some() || self.decoder.in_transaction() {
            return Ok(());
        }
        let mut wanted = matching_tables(&self.client, &self.options.tables).await?;
        wanted.retain(|table| found.tables.contains(table) || !self.refused.contains(table));
        // A table that was dropped and created again is not in the publication any more.
        let is_known =
            |table: &TableName| self.state.captured.contains(table) && found.tables.contains(table);
        let mut new = wanted.clone();
        new.retain(|table| !is_known(table));
        if new.is_empty() {
            self.state.captured = wanted;
            return Ok(());
        }
        let managed = self.options.manage_publication;
        let (_, covered) = publication::cover(&self.client, name, wanted, managed, true).await?;
        let (new, refused) = new.into_iter().partition(|table| covered.contains(table));
        self.refused = refused;
        self.state.captured = covered;
        if Vec::is_empty(&new) {
            return Ok(());
        }
        info!(
            tables = new.len(),
            "tables were added; they are read and then streamed"
        );
        if self.options.snapshot.mode != SnapshotMode::Never {
            self.state.pending.extend(new.iter().cloned());
            let hold = anchor_later(self.options, &self.client, new, true).await?;
            self.hold = Some(hold);
        }
        let resume = self.position.to_string().into();
        let state = Some(self.state.to_text());
        // A closed pipeline is seen by the next item.
        self.out.push(Item::Progress { resume, state });
        Ok(())
    }

    fn notice(&self, notice: &ServerMessage) -> Result<(), SourceError> {
        // PostgreSQL 18 leaves out changes of a publication that did not exist at that point of the
        // log, and says so only here.
        let about_publication = notice.message.contains(&self.options.publication);
        if notice.severity == "WARNING" && about_publication {
            return Err(SourceError::PublicationLost {
                publication: self.options.publication.clone(),
                said: notice.message.clone(),
            });
        }
        if notice.severity == "WARNING" {
            warn!(server = %notice, "the server warns");
        } else {
            debug!(server = %notice, "the server says");
        }
        Ok(())
    }
}

/// Sets up an anchor beside the running stream: a temporary slot gives the exact point.
pub(crate) async fn anchor_later(
    options: &PostgresOptions,
    client: &Client,
    tables: Vec<TableName>,
    resnapshot: bool,
) -> Result<Hold, SourceError> {
    let floor = client
        .query_one(
            "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("reading the position of the log", &error))?;
    let floor = floor.get::<_, String>(0).parse().unwrap_or(Lsn(0));
    let options = options.clone();
    let wanted = tables.clone();
    let task = tokio::spawn(async move {
        let mut link = ReplicationLink::connect(&options.connect, &[]).await?;
        let name = format!("{}_snapshot_{}", short(&options.slot), link.backend_pid());
        let created = slot::create(&mut link, &name, true, false).await?;
        let workers = options.snapshot.workers;
        let anchor = Anchor::open(&options.connect, &created, workers, &wanted).await?;
        // The transactions hold the snapshot now; the slot goes with its connection.
        link.close().await?;
        Ok(anchor)
    });
    let anchor = Anchoring::Pending(AbortOnDropHandle::new(task));
    Ok(Hold {
        tables,
        resnapshot,
        floor,
        anchor,
    })
}

/// A slot's name has 63 characters at most; the suffix needs some of them.
fn short(slot: &str) -> &str {
    slot.get(..40).unwrap_or(slot)
}

/// Ends when an anchor that is being set up is ready; never, if there is none.
async fn anchored(hold: &mut Option<Hold>) {
    match hold {
        Some(Hold {
            anchor: Anchoring::Pending(task),
            ..
        }) if !task.is_finished() => {
            // Its result is taken where it is needed; here only the end matters.
            while !task.is_finished() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        _ => std::future::pending().await,
    }
}

fn decode_error(lsn: Lsn, bytes: &Bytes, source: adit_pgoutput::DecoderError) -> SourceError {
    let window = bytes
        .iter()
        .take(WINDOW_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    SourceError::Decode {
        lsn,
        window,
        source,
    }
}

//! MySQL and MariaDB as a [`Source`]: finds out where to go on, proves that it may, and streams.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_binlog::decoder::{Decoder, DecoderOptions};
use adit_binlog::{Coordinates, Flavor};
use adit_event::{Connector, Position};
use adit_pipeline::{
    Assembler, Item, ShapeStore, SnapshotMode, SnapshotOptions, Source, SourceContext, Stored,
    TableFilter,
};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::catalog::{expect_database, matching_tables};
use crate::config::ConnectConfig;
use crate::error::SourceError;
pub(crate) use crate::identity::GtidMode;
use crate::identity::{Server, identify, log_end};
use crate::link::{EventReader, MysqlLink};
use crate::place::{Ask, Published, Start, after_reset, place};
use crate::position::{Executed, Place};
use crate::scan::Ahead;
use crate::session;
use crate::shapes::Shapes;
use crate::skip::Verdict;
use crate::state::{State, TableName, Token};
use crate::stream::{Hold, Proof, Stop, Stream, anchor_later, born};

/// How long prepared XA transactions are waited for before it is said that they are in the way.
const XA_WAIT_MAX: Duration = Duration::from_secs(30);
/// A pause between looks at them.
const XA_LOOK: Duration = Duration::from_millis(500);
/// The pause after another replica with our number took our place: each of the two would end the other.
const TAKEN_PAUSE: Duration = Duration::from_secs(30);
/// Events in front of a file's format description: the name of the file, made up for us.
const PREAMBLE_MAX: usize = 4;
/// How long the first events may take.
const FIRST_MAX: Duration = Duration::from_secs(60);

/// One MySQL or MariaDB server as a source.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// The connector's name.
    pub name: String,
    /// How to reach the server.
    pub connect: ConnectConfig,
    /// Which family of servers the URL's scheme names; another one is refused. None: either.
    pub flavor: Option<Flavor>,
    /// Which tables.
    pub tables: TableFilter,
    /// The number by which the server knows this connector among its replicas; 0: derived from its name.
    pub server_id: u32,
    /// Whether transactions are named by GTIDs, so that another server can take over.
    pub gtid: GtidMode,
    /// How often an idle server gives a sign of life.
    pub heartbeat: Duration,
    /// How snapshots are taken.
    pub snapshot: SnapshotOptions,
    /// Where large prepared transactions are kept.
    pub spill_dir: PathBuf,
    /// Bytes of prepared transactions that are kept in memory.
    pub spill_memory: usize,
    /// Nothing is kept between runs: there will be no checkpoint to go on from.
    pub leave_nothing: bool,
    /// Begin with what is committed from now on, without the rows that are there.
    pub from_now: bool,
}

impl MysqlOptions {
    /// The kind of database that events say they come from.
    #[must_use]
    pub fn connector(&self) -> Connector {
        match self.flavor.unwrap_or_else(|| self.connect.flavor()) {
            Flavor::Mysql => Connector::Mysql,
            Flavor::Mariadb => Connector::Mariadb,
        }
    }

    /// Whether rows that are there already are read.
    pub(crate) const fn reads_tables(&self) -> bool {
        !self.from_now && !matches!(self.snapshot.mode, SnapshotMode::Never)
    }
}

/// Reads one MySQL or MariaDB server.
#[derive(Debug)]
pub struct MysqlSource {
    options: MysqlOptions,
    shapes: Option<Arc<dyn ShapeStore>>,
}

impl MysqlSource {
    /// A source; connects when it runs. In `shapes` it keeps what tables were like, in case that the server's
    /// log does not tell.
    #[must_use]
    pub fn new(options: MysqlOptions, shapes: Option<Arc<dyn ShapeStore>>) -> Self {
        Self { options, shapes }
    }
}

impl Source for MysqlSource {
    type Error = SourceError;

    async fn run(&self, cx: SourceContext) -> Result<(), SourceError> {
        let stop = cx.stop.clone();
        let work = async {
            let session = Session::open(&self.options, self.shapes.clone(), &cx).await?;
            session.stream(cx).await
        };
        let result = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            result = work => result,
        };
        if let Err(error @ SourceError::ServerIdTaken { .. }) = &result {
            warn!(connector = %self.options.name, %error, pause_s = TAKEN_PAUSE.as_secs(), "waiting before the next try");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(TAKEN_PAUSE) => {}
            }
        }
        result
    }
}

/// A log that is proven fit, opened where it goes on.
struct Session {
    options: MysqlOptions,
    server: Server,
    sql: MysqlLink,
    reader: EventReader,
    /// Events that were looked at already.
    first: VecDeque<Bytes>,
    state: State,
    start: Start,
    hold: Option<Hold>,
    last: Option<Published>,
    shapes: Shapes,
    /// Tables whose shapes are to be kept from here on.
    new: Vec<TableName>,
}

impl Session {
    async fn open(
        options: &MysqlOptions,
        shapes: Option<Arc<dyn ShapeStore>>,
        cx: &SourceContext,
    ) -> Result<Self, SourceError> {
        let mut sql = session::sql(options, "adit").await?;
        // The same server for everything, also where the URL names several.
        let options = MysqlOptions {
            connect: options.connect.only(sql.target().clone()),
            ..options.clone()
        };
        let server = identify(&mut sql, options.gtid).await?;
        let last = published(cx.last.as_ref(), cx.last_transaction.as_deref())?;
        let resumed = resumed(cx.stored.as_ref(), server.flavor)?;
        let wanted = matching_tables(&mut sql, &options.tables).await?;
        if wanted.is_empty() {
            if resumed.is_none() && last.is_none() {
                expect_database(&mut sql, &options).await?;
            }
            warn!(connector = %options.name, tables = %options.tables, "no table matches; nothing is captured until one does");
        }

        let placed = match go_on(&options, &server, resumed.as_ref(), last.as_ref()).await {
            Err(error)
                if error.needs_snapshot() && options.snapshot.mode == SnapshotMode::WhenNeeded =>
            {
                warn!(connector = %options.name, %error, "the tables are read afresh");
                None
            }
            placed => placed?,
        };
        let is_placed = placed.is_some();
        let (start, reader, first) = match placed {
            Some(opened) => opened,
            None => {
                let start = fresh(&mut sql, &server, resumed.as_ref(), last.as_ref()).await?;
                open_log(&options, &server, start, None, None).await?
            }
        };

        let globs = options.tables.globs();
        let mut state = State::new(
            server.id.clone(),
            start.epoch,
            start.place.executed.base(),
            globs,
        );
        let mut shapes = Shapes::open(shapes, start.epoch).await?;
        let goes_on = match &resumed {
            Some((old, _)) => old.epoch == start.epoch,
            None => last
                .as_ref()
                .is_some_and(|last| last.token.epoch == start.epoch),
        };
        let mut new = Vec::new();
        if !is_placed || !goes_on {
            shapes.clear().await?;
            if !server.names_columns {
                new.clone_from(&wanted);
            }
        }
        let is_fresh = resumed.is_none() && last.is_none();
        match resumed {
            Some((old, _)) if is_placed => {
                let known =
                    TableFilter::parse(&old.tables).map_err(|error| SourceError::BadState {
                        why: error.to_string(),
                    })?;
                state.first = old.first;
                state.dropped = old.dropped;
                state.pending = old.pending;
                let added = wanted
                    .iter()
                    .filter(|name| !known.matches(&name.schema, &name.table));
                if options.reads_tables() {
                    state.pending.extend(added.cloned());
                }
                state.pending.retain(|name| wanted.contains(name));
                state.begun = old.begun;
                let pending = &state.pending;
                state.begun.retain(|begun| pending.contains(&begun.name));
            }
            _ if options.reads_tables()
                && (!is_placed || last.as_ref().is_none_or(|last| last.token.snapshot)) =>
            {
                state.first = !wanted.is_empty();
                state.pending = wanted;
            }
            _ => {}
        }
        let hold = match state.pending.as_slice() {
            [] => None,
            pending => {
                let pending: Vec<TableName> = pending.to_vec();
                Some(anchor_later(&options, &mut sql, pending, !is_fresh).await?)
            }
        };
        Ok(Self {
            options,
            server,
            sql,
            reader,
            first,
            state,
            start,
            hold,
            last,
            shapes,
            new,
        })
    }

    async fn stream(self, cx: SourceContext) -> Result<(), SourceError> {
        let SourceContext {
            mut confirmed,
            mut out,
            ..
        } = cx;
        let Start {
            place,
            epoch,
            skip,
            proof,
            ..
        } = self.start;
        // Before anything else: the notes on what is read belong into the checkpoint.
        out.push(Item::Progress {
            resume: place.to_resume(),
            state: Some(self.state.to_text()),
        });
        let options = &self.options;
        let at = if place.is_found() {
            place.coordinates.to_string()
        } else {
            "where its GTIDs say".to_owned()
        };
        info!(
            connector = %options.name, server = %self.server.id, version = self.server.version, at,
            epoch, "reading the binary log"
        );
        let proof = proof.zip(self.last.as_ref()).map(|(gtid, last)| Proof {
            gtid,
            at: Coordinates {
                file: place.coordinates.file.clone(),
                position: last.token.position,
            },
            published: last.position.clone(),
        });
        let mut stream = Stream {
            options,
            reader: self.reader,
            sql: Some(self.sql),
            flavor: self.server.flavor,
            gtids: self.server.executed.is_known(),
            lower_case: self.server.lower_case,
            out,
            state: self.state,
            hold: self.hold,
            file: (place.coordinates.file.clone(), place.born),
            place,
            moved: false,
            unsaid: 0,
            decoder: Decoder::new(DecoderOptions {
                flavor: self.server.flavor,
                epoch,
            }),
            assembler: Assembler::new(options.spill_dir.clone(), options.spill_memory),
            prepared: Vec::new(),
            skip,
            verdict: Verdict::New,
            before: None,
            unannounced: Vec::new(),
            proof,
            names_columns: self.server.names_columns,
            ahead: Ahead::default(),
            shapes: self.shapes,
            new: self.new,
            last: self.last.map(|last| last.token),
        };
        let closed = async { while confirmed.changed().await.is_ok() {} };
        let stopped = tokio::select! {
            // There is nothing to confirm to the server: its log is kept by its own rules.
            () = closed => Stop::Closed,
            stopped = stream.run(self.first) => match stopped {
                Err(stop) => stop,
            },
        };
        match stopped {
            Stop::Failed(error) => Err(error),
            Stop::Finished | Stop::Closed => Ok(()),
        }
    }
}

/// The last published event, if there is one.
fn published(
    last: Option<&Position>,
    transaction: Option<&str>,
) -> Result<Option<Published>, SourceError> {
    let Some(last) = last else {
        return Ok(None);
    };
    let token = Token::parse(last.as_str()).ok_or_else(|| SourceError::BadState {
        why: format!("position {:?} of the last event", last.as_str()),
    })?;
    Ok(Some(Published {
        position: last.to_string(),
        token,
        transaction: transaction.map(Into::into),
    }))
}

pub(crate) fn resumed(
    stored: Option<&Stored>,
    flavor: Flavor,
) -> Result<Option<(State, Place)>, SourceError> {
    let Some(stored) = stored else {
        return Ok(None);
    };
    let state = State::parse(&stored.state)?;
    let place = Place::parse(&stored.resume, &state, flavor)?;
    Ok(Some((state, place)))
}

/// Where a connector that has run before would go on, for who asks beforehand; none if it has not.
pub(crate) fn look_at_place(
    server: &Server,
    stored: Option<&Stored>,
    last: Option<Position>,
) -> Result<Option<String>, SourceError> {
    let resumed = resumed(stored, server.flavor)?;
    let last = published(last.as_ref(), None)?;
    match place(server, resumed.as_ref(), last.as_ref()) {
        Ok(start) => Ok(start.map(|start| match start.ask {
            Ask::Coordinates => start.place.coordinates.to_string(),
            Ask::Gtids => "found by GTIDs".to_owned(),
        })),
        // The transaction of the last event is not asked for here.
        Err(SourceError::FailoverUnknown { .. }) => Ok(Some("found by GTIDs".to_owned())),
        Err(error) => Err(error),
    }
}

/// Where reading begins for the first time, or again after a part of the log was lost.
async fn fresh(
    sql: &mut MysqlLink,
    server: &Server,
    resumed: Option<&(State, Place)>,
    last: Option<&Published>,
) -> Result<Start, SourceError> {
    let (end, set) = settled(sql).await?;
    let executed = match &server.executed {
        Executed::Mysql { .. } => Executed::Mysql {
            base: set.parse().unwrap_or_default(),
            since: adit_binlog::gtid::GtidSet::default(),
        },
        other => other.clone(),
    };
    let before = resumed.map(|(state, _)| state.epoch).into_iter();
    let before = before.chain(last.map(|last| last.token.epoch)).max();
    Ok(Start {
        place: Place {
            coordinates: end,
            born: 0,
            executed,
        },
        // What was lost may be a whole log, and the new one may have lower numbers.
        epoch: before.map_or(0, |epoch| epoch.saturating_add(1)),
        ask: Ask::Coordinates,
        skip: None,
        proof: None,
    })
}

/// The end of the log at a moment from which on no XA transaction is open that was prepared before: its
/// changes would be in front of where reading begins, and its commit behind.
async fn settled(sql: &mut MysqlLink) -> Result<(Coordinates, String), SourceError> {
    let end = log_end(sql).await?;
    let Some(mut open) = xa_recover(sql).await? else {
        return Ok(end);
    };
    let since = Instant::now();
    while !open.is_empty() {
        if since.elapsed() >= XA_WAIT_MAX {
            return Err(SourceError::XaOpen { count: open.len() });
        }
        sleep(XA_LOOK).await;
        let now = xa_recover(sql).await?.unwrap_or_default();
        open.retain(|xid| now.contains(xid));
    }
    Ok(end)
}

/// The prepared XA transactions; none if we may not see them.
async fn xa_recover(sql: &mut MysqlLink) -> Result<Option<Vec<Vec<Option<Bytes>>>>, SourceError> {
    match sql.query("XA RECOVER").await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.code().is_some() => {
            info!(%error, "prepared XA transactions cannot be seen; if there are any, reading stops at their commit");
            Ok(None)
        }
        Err(error) => Err(SourceError::query(
            "listing prepared XA transactions",
            error,
        )),
    }
}

/// A log that is open: from where it is read, and the first events.
type Opened = (Start, EventReader, VecDeque<Bytes>);

/// Opens the log where a connector that has run before goes on; none if it has not.
async fn go_on(
    options: &MysqlOptions,
    server: &Server,
    resumed: Option<&(State, Place)>,
    last: Option<&Published>,
) -> Result<Option<Opened>, SourceError> {
    match place(server, resumed, last)? {
        Some(start) => open_log(options, server, start, resumed, last)
            .await
            .map(Some),
        None => Ok(None),
    }
}

/// Opens the log at its place, and looks whether it is the one that was read: files of one name may be
/// parts of different logs.
async fn open_log(
    options: &MysqlOptions,
    server: &Server,
    mut start: Start,
    resumed: Option<&(State, Place)>,
    last: Option<&Published>,
) -> Result<Opened, SourceError> {
    let mut reader = session::dump(options, &server.id, &start).await?;
    let (first, found) = preamble(options, &start, &mut reader).await?;
    let expected = start.place.born;
    let is_same = start.ask == Ask::Gtids || expected == 0 || expected == found;
    if let (false, Some((state, place))) = (is_same, resumed) {
        start = after_reset(server, state, place, last)?;
        warn!(connector = %options.name, file = place.coordinates.file, "the server's log began anew since it was read");
        reader = session::dump(options, &server.id, &start).await?;
        let (first, _) = preamble(options, &start, &mut reader).await?;
        return Ok((start, reader, first));
    }
    if start.ask == Ask::Coordinates {
        start.place.born = found;
    }
    Ok((start, reader, first))
}

/// The first events, up to the format description, and when that file was begun.
async fn preamble(
    options: &MysqlOptions,
    start: &Start,
    reader: &mut EventReader,
) -> Result<(VecDeque<Bytes>, u32), SourceError> {
    let from = || start.place.coordinates.to_string();
    let mut first = VecDeque::new();
    while first.len() < PREAMBLE_MAX {
        let event = match timeout(FIRST_MAX, reader.next()).await {
            Err(_) => {
                return Err(SourceError::Silent {
                    seconds: FIRST_MAX.as_secs(),
                });
            }
            Ok(event) => event.map_err(|error| session::dump_error(options, from(), error))?,
        };
        let event = event.ok_or(SourceError::StreamEnded)?;
        let found = born(&event);
        first.push_back(event);
        if let Some(found) = found {
            return Ok((first, found));
        }
    }
    Ok((first, 0))
}

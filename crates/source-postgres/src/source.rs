//! PostgreSQL as a [`Source`]: finds out where to go on, proves that it may, and streams.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_pgoutput::{Decoder, Lsn};
use adit_pipeline::{
    Assembler, Item, SnapshotMode, SnapshotOptions, Source, SourceContext, Stored, TableFilter,
};
use tokio::sync::Notify;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::catalog::matching_tables;
use crate::config::ConnectConfig;
use crate::error::SourceError;
use crate::feedback::feedback;
use crate::link::{LinkReader, ReplicationLink, sql_client};
use crate::publication::{self, Publication};
use crate::quote;
use crate::slot::{self, Created};
use crate::snapshot::Anchor;
use crate::state::{Identity, State, commit_lsn, is_snapshot};
use crate::stream::{Anchoring, Hold, Stop, Stream, anchor_later};

/// One PostgreSQL database as a source.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The connector's name.
    pub name: String,
    /// How to reach the server.
    pub connect: ConnectConfig,
    /// Which tables.
    pub tables: TableFilter,
    /// The replication slot, created if missing.
    pub slot: String,
    /// The publication, created if missing, for exactly the matching tables.
    pub publication: String,
    /// Whether the publication is created and kept; else it is taken as it is.
    pub manage_publication: bool,
    /// The slot follows a failover (PostgreSQL 17 and later).
    pub failover: bool,
    /// How often an idle database's slot is moved.
    pub heartbeat: Duration,
    /// How snapshots are taken.
    pub snapshot: SnapshotOptions,
    /// Where large open transactions are kept.
    pub spill_dir: PathBuf,
    /// Bytes of open transactions that are kept in memory.
    pub spill_memory: usize,
    /// The slot lives only as long as the connection: nothing is left behind.
    pub temporary_slot: bool,
}

/// Reads one PostgreSQL database.
#[derive(Debug)]
pub struct PostgresSource {
    options: PostgresOptions,
}

impl PostgresSource {
    /// A source; connects when it runs.
    #[must_use]
    pub const fn new(options: PostgresOptions) -> Self {
        Self { options }
    }
}

impl Source for PostgresSource {
    type Error = SourceError;

    async fn run(&self, cx: SourceContext) -> Result<(), SourceError> {
        let stop = cx.stop.clone();
        let session = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            session = Session::open(&self.options, cx.stored.as_ref(), cx.last) => session?,
        };
        let streamed = session.stream(&self.options, cx).await;
        streamed.map_err(|error| error.with_publication(&self.options.publication))
    }
}

/// A connection that is proven fit, and where it starts.
struct Session {
    link: ReplicationLink,
    client: Client,
    state: State,
    start: Lsn,
    hold: Option<Hold>,
    /// How often the server hears from us at least.
    status_period: Duration,
}

/// What the server is.
pub(crate) struct Server {
    identity: Identity,
    /// The end of its log.
    end: Lsn,
}

impl Session {
    async fn open(
        options: &PostgresOptions,
        stored: Option<&Stored>,
        last: Option<adit_event::Position>,
    ) -> Result<Self, SourceError> {
        let mut link = ReplicationLink::connect(&options.connect, &[])
            .await
            .map_err(|error| {
                match error.sqlstate() {
                    // insufficient_privilege: the role lacks REPLICATION.
                    Some("42501") => SourceError::NoReplicationRight {
                        user: options.connect.user().to_owned(),
                    },
                    _ => error.into(),
                }
            })?;
        // The same server for everything, also where the URL names several.
        let options = &PostgresOptions {
            connect: options.connect.only(link.target().clone()),
            temporary_slot: options.temporary_slot || options.snapshot.mode == SnapshotMode::Only,
            ..options.clone()
        };
        let client = sql_client(&options.connect, "adit").await?;
        let server = identify(&mut link, options).await?;
        check_wal_level(&client).await?;
        let status_period = status_period(&client, options.heartbeat).await?;

        let last = last.as_ref().map(adit_event::Position::as_str);
        let mut resumed = match stored {
            None => None,
            Some(stored) => Some((State::parse(&stored.state)?, parse_resume(&stored.resume)?)),
        };
        if let Some((state, resume)) = &mut resumed {
            let shared = check_identity(&mut link, &server, &state.identity, last).await?;
            // What was read of the timeline that was left, without anything to publish, never happened.
            *resume = shared.map_or(*resume, |shared| shared.min(*resume));
        }
        check_end(&server, last)?;
        // Only now: on the wrong server nothing is created.
        let wanted = matching_tables(&client, &options.tables).await?;
        let (name, managed) = (&options.publication, options.manage_publication);
        let (publication, wanted) =
            publication::cover(&client, name, wanted, managed, resumed.is_some()).await?;
        if wanted.is_empty() {
            warn!(connector = %options.name, tables = %options.tables, "no table matches; nothing is captured until one does");
        }

        let placed = if options.temporary_slot {
            if options.snapshot.mode != SnapshotMode::Only && (resumed.is_some() || last.is_some())
            {
                return Err(SourceError::TemporarySlotGone);
            }
            None
        } else {
            match place(&client, options, resumed.as_ref(), last).await {
                Err(error)
                    if error.needs_snapshot()
                        && options.snapshot.mode == SnapshotMode::WhenNeeded =>
                {
                    warn!(connector = %options.name, %error, "the tables are read afresh");
                    slot::drop(&client, &options.slot).await?;
                    None
                }
                placed => placed?,
            }
        };
        let fresh = resumed.is_none() && last.is_none();
        let state = |pending| {
            State::new(
                server.identity.clone(),
                publication.oid,
                wanted.clone(),
                pending,
            )
        };
        let snapshots = options.snapshot.mode != SnapshotMode::Never;
        let (state, start, hold) = match (placed, resumed) {
            // No slot: create it, and read in its snapshot.
            (None, _) => {
                let created = slot::create(
                    &mut link,
                    &options.slot,
                    options.temporary_slot,
                    options.failover,
                )
                .await?;
                let pending = if snapshots {
                    wanted.clone()
                } else {
                    Vec::new()
                };
                let hold = hold_at(options, &created, &pending, !fresh).await?;
                (state(pending), created.consistent_point, hold)
            }
            // A slot that somebody made for us, or whose checkpoint is lost.
            (Some(start), None) => {
                let again = last.is_none_or(is_snapshot);
                let pending = if snapshots && again {
                    wanted.clone()
                } else {
                    Vec::new()
                };
                let hold = hold_later(options, &client, &pending, !fresh).await?;
                (state(pending), start, hold)
            }
            (Some(start), Some((old, _))) => {
                check_publication(options, &publication, &old)?;
                let added = wanted.iter().filter(|table| !old.captured.contains(table));
                let mut pending = old.pending;
                if snapshots {
                    pending.extend(added.cloned());
                }
                pending.retain(|table| wanted.contains(table));
                let hold = hold_later(options, &client, &pending, true).await?;
                let mut state = state(pending);
                state.begun = old.begun;
                let pending = &state.pending;
                state.begun.retain(|begun| pending.contains(&begun.name));
                (state, start, hold)
            }
        };
        Ok(Self {
            link,
            client,
            state,
            start,
            hold,
            status_period,
        })
    }

    async fn stream(self, options: &PostgresOptions, cx: SourceContext) -> Result<(), SourceError> {
        let SourceContext {
            confirmed,
            stop,
            mut out,
            ..
        } = cx;
        let version = self.link.server_version_num();
        // Before anything else: the notes on what is read belong into the checkpoint.
        let resume = self.start.to_string().into();
        out.push(Item::Progress {
            resume,
            state: Some(self.state.to_text()),
        });

        let command = start_command(version, self.start, options);
        let (reader, writer) = self.link.start_copy_both(&command).await?;
        info!(connector = %options.name, slot = %options.slot, lsn = %self.start, server_version = version, "replication started");
        let asked = Arc::new(Notify::new());
        let task = feedback(
            writer,
            confirmed,
            Arc::clone(&asked),
            self.start,
            self.status_period,
        );
        let mut feedback = AbortOnDropHandle::new(tokio::spawn(task));
        let mut stream = Stream {
            options,
            reader,
            client: self.client,
            server_version: version,
            out,
            asked,
            state: self.state,
            hold: self.hold,
            position: self.start,
            decoder: Decoder::new(),
            assembler: Assembler::new(options.spill_dir.clone(), options.spill_memory),
            xid: None,
            refused: Vec::new(),
            held: HashSet::new(),
            renoted: false,
            unannounced: HashMap::new(),
        };
        let stopped = tokio::select! {
            () = stop.cancelled() => Stop::Closed,
            stopped = stream.run() => match stopped {
                Err(stop) => stop,
            },
            ended = &mut feedback => {
                // It ends by itself only when the pipeline is gone.
                ended??;
                return Ok(());
            }
        };
        match stopped {
            Stop::Failed(error) => Err(error),
            Stop::Finished => Ok(()),
            Stop::Closed => {
                // Nothing more is handed over, but what is stored meanwhile is still confirmed.
                let Stream { reader, out, .. } = stream;
                drop(out);
                let writer = feedback.await??;
                farewell(reader).await;
                if let Err(error) = writer.close().await {
                    debug!(%error, "closing the connection");
                }
                Ok(())
            }
        }
    }
}

/// Reads on until the server has taken the last status update into account and ended the stream.
async fn farewell(mut reader: LinkReader) {
    while let Ok(Some(_)) = reader.next().await {}
}

pub(crate) async fn identify(
    link: &mut ReplicationLink,
    options: &PostgresOptions,
) -> Result<Server, SourceError> {
    let rows = link.simple_query("IDENTIFY_SYSTEM").await?;
    let mut columns = rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .flatten();
    let (system, timeline, end) = (columns.next(), columns.next(), columns.next());
    let number = timeline.and_then(|timeline| timeline.parse().ok());
    let (Some(system), Some(timeline), Some(end)) =
        (system, number, end.and_then(|lsn| lsn.parse().ok()))
    else {
        return Err(SourceError::QueryConnection {
            doing: "asking the server who it is".to_owned(),
        });
    };
    let identity = Identity {
        system,
        timeline,
        database: options.connect.database().to_owned(),
        slot: options.slot.clone(),
    };
    Ok(Server { identity, end })
}

async fn check_wal_level(client: &Client) -> Result<(), SourceError> {
    let found = client
        .query_one("SELECT pg_catalog.current_setting('wal_level')", &[])
        .await;
    let found = found.map_err(|error| SourceError::query("reading wal_level", &error))?;
    let found: String = found.get(0);
    if found == "logical" {
        Ok(())
    } else {
        Err(SourceError::WalLevel { found })
    }
}

/// Often enough for the server not to give us up, and as often as the slot is to move.
async fn status_period(client: &Client, heartbeat: Duration) -> Result<Duration, SourceError> {
    const LONGEST: Duration = Duration::from_secs(10);
    const SHORTEST: Duration = Duration::from_millis(100);
    let row = client
        .query_one(
            "SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("reading wal_sender_timeout", &error))?;
    let timeout = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    let allowed = if timeout == 0 {
        LONGEST
    } else {
        Duration::from_millis(timeout) / 3
    };
    Ok(allowed.min(LONGEST).min(heartbeat).max(SHORTEST))
}

pub(crate) fn parse_resume(resume: &str) -> Result<Lsn, SourceError> {
    resume.parse().map_err(|_| SourceError::BadState {
        why: format!("resume position {resume:?}"),
    })
}

/// The server is the one that the checkpoint speaks of, or follows it in a history that has all
/// that is published. Returns where that history ends, if the server has left it since.
pub(crate) async fn check_identity(
    link: &mut ReplicationLink,
    server: &Server,
    expected: &Identity,
    last: Option<&str>,
) -> Result<Option<Lsn>, SourceError> {
    let found = &server.identity;
    for (what, found, expected) in [
        ("system identifier", &found.system, &expected.system),
        ("database", &found.database, &expected.database),
        ("slot", &found.slot, &expected.slot),
    ] {
        if found != expected {
            return Err(SourceError::OtherSource {
                what,
                found: found.clone(),
                expected: expected.clone(),
            });
        }
    }
    if found.timeline == expected.timeline {
        return Ok(None);
    }
    let published = last.and_then(commit_lsn).unwrap_or(Lsn(0));
    let history = link
        .simple_query(&format!("TIMELINE_HISTORY {}", found.timeline))
        .await?;
    let text = history
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1).flatten());
    let switch = text
        .as_deref()
        .and_then(|text| switch_point(text, expected.timeline));
    match switch {
        Some(switch) if published < switch => {
            info!(
                from = expected.timeline, to = found.timeline, %switch,
                "the server was promoted or restored; it has all that is published"
            );
            Ok(Some(switch))
        }
        switch => Err(SourceError::Diverged {
            published: last.unwrap_or("nothing").to_owned(),
            end: switch.unwrap_or(Lsn(0)),
            why: "its timeline left the one that was read before that point",
        }),
    }
}

/// Where a timeline was left, by the history file of a later one: each line is a timeline, the
/// point where it was left, and a reason.
fn switch_point(history: &str, timeline: u32) -> Option<Lsn> {
    // The file comes as bytea's text where the server says so.
    let decoded = history.strip_prefix("\\x").map(|hex| {
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let bytes = hex
            .as_bytes()
            .chunks(2)
            .map(byte)
            .collect::<Option<Vec<_>>>();
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    });
    let text = decoded.as_deref().unwrap_or(history);
    text.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let number: u32 = fields.next()?.parse().ok()?;
        (number == timeline)
            .then(|| fields.next()?.parse().ok())
            .flatten()
    })
}

/// What is published is in the server's log.
pub(crate) fn check_end(server: &Server, last: Option<&str>) -> Result<(), SourceError> {
    let published = last.and_then(commit_lsn).unwrap_or(Lsn(0));
    if published <= server.end {
        return Ok(());
    }
    Err(SourceError::Diverged {
        published: last.unwrap_or_default().to_owned(),
        end: server.end,
        why: "it ends before that point",
    })
}

/// Where an existing slot is started; none if there is no slot and none was used before.
pub(crate) async fn place(
    client: &Client,
    options: &PostgresOptions,
    resumed: Option<&(State, Lsn)>,
    last: Option<&str>,
) -> Result<Option<Lsn>, SourceError> {
    let slot = slot::read(client, &options.slot, options.connect.database()).await?;
    let resume = resumed.map(|(_, resume)| *resume);
    let Some(slot) = slot else {
        return match (resume, last) {
            (None, None) => Ok(None),
            (resume, last) => Err(SourceError::SlotMissing {
                slot: options.slot.clone(),
                resume: resume
                    .or_else(|| last.and_then(commit_lsn))
                    .unwrap_or(Lsn(0)),
            }),
        };
    };
    let gap = |stored: String| SourceError::Gap {
        slot: options.slot.clone(),
        confirmed: slot.confirmed_flush_lsn,
        stored,
    };
    match (resume, last) {
        (Some(resume), _) if slot.confirmed_flush_lsn <= resume => Ok(Some(resume)),
        // The transaction of the last published event is sent again whole.
        (_, Some(last))
            if commit_lsn(last).is_some_and(|published| {
                slot.confirmed_flush_lsn <= published || is_snapshot(last) && resume.is_none()
            }) =>
        {
            Ok(Some(slot.confirmed_flush_lsn))
        }
        (Some(resume), _) => Err(gap(resume.to_string())),
        (None, Some(last)) => Err(gap(last.to_owned())),
        (None, None) => Ok(Some(slot.confirmed_flush_lsn)),
    }
}

pub(crate) fn check_publication(
    options: &PostgresOptions,
    publication: &Publication,
    old: &State,
) -> Result<(), SourceError> {
    if publication.oid == old.publication {
        return Ok(());
    }
    Err(SourceError::PublicationLost {
        publication: options.publication.clone(),
        said: "it was dropped and created again since the last checkpoint".to_owned(),
    })
}

/// Tables to be read in the snapshot of a slot that was just created.
async fn hold_at(
    options: &PostgresOptions,
    created: &Created,
    pending: &[crate::state::TableName],
    resnapshot: bool,
) -> Result<Option<Hold>, SourceError> {
    if pending.is_empty() {
        return Ok(None);
    }
    let workers = options.snapshot.workers;
    let anchor = Anchor::open(&options.connect, created, workers, pending).await?;
    Ok(Some(Hold {
        tables: pending.to_vec(),
        resnapshot,
        floor: created.consistent_point,
        anchor: Anchoring::Ready(anchor),
    }))
}

/// Tables to be read in a later snapshot, beside the running stream.
async fn hold_later(
    options: &PostgresOptions,
    client: &Client,
    pending: &[crate::state::TableName],
    resnapshot: bool,
) -> Result<Option<Hold>, SourceError> {
    if pending.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        anchor_later(options, client, pending.to_vec(), resnapshot).await?,
    ))
}

/// The command with the highest protocol version that the server has, and streaming of large
/// transactions before their commit where it has that.
fn start_command(version: u32, start: Lsn, options: &PostgresOptions) -> String {
    let proto_version = match version {
        160_000.. => 4,
        150_000.. => 3,
        140_000.. => 2,
        _ => 1,
    };
    let streaming = if version >= 140_000 {
        ", streaming 'on', messages 'true'"
    } else {
        ""
    };
    let publication = quote::literal(&quote::identifier(&options.publication));
    format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (proto_version '{proto_version}', publication_names {}{streaming})",
        quote::identifier(&options.slot),
        publication.trim_start(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_where_a_timeline_was_left_is_found_in_both_forms() {
        let text = "1\t0/3000158\tno recovery target specified\n\n2\t0/5000000\tbefore 2026\n";
        assert_eq!(switch_point(text, 1), Some(Lsn(0x0300_0158)));
        assert_eq!(switch_point(text, 2), Some(Lsn(0x0500_0000)));
        assert_eq!(switch_point(text, 3), None);
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            switch_point(&format!("\\x{hex}"), 1),
            Some(Lsn(0x0300_0158))
        );
    }
}

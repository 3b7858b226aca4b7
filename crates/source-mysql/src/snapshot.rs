//! Reading tables at one point of the log, with several connections, in chunks.
//!
//! An [`Anchor`] holds transactions that all see the tables exactly as they were at one point of the log.
//! The rows are read through it, and the stream goes on from that point: nothing is missing between and
//! nothing comes twice.
//!
//! What is read is noted now and then. A snapshot that was cut short goes on there, at a later point: the
//! stream has come from the first point to that one with the changes of what is read, and of what is not;
//! the latter are read after them, as they are then.

mod anchor;
mod chunk;
mod unread;
mod worker;

use std::sync::Arc;

use adit_binlog::Coordinates;
use adit_binlog::decoder::snapshot_positions;
use adit_binlog::table::catalogue_relation;
use adit_event::{Change, Op, Transaction};
use adit_pipeline::{Item, Outlet, Pace};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

pub(crate) use anchor::Anchor;
use chunk::{Chunk, Queue, Table};
pub(crate) use unread::Unread;
use worker::{Reading, Told, work};

use crate::error::SourceError;
use crate::position::{Executed, Place, reaches};
use crate::scan::Ahead;
use crate::shapes::Shapes;
use crate::source::MysqlOptions;
use crate::state::{Begun, State, TableName, Token};
use crate::stream::Stop;

/// Rows that a worker hands over at once.
const ROWS_OF_BATCH: usize = 256;
/// Row bytes that a worker collects before it hands over; a single larger row goes alone.
const BYTES_OF_BATCH: usize = 128 * 1024;
/// Batches waiting for the one that writes them: with [`BYTES_OF_BATCH`] it bounds the memory.
const BATCHES_MAX: usize = 8;

/// What is to be known besides the anchor.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a MysqlOptions,
    /// Names are stored in lower case.
    pub(crate) lower_case: bool,
    /// Readers may hold rows of these tables already.
    pub(crate) resnapshot: bool,
    /// From where the stream goes on afterwards.
    pub(crate) resume: &'a Place,
    /// The last event that was handed over or published: rows at the same point are numbered behind it.
    pub(crate) last: Option<Token>,
    /// The server's log names columns.
    pub(crate) names_columns: bool,
    /// What tables were like, for logs that do not.
    pub(crate) shapes: &'a mut Shapes,
}

/// What came of a snapshot.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The place of the last row.
    pub(crate) last: Token,
    /// Tables that were altered meanwhile and have to be read further.
    pub(crate) again: Vec<TableName>,
}

/// Reads the anchor's tables and hands the rows over as one transaction of `read` events.
pub(crate) async fn read(
    anchor: Anchor,
    plan: Plan<'_>,
    state: &mut State,
    out: &mut Outlet,
) -> Result<Outcome, Stop> {
    let Anchor {
        point,
        workers,
        locked,
        tables,
        read_at,
        ..
    } = anchor;
    let flavor = workers.first().map(|link| link.server().flavor);
    let mut all = Vec::new();
    for (name, catalogued) in tables {
        let Some(flavor) = flavor else { break };
        let shape = catalogue_relation(&name.schema, &name.table, &catalogued.info, flavor);
        let shape = shape.map_err(|source| SourceError::Shape {
            table: name.to_string(),
            source: Box::new(source),
        })?;
        all.push(Arc::new(Table::new(name, catalogued, Arc::new(shape))));
    }
    let chunk_rows = plan.options.snapshot.chunk_rows;
    let (resume, last, resnapshot) = (plan.resume.to_resume(), plan.last, plan.resnapshot);
    let mut survey = Survey::new(plan, &point, &all, state);
    info!(
        tables = all.len(), begun = survey.begun(), workers = workers.len(), consistent_point = %point,
        "snapshot started"
    );

    let file = point.file_number().unwrap_or_default();
    let mut token = Token {
        epoch: state.epoch,
        file,
        position: point.position,
        snapshot: true,
        ordinal: None,
    };
    // Another snapshot at the same point goes on counting, so that no two events have one position.
    let mut ordinal = match last {
        Some(last)
            if (Token {
                ordinal: None,
                ..last
            }) == token =>
        {
            last.ordinal.map_or(0, |ordinal| ordinal + 1)
        }
        _ => 0,
    };
    let before = ordinal;
    let positions = snapshot_positions(state.epoch, &point);
    let positions = positions.ok_or_else(|| SourceError::Answer {
        doing: "finding a consistent point".to_owned(),
        what: format!("a file of the log without a number: {point}"),
    })?;
    out.send(Item::Begin(Transaction {
        id: format!("snapshot-{point}"),
        positions,
        commit_time: read_at,
        snapshot: true,
    }))
    .await?;
    for surveyed in &survey.tables {
        out.send(Item::Schema {
            relation: Arc::clone(&surveyed.table.relation),
            ordinal,
            resnapshot: resnapshot && surveyed.unread.is_whole(),
        })
        .await?;
    }

    let (teller, mut told) = mpsc::channel(BATCHES_MAX);
    let mut tasks = JoinSet::new();
    if let Some(link) = locked {
        let queue = survey.queue(|table| !table.catalogued.transactional);
        let teller = teller.clone();
        tasks.spawn(work(link, queue, chunk_rows, teller, Reading::UnderLocks));
    }
    let queue = survey.queue(|table| table.catalogued.transactional);
    for link in workers {
        let (queue, teller) = (Arc::clone(&queue), teller.clone());
        tasks.spawn(work(
            link,
            queue,
            chunk_rows,
            teller,
            Reading::InTransaction,
        ));
    }
    drop(teller);
    let mut pace = Pace::new();
    loop {
        let told = tokio::select! {
            told = told.recv() => match told {
                Some(told) => told,
                None => break,
            },
            Some(ended) = tasks.join_next() => {
                ended??;
                continue;
            }
        };
        match told {
            Told::Rows(table, rows) => {
                for row in rows {
                    let change = Change {
                        relation: Arc::clone(&table.relation),
                        op: Op::Read,
                        before: None,
                        after: Some(row),
                        ordinal,
                    };
                    ordinal += 1;
                    out.send(Item::Change(change)).await?;
                }
            }
            Told::Split(table, from, at) => survey
                .unread(&table)
                .into_iter()
                .for_each(|unread| unread.split(from.as_ref(), &at)),
            Told::Gone(table) => survey
                .unread(&table)
                .into_iter()
                .for_each(|unread| *unread = Unread::default()),
            Told::Read(table, from) => {
                if let Some(unread) = survey.unread(&table) {
                    unread.read(from.as_ref());
                }
                if pace.is_due() {
                    let begun = Instant::now();
                    survey.note(state).await?;
                    let (resume, state) = (resume.clone(), Some(state.to_text()));
                    out.send(Item::Progress { resume, state }).await?;
                    pace.noted(begun);
                }
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    survey.note(state).await?;
    out.send(Item::Commit {
        resume: Some(resume),
    })
    .await?;
    let again = survey.tables.iter().map(|one| one.table.name.clone());
    let again: Vec<_> = again.collect();
    info!(rows = ordinal - before, again = again.len(), consistent_point = %point, "snapshot complete");
    token.ordinal = ordinal.checked_sub(1);
    Ok(Outcome { last: token, again })
}

/// How far the tables are read.
struct Survey<'a> {
    plan: Plan<'a>,
    /// The snapshot's point.
    point: Place,
    tables: Vec<Surveyed>,
    ahead: Ahead,
}

struct Surveyed {
    table: Arc<Table>,
    unread: Unread,
    /// What was unread when it was certain last that all the rest was read as the table was at the snapshot's
    /// point.
    noted: Unread,
    /// Its shape is kept, if it has to be.
    is_kept: bool,
}

impl<'a> Survey<'a> {
    fn new(plan: Plan<'a>, point: &Coordinates, tables: &[Arc<Table>], state: &State) -> Self {
        let tables = tables.iter().map(|table| {
            let mut begun = state.begun.iter();
            let begun = begun.find(|begun| begun.name == table.name);
            let begun =
                begun.filter(|begun| begun.shape == table.shape() && table.can_read(&begun.unread));
            let unread = begun.map_or_else(Unread::whole, |begun| begun.unread.clone());
            Surveyed {
                table: Arc::clone(table),
                noted: unread.clone(),
                unread,
                is_kept: plan.names_columns,
            }
        });
        let tables = tables.collect();
        Self {
            plan,
            point: Place {
                coordinates: point.clone(),
                born: 0,
                executed: Executed::Unknown,
            },
            tables,
            ahead: Ahead::default(),
        }
    }

    /// The tables of which part is read.
    fn begun(&self) -> usize {
        let begun = self.tables.iter().filter(|one| !one.unread.is_whole());
        begun.count()
    }

    /// What is to be read of some tables.
    fn queue(&self, which: impl Fn(&Table) -> bool) -> Arc<Queue> {
        let tables = self.tables.iter().filter(|one| which(&one.table));
        let chunks = tables.flat_map(|one| {
            let ranges = one.unread.ranges().iter();
            ranges.map(|range| Chunk {
                table: Arc::clone(&one.table),
                range: range.clone(),
            })
        });
        Arc::new(Queue::new(chunks.collect()))
    }

    fn unread(&mut self, table: &Arc<Table>) -> Option<&mut Unread> {
        let mut tables = self.tables.iter_mut();
        let found = tables.find(|one| Arc::ptr_eq(&one.table, table));
        found.map(|one| &mut one.unread)
    }

    /// Notes what is read, after making sure that it is what the tables held at the snapshot's point.
    ///
    /// To a transaction that is older than a table's rebuilding, the rebuilt table shows rows as they are now:
    /// MySQL refuses that (ER_TABLE_DEF_CHANGED), MariaDB not always. The log tells whether there was one before
    /// the table was last read from.
    async fn note(&mut self, state: &mut State) -> Result<(), SourceError> {
        let point = &self.point.coordinates;
        let is_past = |one: &Surveyed| {
            one.table
                .read_until()
                .is_some_and(|until| !reaches(point, &until))
        };
        if self.tables.iter().any(is_past) {
            let (options, lower_case) = (self.plan.options, self.plan.lower_case);
            self.ahead.look(options, &self.point, lower_case).await?;
        }
        for one in &mut self.tables {
            let name = &one.table.name;
            let until = one.table.read_until();
            let change = self.ahead.change_of(name);
            if let (Some(until), Some(change)) = (until, change)
                && reaches(&until, change)
                && !one.table.is_outdated()
            {
                warn!(table = %name, ddl = %change, "table was altered while it was read; it is read again");
                one.table.set_outdated();
            }
            if one.table.is_outdated() {
                continue;
            }
            one.noted.clone_from(&one.unread);
            if one.noted.is_empty() {
                state.complete(name);
            }
            if !one.is_kept && !one.noted.is_whole() {
                // Its changes from here on are published, and it may be another before the stream comes to them.
                let shape = one.table.catalogued.clone().into();
                self.plan.shapes.set(name, point, Some(shape)).await?;
                one.is_kept = true;
            }
        }
        self.tables.retain(|one| !one.noted.is_empty());
        state.first = false;
        let begun = self.tables.iter().filter(|one| !one.noted.is_whole());
        state.begun = begun
            .map(|one| Begun {
                name: one.table.name.clone(),
                shape: one.table.shape(),
                unread: one.noted.clone(),
            })
            .collect();
        Ok(())
    }
}

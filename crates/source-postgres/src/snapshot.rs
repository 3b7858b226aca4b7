//! Reading tables in an exported snapshot, with several connections, in chunks.
//!
//! An [`Anchor`] holds transactions that all see the database exactly as it was at one point of the
//! log. The rows are read through it, and the stream goes on from that point: nothing is missing
//! between and nothing comes twice.
//!
//! Chunks are ranges of blocks (`ctid`): each row version lies in exactly one, and what the table
//! grows by later is not visible. Rows are read with `COPY … TO STDOUT` in text format, so that a
//! value has the same form as in the stream.
//!
//! What is read is noted now and then. A snapshot that was cut short goes on there, at a later point: the
//! stream has come from the first point to that one with the changes of what is read, and of what is not;
//! the latter are read after them, as they are then.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use adit_event::{Change, Op, Relation, Row, Timestamp, Transaction};
use adit_pgoutput::Lsn;
use adit_pgoutput::decoder::snapshot_positions;
use adit_pgoutput::message::ReplicaIdentity;
use adit_pgoutput::table::relation;
use adit_pipeline::{Item, Outlet, Pace};
use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tracing::info;

use crate::catalog::{SnapshotTable, published, snapshot_table};
use crate::config::ConnectConfig;
use crate::copy;
use crate::error::SourceError;
use crate::link::sql_client;
use crate::quote;
use crate::slot::Created;
use crate::state::{Begun, Blocks, State, TableName};
use crate::stream::Stop;

/// Rows that a worker hands over at once.
const ROWS_OF_BATCH: usize = 256;
/// Row bytes that a worker collects before it hands over; a single larger row goes alone.
const BYTES_OF_BATCH: usize = 128 * 1024;
/// Batches waiting for the one that writes them: with [`BYTES_OF_BATCH`] it bounds the memory.
const BATCHES_MAX: usize = 8;
/// Rows of a block where the statistics know none: a guess that makes chunks smaller, not larger.
const ROWS_OF_BLOCK_GUESS: f64 = 100.0;

/// Transactions that see the database as it was at `point`.
pub(crate) struct Anchor {
    /// Transactions committed before it are visible, later ones are not.
    pub(crate) point: Lsn,
    workers: Vec<Client>,
    read_at: Timestamp,
}

impl Anchor {
    /// Opens `workers` transactions on the snapshot that came with a slot, and keeps the tables as
    /// it shows them. Afterwards the link that exported it may go on.
    pub(crate) async fn open(
        config: &ConnectConfig,
        created: &Created,
        workers: usize,
        tables: &[TableName],
    ) -> Result<Self, SourceError> {
        let mut clients = Vec::new();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0",
            quote::literal(&created.snapshot)
        );
        for _ in 0..workers.max(1) {
            let client = sql_client(config, "adit snapshot").await?;
            let error = |error| SourceError::query("importing the snapshot", &error);
            client.batch_execute(&begin).await.map_err(error)?;
            lock(&client, tables, clients.is_empty()).await?;
            clients.push(client);
        }
        let first = clients
            .first()
            .ok_or_else(|| SourceError::QueryConnection {
                doing: "importing the snapshot".to_owned(),
            })?;
        check_unchanged(first, tables).await?;
        let now = "SELECT (extract(epoch FROM now()) * 1000000)::int8";
        let now = first.query_one(now, &[]).await;
        let now = now.map_err(|error| SourceError::query("importing the snapshot", &error))?;
        Ok(Self {
            point: created.consistent_point,
            workers: clients,
            read_at: Timestamp(now.get(0)),
        })
    }
}

/// Locks the tables as reading them does, so that they stay as they are from now on.
///
/// Each connection needs the locks for itself: one that asked later would wait behind whoever waits to
/// alter the table, and then read the altered one. Only the first may wait; a second that waited would
/// wait for who waits for the first.
async fn lock(client: &Client, tables: &[TableName], may_wait: bool) -> Result<(), SourceError> {
    if tables.is_empty() {
        return Ok(());
    }
    let list = tables
        .iter()
        .map(|name| format!("ONLY {}", quote::table(&name.schema, &name.table)));
    let list = list.collect::<Vec<_>>().join(", ");
    let no_wait = if may_wait { "" } else { " NOWAIT" };
    let sql = format!("LOCK TABLE {list} IN ACCESS SHARE MODE{no_wait}");
    client.batch_execute(&sql).await.map_err(|error| {
        match error.code().map(SqlState::code) {
            // undefined_table, invalid_schema_name, lock_not_available
            Some("42P01" | "3F000" | "55P03") => SourceError::SnapshotOutdated {
                table: "that is to be read".to_owned(),
            },
            _ => SourceError::query("locking the tables that are to be read", &error),
        }
    })
}

/// Makes sure that tables, which are locked now, are still what the snapshot shows.
///
/// A rewritten table (`ALTER TABLE … TYPE`, `TRUNCATE`) is empty to a snapshot that is older than the
/// rewriting: manual, "Concurrency Control", "Caveats". Other changes of its columns show when it is
/// read, as `COPY` uses the catalogue as it is now.
async fn check_unchanged(client: &Client, tables: &[TableName]) -> Result<(), SourceError> {
    let doing = "comparing the tables with the snapshot";
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables
        .iter()
        .map(|name| (name.schema.as_str(), name.table.as_str()))
        .unzip();
    // The catalogue as the snapshot shows it, and by the function as it is now.
    let changed = client
        .query_typed(
            "SELECT u.s, u.t FROM unnest($1, $2) u(s, t) \
             LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = u.s \
             LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = u.t \
             WHERE c.oid IS NULL OR c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid) LIMIT 1",
            &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(|error| SourceError::query(doing, &error))?;
    match changed.first() {
        Some(row) => Err(SourceError::SnapshotOutdated {
            table: format!(
                "{:?}.{:?}",
                row.get::<_, String>(0),
                row.get::<_, String>(1)
            ),
        }),
        None => Ok(()),
    }
}

/// What to read, and how.
pub(crate) struct Plan<'a> {
    pub(crate) tables: &'a [TableName],
    pub(crate) publication: &'a str,
    pub(crate) server_version: u32,
    pub(crate) chunk_rows: u64,
    /// Readers may hold rows of these tables already.
    pub(crate) resnapshot: bool,
    /// From where the stream goes on afterwards.
    pub(crate) resume: Lsn,
}

/// A range of one table's blocks.
struct Chunk {
    table: Arc<Table>,
    from: u32,
    sql: String,
    /// Nothing else of the table is read.
    is_whole: bool,
}

struct Table {
    name: TableName,
    relation: Arc<Relation>,
    columns: u16,
    file: u32,
    /// Equal as long as rows are published of the same columns, and the same rows are.
    shape: u64,
    /// Readers can tell its rows from one another, so that a row may come again.
    has_key: bool,
}

/// What a connection tells of its work.
enum Told {
    /// Some rows.
    Rows(Arc<Table>, Vec<Row>),
    /// The chunk that begins at this block has been read.
    Read(Arc<Table>, u32),
}

/// Reads the tables and hands the rows over as one transaction of `read` events.
pub(crate) async fn read(
    anchor: Anchor,
    plan: Plan<'_>,
    state: &mut State,
    out: &mut Outlet,
) -> Result<(), Stop> {
    let Anchor {
        point,
        workers,
        read_at,
    } = anchor;
    let client = workers
        .first()
        .ok_or_else(|| SourceError::QueryConnection {
            doing: "reading the snapshot".to_owned(),
        })?;
    let mut survey = Survey {
        tables: Vec::new(),
        chunks: VecDeque::new(),
    };
    let published = published(client, plan.publication, plan.server_version).await?;
    for name in plan.tables {
        match snapshot_table(client, name, published.get(name), plan.server_version).await? {
            Some(found) => survey.add(name, &found, &plan, state),
            None => info!(
                schema = name.schema,
                table = name.table,
                "table is gone; not read"
            ),
        }
    }
    let chunks = std::mem::take(&mut survey.chunks);
    info!(
        tables = survey.tables.len(), begun = survey.begun(), chunks = chunks.len(), workers = workers.len(),
        consistent_point = %point, "snapshot started"
    );

    let mut ordinal: u64 = 0;
    let begin = Transaction {
        id: format!("snapshot-{point}"),
        positions: snapshot_positions(point),
        commit_time: read_at,
        snapshot: true,
    };
    out.send(Item::Begin(begin)).await?;
    for surveyed in &survey.tables {
        let item = Item::Schema {
            relation: Arc::clone(&surveyed.table.relation),
            ordinal,
            resnapshot: plan.resnapshot && !surveyed.is_begun,
        };
        out.send(item).await?;
    }

    let (teller, mut told) = mpsc::channel(BATCHES_MAX);
    let chunks = Arc::new(Mutex::new(chunks));
    let mut tasks = JoinSet::new();
    for client in workers {
        tasks.spawn(work(client, Arc::clone(&chunks), teller.clone()));
    }
    drop(teller);
    let resume: Box<str> = plan.resume.to_string().into();
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
                    let relation = Arc::clone(&table.relation);
                    let change = Change {
                        relation,
                        op: Op::Read,
                        before: None,
                        after: Some(row),
                        ordinal,
                    };
                    ordinal += 1;
                    out.send(Item::Change(change)).await?;
                }
            }
            Told::Read(table, from) => {
                survey.read(&table, from);
                if pace.is_due() {
                    let begun = Instant::now();
                    survey.note(state);
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
    survey.note(state);
    state.pending.retain(|table| !plan.tables.contains(table));
    out.send(Item::Commit {
        resume: Some(resume),
    })
    .await?;
    info!(rows = ordinal, consistent_point = %point, "snapshot complete");
    Ok(())
}

/// How far the tables are read.
struct Survey {
    tables: Vec<Surveyed>,
    /// What is to be read.
    chunks: VecDeque<Chunk>,
}

struct Surveyed {
    table: Arc<Table>,
    /// Some of it is not in the chunks.
    is_begun: bool,
    /// The chunks that have not been read, in order: their first blocks, and the first ones behind them.
    unread: BTreeMap<u32, Option<u32>>,
}

impl Surveyed {
    /// The blocks that have not been read.
    fn blocks(&self) -> Vec<Blocks> {
        let mut blocks: Vec<Blocks> = Vec::new();
        for (&from, &to) in &self.unread {
            match blocks.last_mut() {
                Some(last) if last.to == Some(from) => last.to = to,
                _ => blocks.push(Blocks { from, to }),
            }
        }
        blocks
    }
}

impl Survey {
    /// Adds a table, with what is to be read of it.
    fn add(&mut self, name: &TableName, found: &SnapshotTable, plan: &Plan<'_>, state: &State) {
        let described = &found.described;
        let shape = Arc::new(relation(described, &found.info));
        let mut hasher = DefaultHasher::new();
        (shape.fingerprint(), &found.row_filter).hash(&mut hasher);
        let identity = described.replica_identity;
        let table = Arc::new(Table {
            name: name.clone(),
            columns: u16::try_from(described.columns.len()).unwrap_or(u16::MAX),
            file: found.file,
            shape: hasher.finish(),
            has_key: !shape.key().is_empty()
                && matches!(identity, ReplicaIdentity::Default | ReplicaIdentity::Index),
            relation: shape,
        });
        let begun = state.begun.iter().find(|begun| {
            begun.name == table.name && (begun.file, begun.shape) == (table.file, table.shape)
        });
        let unread = begun.map_or_else(|| vec![Blocks::ALL], |begun| begun.unread.clone());
        let columns: Vec<_> = described
            .columns
            .iter()
            .map(|column| quote::identifier(&column.name))
            .collect();
        let select = format!(
            "SELECT {} FROM ONLY {}",
            columns.join(", "),
            quote::table(&described.namespace, &described.name)
        );
        let filter = found.row_filter.as_ref();
        let filter = filter.map(|filter| format!("({filter})"));
        let mut surveyed = Surveyed {
            table,
            is_begun: begun.is_some(),
            unread: BTreeMap::new(),
        };
        let ranges = unread
            .into_iter()
            .flat_map(|blocks| parts(blocks, found, plan));
        let ranges: Vec<_> = ranges.collect();
        let is_whole = ranges.len() == 1;
        for blocks in ranges {
            let conditions: Vec<_> = filter
                .clone()
                .into_iter()
                .chain(condition(blocks))
                .collect();
            let condition = if conditions.is_empty() {
                String::new()
            } else {
                format!(" WHERE {}", conditions.join(" AND "))
            };
            surveyed.unread.insert(blocks.from, blocks.to);
            self.chunks.push_back(Chunk {
                table: Arc::clone(&surveyed.table),
                from: blocks.from,
                sql: format!("COPY ({select}{condition}) TO STDOUT"),
                is_whole,
            });
        }
        self.tables.push(surveyed);
    }

    /// The tables of which part is read.
    fn begun(&self) -> usize {
        self.tables.iter().filter(|one| one.is_begun).count()
    }

    /// A chunk has been read.
    fn read(&mut self, table: &Arc<Table>, from: u32) {
        let mut tables = self.tables.iter_mut();
        if let Some(one) = tables.find(|one| Arc::ptr_eq(&one.table, table)) {
            one.unread.remove(&from);
            one.is_begun = true;
        }
    }

    /// Notes what is read.
    fn note(&mut self, state: &mut State) {
        self.tables.retain(|one| {
            if one.unread.is_empty() {
                state.pending.retain(|name| *name != one.table.name);
            }
            !one.unread.is_empty()
        });
        let begun = self.tables.iter();
        let begun = begun.filter(|one| one.is_begun && one.table.has_key);
        state.begun = begun
            .map(|one| Begun {
                name: one.table.name.clone(),
                shape: one.table.shape,
                file: one.table.file,
                unread: one.blocks(),
            })
            .collect();
    }
}

/// Splits a range of blocks into chunks. Servers before 14 cannot scan a range of `ctid` without reading the
/// whole table, so there a table is one chunk.
fn parts(blocks: Blocks, table: &SnapshotTable, plan: &Plan<'_>) -> Vec<Blocks> {
    let rows_of_block = if table.rows > 0.0 && table.blocks > 0 {
        f64::from(table.rows) / f64::from(table.blocks)
    } else {
        ROWS_OF_BLOCK_GUESS
    };
    let chunk_rows = f64::from(u32::try_from(plan.chunk_rows).unwrap_or(u32::MAX));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number; a float's cast saturates"
    )]
    let step = ((chunk_rows / rows_of_block) as u32).max(1);
    if plan.server_version < 140_000 {
        return vec![blocks];
    }
    let mut parts = Vec::new();
    let mut from = blocks.from;
    // The last part is as open as the range: the table may have grown since its size was looked at.
    let end = blocks.to.unwrap_or(table.blocks);
    while let Some(to) = from.checked_add(step).filter(|to| *to < end) {
        parts.push(Blocks { from, to: Some(to) });
        from = to;
    }
    parts.push(Blocks {
        from,
        to: blocks.to,
    });
    parts
}

/// The condition for rows in these blocks; none for all.
fn condition(blocks: Blocks) -> Option<String> {
    let from = format!("ctid >= '({},0)'", blocks.from);
    match blocks.to {
        Some(to) => Some(format!("{from} AND ctid < '({to},0)'")),
        None => (blocks.from > 0).then_some(from),
    }
}

/// Reads chunks until none is left.
async fn work(
    client: Client,
    chunks: Arc<Mutex<VecDeque<Chunk>>>,
    teller: mpsc::Sender<Told>,
) -> Result<(), SourceError> {
    while let Some(chunk) = next(&chunks) {
        let table = &chunk.table;
        let name = || format!("{:?}.{:?}", table.relation.schema(), table.relation.table());
        let error = |error: tokio_postgres::Error| {
            // undefined_column: it was renamed or dropped before the table was locked.
            if error.code().is_some_and(|code| code.code() == "42703") {
                return SourceError::SnapshotOutdated { table: name() };
            }
            SourceError::query(format!("reading table {}", name()), &error)
        };
        if chunk.is_whole {
            client
                .batch_execute("SAVEPOINT whole")
                .await
                .map_err(error)?;
        }
        let lines = client.copy_out(&chunk.sql).await.map_err(error)?;
        let mut lines = pin!(lines);
        let mut buffer = BytesMut::new();
        let mut batch = Vec::with_capacity(ROWS_OF_BATCH);
        let mut bytes = 0;
        while let Some(line) = lines.try_next().await.map_err(error)? {
            let row = copy::row(&line, table.columns, &mut buffer)
                .map_err(|why| SourceError::SnapshotRow { table: name(), why })?;
            bytes += row.len();
            batch.push(row);
            if batch.len() >= ROWS_OF_BATCH || bytes >= BYTES_OF_BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(ROWS_OF_BATCH));
                bytes = 0;
                let told = Told::Rows(Arc::clone(table), full);
                if teller.send(told).await.is_err() {
                    return Ok(());
                }
            }
        }
        if chunk.is_whole {
            // Gives the lock back: those of thousands of tables are more than a server has room for.
            let back = "ROLLBACK TO SAVEPOINT whole; RELEASE SAVEPOINT whole";
            client.batch_execute(back).await.map_err(error)?;
        }
        let rest = (!batch.is_empty()).then(|| Told::Rows(Arc::clone(table), batch));
        let read = Told::Read(Arc::clone(table), chunk.from);
        for told in rest.into_iter().chain([read]) {
            if teller.send(told).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn next(chunks: &Mutex<VecDeque<Chunk>>) -> Option<Chunk> {
    chunks
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .pop_front()
}

#[cfg(test)]
mod tests {
    use adit_pgoutput::RelationId;
    use adit_pgoutput::message;
    use adit_pgoutput::table::TableInfo;

    use super::*;

    fn table(blocks: u32, rows: f32) -> SnapshotTable {
        SnapshotTable {
            described: message::Relation {
                xid: None,
                id: RelationId(1),
                namespace: "public".into(),
                name: "t".into(),
                replica_identity: ReplicaIdentity::Default,
                columns: Vec::new(),
            },
            info: TableInfo::default(),
            row_filter: None,
            blocks,
            rows,
            file: 1,
        }
    }

    fn plan(server_version: u32) -> Plan<'static> {
        Plan {
            tables: &[],
            publication: "p",
            server_version,
            chunk_rows: 100,
            resnapshot: false,
            resume: Lsn(0),
        }
    }

    fn conditions(blocks: Blocks, server_version: u32) -> Vec<String> {
        let parts = parts(blocks, &table(30, 300.0), &plan(server_version));
        let conditions = parts.into_iter().map(condition);
        conditions.map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn a_table_is_read_by_its_blocks_and_the_last_part_is_open() {
        assert_eq!(
            conditions(Blocks::ALL, 140_000),
            [
                "ctid >= '(0,0)' AND ctid < '(10,0)'",
                "ctid >= '(10,0)' AND ctid < '(20,0)'",
                "ctid >= '(20,0)'",
            ]
        );
        assert_eq!(conditions(Blocks::ALL, 130_000), [""]);
        let rest = Blocks {
            from: 5,
            to: Some(16),
        };
        assert_eq!(
            conditions(rest, 140_000),
            [
                "ctid >= '(5,0)' AND ctid < '(15,0)'",
                "ctid >= '(15,0)' AND ctid < '(16,0)'",
            ]
        );
        let grown = Blocks { from: 50, to: None };
        assert_eq!(conditions(grown, 140_000), ["ctid >= '(50,0)'"]);
    }

    #[test]
    fn what_is_left_is_noted_in_as_few_pieces_as_it_has() {
        let parts = parts(Blocks::ALL, &table(60, 600.0), &plan(140_000));
        let unread = parts.into_iter().map(|part| (part.from, part.to));
        let relation = Relation::new("public".into(), "t".into(), Vec::new());
        let mut surveyed = Surveyed {
            table: Arc::new(Table {
                name: TableName {
                    schema: "public".into(),
                    table: "t".into(),
                },
                relation: Arc::new(relation),
                columns: 0,
                file: 1,
                shape: 1,
                has_key: true,
            }),
            is_begun: true,
            unread: unread.collect(),
        };
        surveyed.unread.remove(&0);
        surveyed.unread.remove(&30);
        let (first, last) = (
            Blocks {
                from: 10,
                to: Some(30),
            },
            Blocks { from: 40, to: None },
        );
        assert_eq!(surveyed.blocks(), [first, last]);
    }
}

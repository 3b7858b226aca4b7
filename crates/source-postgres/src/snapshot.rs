//! Reading tables in an exported snapshot, with several connections, in chunks.
//!
//! An [`Anchor`] holds transactions that all see the database exactly as it was at one point of the
//! log. The rows are read through it, and the stream goes on from that point: nothing is missing
//! between and nothing comes twice.
//!
//! Chunks are ranges of blocks (`ctid`): each row version lies in exactly one, and what the table
//! grows by later is not visible. Rows are read with `COPY … TO STDOUT` in text format, so that a
//! value has the same form as in the stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use adit_event::{Change, Op, Relation, Row, Timestamp, Transaction};
use adit_pgoutput::Lsn;
use adit_pgoutput::decoder::snapshot_positions;
use adit_pgoutput::table::relation;
use adit_pipeline::{Item, Outlet};
use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tracing::info;

use crate::catalog::{SnapshotTable, snapshot_table};
use crate::config::ConnectConfig;
use crate::copy;
use crate::error::SourceError;
use crate::link::sql_client;
use crate::quote;
use crate::slot::Created;
use crate::state::TableName;
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
    sql: String,
}

struct Table {
    relation: Arc<Relation>,
    columns: u16,
}

/// Reads the tables and hands the rows over as one transaction of `read` events.
pub(crate) async fn read(anchor: Anchor, plan: Plan<'_>, out: &mut Outlet) -> Result<(), Stop> {
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
    let mut tables = Vec::new();
    for name in plan.tables {
        match snapshot_table(client, name, plan.publication, plan.server_version).await? {
            Some(found) => tables.push(found),
            None => info!(
                schema = name.schema,
                table = name.table,
                "table is gone; not read"
            ),
        }
    }
    let (shapes, chunks) = chunks(&tables, &plan);
    info!(
        tables = shapes.len(), chunks = chunks.len(), workers = workers.len(), consistent_point = %point,
        "snapshot started"
    );

    let mut ordinal: u64 = 0;
    let begin = Transaction {
        id: format!("snapshot-{point}"),
        positions: snapshot_positions(point),
        commit_time: read_at,
        snapshot: true,
    };
    out.send(Item::Begin(begin)).await?;
    for relation in shapes {
        let item = Item::Schema {
            relation,
            ordinal,
            resnapshot: plan.resnapshot,
        };
        out.send(item).await?;
    }

    let (sender, mut rows) = mpsc::channel::<(Arc<Table>, Vec<Row>)>(BATCHES_MAX);
    let chunks = Arc::new(Mutex::new(chunks));
    let mut tasks = JoinSet::new();
    for client in workers {
        tasks.spawn(work(client, Arc::clone(&chunks), sender.clone()));
    }
    drop(sender);
    loop {
        let (table, batch) = tokio::select! {
            batch = rows.recv() => match batch {
                Some(batch) => batch,
                None => break,
            },
            Some(ended) = tasks.join_next() => {
                ended??;
                continue;
            }
        };
        for row in batch {
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
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let resume = plan.resume.to_string().into();
    out.send(Item::Commit { resume }).await?;
    info!(rows = ordinal, consistent_point = %point, "snapshot complete");
    Ok(())
}

/// Each table's shape, and what to read of it.
fn chunks(tables: &[SnapshotTable], plan: &Plan<'_>) -> (Vec<Arc<Relation>>, VecDeque<Chunk>) {
    let mut shapes = Vec::new();
    let mut chunks = VecDeque::new();
    for table in tables {
        let described = &table.described;
        let shape = Arc::new(relation(described, &table.info));
        shapes.push(Arc::clone(&shape));
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
        let filter = table
            .row_filter
            .as_ref()
            .map(|filter| format!("({filter})"));
        let table_of = Arc::new(Table {
            relation: shape,
            columns: u16::try_from(columns.len()).unwrap_or(u16::MAX),
        });
        for range in ranges(table, plan) {
            let conditions: Vec<_> = filter.clone().into_iter().chain(range).collect();
            let condition = if conditions.is_empty() {
                String::new()
            } else {
                format!(" WHERE {}", conditions.join(" AND "))
            };
            let sql = format!("COPY ({select}{condition}) TO STDOUT");
            chunks.push_back(Chunk {
                table: Arc::clone(&table_of),
                sql,
            });
        }
    }
    (shapes, chunks)
}

/// Conditions that split the table by blocks. Servers before 14 cannot scan a range of `ctid`
/// without reading the whole table, so there a table is one chunk.
fn ranges(table: &SnapshotTable, plan: &Plan<'_>) -> Vec<Option<String>> {
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
    if plan.server_version < 140_000 || table.blocks <= step {
        return vec![None];
    }
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < table.blocks {
        let to = from.saturating_add(step);
        // The last one is open: the table may have grown between the snapshot and the look at its size.
        let end = if to < table.blocks {
            format!(" AND ctid < '({to},0)'")
        } else {
            String::new()
        };
        ranges.push(Some(format!("ctid >= '({from},0)'{end}")));
        from = to;
    }
    ranges
}

/// Reads chunks until none is left.
async fn work(
    client: Client,
    chunks: Arc<Mutex<VecDeque<Chunk>>>,
    rows: mpsc::Sender<(Arc<Table>, Vec<Row>)>,
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
                if rows.send((Arc::clone(table), full)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() && rows.send((Arc::clone(table), batch)).await.is_err() {
            return Ok(());
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

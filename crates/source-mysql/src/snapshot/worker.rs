//! One connection that reads chunks.

use std::sync::Arc;

use adit_event::{Row, RowBuilder};
use bytes::BytesMut;
use tokio::sync::mpsc;
use tracing::info;

use super::chunk::{Chunk, Queue, Table};
use super::unread::{Bound, KeyRange};
use super::{BYTES_OF_BATCH, ROWS_OF_BATCH};
use crate::catalog::table_info;
use crate::error::SourceError;
use crate::identity::log_end;
use crate::link::{LinkError, MysqlLink};

/// ER_NO_SUCH_TABLE.
const NO_SUCH_TABLE: u16 = 1146;

/// What a connection tells of its work.
#[derive(Debug)]
pub(super) enum Told {
    /// A range is read in two parts, and where the second one begins.
    Split(Arc<Table>, Option<Bound>, Bound),
    /// Some of its rows.
    Rows(Arc<Table>, Vec<Row>),
    /// The range that begins there has been read.
    Read(Arc<Table>, Option<Bound>),
    /// There is nothing more to read of a table: it is gone.
    Gone(Arc<Table>),
}

/// Nobody listens any more.
struct Unheard;

type Teller = mpsc::Sender<Told>;

async fn tell(teller: &Teller, told: Told) -> Result<(), Unheard> {
    teller.send(told).await.map_err(|_| Unheard)
}

/// Why a chunk was not read.
enum Failure {
    Unheard,
    /// The table was altered.
    Outdated,
    Failed(SourceError),
}

impl From<Unheard> for Failure {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

impl<E: Into<SourceError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads chunks until none is left. Between two of them no lock is held on any table: who wants to alter one
/// waits for a chunk, not for the whole snapshot.
pub(super) async fn work(
    mut link: MysqlLink,
    queue: Arc<Queue>,
    chunk_rows: u64,
    teller: Teller,
    reading: Reading,
) -> Result<(), SourceError> {
    while let Some(Chunk { table, range }) = queue.take().await {
        if table.is_outdated() {
            queue.close(None);
            continue;
        }
        reading.begin(&mut link).await?;
        let mut open = Some(&*queue);
        let done = chunk(&mut link, &table, range, chunk_rows, &teller, &mut open).await;
        if let Some(queue) = open {
            queue.close(None);
        }
        match done {
            Ok(()) => {}
            Err(Failure::Outdated) => {
                info!(table = %table.name, "table was altered while it was read; it is read again");
                table.set_outdated();
            }
            Err(Failure::Unheard) => return Ok(()),
            Err(Failure::Failed(error)) => return Err(error),
        }
        reading.end(&mut link).await?;
    }
    Ok(())
}

/// Reads one chunk. The queue is closed and taken as soon as it is known where the chunk ends.
async fn chunk(
    link: &mut MysqlLink,
    table: &Arc<Table>,
    mut range: KeyRange,
    rows: u64,
    teller: &Teller,
    queue: &mut Option<&Queue>,
) -> Result<(), Failure> {
    if !is_as_before(link, table).await? {
        return Ok(tell(teller, Told::Gone(Arc::clone(table))).await?);
    }
    if let Some(at) = boundary(link, table, &range, rows).await? {
        let rest = KeyRange {
            from: Some(at.clone()),
            to: range.to.replace(at.clone()),
        };
        // Before anybody can take the rest and tell of it.
        let split = Told::Split(Arc::clone(table), range.from.clone(), at);
        tell(teller, split).await?;
        if let Some(queue) = queue.take() {
            queue.close(Some(Chunk {
                table: Arc::clone(table),
                range: rest,
            }));
        }
    } else if let Some(queue) = queue.take() {
        queue.close(None);
    }
    read(link, table, &table.select(&range), teller).await?;
    let (end, _) = log_end(link).await?;
    table.was_read(end);
    Ok(tell(teller, Told::Read(Arc::clone(table), range.from)).await?)
}

/// How a connection holds what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// In a transaction. Going back to a savepoint releases the locks on the tables that were opened
    /// since, and keeps the view of the rows.
    InTransaction,
    /// Under table locks.
    UnderLocks,
}

impl Reading {
    async fn begin(self, link: &mut MysqlLink) -> Result<(), SourceError> {
        self.run(link, "SAVEPOINT chunk").await
    }

    async fn end(self, link: &mut MysqlLink) -> Result<(), SourceError> {
        self.run(link, "ROLLBACK TO SAVEPOINT chunk").await
    }

    async fn run(self, link: &mut MysqlLink, sql: &str) -> Result<(), SourceError> {
        if self == Self::UnderLocks {
            return Ok(());
        }
        let done = link.execute(sql).await;
        done.map_err(|error| SourceError::query("reading the snapshot", error))
    }
}

/// Makes sure that a table is what the catalogue said before the snapshot was taken; false if it is gone.
///
/// Touching it keeps others from altering it until the chunk is read. This finds early what the log tells in
/// the end.
async fn is_as_before(link: &mut MysqlLink, table: &Table) -> Result<bool, Failure> {
    let touched = link.query(&table.touch()).await;
    match touched {
        Err(error) if error.code() == Some(NO_SUCH_TABLE) => {
            info!(table = %table.name, "table is gone; not read");
            return Ok(false);
        }
        touched => touched.map_err(|error| reading(table, error))?,
    };
    if table_info(link, &table.name).await?.as_ref() != Some(&table.catalogued) {
        return Err(Failure::Outdated);
    }
    Ok(true)
}

/// The key where the chunk ends; none if it goes on to the range's end.
async fn boundary(
    link: &mut MysqlLink,
    table: &Table,
    range: &KeyRange,
    rows: u64,
) -> Result<Option<Bound>, Failure> {
    let Some(sql) = table.boundary(range, rows) else {
        return Ok(None);
    };
    let found = link.query(&sql).await;
    let found = found.map_err(|error| reading(table, error))?;
    let bound = found
        .first()
        .and_then(|row| table.bound(row.iter().map(Option::as_deref)));
    // Another part would begin where this one ends.
    Ok(bound.filter(|bound| range.to.as_ref() != Some(bound)))
}

/// Hands over the rows of one query.
async fn read(
    link: &mut MysqlLink,
    table: &Arc<Table>,
    sql: &str,
    teller: &Teller,
) -> Result<(), Failure> {
    let columns = table.catalogued.info.columns.len();
    let columns = u16::try_from(columns).unwrap_or(u16::MAX);
    let error = |error| reading(table, error);
    let mut stream = link.query_stream(sql).await.map_err(error)?;
    let mut buffer = BytesMut::new();
    let mut batch = Vec::with_capacity(ROWS_OF_BATCH);
    let mut bytes = 0;
    while let Some(found) = stream.next_row().await.map_err(error)? {
        let mut builder = RowBuilder::new(&mut buffer, columns);
        for cell in found.cells() {
            match cell {
                Some(text) => builder.text(text),
                None => builder.null(),
            }
        }
        let row = Row::new(buffer.split().freeze());
        bytes += row.len();
        batch.push(row);
        if batch.len() >= ROWS_OF_BATCH || bytes >= BYTES_OF_BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(ROWS_OF_BATCH));
            bytes = 0;
            tell(teller, Told::Rows(Arc::clone(table), full)).await?;
        }
    }
    if !batch.is_empty() {
        tell(teller, Told::Rows(Arc::clone(table), batch)).await?;
    }
    Ok(())
}

fn reading(table: &Table, error: LinkError) -> Failure {
    match error.code() {
        // ER_TABLE_DEF_CHANGED, ER_BAD_FIELD_ERROR, ER_KEY_DOES_NOT_EXITS, and ER_TABLESPACE_MISSING and _DISCARDED,
        // which go when another is imported: it was altered since, or is just being.
        Some(1412 | 1054 | 1176 | 1812 | 1814) => Failure::Outdated,
        _ => SourceError::query(format!("reading table {}", table.name), error).into(),
    }
}

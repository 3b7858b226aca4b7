//! Random transactions on tables of different shape, from a seed.
//!
//! Every transaction ends with a row in the [`LEDGER`]: who wrote it, a counter that rises by one with each transaction
//! of that writer that *committed*, and how many changes the transaction holds. With it a reader of the log can prove
//! that no transaction is missing, none came twice, none is cut short, none is there that was rolled back, and that each
//! writer's came in the order of their commits; see [`checker`](crate::checker).
//!
//! The seed decides what each writer does. How the writers' statements fall between each other's is up to the machine.

mod dialect;
mod mysql;
mod session;
mod statement;
mod table;
mod witness;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use dialect::Dialect;
pub(crate) use dialect::EXTRA;
pub use session::Server;
pub(crate) use session::Session;
pub use table::Table;
pub use witness::Witness;
pub use writer::Written;

use session::Address;
use writer::Writer;

/// The writer whose transactions are the rows that are there at the start and the marker at the end.
const SETTER: i32 = 0;

/// How much is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides what is written.
    pub seed: u64,
    /// Writers at the same time, each with a connection of its own.
    pub writers: i32,
    /// Longest pause of a writer between two transactions.
    pub pause_max: Duration,
    /// Rows of the largest transactions.
    pub rows_max: i64,
    /// Rows of each table before the writers start.
    pub initial_rows: i64,
}

impl Options {
    /// Four writers, transactions of 1 to 50 000 rows, and a start that gives a snapshot some work.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            writers: 4,
            pause_max: Duration::from_millis(100),
            rows_max: 50_000,
            initial_rows: 3_000,
        }
    }
}

/// Writers at work. Dropping it lets them stop by themselves; [`Workload::finish`] waits for them.
#[derive(Debug)]
pub struct Workload {
    address: Address,
    writers: Vec<JoinHandle<Result<Written>>>,
    stop: CancellationToken,
    may_truncate: Arc<AtomicBool>,
}

impl Workload {
    /// Makes the tables and their first rows.
    ///
    /// # Errors
    ///
    /// The server refuses, or the tables are there already.
    pub async fn prepare<'a>(server: impl Into<Server<'a>>, options: &Options) -> Result<()> {
        let address = Address::of(server.into());
        let dialect = address.dialect;
        let mut session = address.connect("workload").await?;
        let made = session.settle(dialect.ddl()).await;
        made.context("cannot make the tables")?;
        session.enter().await?;
        let mut sql = String::from("begin;\n");
        for table in dialect.tables() {
            sql.push_str(&statement::fill(table.insert, 1, options.initial_rows, 0));
            sql.push_str(";\n");
        }
        // How many changes it holds nobody asks: it comes with the snapshot.
        sql.push_str(&writer::ledger_row(SETTER, 1, 0));
        sql.push_str("; commit");
        let written = session.settle(&sql).await;
        written.context("cannot write the first rows")
    }

    /// Starts the writers.
    #[must_use]
    pub fn start<'a>(server: impl Into<Server<'a>>, options: &Options) -> Self {
        let address = Address::of(server.into());
        let stop = CancellationToken::new();
        let may_truncate = Arc::new(AtomicBool::new(false));
        let writers = (1..=options.writers)
            .map(|number| {
                let writer = Writer::new(
                    number,
                    address.clone(),
                    options.clone(),
                    Arc::clone(&may_truncate),
                    stop.clone(),
                );
                tokio::spawn(writer.run())
            })
            .collect();
        Self {
            address,
            writers,
            stop,
            may_truncate,
        }
    }

    /// Lets the writers truncate tables from now on.
    ///
    /// Not before the snapshot is complete: `TRUNCATE` is not MVCC-safe. A reader whose snapshot is older sees the table
    /// empty and never learns of rows that were changed before the truncation, which the log then shows; a checker could
    /// not tell that from lost events. (Chapter "Concurrency Control", "Caveats" of PostgreSQL's manual.)
    pub fn allow_truncates(&self) {
        self.may_truncate.store(true, Ordering::Relaxed);
    }

    /// Another server takes over: the writers go on there once the one that they are connected to is gone.
    pub fn move_to<'a>(&self, server: impl Into<Server<'a>>) {
        self.address.move_to(server.into());
    }

    /// Whether a writer has given up; [`Workload::finish`] then says why.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.writers.iter().any(JoinHandle::is_finished)
    }

    /// Stops the writers and commits one last transaction, the marker. The marker is the last that the log shows.
    ///
    /// # Errors
    ///
    /// A writer met an error that a killed server does not explain.
    pub async fn finish(self) -> Result<Written> {
        self.stop.cancel();
        let mut total = Written::default();
        for writer in self.writers {
            total += writer.await.context("a writer panicked")??;
        }
        let mut session = self.address.connect("workload marker").await?;
        session.enter().await?;
        let row =
            format!("select coalesce(max(counter), 0) + 1 from ledger where writer = {SETTER}");
        let counter = session
            .number(&row)
            .await
            .map_err(|failure| failure.error)?;
        session
            .settle(&writer::ledger_row(SETTER, counter, 0))
            .await?;
        Ok(total)
    }
}

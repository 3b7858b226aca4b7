//! One writer: transactions with savepoints and rollbacks, through any number of crashes of the server.

use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::statement::{self, Size};
use crate::Postgres;

/// Time for a killed server to come back.
const SERVER_BACK_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a writer writes its largest transaction: after so many others.
const FLOOD_EVERY: u64 = 1_000;
/// Savepoints inside each other at most.
const DEPTH_MAX: usize = 3;

/// What was written.
#[derive(Debug, Default, Clone, Copy)]
pub struct Written {
    /// Transactions that committed.
    pub commits: u64,
    /// Transactions that were rolled back, on purpose or because writers were in each other's way.
    pub rollbacks: u64,
    /// Changes of rows and truncations that committed.
    pub changes: u64,
    /// Changes of the largest transaction.
    pub largest: u64,
    /// Commits that the server's death left in doubt.
    pub in_doubt: u64,
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.commits += other.commits;
        self.rollbacks += other.rollbacks;
        self.changes += other.changes;
        self.largest = self.largest.max(other.largest);
        self.in_doubt += other.in_doubt;
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
pub(super) struct Address {
    socket_dir: PathBuf,
    port: u16,
    database: String,
}

impl Address {
    pub(super) fn of(server: &Postgres, database: &str) -> Self {
        Self {
            socket_dir: server.socket_dir().to_owned(),
            port: server.port(),
            database: database.to_owned(),
        }
    }

    pub(super) async fn connect(&self, name: &str) -> Result<Client> {
        let (client, connection) = Config::new()
            .host_path(&self.socket_dir)
            .port(self.port)
            .user("postgres")
            .dbname(&self.database)
            .application_name(name)
            .connect(NoTls)
            .await?;
        tokio::spawn(async move {
            // Who uses the client gets the error; here it only ends the connection.
            drop(connection.await);
        });
        // Waiting for each other's locks must not take the time that is for writing.
        client
            .batch_execute("set deadlock_timeout = '50ms'; set lock_timeout = '1s'")
            .await?;
        Ok(client)
    }
}

/// The statement that ends every transaction.
pub(super) fn ledger_row(writer: i32, counter: i64, changes: u64) -> String {
    format!("insert into ledger (writer, counter, changes) values ({writer}, {counter}, {changes})")
}

pub(super) struct Writer {
    number: i32,
    address: Address,
    options: Options,
    may_truncate: Arc<AtomicBool>,
    stop: CancellationToken,
    random: StdRng,
    /// Of the last transaction that committed.
    counter: i64,
    written: Written,
}

/// What a transaction came to.
enum Outcome {
    Committed(u64),
    RolledBack,
}

/// A transaction that failed.
struct Failed {
    error: Error,
    /// Its changes, if the commit had been sent: nobody knows whether it is in.
    in_doubt: Option<u64>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            error,
            in_doubt: None,
        }
    }
}

impl Writer {
    pub(super) fn new(
        number: i32,
        address: Address,
        options: Options,
        may_truncate: Arc<AtomicBool>,
        stop: CancellationToken,
    ) -> Self {
        let stream = u64::from(number.unsigned_abs()) << 32;
        Self {
            number,
            address,
            may_truncate,
            stop,
            random: StdRng::seed_from_u64(options.seed ^ stream),
            options,
            counter: 0,
            written: Written::default(),
        }
    }

    /// Writes until told to stop.
    pub(super) async fn run(mut self) -> Result<Written> {
        let mut connection = None;
        for turn in 1_u64.. {
            if self.stop.is_cancelled() {
                break;
            }
            let client = match connection.take() {
                Some(client) => client,
                None => self.connect().await?,
            };
            match self.transaction(&client, turn).await {
                Ok(Outcome::Committed(changes)) => self.committed(changes),
                Ok(Outcome::RolledBack) => self.written.rollbacks += 1,
                Err(Failed { error, in_doubt }) => {
                    self.failed(&client, error, in_doubt).await?;
                    drop(client);
                    continue;
                }
            }
            connection = Some(client);
            let pause = self
                .random
                .random_range(0..=self.options.pause_max.as_millis());
            sleep(Duration::from_millis(u64::try_from(pause)?)).await;
        }
        Ok(self.written)
    }

    fn name(&self) -> String {
        format!("workload writer {}", self.number)
    }

    /// Connects once the server is there and no session of this writer is left behind in it: a commit of which nobody
    /// knows would otherwise still be under way.
    async fn connect(&self) -> Result<Client> {
        let end = Instant::now() + SERVER_BACK_WITHIN;
        loop {
            match self.try_connect().await {
                Ok(Some(client)) => return Ok(client),
                Err(error) if Instant::now() > end => {
                    return Err(error.context(format!("{} finds no server", self.name())));
                }
                Ok(None) if Instant::now() > end => {
                    bail!("the old session of {} does not end", self.name());
                }
                Ok(None) | Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn try_connect(&self) -> Result<Option<Client>> {
        let name = self.name();
        let client = self.address.connect(&name).await?;
        let others = "select count(*) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()";
        let others: i64 = client.query_one(others, &[&name]).await?.get(0);
        Ok((others == 0).then_some(client))
    }

    fn committed(&mut self, changes: u64) {
        self.counter += 1;
        self.written.commits += 1;
        self.written.changes += changes;
        self.written.largest = self.written.largest.max(changes);
    }

    /// Finds out what became of a transaction that failed.
    async fn failed(&mut self, client: &Client, error: Error, in_doubt: Option<u64>) -> Result<()> {
        if !is_expected(&error, client) {
            return Err(error).with_context(|| format!("{} failed", self.name()));
        }
        self.written.rollbacks += 1;
        let Some(changes) = in_doubt else {
            return Ok(());
        };
        self.written.in_doubt += 1;
        let found = loop {
            let client = self.connect().await?;
            let sql = "select exists (select from ledger where writer = $1 and counter = $2)";
            match client
                .query_one(sql, &[&self.number, &(self.counter + 1)])
                .await
            {
                Ok(row) => break row.get(0),
                // Killed again; connecting has a deadline.
                Err(error) if is_expected(&error, &client) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if found {
            self.written.rollbacks -= 1;
            self.committed(changes);
        }
        Ok(())
    }

    /// One transaction, with the ledger's row at its end.
    async fn transaction(&mut self, client: &Client, turn: u64) -> Result<Outcome, Failed> {
        client.batch_execute("begin").await?;
        // The changes since each open savepoint; the first is the transaction itself.
        let mut open = vec![0_u64];
        for step in self.steps(turn) {
            match step {
                Step::Run(statement) => {
                    let rows = client.execute(&statement.sql, &[]).await?;
                    if let Some(changes) = open.last_mut() {
                        *changes += rows + statement.truncates;
                    }
                }
                Step::Save => {
                    client
                        .batch_execute(&format!("savepoint s{}", open.len()))
                        .await?;
                    open.push(0);
                }
                Step::Back => {
                    open.pop();
                    client
                        .batch_execute(&format!("rollback to s{}", open.len()))
                        .await?;
                }
                Step::Release => {
                    let changes = open.pop().unwrap_or_default();
                    client
                        .batch_execute(&format!("release s{}", open.len()))
                        .await?;
                    if let Some(outer) = open.last_mut() {
                        *outer += changes;
                    }
                }
            }
        }
        let changes = open.iter().sum();
        let row = ledger_row(self.number, self.counter + 1, changes);
        client.execute(&row, &[]).await?;
        if self.random.random_bool(0.1) {
            client.batch_execute("rollback").await?;
            return Ok(Outcome::RolledBack);
        }
        match client.batch_execute("commit").await {
            Ok(()) => Ok(Outcome::Committed(changes)),
            Err(error) => Err(Failed {
                error,
                in_doubt: Some(changes),
            }),
        }
    }

    /// What the transaction does.
    fn steps(&mut self, turn: u64) -> Vec<Step> {
        let rows_max = self.options.rows_max;
        // Each writer at another time, and only the first with all the rows there may be.
        if turn % FLOOD_EVERY == 20 * u64::from(self.number.unsigned_abs()) {
            let rows = rows_max / i64::from(self.number);
            return vec![Step::Run(statement::flood(rows, &mut self.random))];
        }
        let random = &mut self.random;
        let (size, statements) = match random.random_range(0..1000) {
            0 => (
                Size::Large(random.random_range(1_000..=rows_max.max(1_000))),
                1,
            ),
            1..30 => (Size::Medium, random.random_range(1..=3)),
            _ => (Size::Small, random.random_range(1..=6)),
        };
        let truncate = self.may_truncate.load(Ordering::Relaxed) && random.random_bool(0.01);
        let mut steps = Vec::new();
        let mut depth = 0;
        for _ in 0..statements {
            while random.random_bool(0.25) && depth < DEPTH_MAX {
                steps.push(Step::Save);
                depth += 1;
            }
            steps.push(Step::Run(statement::change(random, size)));
            while depth > 0 && random.random_bool(0.3) {
                steps.push(if random.random() {
                    Step::Back
                } else {
                    Step::Release
                });
                depth -= 1;
            }
        }
        if truncate {
            steps.push(Step::Run(statement::truncate(random)));
            if depth > 0 && random.random() {
                steps.push(Step::Back);
            }
        }
        steps
    }
}

enum Step {
    Run(statement::Statement),
    Save,
    Back,
    Release,
}

/// Whether an error is what happens among writers, or to those whose server is killed.
fn is_expected(error: &Error, client: &Client) -> bool {
    let Some(code) = error.code() else {
        // Not an answer of the server: the connection broke.
        return client.is_closed()
            || error.is_closed()
            || std::error::Error::source(error).is_some();
    };
    let code = code.code();
    // Rolled back for the good of others (40), a lock not given (55P03), a key taken meanwhile (23505), and the many ways
    // to say that the server goes down or comes up (57).
    ["40", "57"].iter().any(|class| code.starts_with(class)) || ["55P03", "23505"].contains(&code)
}

//! One writer: transactions with savepoints and rollbacks, through any number of crashes of the server.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::session::{Address, Failure, Session};
use super::statement::{self, Size};

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
    failure: Failure,
    /// Its changes, if the commit had been sent: nobody knows whether it is in.
    in_doubt: Option<u64>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
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
            let mut session = match connection.take() {
                Some(session) => session,
                None => self.connect().await?,
            };
            match self.transaction(&mut session, turn).await {
                Ok(Outcome::Committed(changes)) => self.committed(changes),
                Ok(Outcome::RolledBack) => self.written.rollbacks += 1,
                Err(Failed { failure, in_doubt }) => {
                    drop(session);
                    self.failed(failure, in_doubt).await?;
                    continue;
                }
            }
            connection = Some(session);
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
    async fn connect(&self) -> Result<Session> {
        let end = Instant::now() + SERVER_BACK_WITHIN;
        loop {
            match self.try_connect().await {
                Ok(Some(session)) => return Ok(session),
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

    async fn try_connect(&self) -> Result<Option<Session>> {
        let name = self.name();
        let mut session = self.address.connect(&name).await?;
        session.enter().await?;
        Ok(session.is_alone(&name).await?.then_some(session))
    }

    fn committed(&mut self, changes: u64) {
        self.counter += 1;
        self.written.commits += 1;
        self.written.changes += changes;
        self.written.largest = self.written.largest.max(changes);
    }

    /// Finds out what became of a transaction that failed.
    async fn failed(&mut self, failure: Failure, in_doubt: Option<u64>) -> Result<()> {
        let Failure { error, expected } = failure;
        if !expected {
            return Err(error.context(format!("{} failed", self.name())));
        }
        self.written.rollbacks += 1;
        let Some(changes) = in_doubt else {
            return Ok(());
        };
        self.written.in_doubt += 1;
        let sql = format!(
            "select count(*) from ledger where writer = {} and counter = {}",
            self.number,
            self.counter + 1
        );
        let found = loop {
            match self.connect().await?.number(&sql).await {
                Ok(found) => break found,
                // Killed again; connecting has a deadline.
                Err(failure) if failure.expected => {}
                Err(failure) => return Err(failure.error),
            }
        };
        if found > 0 {
            self.written.rollbacks -= 1;
            self.committed(changes);
        }
        Ok(())
    }

    /// One transaction, with the ledger's row at its end.
    async fn transaction(&mut self, client: &mut Session, turn: u64) -> Result<Outcome, Failed> {
        let dialect = self.address.dialect;
        if !dialect.truncates_in_transactions() {
            self.reshape(client).await?;
        }
        client.batch("begin").await?;
        // The changes since each open savepoint; the first is the transaction itself.
        let mut open = vec![0_u64];
        for step in self.steps(turn) {
            match step {
                Step::Run(statement) => {
                    let rows = client.run(&statement.sql).await?;
                    if let Some(changes) = open.last_mut() {
                        *changes += rows + statement.truncates;
                    }
                }
                Step::Save => {
                    client.batch(&format!("savepoint s{}", open.len())).await?;
                    open.push(0);
                }
                Step::Back => {
                    open.pop();
                    client
                        .batch(&format!("rollback to savepoint s{}", open.len()))
                        .await?;
                }
                Step::Release => {
                    let changes = open.pop().unwrap_or_default();
                    client
                        .batch(&format!("release savepoint s{}", open.len()))
                        .await?;
                    if let Some(outer) = open.last_mut() {
                        *outer += changes;
                    }
                }
            }
        }
        let changes = open.iter().sum();
        let row = ledger_row(self.number, self.counter + 1, changes);
        client.run(&row).await?;
        if self.random.random_bool(0.1) {
            client.batch("rollback").await?;
            return Ok(Outcome::RolledBack);
        }
        match client.batch("commit").await {
            Ok(()) => Ok(Outcome::Committed(changes)),
            Err(failure) => Err(Failed {
                failure,
                in_doubt: Some(changes),
            }),
        }
    }

    /// Now and then, what is a transaction of its own in this database: a change of a table's shape, or a truncation.
    async fn reshape(&mut self, client: &mut Session) -> Result<(), Failed> {
        let dialect = self.address.dialect;
        let table = statement::pick(dialect.tables(), &mut self.random);
        // Seldom while the first snapshot is taken, which begins again at each.
        let streams = self.may_truncate.load(Ordering::Relaxed);
        if self.random.random_bool(if streams { 0.02 } else { 0.001 }) {
            let salt = self.random.random_range(1..1_000);
            for sql in dialect.touch(table, salt) {
                client.batch(&sql).await?;
            }
        }
        if streams
            && self.random.random_bool(0.01)
            && let Some(sql) = dialect.reshape(table, self.random.random())
        {
            client.batch(&sql).await?;
        }
        if streams && self.random.random_bool(0.005) {
            client
                .batch(&format!("truncate table {}", table.sql))
                .await?;
        }
        Ok(())
    }

    /// What the transaction does.
    fn steps(&mut self, turn: u64) -> Vec<Step> {
        let rows_max = self.options.rows_max;
        let tables = self.address.dialect.tables();
        // Each writer at another time, and only the first with all the rows there may be.
        if turn % FLOOD_EVERY == 20 * u64::from(self.number.unsigned_abs()) {
            let rows = rows_max / i64::from(self.number);
            return vec![Step::Run(statement::flood(tables, rows, &mut self.random))];
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
        let truncate = self.address.dialect.truncates_in_transactions()
            && self.may_truncate.load(Ordering::Relaxed)
            && random.random_bool(0.01);
        let mut steps = Vec::new();
        let mut depth = 0;
        for _ in 0..statements {
            while random.random_bool(0.25) && depth < DEPTH_MAX {
                steps.push(Step::Save);
                depth += 1;
            }
            steps.push(Step::Run(statement::change(tables, random, size)));
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
            steps.push(Step::Run(statement::truncate(tables, random)));
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

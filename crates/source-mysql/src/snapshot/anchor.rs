//! Finding a point of the log, and transactions that see the tables exactly as they were at that point.
//!
//! MySQL does not export snapshots: each reader opens its own, and all of them must be opened while
//! nothing is committed. The ways to such a moment, the least intrusive first:
//!
//! | way | needs | stops |
//! |---|---|---|
//! | MariaDB's `binlog_snapshot_position` | nothing | nobody; tried until all readers got the same point |
//! | `FLUSH TABLES WITH READ LOCK` | RELOAD or FLUSH_TABLES | all commits, for milliseconds |
//! | `LOCK TABLES … READ` | LOCK TABLES | commits on these tables, for milliseconds |
//! | the log's end before and after | GTIDs | nobody; tried until nothing was committed between |
//!
//! A lock that has to wait for a long query makes others wait behind it; so it is waited for only
//! briefly, and then the next way is taken.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_binlog::{Coordinates, Flavor};
use adit_event::Timestamp;
use futures_util::future::try_join_all;
use tracing::{info, warn};

use crate::catalog::{Catalogued, table_info};
use crate::error::SourceError;
use crate::identity::log_end;
use crate::link::{LinkError, MysqlLink};
use crate::position::Executed;
use crate::quote;
use crate::scan::is_all_among;
use crate::session;
use crate::source::MysqlOptions;
use crate::state::TableName;

/// How long a lock is waited for: meanwhile writers wait behind us.
const LOCK_WAIT_SECONDS: u32 = 2;
/// How often it is tried to open all readers at the same point without a lock.
const TRIES: usize = 20;
/// How often each reader is asked where its snapshot stands, one after the other. MariaDB writes the answer to a variable
/// that all sessions share before it prints it (`sql/log.cc`, `binlog_snapshot_position`), so that two sessions that ask
/// at the same moment, a monitoring tool's too, may both get what only one of them has.
const ASKED: usize = 3;

/// Transactions that see the tables as they were at `point`.
#[derive(Debug)]
pub(crate) struct Anchor {
    /// Transactions before it are visible, later ones are not.
    pub(crate) point: Coordinates,
    /// The transactions before it, where that is known exactly.
    pub(crate) executed: Executed,
    pub(super) workers: Vec<MysqlLink>,
    /// Holds locks on the tables whose engine has no consistent reads, until they are read.
    pub(super) locked: Option<MysqlLink>,
    /// The tables as the catalogue had them shortly before.
    pub(super) tables: Vec<(TableName, Catalogued)>,
    pub(super) read_at: Timestamp,
}

/// Why a way is not open.
enum Failure {
    /// The server does not let us, or not now.
    Refused(String),
    /// Something else failed.
    Failed(SourceError),
}

impl<E: Into<SourceError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    MariadbSnapshot,
    GlobalLock,
    TableLocks,
    LogStatus,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::MariadbSnapshot => "consistent snapshots",
            Self::GlobalLock => "FLUSH TABLES WITH READ LOCK",
            Self::TableLocks => "LOCK TABLES",
            Self::LogStatus => "two looks at the log's end",
        }
    }
}

impl Anchor {
    /// Opens `workers` transactions for reading the tables; those that are not there any more are left out.
    pub(crate) async fn open(
        options: &MysqlOptions,
        tables: &[TableName],
    ) -> Result<Self, SourceError> {
        let mut control = session::sql(options, "adit snapshot").await?;
        let mut found = Vec::new();
        for name in tables {
            match table_info(&mut control, name).await? {
                Some(catalogued) => found.push((name.clone(), catalogued)),
                None => info!(table = %name, "table is gone; not read"),
            }
        }
        let connect = (0..options.snapshot.workers.max(1)).map(|_| session::reader(options));
        let mut opening = Opening {
            options,
            workers: try_join_all(connect).await?,
            control,
            locked: None,
            tables: found,
        };
        let ways: &[Way] = match opening.control.server().flavor {
            Flavor::Mysql => &[Way::GlobalLock, Way::TableLocks, Way::LogStatus],
            Flavor::Mariadb => &[Way::MariadbSnapshot, Way::GlobalLock, Way::TableLocks],
        };
        let mut tried = Vec::new();
        for way in ways {
            match opening.go(*way).await {
                Ok((point, executed)) => {
                    info!(way = way.name(), consistent_point = %point, workers = opening.workers.len(), "consistent point found");
                    return Ok(Self {
                        point,
                        executed,
                        workers: opening.workers,
                        locked: opening.locked,
                        tables: opening.tables,
                        read_at: now(),
                    });
                }
                Err(Failure::Refused(why)) => {
                    warn!(way = way.name(), why, "no consistent point this way");
                    tried.push(format!("{}: {why}", way.name()));
                    opening.abandon().await?;
                }
                Err(Failure::Failed(error)) => return Err(error),
            }
        }
        Err(SourceError::NoAnchor {
            tried: tried.join("; "),
            user: options.connect.user().to_owned(),
        })
    }
}

/// An anchor that is being set up.
struct Opening<'a> {
    options: &'a MysqlOptions,
    /// Takes locks and asks for positions.
    control: MysqlLink,
    workers: Vec<MysqlLink>,
    locked: Option<MysqlLink>,
    tables: Vec<(TableName, Catalogued)>,
}

impl Opening<'_> {
    async fn go(&mut self, way: Way) -> Result<(Coordinates, Executed), Failure> {
        match way {
            Way::MariadbSnapshot => self.mariadb_snapshot().await,
            Way::GlobalLock => self.global_lock().await,
            Way::TableLocks => self.table_locks().await,
            Way::LogStatus => self.log_status().await,
        }
    }

    async fn global_lock(&mut self) -> Result<(Coordinates, Executed), Failure> {
        self.lock_wait().await?;
        refusable(self.control.execute("FLUSH TABLES WITH READ LOCK").await)?;
        // Read locks go along with the global one.
        self.lock_others().await?;
        self.begin().await?;
        let (point, set) = log_end(&mut self.control).await?;
        self.unlock().await?;
        let executed = match self.control.server().flavor {
            Flavor::Mysql => exact(&set),
            Flavor::Mariadb => self.position_at(&point).await?,
        };
        Ok((point, executed))
    }

    async fn table_locks(&mut self) -> Result<(Coordinates, Executed), Failure> {
        self.lock_wait().await?;
        self.lock_others().await?;
        let consistent = self.tables.iter().filter(|(_, table)| table.transactional);
        if let Some(sql) = lock(consistent.map(|(name, _)| name)) {
            refusable(self.control.execute(&sql).await)?;
        }
        self.begin().await?;
        // Other tables' transactions may lie before or behind it: it is all the same to these tables.
        let (point, _) = log_end(&mut self.control).await?;
        self.unlock().await?;
        let executed = match self.control.server().flavor {
            Flavor::Mysql => Executed::Unknown,
            Flavor::Mariadb => self.position_at(&point).await?,
        };
        Ok((point, executed))
    }

    async fn mariadb_snapshot(&mut self) -> Result<(Coordinates, Executed), Failure> {
        self.all_consistent()?;
        for _ in 0..TRIES {
            self.begin().await?;
            let mut points = Vec::new();
            for _ in 0..ASKED {
                for link in &mut self.workers {
                    points.push(snapshot_position(link).await?);
                }
            }
            let Some(point) = points.first().cloned() else {
                continue;
            };
            if points.iter().all(|other| *other == point) {
                let executed = self.position_at(&point).await?;
                return Ok((point, executed));
            }
            self.rollback().await?;
        }
        Err(Failure::Refused(format!(
            "in {TRIES} tries the readers never got the same position"
        )))
    }

    async fn log_status(&mut self) -> Result<(Coordinates, Executed), Failure> {
        self.all_consistent()?;
        for _ in 0..TRIES {
            let before = log_end(&mut self.control).await?;
            self.begin().await?;
            let after = log_end(&mut self.control).await?;
            let executed = exact(&after.1);
            if !executed.is_known() {
                return Err(Failure::Refused("the server has no GTIDs".to_owned()));
            }
            // A transaction is in the log before others see it, and in the set only afterwards: equal positions
            // say that none entered the log, and the set that none was on its way.
            if before == after && is_all_among(self.options, &after.0, &executed).await? {
                return Ok((after.0, executed));
            }
            self.rollback().await?;
        }
        Err(Failure::Refused(format!(
            "in {TRIES} tries something was always being committed"
        )))
    }

    /// Tables of engines without consistent reads need locks.
    fn all_consistent(&self) -> Result<(), Failure> {
        let mut others = self.tables.iter().filter(|(_, table)| !table.transactional);
        others.next().map_or(Ok(()), |(name, _)| {
            Err(Failure::Refused(format!(
                "table {name} is of an engine without consistent reads"
            )))
        })
    }

    async fn lock_wait(&mut self) -> Result<(), SourceError> {
        let sql = format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}");
        Ok(self.control.execute(&sql).await?)
    }

    /// Locks the tables of engines without consistent reads, on a connection of their own.
    async fn lock_others(&mut self) -> Result<(), Failure> {
        let others = self.tables.iter().filter(|(_, table)| !table.transactional);
        let Some(sql) = lock(others.map(|(name, _)| name)) else {
            return Ok(());
        };
        let mut link = session::reader(self.options).await?;
        refusable(link.execute(&sql).await)?;
        self.locked = Some(link);
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), SourceError> {
        let begin = self.workers.iter_mut().map(async |link: &mut MysqlLink| {
            link.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                .await
        });
        let begun = try_join_all(begin).await;
        begun.map_err(|error| SourceError::query("opening the snapshot", error))?;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), SourceError> {
        let rollback = self
            .workers
            .iter_mut()
            .map(async |link: &mut MysqlLink| link.execute("ROLLBACK").await);
        try_join_all(rollback).await?;
        Ok(())
    }

    async fn unlock(&mut self) -> Result<(), SourceError> {
        Ok(self.control.execute("UNLOCK TABLES").await?)
    }

    /// Back to the beginning, for another way.
    async fn abandon(&mut self) -> Result<(), SourceError> {
        self.unlock().await?;
        self.locked = None;
        self.rollback().await
    }

    /// MariaDB's GTID position at a place of the log.
    async fn position_at(&mut self, point: &Coordinates) -> Result<Executed, SourceError> {
        let file = quote::literal(&point.file);
        let sql = format!("SELECT BINLOG_GTID_POS({file}, {})", point.position);
        let rows = self.control.query(&sql).await;
        let rows = rows.map_err(|error| SourceError::query("reading the GTID position", error))?;
        let cell = rows.into_iter().flatten().flatten().next();
        let position = cell.and_then(|cell| str::from_utf8(&cell).ok()?.parse().ok());
        Ok(position.map_or(Executed::Unknown, Executed::Mariadb))
    }
}

/// MySQL's set when nothing is being committed.
fn exact(set: &str) -> Executed {
    if set.is_empty() {
        return Executed::Unknown;
    }
    set.parse()
        .map_or(Executed::Unknown, |base| Executed::Mysql {
            base,
            since: adit_binlog::gtid::GtidSet::default(),
        })
}

/// Where in the log a MariaDB transaction's snapshot stands.
async fn snapshot_position(link: &mut MysqlLink) -> Result<Coordinates, Failure> {
    let rows = link.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await;
    let rows =
        rows.map_err(|error| SourceError::query("reading the snapshot's position", error))?;
    let value = |name: &str| {
        let mut rows = rows.iter();
        rows.find_map(|row| match row.as_slice() {
            [Some(found), Some(value)] if found.eq_ignore_ascii_case(name.as_bytes()) => {
                str::from_utf8(value).ok()
            }
            _ => None,
        })
    };
    let (file, position) = (
        value("binlog_snapshot_file"),
        value("binlog_snapshot_position"),
    );
    match (file, position.and_then(|position| position.parse().ok())) {
        (Some(file), Some(position)) if !file.is_empty() => Ok(Coordinates {
            file: file.to_owned(),
            position,
        }),
        _ => Err(Failure::Refused(
            "the server does not say where its snapshots stand".to_owned(),
        )),
    }
}

/// The statement that locks tables against writing.
fn lock<'a>(tables: impl Iterator<Item = &'a TableName>) -> Option<String> {
    let tables = tables.map(|name| format!("{} READ", quote::table(&name.schema, &name.table)));
    let tables = tables.collect::<Vec<_>>();
    (!tables.is_empty()).then(|| format!("LOCK TABLES {}", tables.join(", ")))
}

/// What the server refuses closes a way; a broken connection is an error.
fn refusable<T>(result: Result<T, LinkError>) -> Result<T, Failure> {
    result.map_err(|error| match error.code() {
        Some(_) => Failure::Refused(error.to_string()),
        None => Failure::Failed(error.into()),
    })
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

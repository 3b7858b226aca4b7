//! `[connector.source]` and `[connector.snapshot]`: which kind of database it is, and what all kinds share.

use std::path::PathBuf;

use adit_pipeline::{SnapshotMode, SnapshotOptions, TableFilter};
use adit_source_mysql::MysqlOptions;
use adit_source_postgres::PostgresOptions;

use super::section::Section;
use super::{mysql, postgres};

/// Of one connector: what open transactions may keep in memory before they go to disk.
const SPILL_MEMORY_DEFAULT: u64 = 16_000_000;
/// Less would spill nearly every transaction.
const SPILL_MEMORY_LEAST: u64 = 64_000;
const SPILL_MEMORY_MOST: u64 = 64_000_000_000;
const WORKERS_DEFAULT: u64 = 4;
/// Each is a connection to the database.
const WORKERS_MOST: u64 = 64;
const CHUNK_ROWS_DEFAULT: u64 = 20_000;
const CHUNK_ROWS_MOST: u64 = 100_000_000;

/// A database, of whichever kind.
#[derive(Debug, Clone)]
pub(crate) enum SourceConfig {
    /// `postgres://`
    Postgres(PostgresOptions),
    /// `mysql://` and `mariadb://`
    Mysql(MysqlOptions),
}

/// How to reach it.
pub(crate) enum Connect {
    Postgres(adit_source_postgres::ConnectConfig),
    Mysql(adit_source_mysql::ConnectConfig),
}

/// What all kinds of databases have.
pub(crate) struct Shared {
    pub(crate) tables: TableFilter,
    pub(crate) snapshot: SnapshotOptions,
    pub(crate) spill_dir: PathBuf,
    pub(crate) spill_memory: usize,
}

impl SourceConfig {
    /// How snapshots are taken.
    pub(crate) const fn snapshot_mut(&mut self) -> &mut SnapshotOptions {
        match self {
            Self::Postgres(options) => &mut options.snapshot,
            Self::Mysql(options) => &mut options.snapshot,
        }
    }

    /// The database's name; empty where the URL names none.
    pub(crate) fn database(&self) -> &str {
        match self {
            Self::Postgres(options) => options.connect.database(),
            Self::Mysql(options) => options.connect.database().unwrap_or_default(),
        }
    }
}

impl Connect {
    /// What a connector that was given no name is called after.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Postgres(connect) => connect.database().to_owned(),
            Self::Mysql(connect) => match (connect.database(), connect.targets().first()) {
                (Some(database), _) => database.to_owned(),
                (None, Some(target)) => target.to_string(),
                (None, None) => "mysql".to_owned(),
            },
        }
    }
}

/// Reads where the database is; none if that cannot be used, which has been reported then.
pub(crate) fn connect(source: &mut Section<'_>) -> Option<Connect> {
    let password = source.secret("password_file");
    let Some(url) = source.text("url") else {
        if !source.has("url") {
            source.problem(
                "url",
                "it is missing: write it as \"postgres://user@host:5432/database\", or mysql:// or mariadb://",
            );
        }
        return None;
    };
    let scheme = url.value.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => {
            let connect: adit_source_postgres::ConnectConfig = report(source, url.value.parse())?;
            let with = adit_source_postgres::ConnectConfig::with_password;
            let twice = connect.password().is_some();
            with_password(source, connect, twice, password, with).map(Connect::Postgres)
        }
        "mysql" | "mariadb" => {
            let connect: adit_source_mysql::ConnectConfig = report(source, url.value.parse())?;
            let with = adit_source_mysql::ConnectConfig::with_password;
            let twice = connect.password().is_some();
            with_password(source, connect, twice, password, with).map(Connect::Mysql)
        }
        _ => {
            source.problem(
                "url",
                "it does not start with postgres://, mysql:// or mariadb://",
            );
            None
        }
    }
}

fn report<T, E: std::error::Error>(source: &Section<'_>, parsed: Result<T, E>) -> Option<T> {
    parsed
        .map_err(|error| source.problem("url", error.to_string()))
        .ok()
}

fn with_password<C>(
    source: &Section<'_>,
    connect: C,
    twice: bool,
    password: Option<secrecy::SecretString>,
    with: impl Fn(C, secrecy::SecretString) -> C,
) -> Option<C> {
    match password {
        Some(_) if twice => {
            source.problem(
                "password_file",
                "the url holds a password too: leave one of them out",
            );
            None
        }
        Some(password) => Some(with(connect, password)),
        None => Some(connect),
    }
}

/// Reads everything else; none if it cannot be used, which has been reported then.
pub(crate) fn read(
    source: &mut Section<'_>,
    snapshot: &mut Section<'_>,
    connect: Option<Connect>,
    connector: &str,
) -> Option<SourceConfig> {
    let globs: Vec<String> = source
        .texts("tables")
        .into_iter()
        .flatten()
        .map(|text| text.value)
        .collect();
    let tables = match TableFilter::parse(&globs) {
        Ok(tables) => Some(tables),
        Err(error) => {
            source.problem("tables", error.to_string());
            None
        }
    };
    let spill_dir = source.file("spill_dir").unwrap_or_else(std::env::temp_dir);
    let spill_memory = source.size(
        "spill_memory",
        SPILL_MEMORY_LEAST..=SPILL_MEMORY_MOST,
        SPILL_MEMORY_DEFAULT,
    );
    let snapshot = SnapshotOptions {
        mode: snapshot.choice(
            "mode",
            &[
                ("initial", SnapshotMode::Initial),
                ("never", SnapshotMode::Never),
                ("when_needed", SnapshotMode::WhenNeeded),
                ("only", SnapshotMode::Only),
            ],
            SnapshotMode::Initial,
        ),
        workers: usize::try_from(snapshot.number("workers", 1..=WORKERS_MOST, WORKERS_DEFAULT))
            .unwrap_or(1),
        chunk_rows: snapshot.number("chunk_rows", 1..=CHUNK_ROWS_MOST, CHUNK_ROWS_DEFAULT),
    };
    let (of_postgres, of_mysql) = (source.section("postgres"), source.section("mysql"));
    let shared = tables.map(|tables| Shared {
        tables,
        snapshot,
        spill_dir,
        spill_memory: usize::try_from(spill_memory).unwrap_or(usize::MAX),
    });
    match connect? {
        Connect::Postgres(connect) => {
            if source.has("mysql") {
                source.problem("mysql", "the url is not one of mysql or mariadb");
            }
            Some(SourceConfig::Postgres(postgres::read(
                of_postgres,
                connect,
                shared?,
                connector,
            )))
        }
        Connect::Mysql(connect) => {
            if source.has("postgres") {
                source.problem("postgres", "the url is not one of postgres");
            }
            Some(SourceConfig::Mysql(mysql::read(
                of_mysql, connect, shared?, connector,
            )))
        }
    }
}

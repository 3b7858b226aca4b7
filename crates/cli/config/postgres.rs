//! `[connector.source]`, `[connector.source.postgres]` and `[connector.snapshot]`.

use std::time::Duration;

use adit_source_postgres::{
    ConnectConfig, PostgresOptions, SnapshotMode, SnapshotOptions, TableFilter,
};

use super::section::Section;

/// Names in PostgreSQL are cut behind this many bytes.
const IDENTIFIER_LEN_MAX: usize = 63;
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);
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
/// The catalogue is looked at as often, which is work for the server.
const HEARTBEAT_LEAST: Duration = Duration::from_secs(1);

/// Reads where the database is; none if that cannot be used, which has been reported then.
pub(crate) fn connect(source: &mut Section<'_>) -> Option<ConnectConfig> {
    let password = source.secret("password_file");
    let Some(url) = source.text("url") else {
        if !source.has("url") {
            source.problem(
                "url",
                "it is missing: write it as \"postgres://user@host:5432/database\"",
            );
        }
        return None;
    };
    let connect: ConnectConfig = match url.value.parse() {
        Ok(connect) => connect,
        Err(error) => {
            source.problem("url", format!("{error}"));
            return None;
        }
    };
    match password {
        Some(_) if connect.password().is_some() => {
            source.problem(
                "password_file",
                "the url holds a password too: leave one of them out",
            );
            None
        }
        Some(password) => Some(connect.with_password(password)),
        None => Some(connect),
    }
}

/// Reads everything else; none if there is no connection, which has been reported then.
pub(crate) fn read(
    source: &mut Section<'_>,
    snapshot: &mut Section<'_>,
    connect: Option<ConnectConfig>,
    connector: &str,
) -> Option<PostgresOptions> {
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
    let mut postgres = source.section("postgres");
    let slot = identifier(&mut postgres, "slot", connector);
    if !slot
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        postgres.problem(
            "slot",
            "a slot's name has lower-case letters, digits and _ only",
        );
    }
    let publication = identifier(&mut postgres, "publication", connector);
    let manage_publication = postgres.flag("manage_publication", true);
    let failover = postgres.flag("failover", false);
    let heartbeat = postgres.duration("heartbeat", HEARTBEAT_DEFAULT);
    if heartbeat < HEARTBEAT_LEAST {
        postgres.problem("heartbeat", "it is shorter than one second");
    }
    postgres.finish();
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
    Some(PostgresOptions {
        name: connector.to_owned(),
        connect: connect?,
        tables: tables?,
        slot,
        publication,
        manage_publication,
        failover,
        heartbeat,
        snapshot,
        spill_dir,
        spill_memory: usize::try_from(spill_memory).unwrap_or(usize::MAX),
        temporary_slot: false,
    })
}

/// The name of an object in PostgreSQL; `adit_NAME` unless given.
fn identifier(postgres: &mut Section<'_>, key: &'static str, connector: &str) -> String {
    let Some(text) = postgres.text(key) else {
        return format!("adit_{connector}");
    };
    if text.value.is_empty() || text.value.len() > IDENTIFIER_LEN_MAX || text.value.contains('\0') {
        postgres.problem(
            key,
            format!("it must be 1 to {IDENTIFIER_LEN_MAX} bytes long"),
        );
    }
    text.value
}

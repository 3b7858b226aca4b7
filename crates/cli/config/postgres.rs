//! `[connector.source.postgres]`.

use std::time::Duration;

use adit_source_postgres::{ConnectConfig, PostgresOptions};

use super::section::Section;
use super::source::Shared;

/// Names in PostgreSQL are cut behind this many bytes.
const IDENTIFIER_LEN_MAX: usize = 63;
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);
/// The catalogue is looked at as often, which is work for the server.
const HEARTBEAT_LEAST: Duration = Duration::from_secs(1);

/// Reads `[connector.source.postgres]`; none if there is no connection, which has been reported then.
pub(crate) fn read(
    mut postgres: Section<'_>,
    connect: ConnectConfig,
    shared: Shared,
    connector: &str,
) -> PostgresOptions {
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
    PostgresOptions {
        name: connector.to_owned(),
        connect,
        tables: shared.tables,
        slot,
        publication,
        manage_publication,
        failover,
        heartbeat,
        snapshot: shared.snapshot,
        spill_dir: shared.spill_dir,
        spill_memory: shared.spill_memory,
        temporary_slot: false,
    }
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

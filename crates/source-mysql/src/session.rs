//! Connections for the different purposes, with the settings that each needs.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_binlog::Flavor;
use sha2::{Digest as _, Sha256};
use tracing::debug;

use crate::error::SourceError;
use crate::identity::derived_server_id;
use crate::link::{DumpGtid, DumpRequest, EventReader, LinkError, MysqlLink};
use crate::place::{Ask, Start};
use crate::position::{Executed, Place};
use crate::source::MysqlOptions;

/// How long the server may wait for us to take what it sends, in seconds. While the pipeline is full, or
/// a snapshot is read, nothing is taken. It costs the server nothing: the file that is being sent is on its
/// disk, and a connection that broke is noticed by the network.
const WRITE_TIMEOUT_SECONDS: u32 = 86_400;
/// How long a reader's connection may be idle, in seconds: it waits for the stream to come to its point.
const IDLE_SECONDS: u32 = 86_400;
/// How long a reader waits for a table that somebody alters.
const READER_LOCK_WAIT_SECONDS: u32 = 10;
/// The shortest and the longest time between two signs of life. 0 would switch them off.
const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));
/// `BINLOG_DUMP_NON_BLOCK`: the server ends the stream at the log's end.
const NON_BLOCK: u16 = 0x01;

/// A connection for queries.
pub(crate) async fn sql(options: &MysqlOptions, program: &str) -> Result<MysqlLink, SourceError> {
    let link = MysqlLink::connect(&options.connect, program).await?;
    let found = link.server().flavor;
    if options.flavor.is_some_and(|wanted| wanted != found) {
        return Err(SourceError::Flavor {
            target: link.target().to_string(),
            found,
        });
    }
    Ok(link)
}

/// A connection that reads tables: values as they are stored, in transactions that all see one point.
pub(crate) async fn reader(options: &MysqlOptions) -> Result<MysqlLink, SourceError> {
    let mut link = sql(options, "adit snapshot").await?;
    let settings = format!(
        "SET SESSION net_write_timeout = {WRITE_TIMEOUT_SECONDS}, wait_timeout = {IDLE_SECONDS}, \
         lock_wait_timeout = {READER_LOCK_WAIT_SECONDS}, character_set_results = NULL"
    );
    link.execute(&settings).await?;
    link.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let no_limit = match link.server().flavor {
        Flavor::Mysql => "SET SESSION max_execution_time = 0",
        Flavor::Mariadb => "SET SESSION max_statement_time = 0",
    };
    // MySQL 5.6 has no such limit.
    if let Err(error) = link.execute(no_limit).await {
        debug!(%error, "switching off the time limit of queries");
    }
    Ok(link)
}

/// Begins to receive the log.
pub(crate) async fn dump(
    options: &MysqlOptions,
    server: &str,
    start: &Start,
) -> Result<EventReader, SourceError> {
    let mut link = for_dump(options, Some(server)).await?;
    let server_id = server_id(options);
    let from = || match start.ask {
        Ask::Coordinates => start.place.coordinates.to_string(),
        Ask::Gtids => "its GTIDs".to_owned(),
    };
    // For the eyes of who looks at SHOW REPLICAS.
    let registered = link.register_replica(server_id).await;
    registered.map_err(|error| dump_error(options, from(), error))?;
    let opened = open_dump(link, server_id, 0, start.ask, &start.place).await;
    opened.map_err(|error| dump_error(options, from(), error))
}

/// Reads a part of the log that is there already, beside the stream: it ends where the log ends now.
pub(crate) async fn dump_to_end(
    options: &MysqlOptions,
    from: &Place,
    ask: Ask,
) -> Result<EventReader, SourceError> {
    let link = for_dump(options, None).await?;
    // Server ids are for the server to tell replicas apart; this one must not end the stream's own.
    let server_id = server_id(options) ^ 0x8000_0000;
    let opened = open_dump(link, server_id, NON_BLOCK, ask, from).await;
    opened.map_err(|error| dump_error(options, from.coordinates.to_string(), error))
}

/// Asks for the log.
async fn open_dump(
    mut link: MysqlLink,
    server_id: u32,
    flags: u16,
    ask: Ask,
    from: &Place,
) -> Result<EventReader, LinkError> {
    match (ask, &from.executed) {
        (Ask::Gtids, Executed::Mariadb(position)) => {
            let settings = format!(
                "SET @slave_connect_state = '{position}', @slave_gtid_strict_mode = 1, \
                 @slave_gtid_ignore_duplicates = 0"
            );
            link.execute(&settings).await?;
            link.dump(request(server_id, flags, "", 4)).await
        }
        (Ask::Gtids, executed) => {
            let set = executed.set().unwrap_or_default();
            link.dump_gtid(DumpGtid {
                server_id,
                flags,
                gtid_set_encoded: set.encode(),
            })
            .await
        }
        (Ask::Coordinates, _) => {
            let at = &from.coordinates;
            link.dump(request(server_id, flags, &at.file, at.position))
                .await
        }
    }
}

/// A connection with the settings that a replica makes before it asks for the log.
async fn for_dump(options: &MysqlOptions, server: Option<&str>) -> Result<MysqlLink, SourceError> {
    let mut link = sql(options, "adit").await?;
    let nanoseconds = heartbeat(options).as_nanos();
    let name = match server {
        Some(_) => instance(&options.name),
        None => instance(&format!("{} beside", options.name)),
    };
    // The checksums as they are in the files, so that they protect the whole way. Both the old and the new
    // names of the variables: each server looks at those that it knows.
    let mut settings = format!(
        "SET @master_binlog_checksum = @@global.binlog_checksum, \
         @source_binlog_checksum = @@global.binlog_checksum, \
         @master_heartbeat_period = {nanoseconds}, @source_heartbeat_period = {nanoseconds}, \
         @slave_uuid = '{name}', @replica_uuid = '{name}', \
         SESSION net_write_timeout = {WRITE_TIMEOUT_SECONDS}"
    );
    if link.server().flavor == Flavor::Mariadb {
        // MARIA_SLAVE_CAPABILITY_GTID: events of MariaDB's own kinds come as they are.
        settings.push_str(", @mariadb_slave_capability = 4");
    }
    link.execute(&settings).await?;
    if let Some(server) = server {
        // Behind one name there may be several servers.
        let id = match link.server().flavor {
            Flavor::Mysql => "SELECT @@global.server_uuid",
            Flavor::Mariadb => "SELECT @@global.server_id",
        };
        let rows = link.query(id).await?;
        let found = rows.into_iter().flatten().flatten().next();
        if found.as_deref() != Some(server.as_bytes()) {
            return Err(SourceError::StreamEnded);
        }
    }
    Ok(link)
}

const fn request(server_id: u32, flags: u16, file: &str, position: u64) -> DumpRequest<'_> {
    DumpRequest {
        server_id,
        flags,
        file,
        position,
    }
}

/// How often the server gives a sign of life.
pub(crate) fn heartbeat(options: &MysqlOptions) -> Duration {
    options.heartbeat.clamp(HEARTBEATS.0, HEARTBEATS.1)
}

/// The number by which the server knows this connector.
pub(crate) fn server_id(options: &MysqlOptions) -> u32 {
    match options.server_id {
        0 => derived_server_id(&options.name),
        id => id,
    }
}

/// The UUID by which MySQL knows one running instance of a connector: a later connection of the same
/// instance ends an earlier one that the server has not missed yet.
pub(crate) fn instance(name: &str) -> String {
    static START: LazyLock<Duration> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default()
    });
    let seed = format!("{name} {} {}", std::process::id(), START.as_nanos());
    let hash = Sha256::digest(seed.as_bytes());
    let mut hex: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Version 8 (of one's own making), variant 1: RFC 9562.
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "8");
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    hex
}

/// What the server says when it does not send its log, or ends it.
///
/// Most of it comes as ER_MASTER_FATAL_ERROR_READING_BINLOG (1236) with a text of its own
/// (`sql/rpl_binlog_sender.cc`, MariaDB `sql/sql_repl.cc`).
pub(crate) fn dump_error(options: &MysqlOptions, from: String, source: LinkError) -> SourceError {
    let said = source.to_string();
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    match source.code() {
        // 4052: MariaDB's ER_SLAVE_SAME_ID.
        Some(1236 | 4052) if says(&["same server_uuid", "same server_id", "same server id"]) => {
            SourceError::ServerIdTaken {
                server_id: server_id(options),
                said,
            }
        }
        Some(1236)
            if says(&[
                "purged",
                "Could not find first log file name",
                "Could not find GTID state",
            ]) =>
        {
            SourceError::Gap {
                resume: from,
                oldest: format!("another (the server said: {said})"),
            }
        }
        Some(1236)
            if says(&[
                "position > file size",
                "more GTIDs",
                "which is not in the master's binlog",
            ]) =>
        {
            SourceError::DivergedSaid {
                published: from,
                said,
            }
        }
        _ => SourceError::Dump { from, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_a_uuid_of_its_own() {
        let uuid = instance("shop 1");
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid, instance("shop 1"));
        assert_ne!(uuid, instance("shop 2"));
        assert!(uuid.parse::<adit_binlog::gtid::Uuid>().is_ok());
    }
}

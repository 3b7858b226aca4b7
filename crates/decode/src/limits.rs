//! The bounds that decoders hold their input to, each with its reason.
//!
//! A limit is not a tuning knob: it lies above everything a healthy server sends, so that meeting
//! it means the bytes are damaged or are not what they were taken for.

/// Bytes in one PostgreSQL message: 1 GiB.
///
/// A backend builds each message in one allocation, and those end below 1 GiB (`MaxAllocSize`).
pub const POSTGRES_MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Columns in a PostgreSQL relation or tuple: 1600.
///
/// PostgreSQL's own limit for a table (`MaxHeapAttributeNumber`); also see its manual's
/// appendix "PostgreSQL Limits".
pub const POSTGRES_COLUMNS_MAX: usize = 1600;

/// Relations in one PostgreSQL `TRUNCATE`: 1 Mi.
///
/// The server has no limit beside its lock table: each truncated relation, partitions included,
/// holds a lock until commit. A million locks is beyond any configuration seen in use.
pub const POSTGRES_TRUNCATE_RELATIONS_MAX: usize = 1 << 20;

/// Bytes in a PostgreSQL name (schema, table, column, type, replication origin, prepared
/// transaction): 4096.
///
/// Identifiers are cut to 63 bytes unless the server was built with a larger `NAMEDATALEN`,
/// prepared transactions' names to 199; an origin's name must fit an index entry of 2704 bytes.
pub const POSTGRES_NAME_BYTES_MAX: usize = 4096;

/// Bytes in one event of a binary log: 1 GiB.
///
/// The largest packet that a server sends to a replica (`MAX_MAX_ALLOWED_PACKET`, 1 GiB).
pub const BINLOG_EVENT_BYTES_MAX: usize = (1 << 30) + 64;

/// Columns in a table of MySQL or MariaDB: 4096.
///
/// MySQL's manual, "Limits on Table Column Count" (`MAX_FIELDS`); MariaDB's limit is the same.
pub const MYSQL_COLUMNS_MAX: usize = 4096;

/// Containers inside each other in one JSON value: 100.
///
/// `JSON_DOCUMENT_MAX_DEPTH` of the server.
pub const MYSQL_JSON_DEPTH_MAX: usize = 100;

/// Sets in which one GTID set is written: 1 Mi.
///
/// A set has one entry for each server and tag that ever wrote; a million is beyond any topology.
pub const GTID_SIDS_MAX: usize = 1 << 20;

/// Intervals of one server in a GTID set: 16 Mi.
///
/// Each interval is a hole that somebody made; a healthy set has one or a few for each server.
pub const GTID_INTERVALS_MAX: usize = 1 << 24;

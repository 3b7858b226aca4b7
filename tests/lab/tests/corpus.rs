//! Logs of servers that the lab cannot have.
//!
//! MySQL's own tests keep files of servers from 5.0 to 9.0, some of them damaged on purpose. Each decodes to what is
//! written here, and no cut of any of them is more than an error.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use adit_binlog::charset::Charset;
use adit_binlog::decoder::{Answer, DecoderOptions, Output};
use adit_binlog::event::{ColumnType, Event, TableMap, TypeCode};
use adit_binlog::table::{ColumnInfo, TableInfo};
use adit_binlog::{Coordinates, Decoder, EventHeader, Flavor, checksum};
use adit_decode::Reader;
use adit_event::{Connector, Encoder, EventKind, SourceMeta, Timestamp, Transaction, ValueOptions};
use adit_lab::mysql;
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use expect_test::expect;

/// What a file starts with.
const MAGIC: &[u8] = b"\xfebin";
/// What an encrypted one starts with.
const ENCRYPTED: &[u8] = b"\xfdbin";
/// Cuts of one file: all of a small one.
const CUTS_MAX: usize = 2_000;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    events: usize,
    transactions: usize,
    changes: usize,
    /// Changes that were logged as statements.
    statements: usize,
}

/// Reads a file, and says what was found in it.
struct Reading {
    decoder: Decoder,
    encoder: Encoder,
    found: Found,
    /// XA transactions that are prepared.
    staged: HashMap<u64, Vec<Bytes>>,
    /// The server's.
    version: String,
    /// The table of the last map.
    table: TableInfo,
    transaction: Option<Transaction>,
    /// The part of an event that the file ends in.
    cut: Bytes,
}

impl Reading {
    fn new() -> Self {
        let mut decoder = Decoder::new(DecoderOptions {
            flavor: Flavor::Mysql,
            epoch: 0,
        });
        decoder.start_at(Coordinates {
            file: "binlog.000001".to_owned(),
            position: MAGIC.len() as u64,
        });
        let meta = SourceMeta {
            connector: "corpus".to_owned(),
            kind: Connector::Mysql,
            database: String::new(),
        };
        Self {
            decoder,
            encoder: Encoder::new(&meta, ValueOptions::default()),
            found: Found::default(),
            staged: HashMap::new(),
            version: "?".to_owned(),
            table: TableInfo::default(),
            transaction: None,
            cut: Bytes::new(),
        }
    }

    fn read(&mut self, file: &Bytes) -> Result<()> {
        ensure!(!file.starts_with(ENCRYPTED), "encrypted");
        ensure!(file.starts_with(MAGIC), "no binlog file");
        let mut rest = file.slice(MAGIC.len()..);
        while !rest.is_empty() {
            let header = EventHeader::parse(&mut Reader::new(&rest)).context("ends in a header")?;
            let len = usize::try_from(header.length)?;
            if len > rest.len() {
                self.cut = rest;
                bail!("ends in an event");
            }
            self.event(&header, rest.split_to(len.max(EventHeader::LEN)))?;
        }
        Ok(())
    }

    fn event(&mut self, header: &EventHeader, event: Bytes) -> Result<()> {
        let content = checksum::verify(&event).unwrap_or(&event);
        match Event::parse(header, &content[EventHeader::LEN..], None) {
            Ok(Event::TableMap(map)) => self.table = table(&map).unwrap_or_default(),
            Ok(Event::FormatDescription(format)) => self.version = format.server_version,
            _ => {}
        }
        self.decoder.handle(event)?;
        self.found.events += 1;
        self.poll()
    }

    fn poll(&mut self) -> Result<()> {
        while let Some(output) = self.decoder.poll()? {
            match output {
                Output::NeedTable { .. } => {
                    let table = self.table.clone();
                    self.decoder.table(Answer::Wanted(Some(table)))?;
                }
                Output::Begin(transaction) => self.transaction = Some(transaction),
                Output::Change(change) => {
                    let transaction = self.transaction.as_ref().context("no transaction")?;
                    let event = adit_event::Event {
                        position: &transaction.positions.event(change.ordinal)?,
                        read_time: Timestamp::default(),
                        kind: EventKind::Change {
                            change: &change,
                            transaction,
                            last: false,
                        },
                    };
                    self.encoder.write(&event, &mut Vec::new())?;
                    self.found.changes += 1;
                }
                Output::Commit { .. } => self.found.transactions += 1,
                Output::Statement { .. } => self.found.statements += 1,
                Output::Stage { key, record } => self.staged.entry(key).or_default().push(record),
                Output::StagedRollback { key } => {
                    self.staged.remove(&key);
                }
                Output::StagedCommit { key } => self.give_back(key)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn give_back(&mut self, key: u64) -> Result<()> {
        let records = self.staged.remove(&key);
        let records = records.context("commits an XA transaction that was not prepared")?;
        self.decoder.begin_staged(key)?;
        for record in records {
            self.decoder.staged(record)?;
            self.poll()?;
        }
        self.decoder.commit_staged()?;
        Ok(())
    }
}

/// A table that fits a map: nobody has the old servers' catalogues.
fn table(map: &TableMap<'_>) -> Result<TableInfo> {
    let types = map.columns()?;
    let metadata = map.metadata(&types)?;
    let columns = types.iter().enumerate().map(|(index, column)| {
        let unsigned = metadata.unsigned.as_ref().is_some_and(|list| list[index]);
        let collation = metadata.collations.as_ref().and_then(|list| list[index]);
        let charset = collation.and_then(Charset::by_collation);
        let charset = charset.unwrap_or(Charset::BINARY);
        ColumnInfo {
            name: format!("c{index}"),
            column_type: declared(*column, unsigned, charset),
            charset: Some(charset.name().to_owned()),
            nullable: column.nullable,
            json: false,
        }
    });
    Ok(TableInfo {
        columns: columns.collect(),
        key: Vec::new(),
    })
}

fn declared(column: ColumnType, unsigned: bool, charset: Charset) -> String {
    let meta = column.meta;
    let labels = |count: u16| {
        let labels: Vec<_> = (0..count).map(|label| format!("'{label}'")).collect();
        labels.join(",")
    };
    let sign = if unsigned { " unsigned" } else { "" };
    let characters = u32::from(meta) / charset.character_len_max();
    match column.code {
        TypeCode::TINY => format!("tinyint{sign}"),
        TypeCode::SHORT => format!("smallint{sign}"),
        TypeCode::INT24 => format!("mediumint{sign}"),
        TypeCode::LONG => format!("int{sign}"),
        TypeCode::LONGLONG => format!("bigint{sign}"),
        TypeCode::FLOAT => format!("float{sign}"),
        TypeCode::DOUBLE => format!("double{sign}"),
        TypeCode::NEWDECIMAL => format!("decimal({},{}){sign}", meta >> 8, meta & 0xff),
        TypeCode::YEAR => "year".to_owned(),
        TypeCode::DATE | TypeCode::NEWDATE => "date".to_owned(),
        TypeCode::TIME | TypeCode::TIME2 => format!("time({meta})"),
        TypeCode::DATETIME | TypeCode::DATETIME2 => format!("datetime({meta})"),
        TypeCode::TIMESTAMP | TypeCode::TIMESTAMP2 => format!("timestamp({meta})"),
        TypeCode::BIT => format!("bit({})", 8 * (meta >> 8) + (meta & 0xff)),
        TypeCode::VARCHAR | TypeCode::VAR_STRING => format!("varchar({})", characters),
        TypeCode::STRING => format!("char({})", characters),
        TypeCode::ENUM => format!("enum({})", labels(if meta == 1 { 255 } else { 256 })),
        TypeCode::SET => format!("set({})", labels(8 * meta)),
        TypeCode::BLOB => match meta {
            1 => "tinytext".to_owned(),
            2 => "text".to_owned(),
            3 => "mediumtext".to_owned(),
            _ => "longtext".to_owned(),
        },
        TypeCode::JSON => "json".to_owned(),
        TypeCode::GEOMETRY => "geometry".to_owned(),
        TypeCode::VECTOR => "vector(4)".to_owned(),
        TypeCode(code) => format!("type {code}"),
    }
}

/// The files, by their names in MySQL's tests; of those that are the same the first.
fn files() -> BTreeMap<String, Bytes> {
    let root = mysql::old_logs().unwrap();
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    let mut seen: Vec<Bytes> = Vec::new();
    files.retain(|_, bytes| {
        let new = !seen.contains(bytes);
        seen.push(bytes.clone());
        new
    });
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Bytes>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if bytes.starts_with(MAGIC) || bytes.starts_with(ENCRYPTED) {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, bytes.into());
        }
    }
}

/// Of each file its server, and the numbers of events, of transactions with changes, of changes, and of changes that are
/// logged as statements; then why it is not read further. `mysqlbinlog` counts the same events.
#[test]
fn logs_of_old_servers_are_read_to_their_end_or_refused_with_a_reason() {
    let mut told = String::new();
    for (name, bytes) in files() {
        let mut reading = Reading::new();
        let ended = reading.read(&bytes);
        let Found {
            events,
            transactions,
            changes,
            statements,
        } = reading.found;
        let version = reading.version;
        writeln!(told, "{name} {version}").unwrap();
        write!(told, "    {events} {transactions} {changes} {statements}").unwrap();
        match ended {
            Ok(()) => told.push('\n'),
            Err(error) => writeln!(told, " {}", error.root_cause()).unwrap(),
        }
    }
    expect![[r#"
        std_data/binlog_56_gtid_reserved_word.000001 5.6.41-debug-log
            20 1 1 1
        std_data/binlog_no_fd_event.000001 ?
            0 0 0 0 binlog header.kind: unknown tag 0x30 (offset 23)
        std_data/binlog_recovery/ddl_in_transaction.000001 8.0.30-tr-debug
            6 0 1 0 a transaction's start came inside a transaction (at binlog.000001:507)
        std_data/binlog_recovery/duplicate_xid.000001 8.0.30-tr-debug
            11 1 2 0 binlog event.checksum: the event is damaged: its checksum does not fit (offset 27)
        std_data/binlog_recovery/duplicate_xid_ddl.000001 8.0.30-tr-debug
            8 1 1 0 binlog event.checksum: the event is damaged: its checksum does not fit (offset 109)
        std_data/binlog_recovery/duplicate_xid_xa_commit.000001 8.0.30-tr-debug
            17 2 2 0 commits an XA transaction that was not prepared
        std_data/binlog_recovery/duplicate_xid_xa_prepare.000001 8.0.30-tr-debug
            13 0 0 0 binlog event.checksum: the event is damaged: its checksum does not fit (offset 33)
        std_data/binlog_recovery/duplicate_xid_xa_rollback.000001 8.0.30-tr-debug
            17 2 2 0
        std_data/binlog_recovery/malformed_xid_xa_commit.000001 8.0.30-tr-debug
            14 1 1 0 binlog event.checksum: the event is damaged: its checksum does not fit (offset 87)
        std_data/binlog_recovery/malformed_xid_xa_rollback.000001 8.0.30-tr-debug
            14 1 1 0 binlog event.checksum: the event is damaged: its checksum does not fit (offset 89)
        std_data/binlog_recovery/orphan_begin_start.000001 8.0.30-tr-debug
            8 0 2 0 a transaction's start came inside a transaction (at binlog.000001:597)
        std_data/binlog_recovery/orphan_commit.000001 8.0.30-tr-debug
            6 0 0 0
        std_data/binlog_recovery/orphan_rollback.000001 8.0.30-tr-debug
            6 0 0 0
        std_data/binlog_recovery/orphan_xa_commit.000001 8.0.30-tr-debug
            12 1 1 0 a transaction's start came inside a transaction (at binlog.000001:889)
        std_data/binlog_recovery/orphan_xa_prepare.000001 8.0.30-tr-debug
            4 0 0 0
        std_data/binlog_recovery/orphan_xa_rollback.000001 8.0.30-tr-debug
            12 1 1 0 a transaction's start came inside a transaction (at binlog.000001:889)
        std_data/binlog_recovery/orphan_xid.000001 8.0.30-tr-debug
            9 1 1 0
        std_data/binlog_savepoint.000001 5.1.43-debug-log
            12 0 0 5
        std_data/binlog_transaction.000001 5.0.86-debug-log
            20 0 0 6
        std_data/binlog_transaction_with_GTID.000001 5.6.24-debug-log
            11 0 0 1
        std_data/binlog_transaction_with_anonymous_GTID.000001 5.7.6-m16-debug-log
            9 0 0 1
        std_data/binlog_truncated_event.000001 ?
            0 0 0 0 binlog header.length: needed 4 bytes, 1 left (offset 9)
        std_data/binlog_truncated_prev_gtid_event.000001 5.7.2-m12-debug-log
            1 0 0 0 binlog header.length: needed 4 bytes, 0 left (offset 9)
        std_data/bug16266.000001 5.0.16-debug-log
            6 0 0 1
        std_data/bug27213339-bin.000001 5.7.22-debug-log
            95 0 0 0
        std_data/bug33029-slave-relay-bin.000001 5.0.58-debug-log
            43 0 0 19
        std_data/bug40482-bin.000001 5.1.30-debug-log
            1 0 0 0 the server noted at binlog.000001:128 that changes are missing in its log (incident 66: ); the tables must be read afresh: remove the connector's state with `adit drop NAME`, then start again
        std_data/corrupt-relay-bin.000624 5.0.30-enterprise-gpl-log
            872 0 0 281 binlog query.status: needed 16949 bytes, 139 left (offset 32)
        std_data/master-bin.000001 8.0.2-dmr-debug-log-asan
            3 0 0 0
        std_data/replicated-bin.000001 8.0.29-debug
            25 4 4 0
        std_data/replicated-bin.000002 8.0.29-debug
            20 3 3 0
        std_data/rpl_atomic_ddl_rollback_full.000001 5.7.22-debug-log
            11 0 0 0
        std_data/rpl_atomic_ddl_rollback_table.000001 5.7.22-debug-log
            7 0 0 0
        std_data/rpl_atomic_ddl_rollback_view.000001 5.7.22-debug-log
            7 0 0 0
        std_data/rpl_binlog_with_gipk_info_full_metadata.000001 8.0.32-debug
            16 2 2 0
        std_data/rpl_binlog_with_gipk_info_minimal_metadata.000001 8.0.32-tr-debug
            16 2 2 0
        std_data/rpl_binlog_with_gipk_info_no_gipk.000001 8.0.32-debug
            9 1 1 0
        std_data/rpl_binlog_with_gipk_info_with_gipk.000001 8.0.32-debug
            9 1 1 0
        std_data/rpl_binlog_with_no_gipk_info.000001 8.0.28-tr
            8 0 0 1
        std_data/rpl_cross_version_default_utf8mb4_collation.000001 5.7.22-debug-log
            19 0 0 2
        std_data/rpl_gipk_equivalent_key.000001 5.7.41-debug-log
            10 1 1 0
        std_data/rpl_no_gipk_high_column_number.000001 5.7.41-debug-log
            10 1 1 0
        std_data/rpl_no_gipk_low_column_number.000001 8.0.28-tr
            10 1 1 0
        std_data/rpl_no_gipk_minus_one_column_number.000001 8.0.28-tr
            10 1 1 0
        std_data/rpl_no_gipk_schema_divergence.000001 8.0.28-tr
            10 1 1 0
        std_data/rpl_nogtid_encryption_master-bin.000002 ?
            0 0 0 0 encrypted
        std_data/rpl_unfiltered_hidden_gcol.000001 8.0.17-debug
            15 1 1 0
        std_data/rpl_vector_binlog.000001 9.0.0-debug
            21 3 3 0
        std_data/slave-relay-bin.000001 5.7.25-debug-log
            6 0 0 0
        suite/binlog/std_data/bug11747887-bin.000003 5.6.4-m7-debug-log
            9 0 0 1
        suite/binlog/std_data/bug32407.001 5.7.1-m11-log
            7 1 2 0
        suite/binlog/std_data/update-full-row.binlog 8.3.0-cluster-debug
            13 1 7 0
        suite/binlog/std_data/update-partial-row.binlog 8.3.0-cluster-debug
            13 1 7 0
        suite/binlog/std_data/ver_5_1-wl2325_r.001 ?
            0 0 0 0 binlog format_description.server_version: the server is an early trial of MySQL 5.1 or 5.2, which numbers its events otherwise (offset 71)
        suite/binlog/std_data/ver_5_1-wl2325_s.001 ?
            0 0 0 0 binlog format_description.server_version: the server is an early trial of MySQL 5.1 or 5.2, which numbers its events otherwise (offset 71)
        suite/binlog/std_data/ver_5_1_23.001 5.1.23-rc-debug-log
            5 0 0 0 rows came outside a transaction (at binlog.000001:516)
        suite/binlog/std_data/ver_trunk_row_v2.001 5.6.4-m7-debug-log
            40 3 5 8
        suite/binlog/std_data/write-full-row.binlog 8.3.0-cluster-debug
            12 1 7 0
        suite/binlog/std_data/write-partial-row.binlog 8.3.0-cluster-debug
            13 1 7 0
        suite/binlog_gtid/std_data/update-full-row.binlog 5.1.37-ndb-6.2.19-debug-log
            10 1 7 0
        suite/binlog_gtid/std_data/update-partial-row.binlog 5.1.37-ndb-6.2.19-debug-log
            10 1 7 0
        suite/binlog_gtid/std_data/write-full-row.binlog 5.1.37-ndb-6.2.19-debug-log
            9 1 7 0
        suite/binlog_gtid/std_data/write-partial-row.binlog 5.1.37-ndb-6.2.19-debug-log
            10 1 7 0
    "#]].assert_eq(&told);
}

/// Also where the event says that it ends there.
#[test]
fn a_log_that_is_cut_anywhere_is_an_error_or_goes_on() {
    for bytes in files().into_values() {
        let step = bytes.len().div_ceil(CUTS_MAX);
        for end in (0..bytes.len()).step_by(step) {
            let mut reading = Reading::new();
            let cut = match reading.read(&bytes.slice(..end)) {
                Ok(()) => continue,
                Err(_) => reading.cut.clone(),
            };
            if let Some(event) = shortened(&cut) {
                let header = EventHeader::parse(&mut Reader::new(&event)).unwrap();
                // With a checksum it is an error; without one it may be a shorter event.
                let _outcome = reading.event(&header, event);
            }
        }
    }
}

/// An event that says that it ends where it was cut.
fn shortened(cut: &[u8]) -> Option<Bytes> {
    let mut event = cut.to_vec();
    let len = u32::try_from(event.len()).unwrap();
    event.get_mut(9..13)?.copy_from_slice(&len.to_le_bytes());
    (event.len() >= EventHeader::LEN).then(|| event.into())
}

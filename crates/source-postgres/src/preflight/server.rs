//! The server itself: version, settings, and what is open in it.

use std::collections::HashMap;

use adit_pipeline::Finding;
use tokio_postgres::types::Type;

use super::{Found, Question};
use crate::error::SourceError;
use crate::quote;

/// The oldest server that is tested.
const OLDEST: u32 = 130_000;
/// The first server that is not tested yet.
const UNKNOWN: u32 = 190_000;
/// A transaction that is open for longer than this is shown, in seconds.
const LONG_TRANSACTION_S: i64 = 10;
/// With less than this the server may give a busy connection up between two status updates, in
/// milliseconds.
const SENDER_TIMEOUT_LEAST_MS: i64 = 1_000;

/// Version, kind, encoding.
pub(super) async fn check(ask: &Question<'_>) -> Found {
    let mut findings = Vec::new();
    let version = ask.version().await?;
    let major = version / 10_000;
    findings.push(match version {
        0..OLDEST => Finding::fail(
            "server version",
            format!("PostgreSQL {major} is older than 13"),
            "upgrade the server to PostgreSQL 13 or later",
        ),
        OLDEST..UNKNOWN => Finding::ok("server version", format!("PostgreSQL {major}")),
        UNKNOWN.. => Finding::warn(
            "server version",
            format!("PostgreSQL {major} is newer than this adit has been tested with (13 to 18)"),
            "look for a newer version of adit",
        ),
    });
    if ask.in_recovery().await? {
        findings.push(if version < 160_000 {
            Finding::fail(
                "standby",
                "the server is a standby, and those decode their log from PostgreSQL 16 on",
                "point source.url at the primary; with several hosts add target_session_attrs=read-write",
            )
        } else {
            Finding::warn(
                "standby",
                "the server is a standby: the publication has to be made on the primary, a new slot waits until the \
                 primary has written a snapshot of its transactions, and the slot is lost when a needed row version goes",
                "set hot_standby_feedback = on here, and run SELECT pg_log_standby_snapshot() on the primary while adit starts",
            )
        });
    }
    findings.extend(encoding(ask).await?);
    Ok(findings)
}

async fn encoding(ask: &Question<'_>) -> Found {
    let sql = "SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database \
               WHERE datname = current_database()";
    let row = ask.client.query_one(sql, &[]).await;
    let row = row.map_err(|error| SourceError::query("reading the encoding", &error))?;
    let encoding: String = row.get::<_, String>(0);
    Ok(vec![if encoding == "SQL_ASCII" {
        Finding::warn(
            "encoding",
            "the database has none (SQL_ASCII): text that is not UTF-8 stops the connector",
            "move the data into a database with an encoding: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
    } else {
        Finding::ok("encoding", encoding)
    }])
}

/// The settings that matter.
pub(super) async fn settings(ask: &Question<'_>) -> Found {
    let names = [
        "wal_level",
        "max_slot_wal_keep_size",
        "idle_replication_slot_timeout",
        "synchronous_standby_names",
        "wal_sender_timeout",
        "logical_decoding_work_mem",
    ];
    let rows = ask
        .client
        .query_typed(
            "SELECT name, setting, current_setting(name) FROM pg_catalog.pg_settings WHERE name = ANY ($1)",
            &[(&names.as_slice(), Type::TEXT_ARRAY)],
        )
        .await
        .map_err(|error| SourceError::query("reading settings", &error))?;
    let settings: HashMap<String, Setting> = rows
        .iter()
        .map(|row| {
            let setting = Setting {
                raw: row.get(1),
                shown: row.get(2),
            };
            (row.get(0), setting)
        })
        .collect();
    let mut findings = Vec::new();
    let mut look = |name: &str, judge: &dyn Fn(&Setting) -> Finding| {
        findings.extend(settings.get(name).map(judge));
    };
    look("wal_level", &wal_level);
    look("max_slot_wal_keep_size", &wal_keep);
    look("idle_replication_slot_timeout", &idle_timeout);
    look("wal_sender_timeout", &sender_timeout);
    look("logical_decoding_work_mem", &|setting| {
        let detail = format!(
            "{}: what is larger is streamed or spilled to the server's disk",
            setting.shown
        );
        Finding::ok("logical_decoding_work_mem", detail)
    });
    look("synchronous_standby_names", &|setting| {
        synchronous(&setting.raw, ask.options.connect.application_name())
    });
    Ok(findings)
}

/// A setting as the server keeps it, and as it shows it.
struct Setting {
    raw: String,
    shown: String,
}

impl Setting {
    fn number(&self) -> i64 {
        self.raw.parse().unwrap_or(0)
    }
}

fn wal_level(setting: &Setting) -> Finding {
    if setting.raw == "logical" {
        return Finding::ok("wal_level", "logical");
    }
    Finding::fail(
        "wal_level",
        format!(
            "it is {:?}, and logical replication needs \"logical\"",
            setting.raw
        ),
        "ALTER SYSTEM SET wal_level = 'logical'; -- as a superuser, and restart the server",
    )
}

fn wal_keep(setting: &Setting) -> Finding {
    const NAME: &str = "max_slot_wal_keep_size";
    if setting.number() < 0 {
        return Finding::warn(
            NAME,
            "it is not set: while adit is stopped the server keeps its log for it until the disk is full",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); -- as much as the disk can spare",
        );
    }
    let detail = format!("{}: the slot is lost when adit lags by more", setting.shown);
    Finding::ok(NAME, detail)
}

fn idle_timeout(setting: &Setting) -> Finding {
    const NAME: &str = "idle_replication_slot_timeout";
    if setting.number() == 0 {
        return Finding::ok(NAME, "off");
    }
    Finding::warn(
        NAME,
        format!(
            "the slot is lost when adit is stopped for longer than {}",
            setting.shown
        ),
        "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
    )
}

fn sender_timeout(setting: &Setting) -> Finding {
    const NAME: &str = "wal_sender_timeout";
    const REMEDY: &str = "ALTER SYSTEM SET wal_sender_timeout = '1min'; SELECT pg_reload_conf();";
    match setting.number() {
        0 => Finding::warn(
            NAME,
            "it is off: after a lost connection the slot stays in use until the server's TCP gives up",
            REMEDY,
        ),
        ..SENDER_TIMEOUT_LEAST_MS => {
            let detail = format!(
                "{} is so short that a busy moment ends the stream",
                setting.shown
            );
            Finding::warn(NAME, detail, REMEDY)
        }
        _ => Finding::ok(NAME, setting.shown.clone()),
    }
}

/// Whether commits would wait for us.
fn synchronous(names: &str, application_name: &str) -> Finding {
    const NAME: &str = "synchronous_standby_names";
    let Some(matching) = matching_standby(names, application_name) else {
        return Finding::ok(NAME, "adit is not among them");
    };
    Finding::fail(
        NAME,
        format!(
            "{matching:?} matches adit's replication connection ({application_name:?}): every commit of the \
             applications would wait until adit has published the one before"
        ),
        "name the real standbys in synchronous_standby_names, or give adit another name with application_name=… in source.url",
    )
}

/// The entry of `synchronous_standby_names` that a connection of that name would fill.
///
/// The setting is a list of names, or `FIRST n (list)`, `ANY n (list)`, `n (list)`; a name is
/// compared without regard to case, `*` stands for all (PostgreSQL manual, "Replication").
fn matching_standby(names: &str, application_name: &str) -> Option<String> {
    let list = match names.split_once('(') {
        // A quoted name could hold one too.
        Some((method, list)) if !method.contains(['"', ',']) => {
            list.trim_end().trim_end_matches(')')
        }
        _ => names,
    };
    list.split(',').map(str::trim).find_map(|name| {
        let bare = name.trim_matches('"').replace("\"\"", "\"");
        (name == "*" || !bare.is_empty() && bare.eq_ignore_ascii_case(application_name))
            .then_some(bare)
    })
}

/// Transactions that a new slot would wait for.
pub(super) async fn transactions(ask: &Question<'_>) -> Found {
    const NAME: &str = "open transactions";
    let rows = ask
        .client
        .query_typed(
            "SELECT a.pid, extract(epoch FROM now() - a.xact_start)::int8 FROM pg_catalog.pg_locks l \
             JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE l.locktype = 'transactionid' AND l.granted \
             AND l.mode = 'ExclusiveLock' AND a.xact_start < now() - $1 * interval '1 second' ORDER BY 2 DESC",
            &[(&(LONG_TRANSACTION_S as f64), Type::FLOAT8)],
        )
        .await
        .map_err(|error| SourceError::query("looking for open transactions", &error))?;
    let mut findings = Vec::new();
    if let Some(oldest) = rows.first() {
        let (pid, age): (i32, i64) = (oldest.get(0), oldest.get(1));
        findings.push(Finding::warn(
            NAME,
            format!(
                "{} with changes open for longer than {LONG_TRANSACTION_S} s, the oldest (process {pid}) for {age} s: \
                 a new slot, and with it the first start, waits until they end",
                rows.len()
            ),
            format!("end it, or SELECT pg_terminate_backend({pid});"),
        ));
    }
    let prepared = ask
        .client
        .query(
            "SELECT gid, extract(epoch FROM now() - prepared)::int8 FROM pg_catalog.pg_prepared_xacts ORDER BY prepared",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("looking for prepared transactions", &error))?;
    if let Some(oldest) = prepared.first() {
        let (gid, age): (String, i64) = (oldest.get(0), oldest.get(1));
        let literal = quote::literal(&gid);
        let literal = literal.trim_start();
        findings.push(Finding::warn(
            "prepared transactions",
            format!(
                "{} prepared, the oldest ({gid:?}) {age} s ago: a new slot waits until they end, and the server keeps its log for them",
                prepared.len()
            ),
            format!("COMMIT PREPARED {literal}; or ROLLBACK PREPARED {literal};"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            NAME,
            "none that a new slot would wait for long",
        ));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adit_is_found_among_the_synchronous_standbys_in_every_form() {
        for names in [
            "adit",
            "ADIT",
            "a, adit",
            "FIRST 1 (a, Adit)",
            "ANY 2 (\"adit\",b)",
            "1 (adit)",
            "*",
            "FIRST 1 (*)",
        ] {
            assert!(matching_standby(names, "adit").is_some(), "{names}");
        }
        for names in ["", "a, b", "FIRST 1 (adit2)", "\"*\"", "ANY 1 (a)"] {
            assert_eq!(matching_standby(names, "adit"), None, "{names}");
        }
        assert_eq!(
            matching_standby("FIRST 1 (\"a\"\"b\")", "a\"b").as_deref(),
            Some("a\"b")
        );
    }
}

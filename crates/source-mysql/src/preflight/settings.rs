//! The server's settings.

use adit_binlog::Flavor;
use adit_pipeline::Finding;

use super::Question;
use crate::identity::GtidMode;

/// The log should be kept for as long as a connector may be down.
const RETENTION_MIN_SECONDS: u64 = 24 * 3_600;

pub(super) fn check(ask: &Question<'_>) -> Vec<Finding> {
    let mut findings = vec![
        log_bin(ask),
        format(ask),
        image(ask),
        metadata(ask),
        gtid(ask),
        retention(ask),
    ];
    findings.extend(left_out(ask));
    findings.extend(order(ask));
    findings.extend(replica(ask));
    findings
}

fn log_bin(ask: &Question<'_>) -> Finding {
    match ask.variable("log_bin") {
        "ON" | "1" => Finding::ok("log_bin", "the server writes a binary log"),
        _ => Finding::fail(
            "log_bin",
            "the server writes no binary log",
            "in my.cnf: log_bin = binlog and a server_id, then restart the server; on Amazon RDS switch on automatic \
             backups",
        ),
    }
}

fn format(ask: &Question<'_>) -> Finding {
    match ask.variable("binlog_format") {
        "" | "ROW" => Finding::ok("binlog_format", "rows"),
        other => Finding::fail(
            "binlog_format",
            format!("it is {other}: the log holds statements, of which nobody can tell the rows"),
            "SET PERSIST binlog_format = 'ROW' (MySQL 8 and later) or SET GLOBAL binlog_format = 'ROW' and the same in \
             my.cnf; sessions that are open keep the old one until they connect again",
        ),
    }
}

fn image(ask: &Question<'_>) -> Finding {
    match ask.variable("binlog_row_image") {
        "" | "FULL" => Finding::ok("binlog_row_image", "whole rows"),
        other => Finding::warn(
            "binlog_row_image",
            format!(
                "it is {other}: columns that are not logged are left out of events and named in \"absent\""
            ),
            "SET GLOBAL binlog_row_image = 'FULL', and the same in my.cnf",
        ),
    }
}

fn metadata(ask: &Question<'_>) -> Finding {
    match ask.variable("binlog_row_metadata") {
        "FULL" => Finding::ok("binlog_row_metadata", "the log names the columns"),
        "" => Finding::warn(
            "binlog_row_metadata",
            "this version has no such setting: columns are named by the catalogue, and a change of a table's columns \
             that adit reads only after the next one stops it",
            "upgrade to MySQL 8.0.1 or MariaDB 10.5 or later if tables change often",
        ),
        other => Finding::warn(
            "binlog_row_metadata",
            format!(
                "it is {other}: the log does not name the columns, so the catalogue is asked; a change of a table's \
                 columns that adit reads only after the next one stops it"
            ),
            "SET GLOBAL binlog_row_metadata = 'FULL', and the same in my.cnf",
        ),
    }
}

fn gtid(ask: &Question<'_>) -> Finding {
    if ask.options.gtid == GtidMode::Off {
        return Finding::ok("gtid", "not used, as the configuration says");
    }
    match ask.flavor() {
        Flavor::Mysql => match ask.variable("gtid_mode") {
            "ON" => Finding::ok(
                "gtid_mode",
                "transactions are named, so that a replica can take over",
            ),
            found if ask.options.gtid == GtidMode::On => Finding::fail(
                "gtid_mode",
                format!("it is {found:?}, and source.mysql.gtid is \"on\""),
                "switch GTIDs on (manual: \"Changing GTID Mode on Online Servers\"), or set source.mysql.gtid = \"auto\"",
            ),
            _ => Finding::warn(
                "gtid_mode",
                "transactions have no names: when another server takes over, adit cannot go on there",
                "switch GTIDs on (manual: \"Changing GTID Mode on Online Servers\") if a replica is to take over",
            ),
        },
        Flavor::Mariadb => match ask.variable("gtid_strict_mode") {
            "ON" | "1" => Finding::ok("gtid_strict_mode", "numbers of transactions only rise"),
            _ => Finding::warn(
                "gtid_strict_mode",
                "it is off: a server that was written to by mistake may give two transactions one name",
                "SET GLOBAL gtid_strict_mode = 1, and the same in my.cnf",
            ),
        },
    }
}

fn retention(ask: &Question<'_>) -> Finding {
    let days = ask.variable("expire_logs_days").parse::<f64>().ok();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "days as seconds; a float's cast saturates"
    )]
    let of_days = days.map(|days| (days * 86_400.0) as u64);
    let seconds = ask
        .number("binlog_expire_logs_seconds")
        .filter(|seconds| *seconds > 0)
        .or(of_days)
        .unwrap_or(0);
    let hours = seconds / 3_600;
    if seconds == 0 {
        return Finding::ok("retention", "the log is kept until somebody purges it");
    }
    if seconds < RETENTION_MIN_SECONDS {
        return Finding::warn(
            "retention",
            format!(
                "the log is kept for {hours} hours: adit loses changes if it is down for longer"
            ),
            "SET GLOBAL binlog_expire_logs_seconds = 259200 (three days), and the same in my.cnf; on Amazon RDS: \
             CALL mysql.rds_set_configuration('binlog retention hours', 72)",
        );
    }
    Finding::ok("retention", format!("the log is kept for {hours} hours"))
}

fn left_out(ask: &Question<'_>) -> Option<Finding> {
    let named = ["binlog_do_db", "binlog_ignore_db"]
        .into_iter()
        .find(|name| !ask.variable(name).is_empty())?;
    Some(Finding::warn(
        named,
        format!(
            "it is {:?}: changes in other databases are not in the log",
            ask.variable(named)
        ),
        "remove it from my.cnf if they are to be captured",
    ))
}

fn order(ask: &Question<'_>) -> Option<Finding> {
    matches!(ask.variable("binlog_order_commits"), "OFF" | "0").then(|| {
        Finding::warn(
            "binlog_order_commits",
            "it is off: a snapshot without a lock may not see transactions in the order of the log",
            "SET GLOBAL binlog_order_commits = 1",
        )
    })
}

fn replica(ask: &Question<'_>) -> Option<Finding> {
    let names = ["log_replica_updates", "log_slave_updates"];
    let off = names
        .iter()
        .any(|name| matches!(ask.variable(name), "OFF" | "0"));
    off.then(|| {
        Finding::warn(
            "log_replica_updates",
            "it is off: if this server is a replica, what it applies is not in its own log",
            "in my.cnf: log_replica_updates = ON (log_slave_updates in older versions), then restart the server",
        )
    })
}

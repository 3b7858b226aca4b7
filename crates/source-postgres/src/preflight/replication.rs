//! Whether the role may replicate, and whether there is room for its connections.

use adit_pipeline::{Finding, chain};

use super::{Found, Question, failed};
use crate::error::SourceError;
use crate::link::{ConnectError, ReplicationLink};
use crate::{quote, slot};

const SUBJECT: &str = "replication connection";

/// What the attempt to open one tells.
pub(super) async fn check(
    ask: &Question<'_>,
    link: &Result<ReplicationLink, ConnectError>,
) -> Finding {
    let user = ask.options.connect.user();
    let Err(error) = link else {
        let detail = format!("role {user:?} may replicate, and a sender is free");
        return Finding::ok(SUBJECT, detail);
    };
    match error.sqlstate() {
        Some("42501") => {
            let user = quote::identifier(user);
            let remedy = format!(
                "ALTER ROLE {user} REPLICATION; -- as a superuser; on a managed service grant its replication role"
            );
            let detail = format!("role {user} may not use replication");
            Finding::fail(SUBJECT, detail, remedy)
        }
        Some("53300") => {
            let remedy = "ALTER SYSTEM SET max_wal_senders = 20; -- and restart the server; or end what \
                          SELECT * FROM pg_stat_replication shows";
            let database = ask.options.connect.database();
            let slot = slot::read(ask.client, &ask.options.slot, database).await;
            match slot.ok().flatten().and_then(|slot| slot.active_pid) {
                Some(pid) => Finding::warn(
                    SUBJECT,
                    format!(
                        "no sender is free for this check; process {pid} reads the slot already, but cannot get a second \
                         one for the snapshot of tables that are added"
                    ),
                    remedy,
                ),
                None => Finding::fail(SUBJECT, chain(error), remedy),
            }
        }
        _ => failed(SUBJECT, error),
    }
}

/// Whether the role may open as many connections as a snapshot takes.
pub(super) async fn limit(ask: &Question<'_>) -> Found {
    /// The stream, its queries, and the temporary slot of a later snapshot.
    const BESIDE_WORKERS: usize = 3;
    let sql = "SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user AND NOT rolsuper";
    let rows = ask.client.query(sql, &[]).await;
    let rows = rows.map_err(|error| SourceError::query("reading the role's limits", &error))?;
    let limit = rows
        .first()
        .and_then(|row| usize::try_from(row.get::<_, i32>(0)).ok());
    let needed = ask.options.snapshot.workers.saturating_add(BESIDE_WORKERS);
    let Some(limit) = limit.filter(|limit| *limit < needed) else {
        return Ok(Vec::new());
    };
    let user = quote::identifier(ask.options.connect.user());
    Ok(vec![Finding::warn(
        "connection limit",
        format!("role {user} may open {limit} connections, and a snapshot takes up to {needed}"),
        format!("ALTER ROLE {user} CONNECTION LIMIT {needed}; or lower snapshot.workers"),
    )])
}

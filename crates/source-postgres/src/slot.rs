//! The replication slot: what keeps the log on the server until we confirm it.

use adit_pgoutput::Lsn;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::info;

use crate::error::SourceError;
use crate::link::ReplicationLink;
use crate::quote;

/// A logical slot of this database as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// What was confirmed last: commits that start before it are not sent any more.
    pub(crate) confirmed_flush_lsn: Lsn,
    /// The server process that uses it.
    pub(crate) active_pid: Option<i32>,
}

/// Reads a slot; none if there is none of this name.
///
/// # Errors
/// Also when the slot is not one that adit can use, or has lost its log.
pub(crate) async fn read(
    client: &Client,
    name: &str,
    database: &str,
) -> Result<Option<Slot>, SourceError> {
    let rows = client
        .query_typed(
            // The newer columns by way of JSON, so that one query does for all versions.
            "SELECT to_jsonb(s)::text FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query(format!("reading slot {name:?}"), &error))?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let unfit = |why: String| SourceError::SlotUnfit {
        slot: name.to_owned(),
        why,
    };
    let row: serde_json::Value = serde_json::from_str(row.get(0))
        .map_err(|error| unfit(format!("its description cannot be read ({error})")))?;
    let text = |column: &str| row.get(column).and_then(serde_json::Value::as_str);
    if text("slot_type") != Some("logical") {
        return Err(unfit("it is a physical slot".to_owned()));
    }
    if text("plugin") != Some("pgoutput") {
        return Err(unfit(format!(
            "its plugin is {:?}, not pgoutput",
            text("plugin").unwrap_or("")
        )));
    }
    if text("database") != Some(database) {
        return Err(unfit(format!(
            "it belongs to database {:?}",
            text("database").unwrap_or("")
        )));
    }
    if row.get("two_phase").and_then(serde_json::Value::as_bool) == Some(true) {
        return Err(unfit(
            "it sends prepared transactions before their commit (two_phase)".to_owned(),
        ));
    }
    let lost = || SourceError::SlotLost {
        slot: name.to_owned(),
        reason: text("invalidation_reason")
            .or_else(|| text("wal_status"))
            .unwrap_or("unknown")
            .to_owned(),
    };
    if text("wal_status") == Some("lost") || text("invalidation_reason").is_some() {
        return Err(lost());
    }
    let confirmed_flush_lsn = text("confirmed_flush_lsn").and_then(|lsn| lsn.parse().ok());
    Ok(Some(Slot {
        confirmed_flush_lsn: confirmed_flush_lsn.ok_or_else(lost)?,
        active_pid: row
            .get("active_pid")
            .and_then(serde_json::Value::as_i64)
            .and_then(|pid| pid.try_into().ok()),
    }))
}

/// A slot that was just created, and the snapshot that shows the database as it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Created {
    /// Transactions committed from here on are streamed; the snapshot shows all earlier ones.
    pub(crate) consistent_point: Lsn,
    /// The exported snapshot's name; valid until the link's next command.
    pub(crate) snapshot: String,
}

/// Creates a slot with an exported snapshot. Waits until transactions that are open now have ended.
pub(crate) async fn create(
    link: &mut ReplicationLink,
    name: &str,
    temporary: bool,
    failover: bool,
) -> Result<Created, SourceError> {
    let version = link.server_version_num();
    let temporary = if temporary { " TEMPORARY" } else { "" };
    let options = match (version, failover) {
        (170_000.., true) => " (SNAPSHOT 'export', FAILOVER true)",
        (150_000.., _) => " (SNAPSHOT 'export')",
        _ => " EXPORT_SNAPSHOT",
    };
    let quoted = quote::identifier(name);
    let sql = format!("CREATE_REPLICATION_SLOT {quoted}{temporary} LOGICAL pgoutput{options}");
    let rows = link.simple_query(&sql).await?;
    let mut columns = rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .skip(1);
    let consistent_point = columns.next().flatten().and_then(|lsn| lsn.parse().ok());
    let snapshot = columns.next().flatten();
    let (Some(consistent_point), Some(snapshot)) = (consistent_point, snapshot) else {
        return Err(SourceError::SlotUnfit {
            slot: name.to_owned(),
            why: "the server did not say where it starts and with which snapshot".to_owned(),
        });
    };
    info!(slot = name, %consistent_point, "replication slot created");
    Ok(Created {
        consistent_point,
        snapshot,
    })
}

/// Drops a slot, if it is there.
pub(crate) async fn drop(client: &Client, name: &str) -> Result<bool, SourceError> {
    let dropped = client
        .execute_typed(
            "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = $1",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query(format!("dropping slot {name:?}"), &error))?;
    Ok(dropped > 0)
}

//! The slot: there and fit, or free to be created.

use adit_pipeline::Finding;
use tokio_postgres::types::Type;

use super::{Found, Question, failed};
use crate::error::SourceError;
use crate::quote;
use crate::slot::{self, Slot};
use adit_pipeline::SnapshotMode;

const SUBJECT: &str = "slot";

/// Looks at our slot, and at those that somebody may have forgotten.
pub(super) async fn check(ask: &Question<'_>) -> Found {
    let options = ask.options;
    let name = &options.slot;
    let mut findings = match slot::read(ask.client, name, options.connect.database()).await {
        // The place to go on tells that it is gone.
        Ok(None) if ask.begun => Vec::new(),
        Ok(None) => free(ask).await?,
        Ok(Some(slot)) => existing(ask, &slot).await?,
        Err(error @ SourceError::SlotLost { .. })
            if options.snapshot.mode == SnapshotMode::WhenNeeded =>
        {
            let remedy =
                "nothing to do: snapshot.mode is when_needed, so run reads the tables afresh";
            vec![Finding::warn(SUBJECT, error.to_string(), remedy)]
        }
        Err(error @ (SourceError::SlotLost { .. } | SourceError::SlotUnfit { .. })) => {
            vec![failed(SUBJECT, &error)]
        }
        Err(error) => return Err(error),
    };
    if options.failover && ask.version().await? < 170_000 {
        findings.push(Finding::warn(
            "failover",
            "slots follow a failover from PostgreSQL 17 on; here the setting has no effect",
            "remove source.postgres.failover",
        ));
    }
    findings.extend(spare(ask).await?);
    findings.extend(forgotten(ask).await?);
    Ok(findings)
}

/// The slots of the server.
struct Slots {
    used: i64,
    most: i64,
    /// The names of those without a reader.
    idle: Option<String>,
    /// Whether ours is among them.
    ours: bool,
}

async fn count(ask: &Question<'_>) -> Result<Slots, SourceError> {
    let row = ask
        .client
        .query_typed(
            "SELECT count(*), current_setting('max_replication_slots')::int8, \
             string_agg(slot_name, ', ') FILTER (WHERE NOT active), \
             coalesce(bool_or(slot_name = $1), false) FROM pg_catalog.pg_replication_slots",
            &[(&ask.options.slot, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query("counting the slots", &error))?;
    let none = Slots {
        used: 0,
        most: 0,
        idle: None,
        ours: false,
    };
    Ok(row.first().map_or(none, |row| Slots {
        used: row.get(0),
        most: row.get(1),
        idle: row.get(2),
        ours: row.get(3),
    }))
}

/// There is none: whether one more may be created.
async fn free(ask: &Question<'_>) -> Found {
    let name = &ask.options.slot;
    let Slots {
        used, most, idle, ..
    } = count(ask).await?;
    if used < most {
        let detail =
            format!("{name:?} does not exist, run creates it; {used} of {most} slots are in use");
        return Ok(vec![Finding::ok(SUBJECT, detail)]);
    }
    let idle = idle.map_or_else(
        || "every one of them has a reader now".to_owned(),
        |names| format!("without a reader now: {names}"),
    );
    Ok(vec![Finding::fail(
        SUBJECT,
        format!(
            "{name:?} does not exist, and all {most} replication slots of the server are in use ({idle})"
        ),
        "SELECT pg_drop_replication_slot('…'); -- one that nobody needs; or raise max_replication_slots and restart the server",
    )])
}

/// Tables that are added later are read with the help of a second slot, a temporary one.
async fn spare(ask: &Question<'_>) -> Found {
    let slots = count(ask).await?;
    let free = slots.most - slots.used;
    if free > i64::from(!slots.ours) || free == 0 && !slots.ours {
        return Ok(Vec::new());
    }
    Ok(vec![Finding::warn(
        "spare slot",
        format!(
            "none of the server's {} slots is left for the snapshot of tables that are added later, which needs one for a \
             moment",
            slots.most
        ),
        format!(
            "ALTER SYSTEM SET max_replication_slots = {}; -- and restart the server; or drop slots that nobody needs",
            slots.most + 4
        ),
    )])
}

async fn existing(ask: &Question<'_>, slot: &Slot) -> Found {
    let name = &ask.options.slot;
    let row = ask
        .client
        .query_typed(
            "SELECT s.wal_status, s.safe_wal_size, CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
             THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::int8 END, \
             a.application_name, host(a.client_addr), to_jsonb(s) ->> 'failover' FROM pg_catalog.pg_replication_slots s \
             LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query("looking at the slot", &error))?;
    let mut findings = Vec::new();
    let Some(row) = row.first() else {
        return Ok(findings);
    };
    let kept = row.get::<_, Option<i64>>(2).unwrap_or(0) >> 20;
    let left: Option<i64> = row.get(1);
    let detail = format!("{name:?} exists; the server keeps {kept} MiB of log for it");
    findings.push(match row.get::<_, Option<&str>>(0) {
        Some("unreserved") => Finding::fail(
            SUBJECT,
            format!("{detail}, which is more than max_slot_wal_keep_size: it is lost at the next checkpoint"),
            "start adit now, or ALTER SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf(); -- more than that",
        ),
        Some("extended") => Finding::warn(
            SUBJECT,
            format!(
                "{detail}, more than max_wal_size{}",
                left.map(|left| format!("; it is lost after {} MiB more", left >> 20)).unwrap_or_default()
            ),
            "start adit, and see that it keeps up",
        ),
        _ => Finding::ok(SUBJECT, detail),
    });
    if let Some(pid) = slot.active_pid {
        let who: Option<String> = row.get(3);
        let place: Option<String> = row.get(4);
        findings.push(Finding::warn(
            SUBJECT,
            format!(
                "{name:?} is being read by process {pid} ({:?} from {}): that is well if it is this connector; any other \
                 has to stop first, run waits for it",
                who.unwrap_or_default(),
                place.as_deref().unwrap_or("the server itself, or a place that this role may not see"),
            ),
            format!("SELECT pg_terminate_backend({pid}); -- if it is not this connector"),
        ));
    }
    if ask.options.failover && row.get::<_, Option<&str>>(5) == Some("false") {
        findings.push(Finding::warn(
            "failover",
            format!("slot {name:?} was created without it"),
            "set source.postgres.failover to false, or run `adit drop` and start again with a new snapshot",
        ));
    }
    Ok(findings)
}

/// Slots that look like adit's, that nobody reads, and that are not ours.
async fn forgotten(ask: &Question<'_>) -> Found {
    let rows = ask
        .client
        .query_typed(
            "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE NOT active AND plugin = 'pgoutput' \
             AND slot_name LIKE 'adit\\_%' AND slot_name <> $1 AND database = current_database() ORDER BY 1",
            &[(&ask.options.slot, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query("looking for other slots", &error))?;
    let others = rows.iter().map(|row| {
        let other: String = row.get(0);
        Finding::warn(
            "other slots",
            format!("slot {other:?} has no reader: the server keeps its log for it"),
            format!(
                "start its connector, or SELECT pg_drop_replication_slot({});",
                quote::literal(&other).trim_start()
            ),
        )
    });
    Ok(others.collect())
}

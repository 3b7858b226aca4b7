//! The comparison with the database.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::{Context, Result, bail};

use super::message::Row;
use super::rebuilt::Rebuilt;
use crate::workload::{Server, Session, Table};

/// Differences that are told; more help nobody.
const DIFFERENCES_TOLD: usize = 5;

/// Compares a table with what the events add up to; the number of its rows.
pub(super) async fn compare(server: Server<'_>, table: &Table, rebuilt: &Rebuilt) -> Result<u64> {
    let dialect = server.dialect();
    let mut session = Session::of(server, "checker").await?;
    session.settle(dialect.reading()).await?;
    let rows = session
        .texts(&dialect.rows_as_json(table))
        .await
        .with_context(|| format!("reading {}", table.sql))?;
    let mut missing: HashMap<String, u64> = HashMap::new();
    for row in &rows {
        let row: Row = serde_json::from_str(row)?;
        *missing.entry(serde_json::to_string(&row)?).or_default() += 1;
    }
    let mut extra = Vec::new();
    for (text, count) in rebuilt.rows().values() {
        let Entry::Occupied(mut entry) = missing.entry(text.clone()) else {
            extra.push((text, *count));
            continue;
        };
        match entry.get().checked_sub(*count) {
            Some(0) => {
                entry.remove();
            }
            Some(rest) => *entry.get_mut() = rest,
            None => {
                extra.push((text, *count - entry.get()));
                entry.remove();
            }
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return Ok(rows.len() as u64);
    }
    let mut report = format!(
        "table {} differs: of {} rows in the database {} are not in the stream, which has {} others",
        table.sql,
        rows.len(),
        missing.len(),
        extra.len()
    );
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort();
    extra.sort();
    for (row, count) in missing.iter().take(DIFFERENCES_TOLD) {
        report.push_str(&format!(
            "\n  only in the database, {count} times: {row:.600}"
        ));
    }
    for (row, count) in extra.iter().take(DIFFERENCES_TOLD) {
        report.push_str(&format!(
            "\n  only in the stream, {count} times: {row:.600}"
        ));
    }
    bail!(report)
}

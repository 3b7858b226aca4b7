//! The tables as a reader of the stream rebuilds them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

use crate::path::{DataPath, Event, Reader, WITHIN};

/// The rows of every table with a key, by table and key. It is strict: whatever does not follow from what came before it
/// is an error.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// A snapshot went on after it was cut short: rows of it may come again, and changes before the rows.
    pub(crate) lenient: bool,
    rows: BTreeMap<String, BTreeMap<String, String>>,
    position: String,
    /// Rows that snapshots read.
    pub(crate) read: usize,
    /// Changes.
    pub(crate) changed: usize,
    /// Times that a table was begun afresh.
    pub(crate) resnapshots: usize,
    /// Descriptions of tables.
    pub(crate) schemas: usize,
}

impl Replica {
    /// Applies events.
    pub(crate) fn apply(&mut self, events: &[Event]) -> Result<()> {
        for event in events {
            self.one(event).with_context(|| {
                format!(
                    "{} of {} at {}",
                    event.summary(),
                    event.table,
                    event.source.pos
                )
            })?;
        }
        Ok(())
    }

    fn one(&mut self, event: &Event) -> Result<()> {
        ensure!(
            event.source.snapshot == (event.op == "read") || event.op == "schema",
            "wrong snapshot mark"
        );
        let table = self
            .rows
            .entry(format!("{}.{}", event.schema, event.table))
            .or_default();
        if event.op == "schema" {
            self.schemas += 1;
            if event.resnapshot {
                self.resnapshots += 1;
                table.clear();
            }
            return Ok(());
        }
        ensure!(
            self.position < event.source.pos,
            "it does not follow {}",
            self.position
        );
        self.position.clone_from(&event.source.pos);
        if event.op == "truncate" {
            table.clear();
            return Ok(());
        }
        let strict = !self.lenient;
        let key = event.key().context("it has no key")?.to_owned();
        let after = || {
            event
                .after()
                .map(str::to_owned)
                .context("it has no new row")
        };
        match event.op.as_str() {
            "read" | "insert" => {
                let old = table.insert(key, after()?);
                ensure!(
                    old.is_none() || !strict,
                    "the row is there already: {old:?}"
                );
                if event.op == "read" {
                    self.read += 1;
                    return Ok(());
                }
            }
            "update" => {
                let old_key = event.before().unwrap_or(&key);
                let old = table.remove(old_key);
                ensure!(old.is_some() || !strict, "there is no such row");
                let old = table.insert(key, after()?);
                ensure!(old.is_none() || !strict, "the new key is there already");
            }
            "delete" => {
                let old = table.remove(&key);
                ensure!(old.is_some() || !strict, "there is no such row");
            }
            other => bail!("unexpected operation {other}"),
        }
        self.changed += 1;
        Ok(())
    }

    /// Compares a table of [`hammer`](crate::hammer) with the database.
    pub(crate) async fn compare(&self, path: &DataPath, table: &str) -> Result<()> {
        let client = path.pg.client("postgres").await?;
        let sql = format!(
            "select format('{{\"id\":%s}}', id), format('{{\"id\":%s,\"n\":%s,\"note\":%s}}', id, n, coalesce(to_json(note)::text, 'null')) from {table}"
        );
        let rows = client.query(&sql, &[]).await?;
        let expected: BTreeMap<String, String> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let none = BTreeMap::new();
        let found = self.rows.get(&format!("public.{table}")).unwrap_or(&none);
        let missing: Vec<_> = expected
            .iter()
            .filter(|(key, row)| found.get(*key) != Some(*row))
            .take(3)
            .collect();
        let extra: Vec<_> = found
            .iter()
            .filter(|(key, _)| !expected.contains_key(*key))
            .take(3)
            .collect();
        ensure!(
            missing.is_empty() && extra.is_empty(),
            "{table}: {} rows in the database, {} in the stream; missing or different: {missing:?}; too many: {extra:?}",
            expected.len(),
            found.len()
        );
        Ok(())
    }

    /// Applies what comes until `reached`.
    pub(crate) async fn follow(
        &mut self,
        reader: &mut Reader,
        wanted: &str,
        reached: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        // Writers may be at work, so that messages never end.
        let end = Instant::now() + WITHIN;
        while !reached(self) {
            ensure!(
                Instant::now() < end,
                "not within {WITHIN:?}: {wanted}; read {}, changed {}, resnapshots {}",
                self.read,
                self.changed,
                self.resnapshots
            );
            let event = reader.next(wanted).await?;
            if event.table != "the_end" {
                self.apply(&[event])?;
            }
        }
        Ok(())
    }
}

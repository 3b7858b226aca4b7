//! The tables that are captured, and what the log does not hold of them.

use std::collections::HashSet;

use adit_binlog::Flavor;
use adit_pipeline::Finding;

use super::{Found, Question};
use crate::catalog::{expect_database, is_wanted, matching_tables};
use crate::error::SourceError;
use crate::identity::{text, version_of};
use crate::quote;
use crate::state::TableName;

/// Tables that are named in one finding; more are counted.
const NAMED_MAX: usize = 5;

pub(super) async fn check(ask: &mut Question<'_>) -> Found {
    let wanted = matching_tables(ask.link, &ask.options.tables).await?;
    if wanted.is_empty() {
        if ask.is_first {
            expect_database(ask.link, ask.options).await?;
        }
        return Ok(vec![Finding::warn(
            "tables",
            format!("no table matches {}", ask.options.tables),
            format!(
                "check source.tables, and whether the user may see them: GRANT SELECT ON database.* TO {}",
                ask.account
            ),
        )]);
    }
    let mut findings = vec![Finding::ok("tables", format!("{} match", wanted.len()))];
    if ask.options.reads_tables() {
        findings.push(readable(ask, &wanted).await?);
    }
    let keyed = names(ask, KEYED, "looking for tables without a key").await?;
    let keyed: HashSet<_> = keyed.into_iter().collect();
    let without: Vec<_> = wanted.iter().filter(|name| !keyed.contains(name)).collect();
    if !without.is_empty() {
        findings.push(Finding::warn(
            "keys",
            format!(
                "without a primary key or a unique key of columns that are never null: {}",
                list(&without)
            ),
            "their events have no key, so that readers cannot tell rows apart; add a primary key",
        ));
    }
    let foreign = names(ask, FOREIGN, "looking for engines without transactions").await?;
    let foreign: Vec<_> = foreign.iter().collect();
    if !foreign.is_empty() {
        findings.push(Finding::warn(
            "engines",
            format!("not kept by an engine with transactions: {}", list(&foreign)),
            "a snapshot holds these under a lock, or reads them as they are at that moment; ALTER TABLE … ENGINE = InnoDB",
        ));
    }
    if logs_no_cascades(ask) {
        let cascades = names(ask, CASCADES, "looking for foreign keys that cascade").await?;
        let cascades: Vec<_> = cascades.iter().collect();
        if !cascades.is_empty() {
            findings.push(Finding::warn(
                "foreign keys",
                format!(
                    "rows that ON DELETE or ON UPDATE changes in other tables are not in the log of this server: {}",
                    list(&cascades)
                ),
                "make the change in the application or by a trigger, or use MySQL 9.6 or later",
            ));
        }
    }
    Ok(findings)
}

/// Whether a snapshot may read the tables, found out by reading none of their rows.
async fn readable(ask: &mut Question<'_>, wanted: &[TableName]) -> Result<Finding, SourceError> {
    const SUBJECT: &str = "right to read";
    let doing = |error| SourceError::query("trying to read the tables", error);
    // Nobody's ALTER TABLE is waited for: a table that cannot be looked at now has been granted all the same.
    let no_wait = ask.link.execute("SET SESSION lock_wait_timeout = 1").await;
    no_wait.map_err(doing)?;
    let mut refused = Vec::new();
    for name in wanted {
        let sql = format!(
            "SELECT * FROM {} LIMIT 0",
            quote::table(&name.schema, &name.table)
        );
        match ask.link.execute(&sql).await {
            // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR
            Err(error) if matches!(error.code(), Some(1044 | 1142 | 1143)) => refused.push(name),
            Err(error) if error.code().is_none() => return Err(doing(error)),
            _ => {}
        }
    }
    let Some(first) = refused.first() else {
        return Ok(Finding::ok(SUBJECT, "the snapshot may read every table"));
    };
    let account = &ask.account;
    let grant = |name: &TableName| {
        let table = quote::table(&name.schema, &name.table);
        format!("GRANT SELECT ON {table} TO {account}")
    };
    Ok(Finding::fail(
        SUBJECT,
        format!(
            "user {account} may not read {} for the snapshot",
            list(&refused)
        ),
        format!(
            "{} (or, for all of the database: ON {}.*)",
            grant(first),
            quote::identifier(&first.schema)
        ),
    ))
}

const KEYED: &str = "SELECT DISTINCT s.TABLE_SCHEMA, s.TABLE_NAME FROM (SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, \
     MAX(NULLABLE) AS nulls FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND COLUMN_NAME IS NOT NULL \
     GROUP BY 1, 2, 3) s WHERE s.nulls = ''";
const FOREIGN: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
     WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE NOT IN ('InnoDB', 'ROCKSDB', 'TokuDB')";
const CASCADES: &str = "SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
     WHERE DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') OR UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')";

/// Before MySQL 9.6 the engine cascades, below the log; MariaDB does the same.
fn logs_no_cascades(ask: &Question<'_>) -> bool {
    match ask.flavor() {
        Flavor::Mariadb => true,
        Flavor::Mysql => {
            let native = ask.variable("innodb_native_foreign_keys");
            version_of(ask.link) < (9, 6) || matches!(native, "ON" | "1")
        }
    }
}

/// Captured tables among those that a query names.
async fn names(
    ask: &mut Question<'_>,
    sql: &str,
    doing: &str,
) -> Result<Vec<TableName>, SourceError> {
    let rows = ask.link.query(sql).await;
    let rows = rows.map_err(|error| SourceError::query(doing, error))?;
    let filter = &ask.options.tables;
    let names = rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter().flatten().map(text);
        Some(TableName {
            schema: cells.next()?,
            table: cells.next()?,
        })
    });
    Ok(names
        .filter(|name| is_wanted(filter, &name.schema, &name.table))
        .collect())
}

fn list(names: &[&TableName]) -> String {
    let mut text: Vec<_> = names
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

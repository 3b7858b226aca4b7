//! The tables: which match, which can be read, and which would refuse updates.

use std::collections::BTreeSet;

use adit_pipeline::Finding;

use super::{Found, Question, some};
use crate::error::SourceError;
use crate::quote;
use adit_pipeline::SnapshotMode;

/// A table that the configuration names.
struct Table {
    /// With its schema, quoted.
    name: String,
    /// Its schema, quoted.
    schema: String,
    /// `pg_class.relkind`: `r`, `p` or `f`.
    kind: String,
    unlogged: bool,
    /// Whether old rows can be told apart in the log.
    identified: bool,
    readable: bool,
    row_security: bool,
}

/// Looks at every table that matches.
pub(super) async fn check(ask: &Question<'_>) -> Found {
    let all = matching(ask).await?;
    let of = |wanted: &dyn Fn(&Table) -> bool| -> Vec<String> {
        all.iter()
            .filter(|table| wanted(table))
            .map(|table| table.name.clone())
            .collect()
    };
    let captured = |table: &Table| table.kind == "r" && !table.unlogged;
    let user = ask.options.connect.user();
    let mut findings = Vec::new();

    let tables = of(&captured);
    findings.push(if tables.is_empty() {
        Finding::warn(
            "tables",
            format!(
                "none matches {}; those that are created later are captured",
                ask.options.tables
            ),
            "correct source.tables: globs over schema.table, as in \"public.*\"",
        )
    } else {
        Finding::ok(
            "tables",
            format!("{} match: {}", tables.len(), some(&tables)),
        )
    });

    if ask.options.snapshot.mode != SnapshotMode::Never {
        let unreadable = of(&|table| captured(table) && !table.readable);
        if !unreadable.is_empty() {
            let role = quote::identifier(user);
            let schemas: BTreeSet<&str> = all
                .iter()
                .filter(|table| captured(table) && !table.readable)
                .map(|table| table.schema.as_str())
                .collect();
            let schemas = schemas.into_iter().collect::<Vec<_>>().join(", ");
            findings.push(Finding::fail(
                "right to read",
                format!(
                    "role {user:?} may not read {} for the snapshot",
                    some(&unreadable)
                ),
                format!(
                    "GRANT USAGE ON SCHEMA {schemas} TO {role}; GRANT SELECT ON {} TO {role};",
                    unreadable.join(", ")
                ),
            ));
        } else if !tables.is_empty() {
            findings.push(Finding::ok(
                "right to read",
                "the snapshot may read every table",
            ));
        }
        let hidden = of(&|table| captured(table) && table.row_security);
        if !hidden.is_empty() {
            findings.push(Finding::fail(
                "row security",
                format!(
                    "policies hide rows of {} from role {user:?}: the snapshot would miss them",
                    some(&hidden)
                ),
                format!("ALTER ROLE {} BYPASSRLS;", quote::identifier(user)),
            ));
        }
    }

    let unidentified = of(&|table| captured(table) && !table.identified);
    if !unidentified.is_empty() {
        findings.push(Finding::warn(
            "replica identity",
            format!(
                "{} have no key that identifies old rows: once they are published, the server refuses the applications' \
                 UPDATE and DELETE on them (error 55000)",
                some(&unidentified)
            ),
            unidentified
                .iter()
                .map(|name| format!("ALTER TABLE {name} REPLICA IDENTITY FULL;"))
                .collect::<Vec<_>>()
                .join("\n"),
        ));
    } else if !tables.is_empty() {
        findings.push(Finding::ok(
            "replica identity",
            "every table identifies old rows",
        ));
    }

    for (kind, names, remedy) in [
        (
            "unlogged tables",
            of(&|table| table.kind == "r" && table.unlogged),
            "their changes are not in the log: ALTER TABLE … SET LOGGED, or leave them out in source.tables",
        ),
        (
            "partitioned tables",
            of(&|table| table.kind == "p"),
            "nothing to do: they are captured as their partitions, each under its own name",
        ),
        (
            "foreign tables",
            of(&|table| table.kind == "f"),
            "their changes are in another server's log: capture them there",
        ),
    ] {
        if !names.is_empty() {
            let detail = format!("{} match and are not captured themselves", some(&names));
            findings.push(Finding::warn(kind, detail, remedy));
        }
    }
    Ok(findings)
}

async fn matching(ask: &Question<'_>) -> Result<Vec<Table>, SourceError> {
    let rows = ask
        .client
        .query(
            "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence = 'u', \
             CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false \
             WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) \
             ELSE EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary \
               AND i.indisvalid AND i.indimmediate) END, \
             coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
               AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), false), \
             pg_catalog.row_security_active(c.oid) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384 \
             AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("looking at the tables", &error))?;
    let tables = rows.iter().filter_map(|row| {
        let (schema, table): (&str, &str) = (row.get(0), row.get(1));
        ask.options.tables.matches(schema, table).then(|| Table {
            name: quote::table(schema, table),
            schema: quote::identifier(schema),
            kind: row.get(2),
            unlogged: row.get(3),
            identified: row.get(4),
            readable: row.get(5),
            row_security: row.get(6),
        })
    });
    Ok(tables.collect())
}

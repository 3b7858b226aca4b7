//! The publication: there and fit, or free to be created.

use adit_pipeline::Finding;
use tokio_postgres::types::Type;

use super::{Found, Question, failed, some};
use crate::catalog::matching_tables;
use crate::error::SourceError;
use crate::publication::{self, Publication};
use crate::quote;
use crate::state::TableName;

const SUBJECT: &str = "publication";

/// Looks whether the publication has all tables, or may get them.
pub(super) async fn check(ask: &Question<'_>) -> Found {
    let name = &ask.options.publication;
    let found = match publication::read(ask.client, name).await {
        Ok(found) => found,
        Err(error @ SourceError::Publication { .. }) => return Ok(vec![failed(SUBJECT, &error)]),
        Err(error) => return Err(error),
    };
    let wanted = matching_tables(ask.client, &ask.options.tables).await?;
    match found {
        None if ask.begun => Ok(vec![failed(
            SUBJECT,
            &SourceError::PublicationLost {
                publication: name.clone(),
                said: "it does not exist".to_owned(),
            },
        )]),
        None => missing(ask, &wanted).await,
        Some(found) => existing(ask, &found, &wanted).await,
    }
}

async fn missing(ask: &Question<'_>, wanted: &[TableName]) -> Found {
    let name = quote::identifier(&ask.options.publication);
    let mut remedy = format!("CREATE PUBLICATION {name}");
    if !wanted.is_empty() {
        remedy = format!("{remedy} FOR TABLE {}", list(wanted).join(", "));
    }
    if ask.in_recovery().await? {
        return Ok(vec![Finding::fail(
            SUBJECT,
            format!("{name} does not exist, and a standby cannot create it"),
            format!("{remedy}; -- on the primary"),
        )]);
    }
    let sql = "SELECT pg_catalog.has_database_privilege(current_database(), 'CREATE'), current_database()::text";
    let row = ask.client.query_one(sql, &[]).await;
    let row =
        row.map_err(|error| SourceError::query("reading the rights on the database", &error))?;
    let mut lacking = Vec::new();
    if !row.get::<_, bool>(0) {
        let database = quote::identifier(row.get(1));
        lacking.push(format!("CREATE on database {database}"));
    }
    let foreign = foreign(ask, wanted).await?;
    if !foreign.is_empty() {
        lacking.push(format!("the ownership of {}", some(&foreign)));
    }
    Ok(vec![if lacking.is_empty() {
        let detail = format!(
            "{name} does not exist, run creates it (tables: {})",
            wanted.len()
        );
        Finding::ok(SUBJECT, detail)
    } else {
        Finding::fail(
            SUBJECT,
            format!(
                "{name} does not exist, and role {:?} may not create it: it lacks {}",
                ask.options.connect.user(),
                lacking.join(" and ")
            ),
            format!("{remedy}; -- as the tables' owner or a superuser"),
        )
    }])
}

async fn existing(ask: &Question<'_>, found: &Publication, wanted: &[TableName]) -> Found {
    let name = quote::identifier(&ask.options.publication);
    let missing: Vec<TableName> = wanted
        .iter()
        .filter(|table| !found.tables.contains(table))
        .cloned()
        .collect();
    if missing.is_empty() {
        let others = found
            .tables
            .iter()
            .filter(|table| !wanted.contains(table))
            .count();
        let mut detail = format!("{name} has every table that matches ({})", wanted.len());
        if others > 0 {
            detail = format!("{detail}, and {others} more whose changes are sent for nothing");
        }
        return Ok(vec![Finding::ok(SUBJECT, detail)]);
    }
    let row = ask
        .client
        .query_typed(
            "SELECT pg_catalog.pg_has_role(pubowner, 'USAGE') FROM pg_catalog.pg_publication WHERE pubname = $1",
            &[(&ask.options.publication, Type::TEXT)],
        )
        .await
        .map_err(|error| SourceError::query("reading the publication's owner", &error))?;
    let ours = row.first().is_some_and(|row| row.get(0));
    let tables = list(&missing);
    let sql = format!("ALTER PUBLICATION {name} ADD TABLE {}", tables.join(", "));
    let detail = format!("{name} lacks {}", some(&tables));
    let may = ours && foreign(ask, &missing).await?.is_empty() && !ask.in_recovery().await?;
    Ok(vec![if may {
        Finding::ok(SUBJECT, format!("{detail}; run adds them"))
    } else {
        let user = ask.options.connect.user();
        let detail = format!("{detail}, and role {user:?} may not add them");
        let remedy = format!("{sql}; -- as the owner of tables and publication, or a superuser");
        Finding::fail(SUBJECT, detail, remedy)
    }])
}

/// Those of the tables that the role does not own, which only their owner can publish.
async fn foreign(ask: &Question<'_>, tables: &[TableName]) -> Result<Vec<String>, SourceError> {
    let rows = ask
        .client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("reading the tables' owners", &error))?;
    let names = rows.iter().map(|row| TableName {
        schema: row.get(0),
        table: row.get(1),
    });
    let foreign: Vec<TableName> = names.filter(|name| tables.contains(name)).collect();
    Ok(list(&foreign))
}

fn list(tables: &[TableName]) -> Vec<String> {
    tables
        .iter()
        .map(|table| quote::table(&table.schema, &table.table))
        .collect()
}

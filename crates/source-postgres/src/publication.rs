//! The publication: which tables' changes the server sends.
//!
//! A publication must exist before the slot does: changes at a point of the log where it did not
//! exist are refused by servers up to 17 and silently left out by 18.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::{info, warn};

use crate::error::SourceError;
use crate::quote;
use crate::state::TableName;

/// A publication as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    /// `pg_publication.oid`.
    pub(crate) oid: u32,
    /// The tables that it publishes, `FOR ALL TABLES` and whole schemas included.
    pub(crate) tables: BTreeSet<TableName>,
}

/// Reads a publication; none if there is none of this name.
pub(crate) async fn read(client: &Client, name: &str) -> Result<Option<Publication>, SourceError> {
    let error = |error: tokio_postgres::Error| {
        SourceError::query(format!("reading publication {name:?}"), &error)
    };
    let publication = client
        .query_typed(
            "SELECT oid, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot \
             FROM pg_catalog.pg_publication WHERE pubname = $1",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(error)?;
    let Some(row) = publication.first() else {
        return Ok(None);
    };
    let unfit = |why: &str, setting: &str| SourceError::Publication {
        publication: name.to_owned(),
        why: why.to_owned(),
        remedy: format!(
            "ALTER PUBLICATION {} SET ({setting})",
            quote::identifier(name)
        ),
    };
    if !row.get::<_, bool>(1) {
        let setting = "publish = 'insert, update, delete, truncate'";
        return Err(unfit("does not publish every operation", setting));
    }
    if row.get::<_, bool>(2) {
        let why = "publishes partitions as their root table, which adit does not read yet";
        return Err(unfit(why, "publish_via_partition_root = false"));
    }
    let tables = client
        .query_typed(
            "SELECT schemaname::text, tablename::text FROM pg_catalog.pg_publication_tables WHERE pubname = $1",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(error)?;
    let tables = tables.iter().map(|row| TableName {
        schema: row.get(0),
        table: row.get(1),
    });
    Ok(Some(Publication {
        oid: row.get(0),
        tables: tables.collect(),
    }))
}

/// The publication, and those of the wanted tables that it has.
///
/// A publication that is not `managed` is taken as it is. Else it is created, or tables are added;
/// where that is not allowed, a connector that has run before goes on without those tables and says
/// so: they are read and streamed once their owner has added them.
pub(crate) async fn cover(
    client: &Client,
    name: &str,
    mut wanted: Vec<TableName>,
    managed: bool,
    has_run: bool,
) -> Result<(Publication, Vec<TableName>), SourceError> {
    let ensured = if managed {
        ensure(client, name, &wanted).await
    } else {
        Err(SourceError::Publication {
            publication: name.to_owned(),
            why: "does not exist".to_owned(),
            remedy: format!("CREATE PUBLICATION {} FOR TABLE …", quote::identifier(name)),
        })
    };
    let publication = match ensured {
        Err(refused @ SourceError::Publication { .. }) if has_run || !managed => {
            let Some(publication) = read(client, name).await? else {
                return Err(refused);
            };
            if managed {
                warn!(error = %refused, "tables that match are not captured yet");
            }
            publication
        }
        ensured => ensured?,
    };
    wanted.retain(|table| publication.tables.contains(table));
    Ok((publication, wanted))
}

/// Creates the publication, or adds what is missing to it.
async fn ensure(
    client: &Client,
    name: &str,
    wanted: &[TableName],
) -> Result<Publication, SourceError> {
    let existing = read(client, name).await?;
    let missing: Vec<&TableName> = match &existing {
        Some(publication) => wanted
            .iter()
            .filter(|table| !publication.tables.contains(table))
            .collect(),
        None => wanted.iter().collect(),
    };
    let list = missing
        .iter()
        .map(|table| quote::table(&table.schema, &table.table));
    let list = list.collect::<Vec<_>>().join(", ");
    let quoted = quote::identifier(name);
    let sql = match (&existing, missing.is_empty()) {
        (Some(publication), true) => return Ok(publication.clone()),
        (Some(_), false) => format!("ALTER PUBLICATION {quoted} ADD TABLE {list}"),
        (None, true) => format!("CREATE PUBLICATION {quoted}"),
        (None, false) => format!("CREATE PUBLICATION {quoted} FOR TABLE {list}"),
    };
    if let Err(error) = client.batch_execute(&sql).await {
        let Some(said) = error.as_db_error() else {
            return Err(SourceError::query(
                format!("setting up publication {name:?}"),
                &error,
            ));
        };
        return Err(match said.code().code() {
            // duplicate_object: another session was faster; undefined_table: a table was dropped
            // since it was listed. The next try sees what is there then.
            "42710" | "42P01" => SourceError::QueryConnection {
                doing: format!(
                    "setting up publication {name:?} while tables change ({})",
                    said.message()
                ),
            },
            _ => SourceError::Publication {
                publication: name.to_owned(),
                why: match existing {
                    Some(_) => format!("does not have all tables ({})", said.message()),
                    None => format!("does not exist and cannot be created ({})", said.message()),
                },
                remedy: sql,
            },
        });
    }
    info!(
        publication = name,
        tables = missing.len(),
        "publication set up"
    );
    read(client, name)
        .await?
        .ok_or_else(|| SourceError::QueryConnection {
            doing: format!("reading publication {name:?} after it was set up"),
        })
}

/// Drops the publication, if it is there.
pub(crate) async fn drop(client: &Client, name: &str) -> Result<bool, SourceError> {
    if read(client, name)
        .await
        .is_ok_and(|publication| publication.is_none())
    {
        return Ok(false);
    }
    client
        .batch_execute(&format!(
            "DROP PUBLICATION IF EXISTS {}",
            quote::identifier(name)
        ))
        .await
        .map_err(|error| SourceError::query(format!("dropping publication {name:?}"), &error))?;
    Ok(true)
}

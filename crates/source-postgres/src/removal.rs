//! Removing what adit created on the server.

use crate::error::SourceError;
use crate::link::sql_client;
use crate::source::PostgresOptions;
use crate::{publication, slot};

/// Drops the connector's slot and publication, as far as they exist; returns what was dropped.
///
/// # Errors
/// When the server cannot be reached, or refuses: a slot in use, a publication of somebody else.
pub async fn remove(options: &PostgresOptions) -> Result<Vec<String>, SourceError> {
    let client = sql_client(&options.connect, "adit").await?;
    let mut removed = Vec::new();
    if slot::drop(&client, &options.slot).await? {
        removed.push(format!("replication slot {:?}", options.slot));
    }
    if publication::drop(&client, &options.publication).await? {
        removed.push(format!("publication {:?}", options.publication));
    }
    Ok(removed)
}

//! A connector without NATS: from the database to standard output.

use std::error::Error;
use std::time::Duration;

use adit_pipeline::{
    Backoff, Classify, Disposition, RunError, RunOptions, SnapshotMode, Source, chain,
};
use adit_source_mysql::MysqlSource;
use adit_source_postgres::{PostgresOptions, PostgresSource};
use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::meta;
use super::standby::random;
use crate::config::{Connector, SourceConfig};
use crate::stdout::{Memory, Stdout, StdoutError, wait_until_unread};

/// With the stop before it this stays within the ten seconds that a supervisor gives.
const CLEAN_MAX: Duration = Duration::from_secs(3);

/// Prints the events of a connector's source until `stop`, or until nobody reads them. Nothing is left on
/// the server.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn tail(
    mut connector: Connector,
    snapshot: bool,
    keep_publication: bool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    connector.source.snapshot_mut().mode = if snapshot {
        SnapshotMode::Initial
    } else {
        SnapshotMode::Never
    };
    let unread = stop.clone();
    tokio::task::spawn_blocking(move || match wait_until_unread() {
        Ok(()) => unread.cancel(),
        Err(error) => debug!(%error, "standard output is not watched"),
    });
    let result = match connector.source.clone() {
        SourceConfig::Postgres(options) => {
            Box::pin(postgres(&connector, options, keep_publication, stop)).await
        }
        SourceConfig::Mysql(mut options) => {
            options.leave_nothing = true;
            options.from_now = !snapshot;
            Box::pin(print(&connector, MysqlSource::new(options, None), stop)).await
        }
    };
    match result {
        Err(error) if reader_gone(&error) => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("tail of database {:?}", meta(&connector).database))
        }
        Ok(()) => Ok(()),
    }
}

/// The slot is temporary: the server drops it with the connection. The publication is created under a
/// name of its own and dropped at the end, unless `keep_publication`.
async fn postgres(
    connector: &Connector,
    mut options: PostgresOptions,
    keep_publication: bool,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let unique = format!("adit_tail_{:016x}", random());
    options.slot.clone_from(&unique);
    options.temporary_slot = true;
    options.manage_publication = !keep_publication;
    if !keep_publication {
        options.publication = unique;
    }
    let result = print(connector, PostgresSource::new(options.clone()), stop).await;
    if !keep_publication
        && let Some(why) = clean(&options).await
        // A database that did not let us in has nothing to be cleaned.
        && !result.as_ref().is_err_and(|error| chain(error).ends_with(&why))
    {
        let publication = &options.publication;
        warn!(
            error = why,
            "a publication may be left behind: drop publication if exists {publication}"
        );
    }
    result
}

async fn print(
    connector: &Connector,
    source: impl Source,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let options = RunOptions {
        name: connector.name.clone(),
        confirm_lag: Duration::ZERO,
        accept_truncated: false,
    };
    let sink = Stdout::new(&meta(connector), connector.values);
    adit_pipeline::run(source, sink, Memory::default(), options, stop.clone()).await
}

/// Removes the publication; says why, if that was not possible.
async fn clean(options: &PostgresOptions) -> Option<String> {
    let mut why = "the server did not answer in time".to_owned();
    let removal = async {
        let mut backoff = Backoff::new();
        while let Err(error) = adit_source_postgres::remove(options).await {
            why = chain(&error);
            // The server takes a moment to notice that the connection with the slot is gone.
            match error.disposition() {
                Disposition::Retry => sleep(backoff.pause()).await,
                Disposition::Halt => return false,
            }
        }
        true
    };
    let removed = timeout(CLEAN_MAX, removal).await.unwrap_or(false);
    (!removed).then_some(why)
}

/// Whether the error is only that the reader of our output has enough.
fn reader_gone(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(StdoutError::Closed)) {
            return true;
        }
        next = error.source();
    }
    false
}

//! `adit tail`

use crate::args::{TailArgs, TailFormat};
use crate::config::{Config, Flags};
use crate::failure::Failure;
use crate::{signals, wiring};

/// Prints changes until told to stop, or until nobody reads them.
///
/// # Errors
/// Arguments that cannot be used, or a database that cannot be read.
pub(crate) async fn tail(args: TailArgs) -> Result<(), Failure> {
    let TailFormat::Adit = args.format;
    let keep_publication = args.publication.is_some();
    let config = Config::from_flags(&Flags {
        source: args.source,
        source_label: "URL",
        tables: args.tables,
        publication: args.publication,
        ..Flags::default()
    })?;
    let stop = signals::stop_token()?;
    for connector in config.connectors {
        wiring::tail(connector, args.snapshot, keep_publication, &stop).await?;
    }
    Ok(())
}

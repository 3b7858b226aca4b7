//! `adit run`

use std::path::PathBuf;

use crate::args::RunArgs;
use crate::config::{Config, Flags};
use crate::failure::Failure;
use crate::{signals, wiring};

/// Runs every connector until told to stop.
///
/// # Errors
/// A configuration that cannot be used, or the first connector that cannot go on.
pub(crate) async fn run(args: RunArgs) -> Result<(), Failure> {
    let config = match args.source {
        Some(source) => Config::from_flags(&Flags {
            source,
            source_label: "--source",
            nats: args.nats,
            name: args.name,
            tables: args.tables,
            stream: args.stream,
            publication: None,
        })?,
        None => Config::load(&args.config.unwrap_or_else(|| PathBuf::from("adit.toml")))?,
    };
    let stop = signals::stop_token()?;
    wiring::run(config.connectors, args.accept_truncated_stream, stop).await?;
    Ok(())
}

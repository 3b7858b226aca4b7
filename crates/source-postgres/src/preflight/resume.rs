//! Whether a connector that has run before can go on where it was.

use adit_event::Position;
use adit_pipeline::{Finding, SnapshotMode, Stored};

use super::{Question, failed};
use crate::error::SourceError;
use crate::link::ReplicationLink;
use crate::source::{check_end, check_identity, check_publication, identify, parse_resume, place};
use crate::state::State;
use crate::{publication, slot};

const SUBJECT: &str = "place to go on";

/// Asks what `run` asks before it streams. Nothing for a connector that has not run, or runs now.
pub(super) async fn check(
    ask: &Question<'_>,
    link: &mut ReplicationLink,
    stored: Option<&Stored>,
    last: Option<Position>,
) -> Option<Finding> {
    if !ask.begun {
        return None;
    }
    match go_on(ask, link, stored, last.as_ref().map(Position::as_str)).await {
        Ok(detail) => detail.map(|detail| Finding::ok(SUBJECT, detail)),
        Err(error)
            if error.needs_snapshot() && ask.options.snapshot.mode == SnapshotMode::WhenNeeded =>
        {
            let remedy =
                "nothing to do: snapshot.mode is when_needed, so run reads the tables afresh";
            Some(Finding::warn(SUBJECT, error.to_string(), remedy))
        }
        Err(error) => Some(failed(SUBJECT, &error)),
    }
}

async fn go_on(
    ask: &Question<'_>,
    link: &mut ReplicationLink,
    stored: Option<&Stored>,
    last: Option<&str>,
) -> Result<Option<String>, SourceError> {
    let options = ask.options;
    let database = options.connect.database();
    let found = match slot::read(ask.client, &options.slot, database).await {
        // What is wrong with the slot itself is said already.
        Err(SourceError::SlotLost { .. } | SourceError::SlotUnfit { .. }) => return Ok(None),
        found => found?,
    };
    // Somebody reads on, so that what is stored is older than the slot by now.
    if found.is_some_and(|slot| slot.active_pid.is_some()) {
        return Ok(None);
    }
    let server = identify(link, options).await?;
    let resumed = match stored {
        None => None,
        Some(stored) => Some((State::parse(&stored.state)?, parse_resume(&stored.resume)?)),
    };
    if let Some((state, _)) = &resumed {
        check_identity(link, &server, &state.identity, last).await?;
    }
    check_end(&server, last)?;
    if let Some((state, _)) = &resumed
        && let Some(found) = publication::read(ask.client, &options.publication).await?
    {
        check_publication(options, &found, state)?;
    }
    let start = place(ask.client, options, resumed.as_ref(), last).await?;
    Ok(start.map(|start| format!("the server has the log from {start} on")))
}

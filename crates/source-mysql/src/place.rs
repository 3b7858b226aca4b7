//! Where to go on in a server's log, and why not.
//!
//! Pure: what the server says, what the checkpoint says, and the last published event, in; a place and a
//! way to ask for it, out.
//!
//! | the server is | its log is asked for by |
//! |---|---|
//! | the same, and has the file | coordinates, which name the place exactly |
//! | the same, and has purged the file | GTIDs, if nothing that is missing was purged |
//! | another one | GTIDs, with a new epoch; what is published already is left out |
//! | the same, taken over to, and nothing was read yet | GTIDs |
//! | the same, but its log began anew | as another one, if it is known to have continued the GTIDs |
//!
//! A checkpoint always lies at or before the last published event. What the log holds between the two
//! comes again: on the same log the pipeline drops it by its positions, on another log [`Skip`] finds it.

use adit_binlog::{Coordinates, Gtid};

use crate::error::SourceError;
use crate::identity::Server;
use crate::position::{Executed, Place, parse_gtid};
use crate::skip::Skip;
use crate::state::{State, Token};

/// Where the log is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) epoch: u16,
    pub(crate) ask: Ask,
    /// What is published already and would not be known by its position.
    pub(crate) skip: Option<Skip>,
    /// The transaction of the last published event, which must come by at its place: a proof that this is
    /// the log it came from, where nothing else says so.
    pub(crate) proof: Option<Gtid>,
}

/// How the server is asked for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// By file and position.
    Coordinates,
    /// By the transactions that we have.
    Gtids,
}

/// The last published event.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) position: String,
    pub(crate) token: Token,
    /// The `tx.id` of the last event that has one.
    pub(crate) transaction: Option<String>,
}

/// Decides where to go on; none at a first start.
///
/// # Errors
/// When going on could lose or repeat changes.
pub(crate) fn place(
    server: &Server,
    stored: Option<&(State, Place)>,
    last: Option<&Published>,
) -> Result<Option<Start>, SourceError> {
    match (stored, last) {
        (None, None) => Ok(None),
        (None, Some(last)) => without_checkpoint(server, last).map(Some),
        (Some((state, place)), last) => {
            let is_known = last.is_none_or(|last| last.token.epoch <= state.epoch);
            let start = if state.server != server.id || !is_known {
                on_other_log(server, state, place, last)
            } else if place.coordinates.file_number() > server.end.file_number() {
                after_reset(server, state, place, last)
            } else {
                on_same_log(server, state, place, last)
            };
            start.map(Some)
        }
    }
}

/// The same server, whose log began anew: its GTIDs began anew as well, and name other transactions now, unless
/// somebody has set `gtid_purged` to what was read.
pub(crate) fn after_reset(
    server: &Server,
    state: &State,
    place: &Place,
    last: Option<&Published>,
) -> Result<Start, SourceError> {
    let is_continued = place.executed.is_known()
        && server.purged.is_known()
        && server.purged.missing_of(&place.executed).is_none();
    if !is_continued {
        return Err(SourceError::LogBeganAnew);
    }
    on_other_log(server, state, place, last)
}

/// The log that was being read. What was published last may still be of the one before, from which this
/// server took over.
fn on_same_log(
    server: &Server,
    state: &State,
    place: &Place,
    last: Option<&Published>,
) -> Result<Start, SourceError> {
    check_executed(server, place, last)?;
    if let Some(last) = last.filter(|last| last.token.epoch == state.epoch)
        && (Some(last.token.file), last.token.position)
            > (server.end.file_number(), server.end.position)
    {
        return Err(diverged(
            server,
            last.position.clone(),
            "its log ends before that point",
        ));
    }
    let mut place = place.clone();
    if let Some(next) = behind_4_gib(server, &place.coordinates) {
        place.coordinates = next;
        place.born = 0;
    }
    let at = &place.coordinates;
    let ask = match server.files.iter().find(|(file, _)| *file == at.file) {
        Some((_, length)) if *length < at.position => {
            return Err(diverged(
                server,
                at.to_string(),
                "its log ends before that point",
            ));
        }
        Some(_) => Ask::Coordinates,
        None => {
            check_purged(server, &place)?;
            Ask::Gtids
        }
    };
    let last = last.filter(|last| last.token.epoch < state.epoch && !last.token.snapshot);
    let skip = last.and_then(|last| {
        let gtid = parse_gtid(last.transaction.as_deref()?, server.flavor)?;
        let is_read = !place.executed.is_known() || place.executed.contains(&gtid);
        (!is_read).then(|| skip_through(server, gtid, last))
    });
    Ok(Start {
        place,
        epoch: state.epoch,
        ask,
        skip,
        proof: None,
    })
}

/// The start of the next file, if a place cannot be asked for: the command has four bytes for a position.
/// A transaction may end beyond, and then nothing but the next file follows.
fn behind_4_gib(server: &Server, at: &Coordinates) -> Option<Coordinates> {
    if u32::try_from(at.position).is_ok() {
        return None;
    }
    let mut files = server.files.iter().map(|(file, _)| file);
    files.find(|file| **file == at.file)?;
    Some(Coordinates {
        file: files.next()?.clone(),
        position: 4,
    })
}

/// Another server.
fn on_other_log(
    server: &Server,
    state: &State,
    place: &Place,
    last: Option<&Published>,
) -> Result<Start, SourceError> {
    if !place.executed.is_known() || !server.executed.is_known() {
        return Err(SourceError::OtherServer {
            found: server.id.clone(),
            expected: state.server.clone(),
        });
    }
    check_executed(server, place, last)?;
    check_purged(server, place)?;
    let epoch = last.map_or(state.epoch, |last| last.token.epoch.max(state.epoch));
    let epoch = epoch.checked_add(1).ok_or_else(|| SourceError::BadState {
        why: "the count of servers that took over is at its end".to_owned(),
    })?;
    Ok(Start {
        place: Place {
            // Where it is there shows once it is read.
            coordinates: Coordinates {
                file: String::new(),
                position: 0,
            },
            born: 0,
            executed: place.executed.clone(),
        },
        epoch,
        ask: Ask::Gtids,
        skip: skip(server, state, place, last)?,
        proof: None,
    })
}

/// What of another server's log is published already.
fn skip(
    server: &Server,
    state: &State,
    place: &Place,
    last: Option<&Published>,
) -> Result<Option<Skip>, SourceError> {
    let Some(last) = last else {
        return Ok(None);
    };
    let unknown = || SourceError::FailoverUnknown {
        published: last.position.clone(),
    };
    if last.token.snapshot {
        // Nothing but its rows is published, or its point is the checkpoint; else nobody can tell what came
        // between the two.
        let at = &place.coordinates;
        let is_same = last.token.epoch == state.epoch
            && Some(last.token.file) == at.file_number()
            && last.token.position == at.position;
        return if state.first || is_same {
            Ok(None)
        } else {
            Err(unknown())
        };
    }
    let transaction = last.transaction.as_deref();
    let gtid = transaction.and_then(|id| parse_gtid(id, server.flavor));
    let gtid = gtid.ok_or_else(unknown)?;
    if place.executed.contains(&gtid) {
        return Ok(None);
    }
    Ok(Some(skip_through(server, gtid, last)))
}

fn skip_through(server: &Server, gtid: Gtid, last: &Published) -> Skip {
    // In front of a transaction's first change stands a schema event alone: then the transaction is the one
    // before it, which is published whole.
    let ordinal = last.token.ordinal;
    Skip::new(gtid, ordinal, server.executed.clone(), server.end.clone())
}

/// The checkpoint is lost, or the broker lost what it knew: the last published event says where it is.
fn without_checkpoint(server: &Server, last: &Published) -> Result<Start, SourceError> {
    let Token { file, position, .. } = last.token;
    let gap = || SourceError::Gap {
        resume: last.position.clone(),
        oldest: oldest(server),
    };
    let number = |file: &str| {
        let file = file.to_owned();
        Coordinates { file, position: 0 }.file_number()
    };
    let mut files = server.files.iter();
    let (file, length) = files
        .find(|(name, _)| number(name) == Some(file))
        .ok_or_else(gap)?;
    if *length < position {
        return Err(diverged(
            server,
            last.position.clone(),
            "its log ends before that point",
        ));
    }
    let transaction = last.transaction.as_deref();
    let gtid = transaction.and_then(|id| parse_gtid(id, server.flavor));
    if let Some(gtid) = &gtid
        && server.executed.is_known()
        && !server.executed.contains(gtid)
    {
        return Err(diverged(
            server,
            gtid.to_string(),
            "it has not executed that transaction",
        ));
    }
    // A snapshot's rows are read again, from a new point on; a transaction is found by reading its file.
    let position = if last.token.snapshot { position } else { 4 };
    if !last.token.snapshot && (gtid.is_none() || !server.executed.is_known()) {
        // Nothing proves that this is the same log.
        return Err(gap());
    }
    Ok(Start {
        place: Place {
            coordinates: Coordinates {
                file: file.clone(),
                position,
            },
            born: 0,
            executed: Executed::Unknown,
        },
        epoch: last.token.epoch,
        ask: Ask::Coordinates,
        skip: None,
        proof: gtid.filter(|_| !last.token.snapshot),
    })
}

/// The server has what we have read and published.
fn check_executed(
    server: &Server,
    place: &Place,
    last: Option<&Published>,
) -> Result<(), SourceError> {
    let why = "it has not executed that";
    if let Some(missing) = server.executed.missing_of(&place.executed) {
        return Err(diverged(server, missing, why));
    }
    let transaction = last.and_then(|last| last.transaction.as_deref());
    if let Some(gtid) = transaction.and_then(|id| parse_gtid(id, server.flavor))
        && server.executed.is_known()
        && !server.executed.contains(&gtid)
    {
        return Err(diverged(server, gtid.to_string(), why));
    }
    Ok(())
}

/// Nothing that we have not read was purged, as far as the server says it beforehand.
fn check_purged(server: &Server, place: &Place) -> Result<(), SourceError> {
    let is_gone = match (&place.executed, &server.executed) {
        (Executed::Unknown, _) | (_, Executed::Unknown) => true,
        _ => place.executed.missing_of(&server.purged).is_some(),
    };
    if !is_gone {
        return Ok(());
    }
    Err(SourceError::Gap {
        resume: place.coordinates.to_string(),
        oldest: oldest(server),
    })
}

fn oldest(server: &Server) -> String {
    server
        .files
        .first()
        .map_or_else(|| "nothing".to_owned(), |(file, _)| file.clone())
}

fn diverged(server: &Server, published: String, why: &'static str) -> SourceError {
    SourceError::Diverged {
        published,
        end: server.end.clone(),
        why,
    }
}

#[cfg(test)]
mod tests;

//! What can go wrong with PostgreSQL as a source, and whether it may heal.

use adit_pgoutput::{DecoderError, Lsn};
use adit_pipeline::{Classify, Disposition, SpillError};

use crate::link::{ConnectError, ServerMessage, sqlstate_is_transient};

/// Why reading the log stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The connection failed, or the server refused a command.
    #[error(transparent)]
    Link(#[from] ConnectError),
    /// A query failed.
    #[error("{doing}: server said {message}{}", hint(message))]
    Query {
        /// What was being done.
        doing: String,
        /// What the server said.
        message: Box<ServerMessage>,
    },
    /// The connection for queries broke.
    #[error("{doing}: the connection for queries was lost")]
    QueryConnection {
        /// What was being done.
        doing: String,
    },
    /// The server sent what cannot be understood.
    #[error(
        "the replication stream cannot be decoded at {lsn}; nothing was skipped; please report this with the bytes \
         that follow, which hold a message's first {} bytes: {window}", window.len() / 2
    )]
    Decode {
        /// Where in the log.
        lsn: Lsn,
        /// The beginning of the message, in hex.
        window: String,
        /// What is wrong.
        source: DecoderError,
    },
    /// A frame of the stream cannot be understood.
    #[error("a frame of the replication stream cannot be decoded")]
    Frame(#[from] adit_pgoutput::DecodeError),
    /// A large transaction could not be kept on disk.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The server ended the stream.
    #[error("the server ended the replication stream; it may be shutting down")]
    StreamEnded,
    /// The settings of the server do not allow logical decoding.
    #[error(
        "wal_level is {found:?}, and logical replication needs \"logical\": run ALTER SYSTEM SET wal_level = \
         'logical' as a superuser and restart the server"
    )]
    WalLevel {
        /// What it is.
        found: String,
    },
    /// The role may not replicate.
    #[error(
        "role {user:?} may not use replication: run ALTER ROLE {} REPLICATION as a superuser (on a managed service: \
         grant its replication role)",
        crate::quote::identifier(user)
    )]
    NoReplicationRight {
        /// The role.
        user: String,
    },
    /// The slot of the checkpoint is gone.
    #[error(
        "replication slot {slot:?} does not exist any more, so the log since the last checkpoint ({resume}) is lost; \
         take a new snapshot: set snapshot.mode = \"when_needed\", or run `adit drop` and start again"
    )]
    SlotMissing {
        /// The slot.
        slot: String,
        /// Where the log would have been asked for.
        resume: Lsn,
    },
    /// The temporary slot is gone with its connection.
    #[error(
        "the connection was lost, and with it the temporary replication slot: what was changed since cannot be read; \
         start again"
    )]
    TemporarySlotGone,
    /// The slot lost its log.
    #[error(
        "replication slot {slot:?} was invalidated ({reason}): the log needed to go on is gone; raise \
         max_slot_wal_keep_size if this was a lag, and take a new snapshot: set snapshot.mode = \"when_needed\", or \
         run `adit drop` and start again"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// Why, as the server says it.
        reason: String,
    },
    /// The slot is somebody else's.
    #[error(
        "replication slot {slot:?} cannot be used: {why}; choose another source.postgres.slot, or drop that one"
    )]
    SlotUnfit {
        /// The slot.
        slot: String,
        /// What is wrong with it.
        why: String,
    },
    /// SOURCE_GAP: the slot is ahead of what is stored.
    #[error(
        "replication slot {slot:?} was moved to {confirmed} behind this connector, which has stored the log up to \
         {stored} only: what lies between is lost; take a new snapshot: set snapshot.mode = \"when_needed\", or run \
         `adit drop` and start again"
    )]
    Gap {
        /// The slot.
        slot: String,
        /// Where the slot stands.
        confirmed: Lsn,
        /// What is stored.
        stored: String,
    },
    /// SOURCE_DIVERGED: the database does not have what is published.
    #[error(
        "the database has lost changes that are published: the stream holds changes up to {published}, the server's \
         log ends at {end} ({why}); it was restored from a backup, or failed over to a standby that lagged; decide what \
         is to be done about the events behind that point, then run `adit drop` and start again with a new snapshot"
    )]
    Diverged {
        /// The last published change.
        published: String,
        /// The end of the server's log, or of the part that this server shares.
        end: Lsn,
        /// How it was found out.
        why: &'static str,
    },
    /// Another server, or another database.
    #[error(
        "this is not the database that the checkpoint speaks of: its {what} is {found:?}, the checkpoint's is \
         {expected:?}; correct source.url, or give this database a connector name of its own"
    )]
    OtherSource {
        /// What differs.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it was.
        expected: String,
    },
    /// The checkpoint's notes cannot be read.
    #[error(
        "the source's notes in the checkpoint cannot be read ({why}); was it written by a later version of adit?"
    )]
    BadState {
        /// What is wrong.
        why: String,
    },
    /// The publication is not there, or not for the wanted tables.
    #[error("publication {publication:?} {why}; as the tables' owner or a superuser run: {remedy}")]
    Publication {
        /// The publication.
        publication: String,
        /// What is wrong.
        why: String,
        /// The SQL that mends it.
        remedy: String,
    },
    /// The publication was dropped while we read.
    #[error(
        "publication {publication:?} was dropped or replaced while changes were read through it: changes made since \
         may be missing in the log; take a new snapshot: run `adit drop` and start again (the server said: {said})"
    )]
    PublicationLost {
        /// The publication.
        publication: String,
        /// What the server said.
        said: String,
    },
    /// A table is not any more what the snapshot shows.
    #[error(
        "table {table} was altered, dropped or truncated since the snapshot was taken, or is just being; another snapshot is taken"
    )]
    SnapshotOutdated {
        /// The table.
        table: String,
    },
    /// A row of a snapshot cannot be understood.
    #[error("a row that the snapshot read from table {table} cannot be understood: {why}")]
    SnapshotRow {
        /// The table.
        table: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A task of the source ended unexpectedly.
    #[error("a part of the source stopped unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Classify for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Link(error) if error.is_transient() => Disposition::Retry,
            Self::Query { message, .. } if sqlstate_is_transient(&message.code) => {
                Disposition::Retry
            }
            Self::QueryConnection { .. }
            | Self::StreamEnded
            | Self::SnapshotOutdated { .. }
            | Self::Spill(_) => Disposition::Retry,
            Self::Link(_)
            | Self::Query { .. }
            | Self::Decode { .. }
            | Self::Frame(_)
            | Self::WalLevel { .. }
            | Self::NoReplicationRight { .. }
            | Self::SlotMissing { .. }
            | Self::SlotLost { .. }
            | Self::TemporarySlotGone
            | Self::SlotUnfit { .. }
            | Self::Gap { .. }
            | Self::Diverged { .. }
            | Self::OtherSource { .. }
            | Self::BadState { .. }
            | Self::Publication { .. }
            | Self::PublicationLost { .. }
            | Self::SnapshotRow { .. }
            | Self::Task(_) => Disposition::Halt,
        }
    }
}

impl SourceError {
    /// An error of a query, without its DETAIL, which can hold row values.
    pub(crate) fn query(doing: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let doing = doing.into();
        match error.as_db_error() {
            Some(said) => Self::Query {
                doing,
                message: Box::new(ServerMessage::from(said)),
            },
            None => Self::QueryConnection { doing },
        }
    }

    /// Recognizes, in what ended the stream, that the publication is gone: servers up to 17 then refuse to
    /// decode the next change, with undefined_object (42704).
    pub(crate) fn with_publication(self, publication: &str) -> Self {
        match self {
            Self::Link(ConnectError::Server { message, .. })
                if message.code == "42704" && message.message.contains(publication) =>
            {
                Self::PublicationLost {
                    publication: publication.to_owned(),
                    said: message.message,
                }
            }
            other => other,
        }
    }

    /// Whether a new snapshot would mend it.
    pub(crate) const fn needs_snapshot(&self) -> bool {
        matches!(
            self,
            Self::SlotMissing { .. } | Self::SlotLost { .. } | Self::Gap { .. }
        )
    }
}

/// What to do about a query that the server refuses.
fn hint(message: &ServerMessage) -> String {
    // insufficient_privilege
    if message.code == "42501" {
        return "; grant the missing right: `adit check` names it".to_owned();
    }
    message
        .hint
        .as_ref()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default()
}

//! What can go wrong with MySQL or MariaDB as a source, and whether it may heal.

use adit_binlog::table::ShapeError;
use adit_binlog::{Coordinates, DecoderError, Flavor};
use adit_pipeline::{Classify, Disposition, ShapeStoreError, SpillError};

use crate::link::LinkError;

/// Why reading the log stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The connection failed, or the server refused it.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The server refused a query, or the connection broke meanwhile.
    #[error("{doing} failed{}", hint(source))]
    Query {
        /// What was being done.
        doing: String,
        /// What the server said.
        source: LinkError,
    },
    /// The server answered a query with what cannot be understood.
    #[error("{doing}: the server answered with {what}")]
    Answer {
        /// What was being done.
        doing: String,
        /// What is wrong.
        what: String,
    },
    /// The log could not be opened, or its sending ended with an error.
    #[error("reading the binary log from {from} failed{}", hint(source))]
    Dump {
        /// From where it was being read.
        from: String,
        /// What the server said.
        source: LinkError,
    },
    /// An event cannot be understood.
    #[error(
        "the binary log cannot be decoded behind {at}; nothing was skipped; please report this with the bytes that \
         follow, which hold an event's first {} bytes: {window}", window.len() / 2
    )]
    Decode {
        /// The end of what was understood.
        at: String,
        /// The beginning of the event, in hex.
        window: String,
        /// What is wrong.
        source: Box<DecoderError>,
    },
    /// What tables were like cannot be kept, or read.
    #[error(transparent)]
    Shapes(#[from] ShapeStoreError),
    /// A large transaction could not be kept on disk.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The server ended the stream.
    #[error("the server ended the sending of its binary log; it may be shutting down")]
    StreamEnded,
    /// Nothing came for too long.
    #[error(
        "nothing came from the server for {seconds} seconds, although it was asked for a sign of life more often; the \
         connection is given up"
    )]
    Silent {
        /// How long it was waited.
        seconds: u64,
    },
    /// A query of the catalogue was not answered.
    #[error(
        "the server did not tell the columns of a table within {seconds} seconds; the connection is given up. If it comes \
         again, see in the server's list of processes what holds the table"
    )]
    NoAnswer {
        /// How long it was waited.
        seconds: u64,
    },
    /// Another replica has our number.
    #[error(
        "the server gave the binary log to another replica with the same server id {server_id}: two readers with one \
         id end each other's connections; is this connector running elsewhere? otherwise give it an id of its own \
         with source.mysql.server_id (the server said: {said})"
    )]
    ServerIdTaken {
        /// The id.
        server_id: u32,
        /// What the server said.
        said: String,
    },
    /// The server has no binary log.
    #[error(
        "the server writes no binary log: set log_bin (and server_id) in its configuration and restart it; on a managed \
         service switch backups or the binary log on"
    )]
    NoBinlog,
    /// The log holds statements.
    #[error(
        "binlog_format is {found:?}, and changes of rows are needed: run SET GLOBAL binlog_format = 'ROW' and set it in \
         the server's configuration; sessions that are connected keep the old format until they connect again"
    )]
    BinlogFormat {
        /// What it is.
        found: String,
    },
    /// GTIDs are wanted and are off.
    #[error(
        "gtid = \"on\" is configured, and the server's gtid_mode is {found:?}: switch GTIDs on, or set gtid = \"auto\""
    )]
    GtidsOff {
        /// What it is.
        found: String,
    },
    /// The URL's scheme names the other family of servers.
    #[error("{target} is {}, so source.url has to begin with {}://", name(*found), scheme(*found))]
    Flavor {
        /// Host and port, or the socket.
        target: String,
        /// What it is.
        found: Flavor,
    },
    /// The database of the URL is not there, or not for us.
    #[error(
        "there is no database {database:?}, or user {user:?} has no right in it: correct the database name in \
         source.url, or GRANT SELECT ON {}.* to the user",
        crate::quote::identifier(database)
    )]
    NoDatabase {
        /// Its name.
        database: String,
        /// The user.
        user: String,
    },
    /// The log that is needed was purged.
    #[error(
        "the server has purged the binary log that is needed to go on: it was read up to {resume}, and the oldest that \
         is left is {oldest}; keep more of it (binlog_expire_logs_seconds, or the service's setting), and take a new \
         snapshot: set snapshot.mode = \"when_needed\", or run `adit drop` and start again"
    )]
    Gap {
        /// Up to where it was read.
        resume: String,
        /// The oldest file.
        oldest: String,
    },
    /// SOURCE_DIVERGED: the server does not have what is published.
    #[error(
        "the server has lost changes that are published: they reach {published}, the server's log ends at {end} ({why}); \
         it was restored from a backup, or is a replica that lagged when it took over; decide what is to be done about \
         the events behind that point, then run `adit drop` and start again with a new snapshot"
    )]
    Diverged {
        /// What is published.
        published: String,
        /// The end of the server's log.
        end: Coordinates,
        /// How it was found out.
        why: &'static str,
    },
    /// SOURCE_DIVERGED, as the server says it.
    #[error(
        "the server has lost changes that were read from it up to {published} (it said: {said}); it was restored from a \
         backup, or lost the end of its log in a crash; run `adit drop` and start again with a new snapshot"
    )]
    DivergedSaid {
        /// Up to where it was read.
        published: String,
        /// What the server said.
        said: String,
    },
    /// Another server, and no GTIDs to find the place in its log.
    #[error(
        "this is not the server, or not the log, that the checkpoint speaks of: the server is {found:?}, the \
         checkpoint's is {expected:?}, and without GTIDs the place in another log cannot be found; correct source.url, \
         or take a new snapshot: run `adit drop` and start again"
    )]
    OtherServer {
        /// What it is.
        found: String,
        /// What it was.
        expected: String,
    },
    /// The log of the same server is another one now.
    #[error(
        "the server's binary log began anew since it was read (RESET BINARY LOGS AND GTIDS, or a restored copy of the \
         server): the same names of files and transactions may stand for others now, so that the place to go on cannot be \
         found; take a new snapshot: set snapshot.mode = \"when_needed\", or run `adit drop` and start again"
    )]
    LogBeganAnew,
    /// Another server took over, and it cannot be told what is published.
    #[error(
        "another server took over, and it cannot be told which of its transactions are published: the last published \
         event is {published}, which has no GTID; run `adit drop` and start again with a new snapshot"
    )]
    FailoverUnknown {
        /// The last published event.
        published: String,
    },
    /// Another server took over, and has committed in another order.
    #[error(
        "another server took over, and it has not committed in the order in which was published: {published} was \
         published last, and {found} stands on the other side of it; set replica_preserve_commit_order = ON on the \
         replicas; then run `adit drop` and start again with a new snapshot"
    )]
    FailoverOrder {
        /// The transaction of the last published event.
        published: String,
        /// The one that is out of order.
        found: String,
    },
    /// The server's log is not the one that the last event came from.
    #[error(
        "the last published event, {published}, is not where it was in the server's log: this is another log, and there \
         is no checkpoint to find the place in it; run `adit drop` and start again with a new snapshot"
    )]
    NotThere {
        /// The last published event.
        published: String,
    },
    /// The checkpoint's notes cannot be read.
    #[error(
        "the source's notes in the checkpoint cannot be read ({why}); was it written by a later version of adit?"
    )]
    BadState {
        /// What is wrong.
        why: String,
    },
    /// NON_ROW_EVENT: a change that was logged as a statement.
    #[error(
        "a change of {tables} was logged as a statement instead of rows, in the transaction that ends at {at}: it cannot \
         be published; a session had set binlog_format for itself: take that right from its user; then take a new \
         snapshot: run `adit drop` and start again"
    )]
    Statement {
        /// The tables, as far as they are known.
        tables: String,
        /// Where in the log.
        at: String,
    },
    /// The shape that a table had at this place is not known.
    #[error(
        "the columns that table {table} had at {at} are not known: the log does not name them, the table was changed \
         later, at {ddl}, and nothing is kept of what it was like before; run SET PERSIST binlog_row_metadata = 'FULL' (MariaDB: SET GLOBAL, and in its \
         configuration), and take a new snapshot: set snapshot.mode = \"when_needed\", or run `adit drop` and start again"
    )]
    ShapeUnknown {
        /// The table.
        table: String,
        /// Where the log was being read.
        at: String,
        /// The change of the table's shape.
        ddl: String,
    },
    /// A table cannot be read as it is.
    #[error("table {table} cannot be read")]
    Shape {
        /// The table.
        table: String,
        /// Why.
        source: Box<ShapeError>,
    },
    /// A transaction was prepared before reading began.
    #[error(
        "an XA transaction commits at {at} that was prepared before reading began, so that its changes are not known; take \
         a new snapshot: run `adit drop` and start again"
    )]
    XaUnknown {
        /// Where in the log.
        at: String,
    },
    /// Transactions are prepared, and a snapshot would miss them.
    #[error(
        "{count} XA transactions are prepared and neither committed nor rolled back; reading begins when they are: the \
         changes in them are in a part of the log that is over. XA RECOVER lists them"
    )]
    XaOpen {
        /// How many.
        count: usize,
    },
    /// A snapshot needs a moment of standstill, and no way to it is open.
    #[error(
        "no consistent point could be found for the snapshot: {tried}; grant {user} LOCK TABLES on the tables, or RELOAD"
    )]
    NoAnchor {
        /// The ways that were tried, and why they failed.
        tried: String,
        /// The user.
        user: String,
    },
    /// A task of the source ended unexpectedly.
    #[error("a part of the source stopped unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Classify for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Link(error)
            | Self::Query { source: error, .. }
            | Self::Dump { source: error, .. } => {
                if is_transient(error) {
                    Disposition::Retry
                } else {
                    Disposition::Halt
                }
            }
            Self::StreamEnded
            | Self::Silent { .. }
            | Self::NoAnswer { .. }
            | Self::ServerIdTaken { .. }
            | Self::XaOpen { .. }
            | Self::NoAnchor { .. }
            | Self::Spill(_) => Disposition::Retry,
            Self::Shapes(source) => source.disposition(),
            Self::Answer { .. }
            | Self::Decode { .. }
            | Self::NoBinlog
            | Self::BinlogFormat { .. }
            | Self::GtidsOff { .. }
            | Self::Flavor { .. }
            | Self::NoDatabase { .. }
            | Self::Gap { .. }
            | Self::Diverged { .. }
            | Self::DivergedSaid { .. }
            | Self::OtherServer { .. }
            | Self::LogBeganAnew
            | Self::FailoverUnknown { .. }
            | Self::FailoverOrder { .. }
            | Self::NotThere { .. }
            | Self::BadState { .. }
            | Self::Statement { .. }
            | Self::ShapeUnknown { .. }
            | Self::Shape { .. }
            | Self::XaUnknown { .. }
            | Self::Task(_) => Disposition::Halt,
        }
    }
}

impl SourceError {
    /// An error of a query.
    pub(crate) fn query(doing: impl Into<String>, source: LinkError) -> Self {
        Self::Query {
            doing: doing.into(),
            source,
        }
    }

    /// Whether a new snapshot would mend it.
    pub(crate) const fn needs_snapshot(&self) -> bool {
        matches!(
            self,
            Self::Gap { .. } | Self::ShapeUnknown { .. } | Self::LogBeganAnew
        )
    }
}

/// Whether trying again may help with what the server or the network said.
fn is_transient(error: &LinkError) -> bool {
    match error.code() {
        // Too many connections, shutdown, network errors, lock and time limits, killed, not available;
        // ER_BINLOG_MUST_BE_EMPTY and its like are not among them.
        Some(code) => matches!(
            code,
            1040 | 1053 | 1129 | 1152
                ..=1161
                    | 1203
                    | 1205
                    | 1213
                    | 1226
                    | 1317
                    | 1412
                    | 1927
                    | 1969
                    | 3024
                    | 3168
                    | 4031
        ),
        None => error.is_transient(),
    }
}

/// What to do about what the server refuses.
fn hint(error: &LinkError) -> &'static str {
    match error.code() {
        // ER_ACCESS_DENIED, ER_TABLEACCESS_DENIED, ER_SPECIFIC_ACCESS_DENIED, ER_DBACCESS_DENIED
        Some(1044 | 1045 | 1142 | 1227) => ": a right is missing, `adit check` names it",
        _ => "",
    }
}

const fn name(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::Mysql => "MySQL",
        Flavor::Mariadb => "MariaDB",
    }
}

const fn scheme(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::Mysql => "mysql",
        Flavor::Mariadb => "mariadb",
    }
}

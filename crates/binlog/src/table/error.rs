//! Why a table cannot be read.

use adit_decode::DecodeError;

/// Why a table's rows cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The map cannot be read.
    #[error("the table map cannot be read")]
    Map(#[from] DecodeError),
    /// The log does not name the columns, and the catalogue's do not fit.
    #[error(
        "the rows of table {table} were written with other columns than the table has now: {why}; the log does not \
         name columns, so that what they were cannot be known; set binlog_row_metadata = FULL on the server (MySQL 8.0, \
         MariaDB 10.5), so that it does from then on"
    )]
    DoesNotFit {
        /// The table with its database, both quoted.
        table: String,
        /// What does not fit.
        why: String,
    },
    /// The log does not name the columns, and the table is gone.
    #[error(
        "table {table} is not there any more, and the log does not name its columns; set binlog_row_metadata = FULL \
         on the server (MySQL 8.0, MariaDB 10.5), so that it does from then on"
    )]
    Gone {
        /// The table with its database, both quoted.
        table: String,
    },
    /// How long values are would have to be asked from a catalogue that has the columns no more.
    #[error(
        "the rows of table {table} have TIME, DATETIME or TIMESTAMP values in MariaDB's own format, which can be read only \
         as long as the table has these columns, and it has them no more; leave the table out, or start behind its change"
    )]
    OldTime {
        /// The table with its database, both quoted.
        table: String,
    },
    /// A type or character set that this build does not know.
    #[error("column {column:?} of table {table} has the {what}, which is not known here")]
    Unknown {
        /// The table with its database, both quoted.
        table: String,
        /// The column.
        column: String,
        /// The type or character set.
        what: String,
    },
}

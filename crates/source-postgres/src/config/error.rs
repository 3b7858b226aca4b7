//! What can be wrong with a connection URL.

use super::HOSTS_MAX;

/// Why a connection URL cannot be used. No text repeats a part of the URL that
/// could hold the password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a PostgreSQL URL at all.
    #[error(
        "the source url does not start with postgres:// or postgresql://: write it as postgres://user@host:5432/database"
    )]
    Scheme,
    /// A part of the URL cannot be read.
    #[error("the source url's {part} cannot be read: {why}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with it and how to write it.
        why: &'static str,
    },
    /// No user name.
    #[error("the source url names no user: write it as postgres://user@host:5432/database")]
    NoUser,
    /// No host.
    #[error(
        "the source url names no host: write it as postgres://user@host:5432/database, or add ?host=/var/run/postgresql for a unix socket"
    )]
    NoHost,
    /// More hosts than adit will try.
    #[error("the source url names {count} hosts: at most {HOSTS_MAX} are tried, leave some out")]
    TooManyHosts {
        /// How many there were.
        count: usize,
    },
    /// The number of ports fits neither one for all nor one for each host.
    #[error(
        "the source url gives {ports} ports for {hosts} hosts: give one port for all of them or one for each"
    )]
    PortCount {
        /// Ports given.
        ports: usize,
        /// Hosts given.
        hosts: usize,
    },
    /// A parameter that nobody knows.
    #[error("the source url has an unknown parameter {name:?}{}", suggestion.map(|s| format!(": did you mean {s:?}?")).unwrap_or_else(|| ": remove it".to_owned()))]
    UnknownParameter {
        /// As written.
        name: String,
        /// The closest known one.
        suggestion: Option<&'static str>,
    },
    /// A parameter of `libpq` that adit does not follow.
    #[error(
        "the source url's parameter {name:?} is one of libpq's that adit does not support: {instead}"
    )]
    UnsupportedParameter {
        /// As written.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A parameter whose value is not one of those allowed.
    #[error(
        "the source url's parameter {name:?} has a value that is not understood: it must be {expected}"
    )]
    ParameterValue {
        /// Which.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Two settings that contradict each other.
    #[error("the source url contradicts itself: {0}")]
    Contradiction(&'static str),
}

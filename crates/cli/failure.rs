//! How a command fails: an exit code, and one paragraph for the person who ran it.

use std::fmt;

use adit_pipeline::chain;

/// Exit code: a check failed, or a run ended on an error that retrying cannot mend.
pub(crate) const FAILED: u8 = 1;
/// Exit code: bad usage or configuration.
pub(crate) const MISUSED: u8 = 2;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// None: what had to be said was printed already.
    error: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    /// The paragraph to print.
    pub(crate) fn paragraph(&self) -> Option<String> {
        self.error.as_ref().map(|error| chain(error.as_ref()))
    }
}

/// The command or its configuration is wrong.
pub(crate) fn usage(error: impl fmt::Display) -> Failure {
    Failure {
        code: MISUSED,
        error: Some(anyhow::anyhow!("{error}")),
    }
}

/// A check failed, and its findings were printed.
pub(crate) const fn findings() -> Failure {
    Failure {
        code: FAILED,
        error: None,
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            code: FAILED,
            error: Some(error),
        }
    }
}

impl From<crate::config::Invalid> for Failure {
    fn from(error: crate::config::Invalid) -> Self {
        Self {
            code: MISUSED,
            error: Some(error.into()),
        }
    }
}

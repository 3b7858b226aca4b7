//! What happens after an error, decided by whoever knows the error.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may heal by itself: try again, for ever, with growing pauses.
    Retry,
    /// Trying again gives the same error, or would risk data: stop and tell the operator.
    Halt,
}

/// An error that knows what is to be done about it.
///
/// Each adapter answers in one exhaustive `match`, so that a new kind of error cannot be forgotten.
pub trait Classify: Error + Send + Sync + 'static {
    /// Whether trying again can help.
    fn disposition(&self) -> Disposition;
}

/// Why a connector stopped: an error that retrying cannot mend.
#[derive(Debug)]
pub struct RunError {
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl RunError {
    pub(crate) fn new(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing,
            source: source.into(),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Pauses between tries: the first short, each twice the one before, up to a limit.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    /// Long enough not to burden a server that is starting, short enough that an operator who
    /// mended something does not wait.
    const MAX: Duration = Duration::from_secs(10);

    /// The first pause comes next.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait before the next try.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::MAX);
        pause
    }

    /// Something worked: the next failure is a new one.
    pub const fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// An error with its causes in one line: `doing this: because of that: said the server`. A cause that
/// the text ends with already is not said again.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn a_chain_says_each_cause_once() {
        let refused = || Some(Box::new(Said("refused", None)));
        let io = Said("io error: refused", refused());
        assert_eq!(
            chain(&Said("connecting", Some(Box::new(io)))),
            "connecting: io error: refused"
        );
        assert_eq!(chain(&Said("connecting", refused())), "connecting: refused");
    }
}

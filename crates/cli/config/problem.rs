//! What is wrong with a configuration: all of it at once, each with its place.

use std::error::Error;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key with its tables, as in `connector.source.url`; empty for the whole file.
    pub(crate) path: String,
    /// The line in the file, from 1; none where it is not in one.
    pub(crate) line: Option<usize>,
    /// What is wrong, and how to write it. Never a secret.
    pub(crate) message: String,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(crate) struct Invalid {
    origin: Origin,
    problems: Vec<Problem>,
}

/// Where a configuration came from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A file, by the name that was given.
    File(String),
    /// The options of a command, where the URL of the source is called this.
    Flags(&'static str),
}

impl Invalid {
    /// In the order of the file; there is at least one.
    pub(crate) fn new(origin: Origin, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line);
        Self { origin, problems }
    }

    #[cfg(test)]
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(name) => write!(f, "the configuration {name} cannot be used")?,
            Origin::Flags(_) => f.write_str("the options cannot be used")?,
        }
        for problem in &self.problems {
            f.write_str("\n  ")?;
            if let (Origin::File(_), Some(line)) = (&self.origin, problem.line) {
                write!(f, "line {line}: ")?;
            }
            let name = match self.origin {
                Origin::File(_) => problem.path.as_str(),
                Origin::Flags(url) if problem.path == "connector.source.url" => url,
                Origin::Flags(_) => option_of(&problem.path),
            };
            if !name.is_empty() {
                write!(f, "{name}: ")?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

/// The options of `run` and `tail` are a small configuration; this is what its keys are called there.
fn option_of(path: &str) -> &str {
    match path {
        "connector.name" => "--name",
        "connector.source.tables" => "--tables",
        "connector.source.postgres.publication" => "--publication",
        "connector.nats.url" | "connector.nats" => "--nats",
        "connector.nats.stream" => "--stream",
        other => other,
    }
}

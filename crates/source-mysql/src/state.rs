//! The source's notes in the checkpoint: which log it reads, and how far snapshots came.

use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::snapshot::Unread;

/// Names a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct TableName {
    /// Its database.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) table: String,
}

impl TableName {
    pub(crate) fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// As servers store it that know no case.
    pub(crate) fn folded(&self) -> Self {
        Self::new(self.schema.to_lowercase(), self.table.to_lowercase())
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}.{:?}", self.schema, self.table)
    }
}

/// What a checkpoint keeps for the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of this structure.
    version: u32,
    /// The server's `server_uuid` (MySQL) or `server_id` (MariaDB).
    pub(crate) server: String,
    /// Counts the logs that were read one after the other: it is raised when another server takes over.
    pub(crate) epoch: u16,
    /// The transactions before those that a resume position counts: a GTID set. Empty where it is not
    /// known, and on MariaDB, where the resume position has it whole.
    pub(crate) base: String,
    /// The globs of the tables that are captured. Tables that only later globs match are new.
    pub(crate) tables: Vec<String>,
    /// The first snapshot is not complete: nothing but its rows is published.
    pub(crate) first: bool,
    /// Tables whose snapshot is not complete. Their changes are not published until it is, or has begun.
    pub(crate) pending: Vec<TableName>,
    /// How far it came, for those of them of which part is read. Their changes are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) begun: Vec<Begun>,
    /// Tables that were dropped: when they come again, readers drop what they hold of them. A table
    /// without a name stands for a whole database.
    pub(crate) dropped: Vec<TableName>,
}

/// A table of which part is read, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    #[serde(flatten)]
    pub(crate) name: TableName,
    /// The shape that it had.
    pub(crate) shape: u64,
    /// What is left.
    pub(crate) unread: Unread,
}

const VERSION: u32 = 1;
/// Dropped tables that are remembered. Names that come and go for ever, as of nightly loads, come again
/// soon; the oldest are forgotten, so that the notes stay small.
const DROPPED_MAX: usize = 1000;

impl State {
    pub(crate) const fn new(server: String, epoch: u16, base: String, tables: Vec<String>) -> Self {
        Self {
            version: VERSION,
            server,
            epoch,
            base,
            tables,
            first: false,
            pending: Vec::new(),
            begun: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        let bad = |why: String| SourceError::BadState { why };
        let state: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if state.version != VERSION {
            return Err(bad(format!("version {}", state.version)));
        }
        Ok(state)
    }

    pub(crate) fn to_text(&self) -> Box<str> {
        serde_json::to_string(self)
            .expect("strings and numbers are JSON")
            .into()
    }

    /// A table, or all tables of a database, are gone.
    pub(crate) fn drop_table(&mut self, name: TableName) {
        let stays = |table: &TableName| {
            table.schema != name.schema || !name.table.is_empty() && table.table != name.table
        };
        self.pending.retain(stays);
        self.begun.retain(|begun| stays(&begun.name));
        if self.dropped.contains(&name) {
            return;
        }
        if self.dropped.len() >= DROPPED_MAX {
            self.dropped.remove(0);
        }
        self.dropped.push(name);
    }

    /// The snapshot of a table is complete.
    pub(crate) fn complete(&mut self, name: &TableName) {
        self.pending.retain(|pending| pending != name);
        self.comes_again(&name.schema, &name.table);
    }

    /// Whether part of a table is read, so that its changes are published.
    pub(crate) fn has_begun(&self, schema: &str, table: &str) -> bool {
        let mut begun = self.begun.iter();
        begun.any(|begun| begun.name.schema == schema && begun.name.table == table)
    }

    /// Nothing of what was read of a table counts; false if nothing was.
    pub(crate) fn begin_again(&mut self, schema: &str, table: &str) -> bool {
        let before = self.begun.len();
        self.begun
            .retain(|begun| begun.name.schema != schema || begun.name.table != table);
        self.begun.len() < before
    }

    /// Whether a table was dropped before it came; only the first time.
    pub(crate) fn comes_again(&mut self, schema: &str, table: &str) -> bool {
        let mut dropped = self.dropped.iter();
        let found = dropped.position(|name| name.schema == schema && name.table == table);
        if let Some(index) = found {
            self.dropped.remove(index);
        }
        found.is_some()
    }
}

/// The place of an event in the log, as its position token says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Which log.
    pub(crate) epoch: u16,
    /// The number of the file.
    pub(crate) file: u32,
    /// The end of the transaction's first event, or a snapshot's point.
    pub(crate) position: u64,
    /// Whether it is that of a row which a snapshot read.
    pub(crate) snapshot: bool,
    /// The event's index in its transaction or snapshot; none in front of the first one.
    pub(crate) ordinal: Option<u64>,
}

impl Token {
    /// Reads a token of this source: `{epoch}-{file}-{position}-{ordinal}`, or with an `r` before a
    /// snapshot's ordinal; behind it, or instead, `!` and the number of a schema event.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (epoch, rest) = text.split_once('-')?;
        let (file, rest) = rest.split_once('-')?;
        let (position, rest) = rest.split_at_checked(16)?;
        let (event, _) = rest.split_once('!').unwrap_or((rest, ""));
        let (kind, ordinal) = event.split_at_checked(1)?;
        let ordinal = match ordinal {
            "" => None,
            digits => Some(u64::from_str_radix(digits, 16).ok()?),
        };
        Some(Self {
            epoch: u16::from_str_radix(epoch, 16).ok()?,
            file: u32::from_str_radix(file, 16).ok()?,
            position: u64::from_str_radix(position, 16).ok()?,
            snapshot: match kind {
                "r" => true,
                "-" => false,
                _ => return None,
            },
            ordinal,
        })
    }
}

#[cfg(test)]
mod tests {
    use adit_event::PositionSpace;

    use super::*;

    #[test]
    fn tokens_are_read_back() {
        let transaction = PositionSpace::new("0001-0000002A-00000000000004D2-", 8);
        let row = transaction.event(7).unwrap();
        let token = Token {
            epoch: 1,
            file: 42,
            position: 1234,
            snapshot: false,
            ordinal: Some(7),
        };
        assert_eq!(Token::parse(row.as_str()), Some(token));
        let schema = transaction.schema(8, None).unwrap();
        assert_eq!(Token::parse(schema.as_str()), Some(token));
        let schema = transaction.schema(0, None).unwrap();
        let ordinal = None;
        assert_eq!(
            Token::parse(schema.as_str()),
            Some(Token { ordinal, ..token })
        );
        let snapshot = PositionSpace::new("0001-0000002A-00000000000004D2r", 12);
        assert_eq!(
            Token::parse(snapshot.event(7).unwrap().as_str()),
            Some(Token {
                snapshot: true,
                ..token
            })
        );
        for text in ["", "0001", "0001-0000002A-00000000000004D2", "0/16B3748-1"] {
            assert_eq!(Token::parse(text), None);
        }
    }

    #[test]
    fn a_dropped_table_comes_again_once() {
        let mut state = State::new("uuid".into(), 0, String::new(), vec![]);
        state.pending = vec![TableName::new("a", "x"), TableName::new("b", "x")];
        state.drop_table(TableName::new("a", "x"));
        state.drop_table(TableName::new("a", "x"));
        assert_eq!(state.pending, [TableName::new("b", "x")]);
        assert!(!state.comes_again("b", "x"));
        assert!(state.comes_again("a", "x"));
        assert!(!state.comes_again("a", "x"));
    }

    #[test]
    fn notes_of_another_version_are_refused() {
        let state = State::new("uuid".into(), 3, "u:1-5".into(), vec!["a.*".into()]);
        assert_eq!(State::parse(&state.to_text()).unwrap(), state);
        let other = state.to_text().replace("\"version\":1", "\"version\":9");
        let error = State::parse(&other).unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
    }
}

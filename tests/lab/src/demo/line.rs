//! An event as one line for a person.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Characters of a row that are shown.
const ROW_LEN_MAX: usize = 96;

/// What is shown of an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Event<'a> {
    op: Cow<'a, str>,
    table: Cow<'a, str>,
    key: Option<Map<String, Value>>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    columns: Option<Vec<&'a RawValue>>,
    tx: Option<Tx<'a>>,
    source: Source<'a>,
    ts: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Source<'a> {
    kind: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Tx<'a> {
    ts: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// It is not an event of adit.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(body).context("a message of the stream is not an event")
    }

    /// Whether it tells of a change, and not of a table's shape or a row that was there before.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(&*self.op, "schema" | "read")
    }

    /// The event as a line, coloured if wanted.
    pub(crate) fn line(&self, colour: bool) -> Line<'_> {
        Line {
            event: self,
            colour,
        }
    }

    /// When the change was committed, else when it was read: the part from the hour to the millisecond.
    fn time(&self) -> &str {
        let time = self.tx.as_ref().map_or(&self.ts, |tx| &tx.ts);
        time.get(11..23).unwrap_or(time)
    }

    fn key(&self) -> String {
        let pairs = self.key.iter().flatten();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            })
            .collect();
        pairs.join(" ")
    }

    fn row(&self) -> String {
        if let Some(columns) = &self.columns {
            return format!("{} columns", columns.len());
        }
        let row = self.after.map_or("", RawValue::get);
        match row.char_indices().nth(ROW_LEN_MAX) {
            Some((end, _)) => format!("{}…", row.get(..end).unwrap_or(row)),
            None => row.to_owned(),
        }
    }
}

/// Displays an [`Event`].
#[derive(Debug)]
pub(crate) struct Line<'a> {
    event: &'a Event<'a>,
    colour: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (on, off) = match &*self.event.op {
            _ if !self.colour => ("", ""),
            "insert" => ("\x1b[32m", "\x1b[0m"),
            "update" => ("\x1b[33m", "\x1b[0m"),
            "delete" | "truncate" => ("\x1b[31m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        let line = format!(
            "{}  {:8}  {on}{:8}{off}  {:11}  {:18}  {}",
            self.event.time(),
            self.event.source.kind,
            self.event.op,
            self.event.table,
            self.event.key(),
            self.event.row()
        );
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_its_commit_time_key_and_row() {
        let body = br#"{"op":"insert","schema":"public","table":"order_lines","key":{"order_id":7,"line":1},
            "before":null,"after":{"order_id":7,"line":1,"price":"4.50"},
            "tx":{"id":"748","seq":0,"last":true,"ts":"2026-11-23T13:37:00.123456Z"},
            "source":{"kind":"mysql"},"ts":"2026-11-23T13:37:00.125001Z"}"#;
        let event = Event::parse(body).unwrap();
        assert!(event.is_change());
        assert_eq!(
            event.line(false).to_string(),
            r#"13:37:00.123  mysql     insert    order_lines  line=1 order_id=7   {"order_id":7,"line":1,"price":"4.50"}"#
        );
        assert!(event.line(true).to_string().contains("\x1b[32minsert"));
    }

    #[test]
    fn a_shape_shows_how_many_columns_there_are_and_a_long_row_its_beginning() {
        let body = br#"{"op":"schema","schema":"public","table":"t","columns":[{},{}],"source":{"kind":"postgres"},"ts":"2026-11-23T13:37:00.125001Z"}"#;
        let event = Event::parse(body).unwrap();
        assert!(!event.is_change());
        assert!(event.line(false).to_string().ends_with("2 columns"));

        let body = format!(
            r#"{{"op":"delete","table":"t","key":null,"after":{{"a":"{}"}},"source":{{"kind":"postgres"}},"ts":""}}"#,
            "é".repeat(200)
        );
        let line = Event::parse(body.as_bytes())
            .unwrap()
            .line(false)
            .to_string();
        assert!(line.ends_with("é…"), "{line}");
    }
}

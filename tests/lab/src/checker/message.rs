//! A message of the stream as its readers see it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use async_nats::jetstream;
use serde::Deserialize;
use serde_json::Value;

use crate::workload::EXTRA;

/// A row, or the part of one that an event holds: values by column.
pub(super) type Row = BTreeMap<String, Value>;

pub(super) struct Message<'a> {
    /// Its number in the stream.
    pub(super) seq: u64,
    /// `Adit-N`
    pub(super) n: u64,
    /// `Adit-Pos`
    pub(super) position: &'a str,
    /// `Adit-Writer`
    pub(super) writer: &'a str,
    pub(super) subject: &'a str,
    pub(super) body: Body<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
    Truncate,
    Read,
    Message,
    Schema,
}

#[derive(Debug, Deserialize)]
pub(super) struct Body<'a> {
    pub(super) op: Op,
    #[serde(borrow)]
    pub(super) schema: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) table: Option<Cow<'a, str>>,
    pub(super) key: Option<Row>,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
    #[serde(default)]
    pub(super) absent: Vec<String>,
    pub(super) columns: Option<Vec<Column>>,
    #[serde(default)]
    pub(super) resnapshot: bool,
    #[serde(borrow)]
    pub(super) tx: Option<Tx<'a>>,
    #[serde(borrow)]
    pub(super) source: Source<'a>,
}

/// A column in a schema event.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) key: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tx<'a> {
    pub(super) id: &'a str,
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) last: bool,
    pub(super) ts: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct Source<'a> {
    pub(super) connector: &'a str,
    pub(super) kind: &'a str,
    pub(super) pos: &'a str,
    #[serde(default)]
    pub(super) snapshot: bool,
}

impl Body<'_> {
    /// Takes the column [`EXTRA`] out of everything that has it: whether that is all, or nothing; none if
    /// there is nothing that might.
    pub(super) fn take_extra(&mut self) -> Result<Option<bool>> {
        let mut found = Vec::new();
        for row in [&mut self.before, &mut self.after].into_iter().flatten() {
            let value = row.remove(EXTRA);
            ensure!(
                value.as_ref().is_none_or(Value::is_null),
                "a value in column {EXTRA}: {value:?}"
            );
            found.push(value.is_some());
        }
        if let Some(columns) = &mut self.columns {
            let before = columns.len();
            columns.retain(|column| column.name != EXTRA);
            found.push(columns.len() < before);
        }
        let first = found.first().copied();
        ensure!(
            found.iter().all(|one| Some(*one) == first),
            "one row has column {EXTRA}, the other has not"
        );
        Ok(first)
    }
}

impl<'a> Message<'a> {
    pub(super) fn parse(raw: &'a jetstream::Message) -> Result<Self> {
        let headers = raw.headers.as_ref().context("it has no headers")?;
        let header = |name: &'static str| {
            let value = headers.get(name);
            value
                .map(async_nats::HeaderValue::as_str)
                .with_context(|| format!("it has no {name}"))
        };
        let info = raw.info().map_err(|error| anyhow!(error))?;
        Ok(Self {
            seq: info.stream_sequence,
            n: header("Adit-N")?.parse().context("Adit-N is no number")?,
            position: header("Adit-Pos")?,
            writer: header("Adit-Writer")?,
            subject: raw.subject.as_str(),
            body: serde_json::from_slice(&raw.payload).context("its body is no event")?,
        })
    }

    /// Whether it is where readers of its table look for it.
    pub(super) fn check_subject(&self, connector: &str) -> Result<()> {
        let Body {
            op,
            schema,
            table,
            source,
            ..
        } = &self.body;
        ensure!(
            source.connector == connector,
            "it is of {:?}, {:?}",
            source.connector,
            source.kind
        );
        ensure!(
            source.pos == self.position,
            "its header says position {:?}, its body {:?}",
            self.position,
            source.pos
        );
        if *op == Op::Message {
            return Ok(());
        }
        let table = format!(
            "{}.{}",
            token(schema.as_deref().unwrap_or_default()),
            token(table.as_deref().unwrap_or_default())
        );
        let subject = if *op == Op::Schema {
            format!("cdc.{connector}.$schema.{table}")
        } else {
            format!("cdc.{connector}.{table}")
        };
        ensure!(subject == self.subject, "it should be on {subject}");
        Ok(())
    }
}

/// A name as one token of a subject.
fn token(name: &str) -> String {
    let mut token = String::new();
    for c in name.chars() {
        if c == '%' || ".*>".contains(c) || c.is_whitespace() || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                token.push_str(&format!("%{byte:02X}"));
            }
        } else {
            token.push(c);
        }
    }
    if token.is_empty() {
        token.push('%');
    }
    token
}

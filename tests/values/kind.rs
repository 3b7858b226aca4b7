//! A type with its awkward values, and the one check that all of them go through.

use std::collections::HashMap;

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::path::{DataPath, Event};

/// A type, and what its values are in an event.
pub(crate) struct Kind {
    /// The oldest major version that has it, or these values of it.
    pub(crate) since: u32,
    /// As `CREATE TABLE` takes it.
    name: String,
    /// The logical type in schema events.
    logical: &'static str,
    /// SQL expressions, and the JSON of each.
    values: Vec<(String, String)>,
}

impl Kind {
    /// A type of all versions.
    pub(crate) fn new(name: &str, logical: &'static str, values: &[(&str, &str)]) -> Self {
        let owned = |(sql, json): &(&str, &str)| ((*sql).to_owned(), (*json).to_owned());
        Self {
            since: 0,
            name: name.to_owned(),
            logical,
            values: values.iter().map(owned).collect(),
        }
    }

    /// Not in older versions than this.
    pub(crate) fn since(mut self, major: u32) -> Self {
        self.since = major;
        self
    }

    /// One more value, whose text is too long to be written down.
    pub(crate) fn and(mut self, sql: String, json: String) -> Self {
        self.values.push((sql, json));
        self
    }
}

/// What types of users and extensions need. A base type of one's own needs functions in C; those of `text` do for types
/// that are only asked for their text. So there is a `geometry` and a `vector` here although neither PostGIS nor pgvector
/// is, with the text that those two write.
const PRELUDE: &str = "
create extension hstore; create extension citext; create extension ltree; create extension cube; create extension isn;
create type mood as enum ('sad', 'so so', 'quote''s \"x\"', '😀');
create type pair as (a int, b text);
create type nested as (p pair, list int[]);
create domain positive as int check (value > 0);
create domain very_positive as positive check (value > 1);
create domain price as numeric(7,2);
create domain moment as timestamp(3);
create domain numbers as int[];
create domain moods as mood;
create type float_range as range (subtype = float8);
";

/// Makes a base type that keeps its text.
fn text_like(name: &str) -> String {
    format!(
        "create type {name};
        create function {name}_in(cstring) returns {name} language internal immutable strict as 'textin';
        create function {name}_out({name}) returns cstring language internal immutable strict as 'textout';
        create type {name} (input = {name}_in, output = {name}_out, like = text);\n"
    )
}

/// Types that [`text_like`] makes.
const TEXT_LIKE: [&str; 6] = [
    "geometry",
    "geography",
    "vector",
    "halfvec",
    "sparsevec",
    "strange",
];

/// Writes each value before adit starts and again while it runs, and compares both events with what is expected.
pub(crate) async fn check(version: Version, kinds: &[Kind]) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    let mut sql = PRELUDE.to_owned();
    for name in TEXT_LIKE {
        sql.push_str(&text_like(name));
    }
    for (table, kind) in kinds.iter().enumerate() {
        sql.push_str(&format!(
            "create table t{table} (id int primary key, v {});\n",
            kind.name
        ));
    }
    path.pg.exec(&sql).await?;
    path.pg.exec(&inserts(kinds, 0)).await?;
    path.start()?;
    let mut reader = path.reader().await?;
    let read = path.to_the_end(&mut reader).await?;
    path.pg.exec(&inserts(kinds, STREAMED)).await?;
    let streamed = path.to_the_end(&mut reader).await?;
    path.stop().await?;

    let mut wrong = String::new();
    let schemas: HashMap<&str, &Event> = read
        .iter()
        .filter(|event| event.op == "schema")
        .map(|event| (event.table.as_str(), event))
        .collect();
    let read = rows(&read, "read");
    ensure!(
        streamed.iter().all(|event| event.op == "insert"),
        "the stream shows the tables otherwise than the snapshot: {:?}",
        streamed.iter().find(|event| event.op != "insert")
    );
    let streamed = rows(&streamed, "insert");
    for (table, kind) in kinds.iter().enumerate() {
        let table = format!("t{table}");
        let logical = schemas
            .get(table.as_str())
            .and_then(|schema| Some(schema.columns.get(1)?.logical.as_str()));
        if logical != Some(kind.logical) {
            wrong.push_str(&format!("{}: logical type {logical:?}\n", kind.name));
        }
        let null = ("null".to_owned(), "null".to_owned());
        for (id, (sql, json)) in kind.values.iter().chain([&null]).enumerate() {
            let snapshot = read.get(&(table.as_str(), id));
            let stream = streamed.get(&(table.as_str(), STREAMED + id));
            let expected = format!("{{\"id\":{id},\"v\":{json}}}");
            if snapshot != Some(&expected.as_str()) {
                wrong.push_str(&format!(
                    "{} {sql}: expected {expected}, read {snapshot:?}\n",
                    kind.name
                ));
            }
            let expected = format!("{{\"id\":{},\"v\":{json}}}", STREAMED + id);
            if stream != Some(&expected.as_str()) {
                wrong.push_str(&format!(
                    "{} {sql}: expected {expected}, streamed {stream:?}\n",
                    kind.name
                ));
            }
        }
    }
    let count: usize = kinds.iter().map(|kind| kind.values.len() + 1).sum();
    ensure!(wrong.is_empty(), "PostgreSQL {version}:\n{wrong}");
    ensure!(
        read.len() == count && streamed.len() == count,
        "rows came twice or too many"
    );
    Ok(())
}

/// Rows that are streamed have numbers from here on.
const STREAMED: usize = 1_000;

/// Statements that write every value, and a NULL.
fn inserts(kinds: &[Kind], first: usize) -> String {
    let mut sql = String::new();
    for (table, kind) in kinds.iter().enumerate() {
        let values = kind.values.iter().map(|(value, _)| value.as_str());
        for (id, value) in values.chain(["null"]).enumerate() {
            sql.push_str(&format!(
                "insert into t{table} select {}, {value};\n",
                first + id
            ));
        }
    }
    sql
}

/// The new rows of these events by table and number.
fn rows<'a>(events: &'a [Event], op: &str) -> HashMap<(&'a str, usize), &'a str> {
    let of_op = events.iter().filter(|event| event.op == op);
    of_op
        .filter_map(|event| {
            let key = event.key()?.strip_prefix("{\"id\":")?.strip_suffix('}')?;
            Some(((event.table.as_str(), key.parse().ok()?), event.after()?))
        })
        .collect()
}

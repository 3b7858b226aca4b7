//! What real servers log, what their catalogues say, and what their text protocol returns for the same
//! values: one shape and one JSON.
//!
//! `testdata/values/capture.py` captured it. `UPDATE_EXPECT=1 cargo test -p adit-binlog` rewrites the
//! expectations: review the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use adit_decode::{DecodeError, Reader};
use adit_event::{Cell, Column, Relation, Row, ValueError, ValueOptions, ValueWriter};
use bytes::BytesMut;
use expect_test::expect_file;

use crate::event::{ColumnType, Event, Rows, RowsKind, TableMap};
use crate::flavor::Flavor;
use crate::header::{EventHeader, EventType};
use crate::row;
use crate::table::{self, ColumnInfo, ShapeError, TableInfo, catalogue_relation, relation};

#[test]
fn log_and_catalogue_give_one_shape_and_one_value() {
    for path in captures() {
        let capture = Capture::read(&path);
        let told = capture.tell();
        expect_file![path.with_extension("expect")].assert_eq(&told);
    }
}

#[test]
fn cut_values_are_errors_and_no_panic() {
    for path in captures() {
        let capture = Capture::read(&path);
        capture.each_rows(&mut |capture, map, rows| {
            let table = capture.table(map);
            let relation = relation(map, Some(&table.info), capture.flavor).unwrap();
            let types = table::columns(map, Some(&table.info), capture.flavor)
                .unwrap()
                .unwrap();
            for row in after(rows, &types) {
                for (column, cell) in relation.columns().iter().zip(row.cells()) {
                    let (Cell::Binary(cell) | Cell::Text(cell)) = cell else {
                        continue;
                    };
                    for end in (0..cell.len()).take(300) {
                        // Some are values too: text, and what NULs are cut off of.
                        for cut in [Cell::Binary(&cell[..end]), Cell::Text(&cell[..end])] {
                            if let Err(error) = written(column, cut) {
                                assert!(error.offset <= error.len, "{error}");
                            }
                        }
                    }
                }
            }
            for end in (0..rows.rows.len()).take(300) {
                let mut cut = rows.clone();
                cut.rows = rows.rows[..end].to_vec().into();
                let mut reader = Reader::new(&cut.rows);
                while !reader.is_empty() && one(&cut, &types, &mut reader).is_ok() {}
            }
        });
    }
}

/// One captured server.
struct Capture {
    flavor: Flavor,
    tables: BTreeMap<String, Table>,
    /// Kinds and bodies.
    events: Vec<(u8, Vec<u8>)>,
}

#[derive(Default)]
struct Table {
    info: TableInfo,
    /// Each update makes one more row of `rows`.
    steps: bool,
    rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Capture {
    fn read(path: &Path) -> Self {
        let mut capture = Self {
            flavor: Flavor::Mysql,
            tables: BTreeMap::new(),
            events: Vec::new(),
        };
        let mut name = String::new();
        for line in fs::read_to_string(path).unwrap().lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "#" => {}
                "flavor" if rest == "mariadb" => capture.flavor = Flavor::Mariadb,
                "flavor" => {}
                "table" => {
                    name = rest.to_owned();
                    capture.tables.insert(name.clone(), Table::default());
                }
                "column" => capture.last(&name).info.columns.push(column(rest)),
                "key" => {
                    capture.last(&name).info.key =
                        rest.split_whitespace().map(str::to_owned).collect()
                }
                "steps" => capture.last(&name).steps = true,
                "versioned" => capture.last(&name).info.add_versioning(),
                "text" => capture
                    .last(&name)
                    .rows
                    .push(rest.split(' ').map(cell).collect()),
                "map" => capture.events.push((19, hex(rest))),
                "rows" => {
                    let (kind, body) = rest.split_once(' ').unwrap();
                    capture.events.push((kind.parse().unwrap(), hex(body)));
                }
                other => panic!("{other}"),
            }
        }
        capture
    }

    fn last(&mut self, name: &str) -> &mut Table {
        self.tables.get_mut(name).unwrap()
    }

    fn table(&self, map: &TableMap<'_>) -> &Table {
        &self.tables[map.table]
    }

    fn each_rows(&self, f: &mut dyn FnMut(&Self, &TableMap<'_>, &Rows<'_>)) {
        let mut last = None;
        for (kind, body) in &self.events {
            let header = EventHeader {
                timestamp: 0,
                kind: EventType(*kind),
                server_id: 1,
                length: 0,
                end_position: 0,
                flags: 0,
            };
            match Event::parse(&header, body, None).unwrap() {
                Event::TableMap(map) => last = Some(map),
                Event::Rows(rows) => f(self, &last.unwrap(), &rows),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Checks everything, and says what the shapes and values are.
    fn tell(&self) -> String {
        let mut logged: BTreeMap<String, (Relation, Vec<Row>)> = BTreeMap::new();
        self.each_rows(&mut |capture, map, rows| {
            let types = table::columns(map, Some(&capture.table(map).info), capture.flavor);
            let rows_after = after(rows, &types.unwrap().unwrap());
            let (_, all) = logged
                .entry(map.table.to_owned())
                .or_insert_with(|| (capture.relation(map), Vec::new()));
            if rows.kind == RowsKind::Update && !capture.table(map).steps {
                // Of all rows.
                all.clear();
            }
            all.extend(rows_after);
        });
        assert_eq!(
            logged.keys().collect::<Vec<_>>(),
            self.tables.keys().collect::<Vec<_>>()
        );
        let mut out = String::new();
        for (name, (relation, rows)) in logged {
            writeln!(out, "table {name}").unwrap();
            out.push_str(&shape(relation.columns()));
            let texts = &self.tables[&name].rows;
            assert_eq!(rows.len(), texts.len(), "{name}");
            for (number, (row, texts)) in rows.iter().zip(texts).enumerate() {
                let mut values = Vec::new();
                for ((column, cell), text) in relation.columns().iter().zip(row.cells()).zip(texts)
                {
                    let what = format!("{name}.{} row {number}", column.name);
                    values.push(same(column, cell, text.as_deref(), &what));
                }
                writeln!(out, "row {}", values.join(" | ")).unwrap();
            }
            out.push('\n');
        }
        out
    }

    /// The shape of a table, by its map and by the catalogue.
    fn relation(&self, map: &TableMap<'_>) -> Relation {
        let info = &self.table(map).info;
        let of_log = relation(map, Some(info), self.flavor)
            .unwrap_or_else(|error| panic!("{}: {error}", map.table));
        let of_catalogue = catalogue_relation(map.schema, map.table, info, self.flavor).unwrap();
        assert_eq!(
            shape(of_log.columns()),
            shape(of_catalogue.columns()),
            "{}",
            map.table
        );
        assert_eq!(of_log.fingerprint(), of_catalogue.fingerprint());
        // A table that is gone.
        let alone = relation(map, None, self.flavor);
        if map.table == "temporals_old" {
            assert!(matches!(alone, Err(ShapeError::OldTime { .. })));
            assert_eq!(table::columns(map, None, self.flavor), Ok(None));
        } else if self.names_columns(map) {
            assert_eq!(alone.unwrap().columns().len(), of_log.columns().len());
        } else {
            assert!(matches!(alone, Err(ShapeError::Gone { .. })));
        }
        of_log
    }

    fn names_columns(&self, map: &TableMap<'_>) -> bool {
        let types = map.columns().unwrap();
        map.metadata(&types).unwrap().names.is_some()
    }
}

fn shape(columns: &[Column]) -> String {
    let mut out = String::new();
    for c in columns {
        write!(out, "  {} {} = {}", c.name, c.type_name, c.logical.name()).unwrap();
        if let Some(place) = c.key {
            write!(out, " key {place}").unwrap();
        }
        if !c.nullable {
            out.push_str(" not null");
        }
        if let (Some(precision), Some(scale)) = (c.precision, c.scale) {
            write!(out, " ({precision}, {scale})").unwrap();
        }
        if !c.labels.is_empty() {
            write!(out, " {:?}", c.labels).unwrap();
        }
        out.push('\n');
    }
    out
}

/// The JSON of a cell, which both of its forms give.
fn same(column: &Column, logged: Cell<'_>, text: Option<&[u8]>, what: &str) -> String {
    let Some(text) = text else {
        assert_eq!(logged, Cell::Null, "{what}");
        return "null".to_owned();
    };
    let json = written(column, logged).unwrap_or_else(|error| panic!("{what}: {error}"));
    let of_text =
        written(column, Cell::Text(text)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(json, of_text, "{what}");
    serde_json::from_str::<serde_json::Value>(&json)
        .unwrap_or_else(|error| panic!("{what}: {error}: {json}"));
    json
}

fn written(column: &Column, cell: Cell<'_>) -> Result<String, ValueError> {
    let mut out = Vec::new();
    let mut writer = ValueWriter::new(&mut out, ValueOptions::default());
    match cell {
        Cell::Binary(cell) => column.format.write_binary(cell, &mut writer)?,
        Cell::Text(cell) => column.format.write_text(cell, &mut writer)?,
        other => panic!("{other:?}"),
    }
    Ok(String::from_utf8(out).unwrap())
}

/// The rows as they are after the changes.
fn after(rows: &Rows<'_>, types: &[ColumnType]) -> Vec<Row> {
    let mut reader = Reader::new(&rows.rows);
    let mut all = Vec::new();
    while !reader.is_empty() {
        all.push(one(rows, types, &mut reader).unwrap());
    }
    all
}

fn one(rows: &Rows<'_>, types: &[ColumnType], reader: &mut Reader<'_>) -> Result<Row, DecodeError> {
    let image = |present: &[u8], reader: &mut Reader<'_>| {
        let mut out = BytesMut::new();
        row::image(types, present, reader, &mut out)?;
        Ok(Row::new(out.freeze()))
    };
    match rows.kind {
        RowsKind::Write => image(rows.after, reader),
        RowsKind::Update => {
            image(rows.before, reader)?;
            image(rows.after, reader)
        }
        RowsKind::PartialUpdate => {
            let before = image(rows.before, reader)?;
            let mut out = BytesMut::new();
            row::partial_image(types, rows.after, &before, reader, &mut out)?;
            Ok(Row::new(out.freeze()))
        }
        RowsKind::Delete => panic!("not captured"),
    }
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/values");
    let files = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "values"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn column(line: &str) -> ColumnInfo {
    let parts: Vec<&str> = line.split('\t').collect();
    let [name, column_type, charset, nullable, json] = parts[..] else {
        panic!("{line}");
    };
    ColumnInfo {
        name: name.to_owned(),
        column_type: unescaped(column_type),
        charset: (charset != "-").then(|| charset.to_owned()),
        nullable: nullable == "1",
        json: json == "1",
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        out.push(match c {
            '\\' => match characters.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                other => other,
            },
            other => other,
        });
    }
    out
}

fn cell(text: &str) -> Option<Vec<u8>> {
    match text {
        "-" => None,
        "=" => Some(Vec::new()),
        digits => Some(hex(digits)),
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let pair = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(pair).collect()
}

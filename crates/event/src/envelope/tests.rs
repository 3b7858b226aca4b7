use std::sync::Arc;

use bytes::BytesMut;

use super::*;
use crate::position::PositionSpace;
use crate::row::RowBuilder;
use crate::source::Connector;
use crate::value::{CellFormat, Logical};

#[derive(Debug)]
struct Verbatim;

impl CellFormat for Verbatim {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = str::from_utf8(cell).map_err(|e| ValueError {
            expected: "text",
            problem: "not UTF-8",
            offset: e.valid_up_to(),
            len: cell.len(),
        })?;
        out.text(text);
        Ok(())
    }
}

fn column(name: &str, key: Option<u16>) -> Column {
    Column {
        name: name.into(),
        type_name: "text".into(),
        logical: Logical::Text,
        nullable: key.is_none(),
        key,
        identity: key.is_some(),
        labels: vec![],
        precision: None,
        scale: None,
        format: Arc::new(Verbatim),
    }
}

fn relation() -> Arc<Relation> {
    let columns = vec![
        column("id", Some(0)),
        column("a\"b", None),
        column("big", None),
    ];
    Arc::new(Relation::new("public".into(), "T 1".into(), columns))
}

/// `-` is null, `~` unchanged.
fn row(cells: &[&str]) -> Row {
    let mut out = BytesMut::new();
    let mut builder = RowBuilder::new(&mut out, u16::try_from(cells.len()).unwrap());
    for cell in cells {
        match *cell {
            "-" => builder.null(),
            "~" => builder.absent(),
            text => builder.text(text.as_bytes()),
        }
    }
    Row::new(out.freeze())
}

fn encode(change: &Change, last: bool) -> Result<String, EncodeError> {
    let meta = SourceMeta {
        connector: "shop".into(),
        kind: Connector::Postgres,
        database: "db".into(),
    };
    let positions = PositionSpace::new("00000000000000AB-", 8);
    let transaction = Transaction {
        id: "733".into(),
        positions,
        commit_time: Timestamp(1_795_441_020_123_456),
        snapshot: change.op == Op::Read,
    };
    let position = positions.event(change.ordinal).unwrap();
    let event = Event {
        position: &position,
        read_time: Timestamp(1_795_441_020_223_456),
        kind: EventKind::Change {
            change,
            transaction: &transaction,
            last,
        },
    };
    let mut out = Vec::new();
    Encoder::new(&meta, ValueOptions::default()).write(&event, &mut out)?;
    let text = String::from_utf8(out).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).expect("an event is JSON");
    Ok(text)
}

fn check(change: &Change, last: bool, expected: &str) {
    assert_eq!(encode(change, last).unwrap(), expected);
}

fn change(op: Op, before: Option<Before>, after: Option<Row>) -> Change {
    Change {
        relation: relation(),
        op,
        before,
        after,
        ordinal: 2,
    }
}

const TAIL: &str = r#""ts":"2026-11-23T13:37:00.123456Z"},"source":{"connector":"shop","kind":"postgres","db":"db","pos":"00000000000000AB-00000002"},"ts":"2026-11-23T13:37:00.223456Z"}"#;

#[test]
fn an_insert_has_its_fields_in_order() {
    check(
        &change(Op::Insert, None, Some(row(&["1", "x\ny", "-"]))),
        true,
        &format!(
            r#"{{"op":"insert","schema":"public","table":"T 1","key":{{"id":"1"}},"before":null,"after":{{"id":"1","a\"b":"x\ny","big":null}},"tx":{{"id":"733","seq":2,"last":true,{TAIL}"#
        ),
    );
}

#[test]
fn columns_that_were_not_logged_are_named_and_left_out() {
    check(
        &change(Op::Update, None, Some(row(&["1", "x", "~"]))),
        false,
        &format!(
            r#"{{"op":"update","schema":"public","table":"T 1","key":{{"id":"1"}},"before":null,"after":{{"id":"1","a\"b":"x"}},"absent":["big"],"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_full_old_row_fills_in_what_was_not_logged() {
    let before = Before::Full(row(&["1", "w", "BIG"]));
    check(
        &change(Op::Update, Some(before), Some(row(&["1", "x", "~"]))),
        false,
        &format!(
            r#"{{"op":"update","schema":"public","table":"T 1","key":{{"id":"1"}},"before":{{"id":"1","a\"b":"w","big":"BIG"}},"after":{{"id":"1","a\"b":"x","big":"BIG"}},"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_key_change_shows_the_old_key_and_the_new() {
    let before = Before::Key(row(&["1", "-", "-"]));
    check(
        &change(Op::Update, Some(before), Some(row(&["2", "x", "-"]))),
        false,
        &format!(
            r#"{{"op":"update","schema":"public","table":"T 1","key":{{"id":"2"}},"before":{{"id":"1"}},"after":{{"id":"2","a\"b":"x","big":null}},"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_delete_has_the_old_key_and_no_new_row() {
    let before = Before::Key(row(&["1", "-", "-"]));
    check(
        &change(Op::Delete, Some(before), None),
        false,
        &format!(
            r#"{{"op":"delete","schema":"public","table":"T 1","key":{{"id":"1"}},"before":{{"id":"1"}},"after":null,"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_truncate_has_no_key_and_no_rows() {
    check(
        &change(Op::Truncate, None, None),
        false,
        &format!(
            r#"{{"op":"truncate","schema":"public","table":"T 1","key":null,"before":null,"after":null,"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_snapshot_row_says_so() {
    let text = encode(&change(Op::Read, None, Some(row(&["1", "x", "-"]))), false).unwrap();
    assert!(text.starts_with(r#"{"op":"read","#));
    assert!(text.contains(r#""snapshot":true}"#));
}

#[test]
fn a_table_without_a_key_or_columns_is_an_object_without_fields() {
    let relation = Arc::new(Relation::new("public".into(), "none".into(), vec![]));
    let change = Change {
        relation,
        op: Op::Insert,
        before: None,
        after: Some(row(&[])),
        ordinal: 2,
    };
    check(
        &change,
        false,
        &format!(
            r#"{{"op":"insert","schema":"public","table":"none","key":null,"before":null,"after":{{}},"tx":{{"id":"733","seq":2,{TAIL}"#
        ),
    );
}

#[test]
fn a_row_that_does_not_fit_its_relation_is_refused() {
    for cells in [&["1", "x"][..], &["1", "x", "y", "z"]] {
        let error = encode(&change(Op::Insert, None, Some(row(cells))), false).unwrap_err();
        assert!(
            matches!(error, EncodeError::CellCount { columns: 3, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_schema_event_lists_the_columns() {
    let mut columns = vec![column("id", Some(0)), column("price", None)];
    columns[1].labels = vec!["a".into(), "b\"".into()];
    columns[1].precision = Some(10);
    columns[1].scale = Some(-2);
    let relation = Relation::new("public".into(), "t".into(), columns);
    let position = PositionSpace::new("00000000000000AB-", 8)
        .schema(0, None)
        .unwrap();
    let meta = SourceMeta {
        connector: "shop".into(),
        kind: Connector::Postgres,
        database: "db".into(),
    };
    let mut out = Vec::new();
    Encoder::new(&meta, ValueOptions::default())
        .write(
            &Event {
                position: &position,
                read_time: Timestamp(0),
                kind: EventKind::Schema {
                    relation: &relation,
                    resnapshot: true,
                },
            },
            &mut out,
        )
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"text","logical":"text","nullable":false,"key":0},{"name":"price","type":"text","logical":"text","nullable":true,"precision":10,"scale":-2,"labels":["a","b\""]}],"resnapshot":true,"source":{"connector":"shop","kind":"postgres","db":"db","pos":"00000000000000AB-!0000"},"ts":"1970-01-01T00:00:00.000000Z"}"#
    );
}

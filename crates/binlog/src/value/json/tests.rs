use std::iter;

use super::*;
use adit_event::ValueOptions;

fn text(document: &[u8]) -> Result<String, ValueError> {
    let mut out = Vec::new();
    Json.write_binary(
        document,
        &mut ValueWriter::new(&mut out, ValueOptions::default()),
    )?;
    Ok(String::from_utf8(out).unwrap())
}

/// An array or object of values that are not inline, behind its type's number.
fn container(large: bool, keys: Option<&[&str]>, values: &[Vec<u8>]) -> Vec<u8> {
    let number = |value: usize| -> Vec<u8> {
        let bytes = u32::try_from(value).unwrap().to_le_bytes();
        bytes[..if large { 4 } else { 2 }].to_vec()
    };
    let width = if large { 4 } else { 2 };
    let tables =
        2 * width + values.len() * (1 + width) + keys.map_or(0, |keys| keys.len() * (2 + width));
    let (mut heads, mut entries, mut tail) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys.into_iter().flatten() {
        heads.extend(number(tables + tail.len()));
        heads.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
        tail.extend(key.as_bytes());
    }
    for value in values {
        entries.push(value[0]);
        entries.extend(number(tables + tail.len()));
        tail.extend(&value[1..]);
    }
    let kind = u8::from(large) | if keys.is_some() { 0 } else { 2 };
    let mut all = vec![kind];
    all.extend(number(values.len()));
    all.extend(number(tables + tail.len()));
    all.extend(heads.into_iter().chain(entries).chain(tail));
    all
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![12];
    let mut len = text.len();
    while len > 0x7f {
        bytes.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    bytes.push(u8::try_from(len).unwrap());
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn small_and_large_containers_are_read() {
    let long = "x".repeat(70_000);
    for large in [false, true] {
        let inner = container(large, None, &[string("a"), string("b")]);
        let document = container(large, Some(&["k", "key"]), &[inner, string("é")]);
        assert_eq!(text(&document).unwrap(), r#"{"k": ["a", "b"], "key": "é"}"#);
    }
    let document = container(true, None, &[string(&long)]);
    assert_eq!(text(&document).unwrap(), format!("[\"{long}\"]"));
    // What is inline: a literal and two numbers; in large containers numbers of 32 bits too.
    let document = [2, 3, 0, 13, 0, 4, 1, 0, 5, 0xff, 0xff, 6, 0xff, 0xff];
    assert_eq!(text(&document).unwrap(), "[true, -1, 65535]");
    let document = [
        3, 2, 0, 0, 0, 18, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 8, 0xff, 0xff, 0xff, 0xff,
    ];
    assert_eq!(text(&document).unwrap(), "[-1, 4294967295]");
}

#[test]
fn scalars_and_nothing_are_documents() {
    assert_eq!(text(b"").unwrap(), "null");
    assert_eq!(text(&[4, 0]).unwrap(), "null");
    assert_eq!(
        text(&[10, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap(),
        "18446744073709551615"
    );
    assert_eq!(text(&string("a\"")).unwrap(), r#""a\"""#);
}

#[test]
fn every_cut_of_a_document_is_an_error() {
    let inner = container(false, Some(&["a"]), &[string("text")]);
    let document = container(true, None, &[inner, string("b")]);
    assert!(text(&document).is_ok());
    for end in 1..document.len() {
        assert!(text(&document[..end]).is_err(), "{end}");
    }
}

#[test]
fn containers_are_read_down_to_the_servers_depth() {
    let nested = |depth: usize| {
        iter::successors(Some(container(true, None, &[])), |inner| {
            Some(container(true, None, std::slice::from_ref(inner)))
        })
        .nth(depth - 1)
        .unwrap()
    };
    assert_eq!(
        text(&nested(100)).unwrap(),
        "[".repeat(100) + &"]".repeat(100)
    );
    assert!(text(&nested(101)).is_err());
    assert!(apply(&nested(101), &[]).is_err());
}

#[test]
fn values_that_lie_over_each_other_do_not_become_very_much() {
    // 60 levels of two entries each that point to the same place.
    let mut document = container(false, None, &[string("x")]);
    for _ in 0..60 {
        let mut outer = container(false, None, &[document.clone(), document.clone()]);
        // The second entry is where the first is, and the copy goes.
        outer[9] = outer[6];
        outer[10] = outer[7];
        outer.truncate(outer.len() - (document.len() - 1));
        let size = u16::try_from(outer.len() - 1).unwrap().to_le_bytes();
        outer[3..5].copy_from_slice(&size);
        document = outer;
    }
    assert!(
        text(&document)
            .unwrap_err()
            .problem
            .contains("over each other")
    );
    assert!(
        apply(&document, &[])
            .unwrap_err()
            .problem
            .contains("over each other")
    );
}

#[test]
fn changes_that_do_not_fit_are_errors() {
    let document = container(
        false,
        Some(&["a"]),
        &[container(false, None, &[string("x")])],
    );
    let change = |operation: u8, path: &str, value: &[u8]| {
        let mut change = vec![operation, u8::try_from(path.len()).unwrap()];
        change.extend(path.as_bytes());
        if operation != 2 {
            change.push(u8::try_from(value.len()).unwrap());
            change.extend(value);
        }
        apply(&document, &change).map(|text| String::from_utf8(text).unwrap())
    };
    let one = [5, 1, 0];
    assert_eq!(change(0, "$.a[0]", &one).unwrap(), r#"{"a": [1]}"#);
    assert_eq!(change(1, "$.a[9]", &one).unwrap(), r#"{"a": ["x", 1]}"#);
    assert_eq!(change(0, "$", &one).unwrap(), "1");
    assert_eq!(change(2, "$.a", &[]).unwrap(), "{}");
    for (operation, path) in [
        (0, "$.b"),
        (0, "$.a[1]"),
        (0, "$.a.b"),
        (0, "$[0]"),
        (1, "$.a"),
        (1, "$"),
        (2, "$"),
        (2, "$.a[1]"),
        (2, "$.b"),
        (3, "$.a"),
        (0, "a"),
        (0, "$a"),
        (0, "$.\"a"),
        (0, "$.a[x]"),
        (0, "$.a[0"),
        (0, "$.\"\\u12\""),
    ] {
        assert!(change(operation, path, &one).is_err(), "{operation} {path}");
    }
}

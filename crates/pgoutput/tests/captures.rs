//! Real servers' messages decode to what is written beside them, and nothing else does harm.
//!
//! `testdata/README.md` says how the captures were made. `UPDATE_EXPECT=1 cargo test -p
//! adit-pgoutput` rewrites the expectations: review the difference.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use adit_pgoutput::message::OldTuple;
use adit_pgoutput::{Cell, Message, ReplicationFrame, TupleData};
use bytes::Bytes;
use expect_test::expect_file;
use proptest::prelude::*;

#[test]
fn every_capture_decodes_to_its_expectation() {
    for path in captures() {
        let mut told = String::new();
        for line in read(&path) {
            match line {
                Line::Comment(comment) => writeln!(told, "{comment}").unwrap(),
                Line::Frame(frame) => {
                    let frame = ReplicationFrame::parse(frame).unwrap();
                    writeln!(told, "{frame:?}").unwrap();
                    if let ReplicationFrame::XLogData(frame) = frame {
                        tell(&mut told, &Message::parse(frame.data, false).unwrap());
                    }
                }
                Line::Message { bytes, in_stream } => {
                    tell(&mut told, &Message::parse(bytes, in_stream).unwrap());
                }
            }
        }
        expect_file![path.with_extension("expect")].assert_eq(&told);
    }
}

#[test]
fn every_message_of_the_protocol_is_captured() {
    let tags: BTreeSet<char> = messages().map(|(bytes, _)| char::from(bytes[0])).collect();
    assert_eq!(tags, "BCORYIUDTMSEcAbPKrp".chars().collect());
    for tag in "RYIUDTM".chars() {
        let streamed = messages().any(|(bytes, in_stream)| in_stream && bytes[0] == tag as u8);
        assert!(streamed, "no {tag} inside a stream chunk");
    }
    for server in ["pg13", "pg15", "pg18"] {
        assert!(captures().iter().any(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(server)
        }));
    }
}

#[test]
fn every_strict_prefix_of_every_message_is_an_error() {
    for (bytes, in_stream) in messages() {
        let whole = Message::parse(bytes.clone(), in_stream).unwrap();
        for end in 0..bytes.len() {
            let prefix = Message::parse(bytes.slice(..end), in_stream);
            // Cut before its last two fields, a stream abort is what servers before 16 send.
            let short_abort = matches!(whole, Message::StreamAbort(_)) && end == 9;
            assert_eq!(prefix.is_err(), !short_abort, "{whole:?} cut at {end}");
            if let Err(error) = prefix {
                assert!(error.offset <= end, "{error}");
            }
        }
    }
}

#[test]
fn every_message_with_a_byte_more_is_an_error() {
    for (bytes, in_stream) in messages() {
        let longer = [&bytes[..], b"\0"].concat();
        assert!(Message::parse(longer.into(), in_stream).is_err());
    }
}

#[test]
fn no_flipped_byte_does_harm() {
    for (bytes, in_stream) in messages() {
        let mut damaged = bytes.to_vec();
        for at in 0..damaged.len() {
            for mask in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                damaged[at] ^= mask;
                exercise(Bytes::copy_from_slice(&damaged), in_stream);
                damaged[at] ^= mask;
            }
        }
    }
}

#[test]
fn a_message_read_on_the_wrong_side_of_a_stream_start_does_no_harm() {
    for (bytes, in_stream) in messages() {
        exercise(bytes, !in_stream);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>, in_stream: bool) {
        exercise(bytes.into(), in_stream);
    }

    #[test]
    fn arbitrary_bytes_after_a_known_tag_do_no_harm(
        tag in prop::sample::select(&b"BCORYIUDTMSEcAbPKrp"[..]),
        bytes: Vec<u8>,
        in_stream: bool,
    ) {
        exercise([&[tag], &bytes[..]].concat().into(), in_stream);
    }

    #[test]
    fn spliced_messages_do_no_harm(
        (head, head_end) in any::<(prop::sample::Index, prop::sample::Index)>(),
        (tail, tail_start) in any::<(prop::sample::Index, prop::sample::Index)>(),
        in_stream: bool,
    ) {
        let all: Vec<_> = messages().collect();
        let (head, tail) = (&head.get(&all).0, &tail.get(&all).0);
        let head = &head[..head_end.index(head.len() + 1)];
        let tail = &tail[tail_start.index(tail.len() + 1)..];
        exercise([head, tail].concat().into(), in_stream);
    }
}

/// Parses and reads all there is to read. What parses keeps its promises.
fn exercise(bytes: Bytes, in_stream: bool) {
    let Ok(message) = Message::parse(bytes.clone(), in_stream) else {
        return;
    };
    for (_, tuple) in tuples(&message) {
        assert_eq!(tuple.cells().len(), tuple.cells().count());
        assert_eq!(TupleData::parse(tuple.bytes().clone()).as_ref(), Ok(tuple));
    }
    let again = Message::parse(bytes, in_stream).unwrap();
    assert_eq!(discriminant(&again), discriminant(&message));
}

/// One line of a capture.
enum Line {
    Comment(String),
    /// The payload of a `CopyData`.
    Frame(Bytes),
    /// The data of an `XLogData`.
    Message {
        bytes: Bytes,
        in_stream: bool,
    },
}

fn captures() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let entries = fs::read_dir(testdata).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn read(path: &Path) -> Vec<Line> {
    let frames = path.to_str().unwrap().ends_with("-frames.hex");
    let mut in_stream = false;
    let line = |line: &str| {
        if line.starts_with('#') {
            return Line::Comment(line.to_owned());
        }
        let bytes = from_hex(line);
        if frames {
            return Line::Frame(bytes);
        }
        match bytes[0] {
            b'S' => in_stream = true,
            b'E' => in_stream = false,
            _ => {}
        }
        Line::Message { bytes, in_stream }
    };
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(line)
        .collect()
}

fn messages() -> impl Iterator<Item = (Bytes, bool)> {
    let lines = captures().into_iter().flat_map(|path| read(&path));
    lines.filter_map(|line| match line {
        Line::Message { bytes, in_stream } => Some((bytes, in_stream)),
        Line::Comment(_) | Line::Frame(_) => None,
    })
}

fn from_hex(line: &str) -> Bytes {
    let digits = line.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tell(told: &mut String, message: &Message) {
    writeln!(told, "{message:?}").unwrap();
    for (what, tuple) in tuples(message) {
        write!(told, "    {what}:").unwrap();
        for cell in tuple.cells() {
            match cell {
                Cell::Null => write!(told, " null"),
                Cell::Unchanged => write!(told, " unchanged"),
                Cell::Text(text) if text.len() > 80 => write!(told, " <{} bytes>", text.len()),
                Cell::Text(text) => write!(told, " {:?}", str::from_utf8(text).unwrap()),
                Cell::Binary(value) if value.len() > 80 => write!(told, " <{} bytes>", value.len()),
                Cell::Binary(value) => write!(told, " 0x{}", to_hex(value)),
            }
            .unwrap();
        }
        writeln!(told).unwrap();
    }
    if let Message::Logical(logical) = message {
        writeln!(told, "    content: {:?}", logical.content).unwrap();
    }
}

fn tuples(message: &Message) -> Vec<(&'static str, &TupleData)> {
    match message {
        Message::Insert(insert) => vec![("new", &insert.new)],
        Message::Update(update) => {
            let old = update.old.as_ref().map(old_tuple);
            old.into_iter().chain([("new", &update.new)]).collect()
        }
        Message::Delete(delete) => vec![old_tuple(&delete.old)],
        _ => vec![],
    }
}

fn old_tuple(old: &OldTuple) -> (&'static str, &TupleData) {
    match old {
        OldTuple::Key(tuple) => ("key", tuple),
        OldTuple::Full(tuple) => ("old", tuple),
    }
}

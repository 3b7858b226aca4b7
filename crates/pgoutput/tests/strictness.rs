//! What no server sends is refused, and the error says what and where.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use adit_pgoutput::Message;
use adit_pgoutput::message::{Relation, Type};
use bytes::Bytes;

fn check(bytes: impl Into<Bytes>, message: &str) {
    let error = Message::parse(bytes.into(), false).unwrap_err();
    assert_eq!(error.to_string(), message);
}

/// A Relation message whose name is `name`, cut off before the columns.
fn relation(name: &[u8], identity: u8) -> Vec<u8> {
    [&b"R\0\0\0\x01public\0"[..], name, &[0, identity]].concat()
}

#[test]
fn an_empty_message_is_refused() {
    check(
        "",
        "pgoutput message.tag: needed 1 bytes, 0 left (offset 0)",
    );
}

#[test]
fn an_unknown_message_is_refused() {
    check(
        "Z whatever",
        "pgoutput message.tag: unknown tag 0x5a (offset 0)",
    );
}

#[test]
fn flags_that_nobody_defined_are_refused() {
    check(
        [&b"C\x01"[..], &[0; 24]].concat(),
        "pgoutput commit.flags: unknown flags 0x01 (offset 1)",
    );
    check(
        &b"T\0\0\0\x01\x04\0\0\0\x01"[..],
        "pgoutput truncate.flags: unknown flags 0x04 (offset 5)",
    );
    check(
        &b"M\x02\0\0\0\0\0\0\0\0p\0\0\0\0\0"[..],
        "pgoutput message.flags: unknown flags 0x02 (offset 1)",
    );
    check(
        &b"S\0\0\0\x01\x02"[..],
        "pgoutput stream_start.first: unknown flags 0x02 (offset 5)",
    );
    check(
        [&relation(b"t", b'd'), &b"\0\x01\x82c\0"[..], &[0; 8]].concat(),
        "pgoutput relation.column.flags: unknown flags 0x82 (offset 17)",
    );
    for (tag, name) in [
        (b'P', "prepare"),
        (b'K', "commit_prepared"),
        (b'r', "rollback_prepared"),
        (b'p', "stream_prepare"),
    ] {
        check(
            [&[tag, 0x80], &[0; 64][..]].concat(),
            &format!("pgoutput {name}.flags: unknown flags 0x80 (offset 1)"),
        );
    }
    check(
        [&b"c\0\0\0\x01\xff"[..], &[0; 24]].concat(),
        "pgoutput stream_commit.flags: unknown flags 0xff (offset 5)",
    );
}

#[test]
fn a_tuple_is_announced_by_the_marks_of_its_message_only() {
    check(
        &b"I\0\0\0\x01K\0\0"[..],
        "pgoutput insert.new: unknown tag 0x4b (offset 5)",
    );
    check(
        &b"U\0\0\0\x01X\0\0"[..],
        "pgoutput update.old_or_new: unknown tag 0x58 (offset 5)",
    );
    check(
        &b"U\0\0\0\x01O\0\0O\0\0"[..],
        "pgoutput update.new: unknown tag 0x4f (offset 8)",
    );
    check(
        &b"D\0\0\0\x01N\0\0"[..],
        "pgoutput delete.old: unknown tag 0x4e (offset 5)",
    );
}

#[test]
fn names_are_utf8_end_with_a_nul_and_are_short() {
    check(
        relation(b"caf\xe9", b'd'),
        "pgoutput relation.name: not valid UTF-8 (offset 12)",
    );
    check(
        &b"Y\0\0\0\x01public\0mood"[..],
        "pgoutput type.name: no terminating NUL in the 4 bytes left (offset 12)",
    );
    check(
        relation(&[b'a'; 5000], b'd'),
        "pgoutput relation.name: 5000 is above the limit of 4096 (offset 12)",
    );
}

#[test]
fn counts_are_checked_before_anything_is_allocated_for_them() {
    check(
        [relation(b"t", b'd'), vec![0xff, 0xff]].concat(),
        "pgoutput relation.columns: 65535 is above the limit of 1600 (offset 15)",
    );
    check(
        &b"T\xff\xff\xff\xff\0"[..],
        "pgoutput truncate.relations: 4294967295 is above the limit of 1048576 (offset 1)",
    );
    check(
        &b"T\0\x10\0\0\0\0\0\0\x01"[..],
        "pgoutput truncate.relations: needed 4194304 bytes, 4 left (offset 6)",
    );
    check(
        &b"M\0\0\0\0\0\0\0\0\0p\0\xff\xff\xff\xffabc"[..],
        "pgoutput message.content: needed 4294967295 bytes, 3 left (offset 16)",
    );
}

#[test]
fn an_unknown_replica_identity_is_refused() {
    check(
        relation(b"t", b'x'),
        "pgoutput relation.replica_identity: unknown tag 0x78 (offset 14)",
    );
}

#[test]
fn a_half_abort_is_neither_the_short_nor_the_long_form() {
    check(
        &b"A\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03"[..],
        "pgoutput stream_abort.aborted_at: needed 8 bytes, 0 left (offset 17)",
    );
}

#[test]
fn an_empty_namespace_means_pg_catalog() {
    let bytes = Bytes::from_static(b"Y\0\0\0\x01\0thing\0");
    let Ok(Message::Type(Type { namespace, .. })) = Message::parse(bytes, false) else {
        panic!("not a type");
    };
    assert_eq!(namespace, "pg_catalog");

    let bytes = Bytes::from_static(b"R\0\0\0\x01\0thing\0n\0\0");
    let Ok(Message::Relation(Relation { namespace, .. })) = Message::parse(bytes, false) else {
        panic!("not a relation");
    };
    assert_eq!(namespace, "pg_catalog");
}

#[test]
fn debug_output_does_not_show_an_applications_content() {
    let bytes = Bytes::from_static(b"M\x01\0\0\0\0\0\0\0\x01p\0\0\0\0\x06secret");
    let message = Message::parse(bytes, false).unwrap();
    assert!(!format!("{message:?}").contains("secret"));
}

use super::*;

fn text(charset: &str, bytes: &[u8]) -> String {
    Charset::by_name(charset).unwrap().to_text(bytes).unwrap()
}

#[test]
fn text_of_every_kind_of_character_set_is_converted() {
    assert_eq!(text("latin1", b"caf\xe9 \x80\x81"), "café €\u{81}");
    assert_eq!(text("cp850", b"\x81"), "ü");
    assert_eq!(text("swe7", b"[\\]@a"), "ÄÖÅÉa");
    assert_eq!(text("ucs2", &[0x20, 0xac, 0, b'x']), "€x");
    assert_eq!(text("utf16", &[0xd8, 0x3d, 0xde, 0x00]), "😀");
    assert_eq!(text("utf16le", &[0x3d, 0xd8, 0x00, 0xde]), "😀");
    assert_eq!(text("utf32", &[0, 1, 0xf6, 0]), "😀");
    assert_eq!(text("gbk", b"\xd6\xd0a"), "中a");
    assert_eq!(text("gb18030", b"\x94\x39\xfc\x36"), "😀");
    assert_eq!(text("sjis", b"\x81\x60\x83e\xb1"), "〜テｱ");
    assert_eq!(text("cp932", b"\x81\x60"), "～");
    assert_eq!(
        text("ujis", b"\xa1\xc1\x8f\xb0\xa1\xf5\xa1"),
        "〜丂\u{e000}"
    );
    assert_eq!(text("euckr", b"\xb0\xa1"), "가");
    assert_eq!(text("big5", b"\xa4\xa4"), "中");
}

#[test]
fn text_longer_than_a_piece_is_whole() {
    let bytes = vec![0xe9; 3 * PIECE_LEN];
    assert_eq!(text("latin1", &bytes), "é".repeat(3 * PIECE_LEN));
    let bytes = b"\xd6\xd0".repeat(3 * PIECE_LEN);
    assert_eq!(text("gbk", &bytes), "中".repeat(3 * PIECE_LEN));
}

#[test]
fn what_the_servers_store_without_a_character_is_kept_byte_by_byte() {
    for (charset, bytes, expected) in [
        ("ascii", &b"a\x80"[..], "a\u{f780}"),
        ("binary", b"a\x80", "a\u{f780}"),
        ("cp1250", b"\x81x", "\u{f781}x"),
        ("swe7", b"\x7f\xff", "\u{f77f}\u{f7ff}"),
        ("tis620", b"\xdb", "\u{f7db}"),
        // The second byte is no ASCII here.
        ("sjis", b"\x85\x40@", "\u{f785}\u{f740}@"),
        ("euckr", b"\xc8\x41", "\u{f7c8}\u{f741}"),
        ("ujis", b"\x8e\xa0", "\u{f78e}\u{f7a0}"),
        (
            "gb18030",
            b"\x84\x31\xa5\x30",
            "\u{f784}\u{f731}\u{f7a5}\u{f730}",
        ),
        ("ucs2", &[0xd8, 0, 0, b'x'], "\u{f7d8}\u{f700}x"),
        ("utf16le", &[0, 0xdc], "\u{f700}\u{f7dc}"),
        (
            "utf32",
            &[0, 0, 0xd8, 0],
            "\u{f700}\u{f700}\u{f7d8}\u{f700}",
        ),
        ("utf8mb3", b"\xed\xa0\x80x", "\u{f7ed}\u{f7a0}\u{f780}x"),
        (
            "utf8mb4",
            b"\xed\xb8\x80\xed\xa0\xbd",
            "\u{f7ed}\u{f7b8}\u{f780}\u{f7ed}\u{f7a0}\u{f7bd}",
        ),
        // Two surrogates that belong together.
        ("utf8mb3", b"\xed\xa0\xbd\xed\xb8\x80", "😀"),
        ("ucs2", &[0xd8, 0x3d, 0xde, 0x00], "😀"),
    ] {
        assert_eq!(text(charset, bytes), expected, "{charset} {bytes:x?}");
    }
}

#[test]
fn what_the_servers_convert_in_their_own_way_is_as_theirs() {
    for (charset, bytes, expected) in [
        (
            "big5",
            &b"\xc6\xa1\xc7\xfc\xa1\x45"[..],
            "\u{30fe}\u{247d}\u{2022}",
        ),
        // The servers have U+FFFD for it.
        ("big5", b"\xa1\x5a", "\u{2574}"),
        ("gb2312", b"\xa1\xaa", "\u{2015}"),
        ("gb18030", b"\xa6\xd9", "\u{e78d}"),
        ("sjis", b"\x87\x40", "①"),
        (
            "ujis",
            b"\x8f\xa2\xb7\x8f\xf5\xa1\xfe\xfe",
            "~\u{e3ac}\u{e3ab}",
        ),
        (
            "eucjpms",
            b"\x8f\xf3\xf3\x8f\xf3\xfe\x8f\xf4\xa1\x8f\xf4\xad",
            "\u{2170}\u{2161}\u{2162}\u{2121}",
        ),
        (
            "eucjpms",
            b"\x8f\xa2\xc3\xf9\xa1\x8f\xfe\xfe",
            "\u{ffe4}\u{e178}\u{e757}",
        ),
    ] {
        assert_eq!(text(charset, bytes), expected, "{charset} {bytes:x?}");
    }
}

#[test]
fn what_the_servers_do_not_store_is_an_error_that_says_where() {
    for (charset, bytes, offset) in [
        ("utf8mb4", &b"a\xe2\x82"[..], 1),
        ("utf8mb4", b"\xed\xa0", 0),
        ("utf8mb4", b"ab\xf5\x80\x80\x80", 2),
        ("ucs2", b"\0a\0", 2),
        ("utf16", b"\0", 0),
        ("utf32", &[0, 0, 0, b'a', 0, 0x11, 0, 0], 4),
        ("utf32", &[0, 0, 0, b'a', 0], 4),
        ("gbk", b"a\xd6", 1),
        ("gbk", b"\xd6\xd0\x80", 2),
        ("sjis", b"\x83e\xfd\x40", 2),
        ("ujis", b"\x8f\xa1", 0),
        ("big5", b"\xfa\x40", 0),
        ("euckr", b"\xa1", 0),
        ("gb2312", b"\xf8\xa1", 0),
        ("gb18030", b"\x84\x31\xa5", 0),
    ] {
        let charset = Charset::by_name(charset).unwrap();
        assert_eq!(
            charset.to_text(bytes),
            Err(NotText { offset }),
            "{charset:?} {bytes:x?}"
        );
    }
}

#[test]
fn collations_lead_to_character_sets() {
    let name = |number| Charset::by_collation(number).map(|charset| charset.name());
    for (number, expected) in [
        (8, "latin1"),
        (33, "utf8mb3"),
        (45, "utf8mb4"),
        (63, "binary"),
        (255, "utf8mb4"),
        (308, "utf8mb4"),
        (192, "utf8mb3"),
        (608, "utf8mb4"),
        (1057, "utf8mb3"),
        (2048, "utf8mb3"),
        (2304, "utf8mb4"),
        (249, "gb18030"),
    ] {
        assert_eq!(name(number), Some(expected), "{number}");
    }
    assert_eq!(name(0), None);
    assert_eq!(name(u16::MAX), None);
}

//! Whatever the bytes of a cell and the type of its column, both of its forms end in JSON or an error.
//!
//! The first bytes are the column: its type's number and metadata (big endian), flags, and the number of its collation.
#![no_main]

use adit_binlog::charset::Charset;
use adit_binlog::event::{ColumnType, TypeCode};
use adit_binlog::value::{ColumnSpec, Declared, column_facts};
use adit_event::{ValueError, ValueOptions, ValueWriter};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

const DECLARED: [Declared; 6] = [
    Declared::Plain,
    Declared::Json,
    Declared::Uuid,
    Declared::Inet4,
    Declared::Inet6,
    Declared::Vector,
];

fuzz_target!(|input: &[u8]| {
    let Some((&[code, high, low, flags, collation], cell)) = input.split_first_chunk() else {
        return;
    };
    let charset = Charset::by_collation(collation.into());
    let spec = ColumnSpec {
        column: ColumnType {
            code: TypeCode(code),
            meta: u16::from_be_bytes([high, low]),
            nullable: true,
        },
        unsigned: flags & 1 != 0,
        charset: charset.unwrap_or(Charset::BINARY),
        labels: ["", "a", "b,c", "\"é\""].map(str::to_owned).to_vec(),
        declared: DECLARED[usize::from(flags >> 1) % DECLARED.len()],
    };
    let format = column_facts(&spec).format;
    check(cell, |writer| format.write_binary(cell, writer));
    check(cell, |writer| format.write_text(cell, writer));
});

fn check(cell: &[u8], write: impl FnOnce(&mut ValueWriter<'_>) -> Result<(), ValueError>) {
    let mut json = Vec::new();
    match write(&mut ValueWriter::new(&mut json, ValueOptions::default())) {
        Ok(()) => {
            serde_json::from_slice::<IgnoredAny>(&json).expect("a value is JSON");
        }
        Err(error) => assert!(error.offset <= error.len, "{error} in {} bytes", cell.len()),
    }
}

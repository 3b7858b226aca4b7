//! Whatever the bytes, parsing a pgoutput message ends in a value or an error, and a value
//! accounts for all of them.
#![no_main]

use adit_pgoutput::message::OldTuple;
use adit_pgoutput::{Message, TupleData};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes, false);
    check(bytes, true);
});

fn check(bytes: &[u8], in_stream: bool) {
    let message = match Message::parse(Bytes::copy_from_slice(bytes), in_stream) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.offset <= bytes.len());
            return;
        }
    };
    match &message {
        Message::Insert(insert) => tuple(&insert.new),
        Message::Update(update) => {
            update.old.iter().for_each(old_tuple);
            tuple(&update.new);
        }
        Message::Delete(delete) => old_tuple(&delete.old),
        _ => {}
    }
    let longer = [bytes, b"\0"].concat();
    assert!(Message::parse(longer.into(), in_stream).is_err());
}

fn old_tuple(old: &OldTuple) {
    match old {
        OldTuple::Key(old) | OldTuple::Full(old) => tuple(old),
    }
}

fn tuple(data: &TupleData) {
    assert_eq!(data.cells().len(), data.cells().count());
    assert_eq!(TupleData::parse(data.bytes().clone()).as_ref(), Ok(data));
}

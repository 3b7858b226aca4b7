//! Whatever the bytes, parsing a replication frame ends in a value or an error, and a value
//! accounts for all of them.
#![no_main]

use adit_pgoutput::ReplicationFrame;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match ReplicationFrame::parse(Bytes::copy_from_slice(bytes)) {
        Ok(ReplicationFrame::XLogData(frame)) => assert_eq!(1 + 24 + frame.data.len(), bytes.len()),
        Ok(ReplicationFrame::PrimaryKeepalive(_)) => assert_eq!(1 + 17, bytes.len()),
        Err(error) => assert!(error.offset <= bytes.len()),
    }
});

//! Whatever the events, decoding a log ends in changes or an error, and what is published is JSON.
//!
//! The first byte says who writes the log and whether its events have checksums. Then come events: kind, flags, the
//! length of the body in two bytes (little endian), the body. Headers, checksums and the format description in front are
//! made here, so that what is random reaches the decoder's inside.
#![no_main]

use adit_binlog::decoder::{Answer, DecoderOptions, Output};
use adit_binlog::{Coordinates, Decoder, DecoderError, EventHeader, Flavor};
use adit_event::{
    Connector, Encoder, Event, EventKind, SourceMeta, Timestamp, Transaction, ValueOptions,
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

const MARIADB: u8 = 1;
const CHECKSUMS: u8 = 2;
/// The end of an event is not told, as inside a transaction of MariaDB 11.8.
const NO_END: u8 = 4;
/// Nobody wants the tables.
const UNWANTED: u8 = 8;

const FORMAT_DESCRIPTION: u8 = 15;

fuzz_target!(|input: &[u8]| {
    let Some((&options, mut rest)) = input.split_first() else {
        return;
    };
    let mut log = Log::new(options);
    if log
        .event(FORMAT_DESCRIPTION, 0, &format_description(options))
        .is_err()
    {
        panic!("the format description is refused");
    }
    while let Some((&[kind, flags, low, high], body)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(body.len());
        let (body, behind) = body.split_at(len);
        rest = behind;
        // A decoder that has failed is of no use.
        if log.event(kind, flags, body).is_err() {
            return;
        }
    }
});

struct Log {
    options: u8,
    position: u32,
    decoder: Decoder,
    encoder: Encoder,
    transaction: Option<Transaction>,
    /// Events of XA transactions that are prepared.
    staged: Vec<(u64, Bytes)>,
}

impl Log {
    fn new(options: u8) -> Self {
        let (flavor, kind) = match options & MARIADB {
            0 => (Flavor::Mysql, Connector::Mysql),
            _ => (Flavor::Mariadb, Connector::Mariadb),
        };
        let mut decoder = Decoder::new(DecoderOptions { flavor, epoch: 0 });
        decoder.start_at(Coordinates {
            file: "binlog.000001".to_owned(),
            position: 4,
        });
        let meta = SourceMeta {
            connector: "fuzz".to_owned(),
            kind,
            database: String::new(),
        };
        Self {
            options,
            position: 4,
            decoder,
            encoder: Encoder::new(&meta, ValueOptions::default()),
            transaction: None,
            staged: Vec::new(),
        }
    }

    fn event(&mut self, kind: u8, flags: u8, body: &[u8]) -> Result<(), DecoderError> {
        let checksummed = kind == FORMAT_DESCRIPTION || self.options & CHECKSUMS != 0;
        let len = EventHeader::LEN + body.len() + if checksummed { 4 } else { 0 };
        let len = u32::try_from(len).expect("bodies of at most 64 KiB");
        self.position += len;
        let end = match self.options & NO_END {
            0 => self.position,
            _ => 0,
        };
        let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        event.extend_from_slice(&len.to_le_bytes());
        event.extend_from_slice(&end.to_le_bytes());
        event.extend_from_slice(&[flags, 0]);
        event.extend_from_slice(body);
        if checksummed {
            let checksum = crc32fast::hash(&event);
            event.extend_from_slice(&checksum.to_le_bytes());
        }
        self.decoder.handle(event.into())?;
        self.poll()
    }

    fn poll(&mut self) -> Result<(), DecoderError> {
        while let Some(output) = self.decoder.poll()? {
            match output {
                Output::NeedTable { .. } => self.decoder.table(match self.options & UNWANTED {
                    0 => Answer::Wanted(None),
                    _ => Answer::Unwanted,
                })?,
                Output::Begin(transaction) => self.transaction = Some(transaction),
                Output::Change(change) => {
                    let transaction = self.transaction.as_ref().expect("a change has a begin");
                    let Ok(position) = transaction.positions.event(change.ordinal) else {
                        continue;
                    };
                    let event = Event {
                        position: &position,
                        read_time: Timestamp::default(),
                        kind: EventKind::Change {
                            change: &change,
                            transaction,
                            last: false,
                        },
                    };
                    let mut json = Vec::new();
                    if self.encoder.write(&event, &mut json).is_ok() {
                        serde_json::from_slice::<IgnoredAny>(&json).expect("an event is JSON");
                    }
                }
                Output::Stage { key, record } => self.staged.push((key, record)),
                Output::StagedCommit { key } => {
                    self.decoder.begin_staged(key)?;
                    let (back, kept) = self.staged.drain(..).partition(|(of, _)| *of == key);
                    self.staged = kept;
                    let back: Vec<(u64, Bytes)> = back;
                    for (_, record) in back {
                        self.decoder.staged(record)?;
                        self.poll()?;
                    }
                    self.decoder.commit_staged()?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// That of a server that knows checksums.
fn format_description(options: u8) -> Vec<u8> {
    let version: &[u8] = match options & MARIADB {
        0 => b"9.7.4",
        _ => b"11.8.9-MariaDB",
    };
    let mut body = vec![4, 0];
    body.extend_from_slice(version);
    body.resize(2 + 50 + 4, 0);
    body.push(19);
    // The lengths of the fixed parts: what matters of them is that table ids have six bytes.
    body.resize(body.len() + 40, 8);
    body.push(u8::from(options & CHECKSUMS != 0));
    body
}

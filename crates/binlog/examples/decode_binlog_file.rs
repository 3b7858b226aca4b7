//! Prints a binlog file as events, without any server:
//!
//! ```sh
//! cargo run -p adit-binlog --example decode_binlog_file -- binlog.000001
//! cargo run -p adit-binlog --example decode_binlog_file -- --mariadb mysqld-bin.000001
//! ```
//!
//! Columns have their names if the server wrote them (`binlog_row_metadata = FULL`).

use std::io::Write as _;
use std::path::Path;
use std::{env, fs, io};

use adit_binlog::decoder::{Answer, DecoderOptions, Output};
use adit_binlog::{Coordinates, Decoder, Flavor};
use adit_event::{Connector, Encoder, Event, EventKind, SourceMeta, Timestamp, ValueOptions};
use bytes::Bytes;

/// What a file starts with.
const MAGIC: &[u8] = b"\xfebin";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut flavor = Flavor::Mysql;
    let mut path = None;
    for argument in env::args().skip(1) {
        if argument == "--mariadb" {
            flavor = Flavor::Mariadb;
        } else {
            path = Some(argument);
        }
    }
    let path = path.ok_or("which file?")?;
    let name = Path::new(&path).file_name().ok_or("that is no file")?;
    let file = Bytes::from(fs::read(&path)?);
    if !file.starts_with(MAGIC) {
        return Err("this is no binlog file, or an encrypted one".into());
    }
    let mut rest = file.slice(MAGIC.len()..);
    let mut decoder = Decoder::new(DecoderOptions { flavor, epoch: 0 });
    decoder.start_at(Coordinates {
        file: name.to_string_lossy().into_owned(),
        position: MAGIC.len() as u64,
    });
    let meta = SourceMeta {
        connector: "file".to_owned(),
        kind: match flavor {
            Flavor::Mysql => Connector::Mysql,
            Flavor::Mariadb => Connector::Mariadb,
        },
        database: String::new(),
    };
    let mut encoder = Encoder::new(&meta, ValueOptions::default());
    let mut transaction = None;
    let mut out = io::stdout().lock();
    while let Some(len) = rest.get(9..13).and_then(|len| len.first_chunk::<4>()) {
        let len = usize::try_from(u32::from_le_bytes(*len))?.min(rest.len());
        decoder.handle(rest.split_to(len))?;
        while let Some(output) = decoder.poll()? {
            match output {
                Output::NeedTable { .. } => decoder.table(Answer::Wanted(None))?,
                Output::Begin(begun) => transaction = Some(begun),
                Output::Change(change) => {
                    let transaction = transaction.as_ref().ok_or("a change without a begin")?;
                    let event = Event {
                        position: &transaction.positions.event(change.ordinal)?,
                        read_time: Timestamp::default(),
                        kind: EventKind::Change {
                            change: &change,
                            transaction,
                            last: false,
                        },
                    };
                    let mut line = Vec::new();
                    encoder.write(&event, &mut line)?;
                    line.push(b'\n');
                    out.write_all(&line)?;
                }
                other => writeln!(out, "{other:?}")?,
            }
        }
    }
    Ok(())
}

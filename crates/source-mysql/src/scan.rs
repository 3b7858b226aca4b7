//! Reading part of the log beside the stream, for what must be known before the stream comes there.

use std::collections::VecDeque;
use std::time::Duration;

use adit_binlog::decoder::{Answer, Decoder, DecoderOptions, Output};
use adit_binlog::{Coordinates, Gtid};
use tokio::time::timeout;

use crate::ddl;
use crate::error::SourceError;
use crate::place::Ask;
use crate::position::{Executed, Place, reaches};
use crate::session::{dump_error, dump_to_end};
use crate::source::MysqlOptions;
use crate::state::TableName;
use crate::stream::decode_error;

/// How long the server may take for the next event of what it has on its disk.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Changes of shapes that are remembered ahead of the stream. Who is behind by more has other worries.
const AHEAD_MAX: usize = 10_000;

/// Reads the log from a place to its end, as it is now, and shows what is no change of rows. Returns the
/// end, if anything was read.
async fn scan(
    options: &MysqlOptions,
    from: &Place,
    ask: Ask,
    mut visit: impl FnMut(Output),
) -> Result<Option<Coordinates>, SourceError> {
    let mut reader = dump_to_end(options, from, ask).await?;
    let mut decoder = Decoder::new(DecoderOptions {
        flavor: reader.flavor(),
        epoch: 0,
    });
    loop {
        let event = match timeout(SILENCE_MAX, reader.next()).await {
            Ok(Ok(Some(event))) => event,
            Ok(Ok(None)) => return Ok(decoder.coordinates()),
            Ok(Err(error)) => {
                return Err(dump_error(options, from.coordinates.to_string(), error));
            }
            Err(_) => {
                return Err(SourceError::Silent {
                    seconds: SILENCE_MAX.as_secs(),
                });
            }
        };
        let window = event.clone();
        let error = |decoder: &Decoder, source| decode_error(decoder, &window, source);
        let handled = decoder.handle(event);
        handled.map_err(|source| error(&decoder, source))?;
        while let Some(output) = decoder.poll().map_err(|source| error(&decoder, source))? {
            match output {
                Output::NeedTable { .. } => {
                    let answered = decoder.table(Answer::Unwanted);
                    answered.map_err(|source| error(&decoder, source))?;
                }
                output => visit(output),
            }
        }
    }
}

/// Whether all transactions in front of `end` are among these: a transaction that is on its way is in the
/// log, and not yet among those that the server says it has executed.
pub(crate) async fn is_all_among(
    options: &MysqlOptions,
    end: &Coordinates,
    executed: &Executed,
) -> Result<bool, SourceError> {
    let from = Place {
        coordinates: end.clone(),
        born: 0,
        executed: executed.clone(),
    };
    let mut found = false;
    let named = |gtid: &Option<Gtid>, at: &Coordinates| gtid.is_some() && reaches(end, at);
    scan(options, &from, Ask::Gtids, |output| match output {
        Output::Progress { end, gtid } | Output::Commit { end, gtid } => {
            found |= named(&gtid, &end);
        }
        Output::Ddl { end, gtid, .. } => found |= named(&gtid, &end),
        _ => {}
    })
    .await?;
    Ok(!found)
}

/// Changes of tables' shapes that lie ahead of the stream.
///
/// Where the log does not name the columns, the catalogue does; but the catalogue is of now, and the log
/// may be of earlier. It fits only if nothing between the two changed the table.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Up to here it is known.
    scanned: Option<Coordinates>,
    found: VecDeque<Found>,
    /// The first of those that are too many.
    unseen: Option<Coordinates>,
}

#[derive(Debug)]
struct Found {
    end: Coordinates,
    change: ddl::Concerned,
}

impl Ahead {
    /// Looks at the log from the stream's place to its end as it is now. The catalogue must have been read
    /// before.
    pub(crate) async fn look(
        &mut self,
        options: &MysqlOptions,
        from: &Place,
        lower_case: bool,
    ) -> Result<(), SourceError> {
        let passed = |found: &Found| reaches(&from.coordinates, &found.end);
        while self.found.front().is_some_and(passed) {
            self.found.pop_front();
        }
        let start = match &self.scanned {
            Some(scanned) if reaches(scanned, &from.coordinates) => Place {
                coordinates: scanned.clone(),
                ..from.clone()
            },
            _ => {
                self.found.clear();
                from.clone()
            }
        };
        let found = &mut self.found;
        let ask = if start.is_found() {
            Ask::Coordinates
        } else {
            Ask::Gtids
        };
        let end = scan(options, &start, ask, |output| {
            if let Output::Ddl {
                statement,
                database,
                end,
                ..
            } = output
                && found.len() <= AHEAD_MAX
            {
                let change = ddl::concerned(&statement, &database, lower_case);
                found.push_back(Found { end, change });
            }
        })
        .await?;
        self.scanned = end.or(Some(start.coordinates));
        self.unseen = None;
        if self.found.len() > AHEAD_MAX {
            // The rest is read again where it is needed.
            self.unseen = self.found.pop_back().map(|found| found.end);
            self.scanned = self.found.back().map(|found| found.end.clone());
        }
        Ok(())
    }

    /// The first change ahead that is, or may be, one of a table's shape; none if there is none.
    pub(crate) fn change_of(&self, table: &TableName) -> Option<&Coordinates> {
        let mut found = self.found.iter();
        let change = found.find(|found| found.change.is_about(table));
        change.map(|found| &found.end).or(self.unseen.as_ref())
    }
}

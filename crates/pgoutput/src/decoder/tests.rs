use std::collections::HashSet;
use std::fmt::Write as _;

use expect_test::{ExpectFile, expect_file};

use super::*;

/// What a source does: answers questions, keeps staged records, gives them back at their commit.
#[derive(Default)]
struct Reader {
    decoder: Decoder,
    staged: HashMap<Xid, Vec<(Xid, Bytes)>>,
    aborted: HashSet<Xid>,
    seen: String,
}

impl Reader {
    fn output(&mut self, output: Output) -> Result<(), DecoderError> {
        match output {
            Output::Nothing => {}
            Output::Begin { transaction, .. } => {
                writeln!(self.seen, "begin {}", transaction.id).unwrap()
            }
            Output::Change(change) => self.change(&change),
            Output::Truncate(changes) => changes.iter().for_each(|change| self.change(change)),
            Output::Schema { relation, ordinal } => {
                let columns: Vec<_> = relation.columns().iter().map(|c| c.name.as_str()).collect();
                writeln!(
                    self.seen,
                    "  {ordinal} schema {}({})",
                    relation.table(),
                    columns.join(", ")
                )
                .unwrap();
            }
            Output::Commit { .. } => self.seen.push_str("commit\n"),
            Output::NeedTable(_) => {
                let answer = self.decoder.table(Some(&TableInfo::default()))?;
                self.output(answer)?;
            }
            Output::Stage {
                transaction,
                part,
                record,
            } => {
                self.staged
                    .entry(transaction)
                    .or_default()
                    .push((part, record));
            }
            Output::StreamCommit(commit) => {
                let begin = self.decoder.begin_staged(&commit)?;
                self.output(begin)?;
                for (part, record) in self.staged.remove(&commit.xid).unwrap_or_default() {
                    if !self.aborted.contains(&part) {
                        let output = self.decoder.staged(record)?;
                        self.output(output)?;
                    }
                }
                let commit = self.decoder.commit_staged()?;
                self.output(commit)?;
            }
            Output::StreamAbort { transaction, part } if transaction == part => {
                self.staged.remove(&transaction);
            }
            Output::StreamAbort { part, .. } => {
                self.aborted.insert(part);
            }
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) {
        let image = |row: &Row| {
            let cells = row.cells().map(|cell| match cell {
                adit_event::Cell::Text(text) if text.len() > 40 => {
                    format!("[{} bytes]", text.len())
                }
                adit_event::Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            });
            cells.collect::<Vec<_>>().join("|")
        };
        write!(
            self.seen,
            "  {} {} {}",
            change.ordinal,
            change.op.as_str(),
            change.relation.table()
        )
        .unwrap();
        match &change.before {
            Some(Before::Full(row)) => write!(self.seen, " full({})", image(row)).unwrap(),
            Some(Before::Key(row)) => write!(self.seen, " key({})", image(row)).unwrap(),
            None => {}
        }
        if let Some(row) = &change.after {
            write!(self.seen, " new({})", image(row)).unwrap();
        }
        self.seen.push('\n');
    }
}

fn lines(capture: &str) -> impl Iterator<Item = Bytes> {
    let path = format!("{}/testdata/{capture}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let bytes = |line: &str| -> Bytes {
        let pairs = line.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(bytes).collect::<Vec<_>>().into_iter()
}

fn check(capture: &str, expected: &ExpectFile) {
    let mut reader = Reader::default();
    for line in lines(capture) {
        let output = reader.decoder.handle(line).unwrap();
        reader.output(output).unwrap();
    }
    assert!(!reader.decoder.in_transaction());
    expected.assert_eq(&reader.seen);
}

#[test]
fn captured_transactions_become_changes_in_commit_order() {
    check(
        "pg13-basic",
        &expect_file!["../../testdata/pg13-basic.changes"],
    );
    check(
        "pg15-basic",
        &expect_file!["../../testdata/pg15-basic.changes"],
    );
    check(
        "pg18-basic",
        &expect_file!["../../testdata/pg18-basic.changes"],
    );
    check(
        "pg18-messages",
        &expect_file!["../../testdata/pg18-messages.changes"],
    );
    check(
        "pg18-origin",
        &expect_file!["../../testdata/pg18-origin.changes"],
    );
}

#[test]
fn streamed_transactions_come_out_at_their_commit_without_what_was_rolled_back() {
    check(
        "pg15-stream",
        &expect_file!["../../testdata/pg15-stream.changes"],
    );
    check(
        "pg18-stream",
        &expect_file!["../../testdata/pg18-stream.changes"],
    );
    check(
        "pg18-stream-parallel",
        &expect_file!["../../testdata/pg18-stream-parallel.changes"],
    );
}

#[test]
fn prepared_transactions_are_refused() {
    let mut reader = Reader::default();
    let refused = lines("pg18-two-phase").find_map(|line| reader.decoder.handle(line).err());
    assert_eq!(refused, Some(DecoderError::TwoPhase));
}

#[test]
fn a_change_of_a_table_that_was_never_described_stops() {
    let mut decoder = Decoder::new();
    let changes = lines("pg18-basic").filter(|line| line.first() != Some(&b'R'));
    let error = changes
        .into_iter()
        .find_map(|line| decoder.handle(line).err());
    assert!(
        matches!(error, Some(DecoderError::UnknownRelation { .. })),
        "{error:?}"
    );
}

#[test]
fn changes_of_a_table_that_nobody_wants_are_counted_and_left_out() {
    let all = |wanted: bool| {
        let mut decoder = Decoder::new();
        let mut ordinals = Vec::new();
        for line in lines("pg18-basic") {
            let mut output = decoder.handle(line).unwrap();
            if let Output::NeedTable(described) = output {
                let info = TableInfo::default();
                let unwanted = !wanted && described.name.starts_with('f');
                output = decoder.table((!unwanted).then_some(&info)).unwrap();
            }
            if let Output::Change(change) = output {
                ordinals.push((change.relation.table().to_owned(), change.ordinal));
            }
        }
        ordinals
    };
    let mut some = all(true);
    some.retain(|(table, _)| !table.starts_with('f'));
    assert_eq!(some, all(false));
}

#[test]
fn messages_out_of_place_are_errors() {
    let messages: Vec<Bytes> = lines("pg18-basic").collect();
    let begin = messages.iter().find(|m| m.first() == Some(&b'B')).unwrap();
    let commit = messages.iter().find(|m| m.first() == Some(&b'C')).unwrap();
    let relation = messages.iter().find(|m| m.first() == Some(&b'R')).unwrap();
    for wrong in [
        vec![begin, begin],
        vec![commit],
        vec![relation],
        vec![begin, relation, commit],
    ] {
        let mut decoder = Decoder::new();
        let error = wrong
            .into_iter()
            .find_map(|m| decoder.handle(m.clone()).err());
        assert!(
            matches!(error, Some(DecoderError::OutOfPlace { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn snapshot_rows_sort_between_the_log_before_and_after_the_consistent_point() {
    let point = Lsn(0x0A00_0100);
    let before = transaction_positions(Lsn(0x0A00_00F8))
        .event(u64::from(u32::MAX))
        .unwrap();
    let first = snapshot_positions(point).event(0).unwrap();
    let after = transaction_positions(point).schema(0, None).unwrap();
    assert_eq!(first.as_str(), "000000000A0000FFr000000000000");
    assert!(before < first && first < after);
}

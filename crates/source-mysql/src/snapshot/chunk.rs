//! Pieces of a table: ranges of its key.
//!
//! The walk along the key is part of the reading. Whoever takes a piece looks where it ends, puts what lies
//! behind it back for the others, and then reads: so several read one table at once, and nobody has to
//! know beforehand how its keys are spread.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adit_binlog::Coordinates;
use adit_binlog::table::ColumnInfo;
use adit_event::Relation;
use tokio::sync::Notify;

use super::unread::{Bound, KeyRange, Unread};
use crate::catalog::{Catalogued, base_type};
use crate::position::reaches;
use crate::quote;
use crate::state::TableName;

/// A table that is read.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) catalogued: Catalogued,
    pub(crate) relation: Arc<Relation>,
    /// The end of the log when it was last read from.
    read_until: Mutex<Option<Coordinates>>,
    /// It was altered since the snapshot's point: what is read of it from now on is not what it held there.
    outdated: AtomicBool,
    key: Option<Key>,
}

/// What the pieces are ranges of.
#[derive(Debug)]
struct Key {
    columns: Vec<(String, KeyKind)>,
    /// Makes the server walk along the primary key.
    hint: &'static str,
}

/// How a value of a key is written so that the server compares it as it orders the index.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyKind {
    /// As the digits that they are.
    Number,
    /// As bytes with the name of their character set: the column's collation decides.
    Text(String),
    /// As bytes.
    Binary,
    /// As a text that the server converts to the column's type.
    Quoted,
}

/// Part of a table. Whoever takes it may read less of it and leave the rest to others.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) table: Arc<Table>,
    pub(crate) range: KeyRange,
}

impl Table {
    pub(crate) fn new(name: TableName, catalogued: Catalogued, relation: Arc<Relation>) -> Self {
        let key = key(&catalogued);
        Self {
            name,
            catalogued,
            relation,
            read_until: Mutex::new(None),
            outdated: AtomicBool::new(false),
            key,
        }
    }

    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    pub(crate) fn set_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Equal as long as the table has the same columns, and ranges of its key mean the same.
    pub(crate) fn shape(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.relation.fingerprint().hash(&mut hasher);
        self.catalogued.index.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether these ranges can be read.
    pub(crate) fn can_read(&self, unread: &Unread) -> bool {
        let ranges = unread.ranges().iter();
        let mut bounds = ranges.flat_map(|range| [&range.from, &range.to]).flatten();
        bounds.all(|bound| self.literals(bound).is_some())
    }

    /// A chunk was read when the log ended here.
    pub(crate) fn was_read(&self, end: Coordinates) {
        let mut until = self
            .read_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.as_ref().is_none_or(|until| reaches(&end, until)) {
            *until = Some(end);
        }
    }

    /// The end of the log when it was last read from; none if it was not.
    pub(crate) fn read_until(&self) -> Option<Coordinates> {
        let until = self
            .read_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.clone()
    }

    /// A query that does no more than open the table.
    pub(crate) fn touch(&self) -> String {
        let table = quote::table(&self.name.schema, &self.name.table);
        format!("SELECT 1 FROM {table} LIMIT 0")
    }

    /// The query for the key of the row that is the last of so many in a range; none if the table cannot be
    /// walked along.
    pub(crate) fn boundary(&self, range: &KeyRange, rows: u64) -> Option<String> {
        let key = self.key.as_ref()?;
        let columns = key.names();
        Some(format!(
            "SELECT {columns} FROM {}{}{} ORDER BY {columns} LIMIT 1 OFFSET {}",
            quote::table(&self.name.schema, &self.name.table),
            key.hint,
            self.condition(range),
            rows.saturating_sub(1)
        ))
    }

    /// The key that a boundary's query answered, if it can be written into a query.
    pub(crate) fn bound<'a>(&self, cells: impl Iterator<Item = Option<&'a [u8]>>) -> Option<Bound> {
        let values = cells.map(|cell| cell.map(<[u8]>::to_vec));
        let bound = Bound(values.collect::<Option<_>>()?);
        self.literals(&bound).is_some().then_some(bound)
    }

    /// A key as it is written into a query.
    fn literals(&self, Bound(values): &Bound) -> Option<Vec<String>> {
        let key = self.key.as_ref()?;
        let literals = key.columns.iter().zip(values);
        let literals: Option<Vec<_>> = literals
            .map(|((_, kind), value)| kind.literal(value))
            .collect();
        literals.filter(|_| values.len() == key.columns.len())
    }

    /// The query for the rows of a range.
    pub(crate) fn select(&self, range: &KeyRange) -> String {
        let columns = self.catalogued.info.columns.iter().map(|column| {
            let name = quote::identifier(&column.name);
            // A FLOAT is printed with six digits, and both with no more than the column was declared with; a
            // product is a DOUBLE with all it has.
            if matches!(base_type(column).as_str(), "float" | "double") {
                format!("({name} * 1E0)")
            } else {
                name
            }
        });
        let hint = match &self.key {
            Some(key) if range.from.is_some() || range.to.is_some() => key.hint,
            _ => "",
        };
        format!(
            "SELECT {} FROM {}{hint}{}",
            columns.collect::<Vec<_>>().join(", "),
            quote::table(&self.name.schema, &self.name.table),
            self.condition(range)
        )
    }

    fn condition(&self, range: &KeyRange) -> String {
        let Some(key) = &self.key else {
            return String::new();
        };
        let literals = |bound: &Option<Bound>| self.literals(bound.as_ref()?);
        let from = literals(&range.from).map(|from| key.compare(&from, ">", ">"));
        let to = literals(&range.to).map(|to| key.compare(&to, "<", "<="));
        let conditions: Vec<_> = from.into_iter().chain(to).collect();
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        }
    }
}

impl Key {
    fn names(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Compares the key with literals, column by column: the servers do not use an index for a comparison of
    /// rows. The first column's own bound lets them see the range.
    fn compare(&self, literals: &[String], strictly: &str, last: &str) -> String {
        let mut columns = self.columns.iter().zip(literals).rev();
        let Some(((name, _), literal)) = columns.next() else {
            return "TRUE".to_owned();
        };
        let mut condition = format!("{name} {last} {literal}");
        for ((name, _), literal) in columns {
            condition = format!(
                "{name} {strictly}= {literal} AND ({name} {strictly} {literal} OR {condition})"
            );
        }
        format!("({condition})")
    }
}

/// The key of a table that can be walked along.
fn key(catalogued: &Catalogued) -> Option<Key> {
    let index = catalogued.index.as_ref()?;
    let columns = index.columns.iter().map(|place| {
        let column = catalogued.info.columns.get(*place)?;
        Some((quote::identifier(&column.name), KeyKind::of(column)?))
    });
    Some(Key {
        columns: columns.collect::<Option<_>>()?,
        // Others may be invisible, and then must not be named.
        hint: if index.name == "PRIMARY" {
            " FORCE INDEX (PRIMARY)"
        } else {
            ""
        },
    })
}

impl KeyKind {
    /// None for types that are not compared as they are ordered (ENUM and SET), or whose text is not exact.
    fn of(column: &ColumnInfo) -> Option<Self> {
        Some(match base_type(column).as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => {
                Self::Number
            }
            "char" | "varchar" => Self::Text(column.charset.clone()?),
            "binary" | "varbinary" => Self::Binary,
            "date" | "datetime" | "timestamp" | "time" | "uuid" | "inet4" | "inet6" => Self::Quoted,
            _ => return None,
        })
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        match self {
            Self::Number => {
                let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
                let text = str::from_utf8(value).ok()?;
                value.iter().all(is_number).then(|| text.to_owned())
            }
            Self::Text(charset) if charset.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Some(format!("_{charset} {}", quote::hex(value)))
            }
            Self::Text(_) => None,
            Self::Binary => Some(quote::hex(value)),
            Self::Quoted => Some(quote::literal(str::from_utf8(value).ok()?)),
        }
    }
}

/// The chunks that wait, for several who take them.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug)]
struct Waiting {
    chunks: VecDeque<Chunk>,
    /// Chunks that were taken and whose end is being looked for: another may follow.
    open: usize,
}

impl Queue {
    pub(crate) fn new(chunks: VecDeque<Chunk>) -> Self {
        Self {
            waiting: Mutex::new(Waiting { chunks, open: 0 }),
            changed: Notify::new(),
        }
    }

    /// The next chunk, or none when all are taken and nothing follows. Each must be closed.
    pub(crate) async fn take(&self) -> Option<Chunk> {
        loop {
            let changed = self.changed.notified();
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(chunk) = waiting.chunks.pop_front() {
                    waiting.open += 1;
                    return Some(chunk);
                }
                if waiting.open == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// A chunk's end is known: what follows it, if anything, is for the next who asks. So few tables are in
    /// the midst of being read at any time.
    pub(crate) fn close(&self, rest: Option<Chunk>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.open -= 1;
        if let Some(rest) = rest {
            waiting.chunks.push_front(rest);
        }
        drop(waiting);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use adit_binlog::table::TableInfo;

    use super::*;
    use crate::catalog::Index;

    fn column(name: &str, data_type: &str, charset: Option<&str>) -> ColumnInfo {
        ColumnInfo {
            name: name.into(),
            column_type: data_type.into(),
            charset: charset.map(Into::into),
            nullable: false,
            json: false,
        }
    }

    fn table(columns: Vec<ColumnInfo>, key: &[usize]) -> Table {
        let info = TableInfo {
            key: key
                .iter()
                .map(|place| columns[*place].name.clone())
                .collect(),
            columns,
        };
        let index = Index {
            name: "PRIMARY".into(),
            columns: key.to_vec(),
            collations: vec![None; key.len()],
        };
        let catalogued = Catalogued {
            charset: "utf8mb4".to_owned(),
            info,
            index: (!key.is_empty()).then_some(index),
            transactional: true,
        };
        let relation = Arc::new(Relation::new("d".into(), "t".into(), vec![]));
        Table::new(TableName::new("d", "t"), catalogued, relation)
    }

    fn range(from: Option<Bound>, to: Option<Bound>) -> KeyRange {
        KeyRange { from, to }
    }

    #[test]
    fn a_chunk_of_a_composite_key_is_a_range_of_its_index() {
        let table = table(
            vec![
                column("a", "int", None),
                column("b", "varchar", Some("latin1")),
                column("f", "float", None),
            ],
            &[0, 1],
        );
        assert_eq!(
            table.boundary(&range(None, None), 1000).unwrap(),
            "SELECT `a`, `b` FROM `d`.`t` FORCE INDEX (PRIMARY) ORDER BY `a`, `b` LIMIT 1 OFFSET 999"
        );
        let key = |a: &str, b: &[u8]| {
            let cells = [Some(a.as_bytes()), Some(b)];
            table.bound(cells.into_iter())
        };
        assert_eq!(
            table.select(&range(key("-5", b"x'"), key("7", b"\xe9"))),
            "SELECT `a`, `b`, (`f` * 1E0) FROM `d`.`t` FORCE INDEX (PRIMARY) \
             WHERE (`a` >= -5 AND (`a` > -5 OR `b` > _latin1 x'7827')) \
             AND (`a` <= 7 AND (`a` < 7 OR `b` <= _latin1 x'e9'))"
        );
        assert_eq!(
            table.boundary(&range(None, key("7", b"x")), 10).unwrap(),
            "SELECT `a`, `b` FROM `d`.`t` FORCE INDEX (PRIMARY) \
             WHERE (`a` <= 7 AND (`a` < 7 OR `b` <= _latin1 x'78')) ORDER BY `a`, `b` LIMIT 1 OFFSET 9"
        );
        assert_eq!(
            table.select(&range(None, None)),
            "SELECT `a`, `b`, (`f` * 1E0) FROM `d`.`t`"
        );
    }

    #[test]
    fn a_key_that_cannot_be_compared_as_it_is_ordered_makes_one_chunk() {
        for (kind, key) in [("enum", &[0][..]), ("bit", &[0]), ("int", &[])] {
            let table = table(vec![column("a", kind, None)], key);
            assert_eq!(table.boundary(&range(None, None), 10), None, "{kind}");
            assert_eq!(table.select(&range(None, None)), "SELECT `a` FROM `d`.`t`");
        }
    }

    #[test]
    fn a_value_that_is_no_literal_ends_the_walk() {
        let table = table(vec![column("a", "int", None)], &[0]);
        assert_eq!(table.bound([Some(&b"1 OR 1"[..])].into_iter()), None);
        assert_eq!(table.bound([None].into_iter()), None);
        assert_eq!(table.bound([].into_iter()), None);
        // Nor is one that somebody else wrote into the checkpoint.
        let unread = |text| serde_json::from_str(text).unwrap();
        assert!(table.can_read(&unread(r#"[{"to":["1"]},{"from":["5"]}]"#)));
        assert!(!table.can_read(&unread(r#"[{"from":["5; DROP TABLE t"]}]"#)));
        assert!(!table.can_read(&unread(r#"[{"from":["5","6"]}]"#)));
    }

    #[tokio::test]
    async fn nobody_leaves_while_another_chunk_may_follow() {
        let table = Arc::new(table(vec![column("a", "int", None)], &[0]));
        let chunk = |from: Option<Bound>| Chunk {
            table: Arc::clone(&table),
            range: range(from, None),
        };
        let queue = Queue::new([chunk(None)].into());
        queue.take().await.unwrap();
        let rest = Bound(vec![b"5".to_vec()]);
        let (next, ()) = tokio::join!(queue.take(), async {
            queue.close(Some(chunk(Some(rest.clone()))));
        });
        assert_eq!(next.unwrap().range.from, Some(rest));
        let (next, ()) = tokio::join!(queue.take(), async { queue.close(None) });
        assert!(next.is_none());
    }
}

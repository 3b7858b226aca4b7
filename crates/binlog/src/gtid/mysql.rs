//! MySQL's GTIDs, `uuid:number` or `uuid:tag:number`, and sets of them.
//!
//! The binary form of a set, in `Previous_gtids` and in `COM_BINLOG_DUMP_GTID`:
//!
//! | bytes | meaning |
//! |---|---|
//! | u64 | the number of sources; with tags: 1 in the highest byte, and the number shifted by 8 |
//! | 16 | per source: its UUID |
//! | | with tags: the tag's length as a variable-length integer, and the tag |
//! | u64 | the number of intervals |
//! | i64, i64 | per interval: its first number, and the one behind its last |
//!
//! Integers are little-endian. (`Gtid_set::encode` of the server, `sql/rpl_gtid_set.cc`.)

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use adit_decode::limits::{GTID_INTERVALS_MAX, GTID_SIDS_MAX};
use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use super::GtidError;

/// The identity of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each transaction's name has one, so it is put together by hand.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let slots = text.iter_mut().enumerate();
        let mut slots = slots.filter(|(index, _)| !matches!(index, 8 | 13 | 18 | 23));
        for nibble in self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
            if let (Some((_, slot)), Some(digit)) = (slots.next(), DIGITS.get(usize::from(nibble)))
            {
                *slot = *digit;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Uuid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let error = || GtidError::new(text);
        let mut bytes = [0u8; 16];
        let mut digits = text.chars().filter(|c| *c != '-');
        for byte in &mut bytes {
            let (high, low) = (digits.next(), digits.next());
            let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).ok_or_else(error);
            *byte = u8::try_from(digit(high)? << 4 | digit(low)?).map_err(|_| error())?;
        }
        if digits.next().is_some() {
            return Err(error());
        }
        Ok(Self(bytes))
    }
}

/// The longest tag (`mysql::gtid::tag_max_length`).
const TAG_LEN_MAX: usize = 32;

/// The tag of a GTID (MySQL 8.3 and later): empty where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    bytes: [u8; TAG_LEN_MAX],
    len: u8,
}

impl Tag {
    /// No tag.
    pub const NONE: Self = Self {
        bytes: [0; TAG_LEN_MAX],
        len: 0,
    };

    /// A tag: lower-case letters, digits and `_`, at most 32.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let legal = text
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        let mut tag = Self::NONE;
        if !legal {
            return None;
        }
        tag.bytes.get_mut(..text.len())?.copy_from_slice(text);
        tag.len = u8::try_from(text.len()).ok()?;
        Some(tag)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len));
        str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// One transaction of MySQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MysqlGtid {
    /// The server that committed it first.
    pub uuid: Uuid,
    /// Its tag.
    pub tag: Tag,
    /// Its number among that server's transactions with this tag, from 1.
    pub number: u64,
}

impl fmt::Display for MysqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag.as_str() {
            "" => write!(f, "{}:{}", self.uuid, self.number),
            tag => write!(f, "{}:{tag}:{}", self.uuid, self.number),
        }
    }
}

impl FromStr for MysqlGtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let error = || GtidError::new(text);
        let (uuid, rest) = text.split_once(':').ok_or_else(error)?;
        let (tag, number) = rest.split_once(':').unwrap_or(("", rest));
        Ok(Self {
            uuid: uuid.parse()?,
            tag: Tag::new(tag.as_bytes()).ok_or_else(error)?,
            number: number.parse().map_err(|_| error())?,
        })
    }
}

/// Numbers from the first to the second, without the second.
type Interval = (u64, u64);

/// A set of GTIDs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    /// For each source: sorted intervals that neither touch nor overlap.
    sources: BTreeMap<(Uuid, Tag), Vec<Interval>>,
}

impl GtidSet {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether it holds a transaction.
    #[must_use]
    pub fn contains(&self, gtid: &MysqlGtid) -> bool {
        let intervals = self.sources.get(&(gtid.uuid, gtid.tag));
        intervals.is_some_and(|intervals| covers(intervals, (gtid.number, gtid.number + 1)))
    }

    /// Adds a transaction.
    pub fn insert(&mut self, gtid: &MysqlGtid) {
        let intervals = self.sources.entry((gtid.uuid, gtid.tag)).or_default();
        add(intervals, (gtid.number, gtid.number.saturating_add(1)));
    }

    /// Takes a transaction out.
    pub fn remove(&mut self, gtid: &MysqlGtid) {
        let key = (gtid.uuid, gtid.tag);
        if let Some(intervals) = self.sources.get_mut(&key) {
            cut(intervals, (gtid.number, gtid.number.saturating_add(1)));
            if intervals.is_empty() {
                self.sources.remove(&key);
            }
        }
    }

    /// Adds all of another set.
    pub fn union(&mut self, other: &Self) {
        for (source, intervals) in &other.sources {
            let ours = self.sources.entry(*source).or_default();
            for interval in intervals {
                add(ours, *interval);
            }
        }
    }

    /// Takes out all of another set.
    pub fn subtract(&mut self, other: &Self) {
        for (source, intervals) in &other.sources {
            if let Some(ours) = self.sources.get_mut(source) {
                for interval in intervals {
                    cut(ours, *interval);
                }
                if ours.is_empty() {
                    self.sources.remove(source);
                }
            }
        }
    }

    /// Whether the other set holds all of this one.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.sources.iter().all(|(source, intervals)| {
            let theirs = other.sources.get(source);
            theirs.is_some_and(|theirs| intervals.iter().all(|part| covers(theirs, *part)))
        })
    }

    /// The binary form, as `COM_BINLOG_DUMP_GTID` takes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.sources.keys().any(|(_, tag)| *tag != Tag::NONE);
        let count = self.sources.len() as u64;
        let mut out = Vec::new();
        let head = if tagged {
            1 << 56 | count << 8 | 1
        } else {
            count
        };
        out.extend_from_slice(&head.to_le_bytes());
        for ((uuid, tag), intervals) in &self.sources {
            out.extend_from_slice(&uuid.0);
            if tagged {
                // Below 64 a variable-length integer is one byte, shifted by its length mark.
                out.push(tag.len << 1);
                out.extend_from_slice(tag.as_str().as_bytes());
            }
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (start, end) in intervals {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        out
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let head = reader.u64_le("binlog gtid_set.sources")?;
        let tagged = match head >> 56 {
            0 => false,
            1 => true,
            _ => {
                let why = "its format is unknown";
                return Err(reader.error(DecodeErrorKind::Invalid { why }, "binlog gtid_set"));
            }
        };
        let count = if tagged { head << 8 >> 16 } else { head };
        let count = limited(reader, count, GTID_SIDS_MAX, "binlog gtid_set.sources")?;
        let mut set = Self::default();
        for _ in 0..count {
            let uuid = Uuid(reader.array("binlog gtid_set.uuid")?);
            let tag = if tagged { tag(reader)? } else { Tag::NONE };
            let field = "binlog gtid_set.intervals";
            let intervals = reader.u64_le(field)?;
            let intervals = limited(reader, intervals, GTID_INTERVALS_MAX, field)?;
            let ours = set.sources.entry((uuid, tag)).or_default();
            for _ in 0..intervals {
                let start = reader.u64_le("binlog gtid_set.start")?;
                let end = reader.u64_le("binlog gtid_set.end")?;
                if start == 0 || end <= start {
                    let why = "an interval ends before it starts";
                    return Err(reader.error(DecodeErrorKind::Invalid { why }, field));
                }
                add(ours, (start, end));
            }
        }
        set.sources.retain(|_, intervals| !intervals.is_empty());
        Ok(set)
    }
}

fn limited(
    reader: &Reader<'_>,
    value: u64,
    max: usize,
    field: &'static str,
) -> Result<usize, DecodeError> {
    let value = usize::try_from(value).unwrap_or(usize::MAX);
    if value > max {
        return Err(reader.error(DecodeErrorKind::AboveLimit { value, max }, field));
    }
    Ok(value)
}

/// A tag, its length in front.
pub(crate) fn tag(reader: &mut Reader<'_>) -> Result<Tag, DecodeError> {
    let field = "binlog gtid.tag";
    let len = usize::try_from(crate::varlen::unsigned(reader, field)?).unwrap_or(usize::MAX);
    let bytes = reader.bytes(len, field)?;
    let why = "a tag holds something else than lower-case letters, digits and _";
    Tag::new(bytes).ok_or_else(|| reader.error(DecodeErrorKind::Invalid { why }, field))
}

fn covers(intervals: &[Interval], (start, end): Interval) -> bool {
    let at = intervals.partition_point(|(_, their_end)| *their_end <= start);
    let found = intervals.get(at);
    found.is_some_and(|(their_start, their_end)| *their_start <= start && end <= *their_end)
}

fn add(intervals: &mut Vec<Interval>, (mut start, mut end): Interval) {
    // Mostly the next number of the last interval.
    if let Some(last) = intervals.last_mut()
        && last.1 == start
    {
        last.1 = end;
        return;
    }
    let from = intervals.partition_point(|(_, their_end)| *their_end < start);
    let to = intervals.partition_point(|(their_start, _)| *their_start <= end);
    for (their_start, their_end) in intervals.drain(from..to.max(from)) {
        start = start.min(their_start);
        end = end.max(their_end);
    }
    intervals.insert(from, (start, end));
}

fn cut(intervals: &mut Vec<Interval>, (start, end): Interval) {
    let from = intervals.partition_point(|(_, their_end)| *their_end <= start);
    let to = intervals.partition_point(|(their_start, _)| *their_start < end);
    let mut left = Vec::new();
    for (their_start, their_end) in intervals.drain(from..to.max(from)) {
        if their_start < start {
            left.push((their_start, start));
        }
        if end < their_end {
            left.push((end, their_end));
        }
    }
    intervals.splice(from..from, left);
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<Uuid> = None;
        for ((uuid, tag), intervals) in &self.sources {
            if before != Some(*uuid) {
                let comma = if before.is_some() { "," } else { "" };
                write!(f, "{comma}{uuid}")?;
                before = Some(*uuid);
            }
            if *tag != Tag::NONE {
                write!(f, ":{}", tag.as_str())?;
            }
            for (start, end) in intervals {
                if *end == start + 1 {
                    write!(f, ":{start}")?;
                } else {
                    write!(f, ":{start}-{}", end - 1)?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let error = || GtidError::new(text);
        let mut set = Self::default();
        for source in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let (uuid, rest) = source.split_once(':').ok_or_else(error)?;
            let uuid: Uuid = uuid.parse()?;
            let mut tag = Tag::NONE;
            for part in rest.split(':').map(str::trim) {
                if !part.starts_with(|c: char| c.is_ascii_digit()) {
                    tag = Tag::new(part.as_bytes()).ok_or_else(error)?;
                    continue;
                }
                let (start, last) = part.split_once('-').unwrap_or((part, part));
                let start: u64 = start.parse().map_err(|_| error())?;
                let last: u64 = last.parse().map_err(|_| error())?;
                if start == 0 || last < start || last == u64::MAX {
                    return Err(error());
                }
                add(
                    set.sources.entry((uuid, tag)).or_default(),
                    (start, last + 1),
                );
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    #[test]
    fn the_text_form_is_the_servers() {
        let text = format!("{UUID}:1-3:5:tag_a:1-2:tag_b:7,4e11fa47-71ca-11e1-9e33-c80aa9429562:9");
        assert_eq!(set(&text).to_string(), text);
        assert_eq!(
            set(&format!(" {UUID}:5:1-4,\n{UUID}:6 ")).to_string(),
            format!("{UUID}:1-6")
        );
        assert!("x:1".parse::<GtidSet>().is_err());
        assert!(format!("{UUID}:5-1").parse::<GtidSet>().is_err());
        assert!(format!("{UUID}:0").parse::<GtidSet>().is_err());
    }

    #[test]
    fn the_binary_form_reads_back() {
        for text in [
            "",
            &format!("{UUID}:1-3:5"),
            &format!("{UUID}:1-3:a_tag:2-4:9"),
        ] {
            let set = set(text);
            let bytes = set.encode();
            assert_eq!(GtidSet::decode(&mut Reader::new(&bytes)), Ok(set));
            for end in 0..bytes.len() {
                assert!(GtidSet::decode(&mut Reader::new(&bytes[..end])).is_err());
            }
        }
    }

    #[test]
    fn one_gtid_reads_back() {
        for text in [format!("{UUID}:7"), format!("{UUID}:a_tag:7")] {
            assert_eq!(text.parse::<MysqlGtid>().unwrap().to_string(), text);
        }
    }

    proptest! {
        /// The same as with sets of single numbers.
        #[test]
        fn sets_of_intervals_are_sets(
            steps in proptest::collection::vec((any::<bool>(), 1u64..40, 1u64..8), 0..40),
            other in proptest::collection::vec((1u64..40, 1u64..8), 0..6),
        ) {
            let uuid: Uuid = UUID.parse().unwrap();
            let gtid = |number| MysqlGtid { uuid, tag: Tag::NONE, number };
            let mut ours = GtidSet::default();
            let mut plain = BTreeSet::new();
            for (insert, start, len) in steps {
                for number in start..start + len {
                    if insert {
                        ours.insert(&gtid(number));
                        plain.insert(number);
                    } else {
                        ours.remove(&gtid(number));
                        plain.remove(&number);
                    }
                }
            }
            let mut theirs = GtidSet::default();
            let mut their_plain = BTreeSet::new();
            for (start, len) in other {
                theirs.union(&set(&format!("{UUID}:{start}-{}", start + len - 1)));
                their_plain.extend(start..start + len);
            }
            let numbers = |set: &GtidSet| {
                (0..60).filter(|n| set.contains(&gtid(*n))).collect::<BTreeSet<u64>>()
            };
            prop_assert_eq!(numbers(&ours), plain.clone());
            prop_assert_eq!(ours.is_subset_of(&theirs), plain.is_subset(&their_plain));
            prop_assert_eq!(set(&ours.to_string()), ours.clone());
            let mut both = ours.clone();
            both.union(&theirs);
            prop_assert_eq!(numbers(&both), &plain | &their_plain);
            let mut rest = ours;
            rest.subtract(&theirs);
            prop_assert_eq!(numbers(&rest), &plain - &their_plain);
        }
    }
}

//! How far a log was read: by coordinates, and by the transactions' GTIDs where they have such.

use adit_binlog::gtid::{GtidSet, MariaPosition, MysqlGtid};
use adit_binlog::{Coordinates, Flavor, Gtid};
use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::state::State;

/// A place between two transactions of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it is on this server; in no file where that is not known yet, because another server has just
    /// taken over.
    pub(crate) coordinates: Coordinates,
    /// When the server began that file, in seconds since 1970: the time in the header of its format
    /// description. Files of the same name in another log have another. 0 where it is not known.
    pub(crate) born: u32,
    /// The transactions in front of it.
    pub(crate) executed: Executed,
}

impl Place {
    /// Whether it is known where it is on this server.
    pub(crate) const fn is_found(&self) -> bool {
        !self.coordinates.file.is_empty()
    }
}

/// The transactions in front of a place, as far as they have GTIDs and all of them are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Executed {
    /// Not known: the server has no GTIDs, or none that are always on.
    Unknown,
    /// MySQL's set, in two parts: what was there when a file began, which is kept once, and what has
    /// come since, which is short and is kept with each commit.
    Mysql {
        /// What was there.
        base: GtidSet,
        /// What has come since.
        since: GtidSet,
    },
    /// MariaDB's position: the last transaction of each domain.
    Mariadb(MariaPosition),
}

impl Executed {
    /// A transaction has been read.
    pub(crate) fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (Self::Mysql { since, .. }, Gtid::Mysql(gtid)) => since.insert(gtid),
            (Self::Mariadb(position), Gtid::Mariadb(gtid)) => position.set(*gtid),
            (Self::Unknown | Self::Mysql { .. } | Self::Mariadb(_), _) => {}
        }
    }

    /// These are among them as well.
    pub(crate) fn include(&mut self, other: &Self) {
        match (self, other) {
            (Self::Mysql { base, .. }, Self::Mysql { .. }) => {
                // What came since stays; a set does not mind to hold it twice.
                base.union(&other.set().unwrap_or_default());
            }
            (Self::Unknown | Self::Mysql { .. } | Self::Mariadb(_), _) => {}
        }
    }

    /// Whether it is known.
    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// MySQL's set as a whole.
    pub(crate) fn set(&self) -> Option<GtidSet> {
        match self {
            Self::Mysql { base, since } => {
                let mut all = base.clone();
                all.union(since);
                Some(all)
            }
            Self::Unknown | Self::Mariadb(_) => None,
        }
    }

    /// Whether a transaction is among them; false where that is not known.
    pub(crate) fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::Mysql { base, since }, Gtid::Mysql(gtid)) => {
                base.contains(gtid) || since.contains(gtid)
            }
            (Self::Mariadb(position), Gtid::Mariadb(gtid)) => position
                .get(gtid.domain)
                .is_some_and(|last| last.number >= gtid.number),
            (Self::Unknown | Self::Mysql { .. } | Self::Mariadb(_), _) => false,
        }
    }

    /// The first of the other's transactions that are missing here, as text; none if it has all of them.
    pub(crate) fn missing_of(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Mysql { .. }, Self::Mysql { .. }) => {
                let mut missing = other.set().unwrap_or_default();
                missing.subtract(&self.set().unwrap_or_default());
                (!missing.is_empty()).then(|| missing.to_string())
            }
            (Self::Mariadb(_), Self::Mariadb(position)) => position
                .iter()
                .find(|gtid| !self.contains(&Gtid::Mariadb(*gtid)))
                .map(|gtid| gtid.to_string()),
            _ => None,
        }
    }

    /// What a state keeps of it once.
    pub(crate) fn base(&self) -> String {
        match self {
            Self::Mysql { base, .. } => base.to_string(),
            Self::Unknown | Self::Mariadb(_) => String::new(),
        }
    }

    /// From now on all of it is what was there, and nothing has come since.
    pub(crate) fn rebase(&mut self) {
        if let Self::Mysql { base, since } = self {
            base.union(since);
            *since = GtidSet::default();
        }
    }

    /// The text that was kept with a commit.
    fn since(&self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Mysql { since, .. } => since.to_string(),
            Self::Mariadb(position) => position.to_string(),
        }
    }
}

/// A place as a checkpoint keeps it beside a [`State`].
#[derive(Debug, Serialize, Deserialize)]
struct Resume<'a> {
    file: &'a str,
    position: u64,
    born: u32,
    /// MySQL: the GTIDs since the state's base. MariaDB: the whole position. None: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    gtids: Option<String>,
}

impl Place {
    /// The text that a checkpoint keeps.
    pub(crate) fn to_resume(&self) -> Box<str> {
        let resume = Resume {
            file: &self.coordinates.file,
            position: self.coordinates.position,
            born: self.born,
            gtids: self.executed.is_known().then(|| self.executed.since()),
        };
        serde_json::to_string(&resume)
            .expect("strings and numbers are JSON")
            .into()
    }

    /// Reads that text; the state is the one that was stored with it.
    pub(crate) fn parse(resume: &str, state: &State, flavor: Flavor) -> Result<Self, SourceError> {
        let bad = |why: String| SourceError::BadState { why };
        let found: Resume<'_> =
            serde_json::from_str(resume).map_err(|error| bad(error.to_string()))?;
        let executed = match (found.gtids, flavor) {
            (None, _) => Executed::Unknown,
            (Some(gtids), Flavor::Mysql) => Executed::Mysql {
                base: parse_set(&state.base)?,
                since: parse_set(&gtids)?,
            },
            (Some(gtids), Flavor::Mariadb) => Executed::Mariadb(parse_position(&gtids)?),
        };
        Ok(Self {
            coordinates: Coordinates {
                file: found.file.to_owned(),
                position: found.position,
            },
            born: found.born,
            executed,
        })
    }
}

fn parse_set(text: &str) -> Result<GtidSet, SourceError> {
    text.parse().map_err(|_| SourceError::BadState {
        why: format!("GTID set {text:?}"),
    })
}

fn parse_position(text: &str) -> Result<MariaPosition, SourceError> {
    text.parse().map_err(|_| SourceError::BadState {
        why: format!("GTID position {text:?}"),
    })
}

/// A transaction's id of the event format, if it is a GTID.
pub(crate) fn parse_gtid(id: &str, flavor: Flavor) -> Option<Gtid> {
    match flavor {
        Flavor::Mysql => id.parse::<MysqlGtid>().ok().map(Gtid::Mysql),
        Flavor::Mariadb => id.parse().ok().map(Gtid::Mariadb),
    }
}

/// Whether the log reaches `coordinates` at or behind `other`. Files come in the order of their numbers.
pub(crate) fn reaches(coordinates: &Coordinates, other: &Coordinates) -> bool {
    let key = |place: &Coordinates| (place.file_number(), place.position);
    key(coordinates) >= key(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(base: &str, since: &str) -> Executed {
        Executed::Mysql {
            base: base.parse().unwrap(),
            since: since.parse().unwrap(),
        }
    }

    fn place(executed: Executed) -> Place {
        Place {
            coordinates: at("binlog.000042", 1234),
            born: 1_700_000_000,
            executed,
        }
    }

    fn at(file: &str, position: u64) -> Coordinates {
        Coordinates {
            file: file.into(),
            position,
        }
    }

    #[test]
    fn a_place_is_read_back_with_the_state_that_it_belongs_to() {
        let place = place(mysql(&format!("{UUID}:1-5"), &format!("{UUID}:6-9")));
        let base = place.executed.base();
        let state = State::new(UUID.into(), 0, base, vec![]);
        let text = place.to_resume();
        assert_eq!(
            &*text,
            format!(
                r#"{{"file":"binlog.000042","position":1234,"born":1700000000,"gtids":"{UUID}:6-9"}}"#
            )
        );
        assert_eq!(Place::parse(&text, &state, Flavor::Mysql).unwrap(), place);
    }

    #[test]
    fn a_place_without_gtids_is_read_back() {
        let place = place(Executed::Unknown);
        let state = State::new(UUID.into(), 0, String::new(), vec![]);
        let text = place.to_resume();
        assert_eq!(Place::parse(&text, &state, Flavor::Mysql).unwrap(), place);
        let place = Place {
            executed: Executed::Mariadb("0-1-5,1-2-7".parse().unwrap()),
            ..place
        };
        let text = place.to_resume();
        assert_eq!(Place::parse(&text, &state, Flavor::Mariadb).unwrap(), place);
        assert!(Place::parse("x", &state, Flavor::Mysql).is_err());
    }

    #[test]
    fn rebasing_keeps_the_transactions() {
        let mut executed = mysql(&format!("{UUID}:1-5"), "");
        let gtid = parse_gtid(&format!("{UUID}:6"), Flavor::Mysql).unwrap();
        assert!(!executed.contains(&gtid));
        executed.add(&gtid);
        assert!(executed.contains(&gtid));
        executed.rebase();
        assert_eq!(executed, mysql(&format!("{UUID}:1-6"), ""));
    }

    #[test]
    fn what_is_missing_is_named() {
        let ours = mysql(&format!("{UUID}:1-5"), &format!("{UUID}:9"));
        let theirs = mysql(&format!("{UUID}:1-8"), "");
        assert_eq!(theirs.missing_of(&ours).unwrap(), format!("{UUID}:9"));
        assert_eq!(ours.missing_of(&mysql(&format!("{UUID}:2"), "")), None);
        let position = |text: &str| Executed::Mariadb(text.parse().unwrap());
        assert_eq!(position("0-1-9,1-1-1").missing_of(&position("0-2-9")), None);
        assert_eq!(
            position("0-1-9").missing_of(&position("0-1-10")).unwrap(),
            "0-1-10"
        );
        assert_eq!(
            position("0-1-9").missing_of(&position("1-1-1")).unwrap(),
            "1-1-1"
        );
    }

    #[test]
    fn files_are_in_the_order_of_their_numbers() {
        assert!(reaches(&at("b.1000000", 4), &at("b.999999", 900)));
        assert!(reaches(&at("b.000007", 4), &at("b.000007", 4)));
        assert!(!reaches(&at("b.000007", 4), &at("b.000007", 5)));
    }
}

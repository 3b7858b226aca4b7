//! Leaving out of another server's log what is published already.
//!
//! After a failover positions say nothing: the new server's log has its own. What it shares with the old
//! one is its transactions and their GTIDs. Everything up to the transaction of the last published event is
//! published, in the order in which the old server committed. A replica commits in that order as well
//! (`replica_preserve_commit_order`, MariaDB's domains); where the numbers of the GTIDs show that it did
//! not, nobody can tell what is published, and reading stops.

use adit_binlog::{Coordinates, Gtid};

use crate::error::SourceError;
use crate::position::{Executed, reaches};

/// Up to which event another server's log is published already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    /// The transaction of the last published event.
    gtid: Gtid,
    /// The last published event of it; none: all of it.
    ordinal: Option<u64>,
    /// What the server had when it took over: only transactions among these can be published already.
    executed: Executed,
    /// The end of its log at that time: the transaction lies before it.
    end: Coordinates,
    /// Whether the transaction has come by.
    passed: bool,
}

/// What is to be done with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is published.
    Published,
    /// Its changes up to this one are.
    Partly(u64),
    /// It is new.
    New,
}

impl Skip {
    pub(crate) const fn new(
        gtid: Gtid,
        ordinal: Option<u64>,
        executed: Executed,
        end: Coordinates,
    ) -> Self {
        Self {
            gtid,
            ordinal,
            executed,
            end,
            passed: false,
        }
    }

    /// The log was read up to here: the transaction must have come by if it can.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn check(&self, at: &Coordinates) -> Result<(), SourceError> {
        if self.passed || !reaches(at, &self.end) {
            return Ok(());
        }
        Err(SourceError::NotThere {
            published: self.gtid.to_string(),
        })
    }

    /// Whether all that could be published already has come by.
    pub(crate) fn is_over(&self, executed: &Executed) -> bool {
        self.passed && executed.missing_of(&self.executed).is_none()
    }

    /// Judges the next transaction of the log.
    ///
    /// # Errors
    /// When the server has not committed in the order in which was published.
    pub(crate) fn judge(&mut self, gtid: &Gtid) -> Result<Verdict, SourceError> {
        if self.passed {
            if number_of(gtid, &self.gtid).is_some_and(|(its, last)| its < last)
                && self.executed.contains(gtid)
            {
                return Err(self.disorder(gtid));
            }
            return Ok(Verdict::New);
        }
        if *gtid == self.gtid {
            self.passed = true;
            return Ok(self.ordinal.map_or(Verdict::Published, Verdict::Partly));
        }
        if number_of(gtid, &self.gtid).is_some_and(|(its, last)| its > last) {
            return Err(self.disorder(gtid));
        }
        Ok(Verdict::Published)
    }

    fn disorder(&self, found: &Gtid) -> SourceError {
        SourceError::FailoverOrder {
            published: self.gtid.to_string(),
            found: found.to_string(),
        }
    }
}

/// The numbers of two transactions, if one and the same server gave them.
fn number_of(one: &Gtid, other: &Gtid) -> Option<(u64, u64)> {
    match (one, other) {
        (Gtid::Mysql(one), Gtid::Mysql(other)) => {
            ((one.uuid, one.tag) == (other.uuid, other.tag)).then_some((one.number, other.number))
        }
        (Gtid::Mariadb(one), Gtid::Mariadb(other)) => {
            (one.domain == other.domain).then_some((one.number, other.number))
        }
        (Gtid::Mysql(_) | Gtid::Mariadb(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use adit_binlog::Flavor;

    use super::*;
    use crate::position::parse_gtid;

    fn gtid(text: &str) -> Gtid {
        parse_gtid(text, Flavor::Mariadb).unwrap()
    }

    fn skip(ordinal: Option<u64>) -> Skip {
        let executed = Executed::Mariadb("0-1-9,1-1-9".parse().unwrap());
        Skip::new(gtid("0-1-5"), ordinal, executed, at(900))
    }

    fn at(position: u64) -> Coordinates {
        Coordinates {
            file: "b.000001".into(),
            position,
        }
    }

    #[test]
    fn transactions_up_to_the_last_published_one_are_left_out() {
        let mut skip = skip(Some(3));
        assert_eq!(skip.judge(&gtid("0-1-4")).unwrap(), Verdict::Published);
        assert_eq!(skip.judge(&gtid("1-1-70")).unwrap(), Verdict::Published);
        assert_eq!(skip.judge(&gtid("0-1-5")).unwrap(), Verdict::Partly(3));
        assert_eq!(skip.judge(&gtid("0-1-6")).unwrap(), Verdict::New);
        assert_eq!(skip.judge(&gtid("1-1-71")).unwrap(), Verdict::New);
    }

    #[test]
    fn a_transaction_that_is_published_whole_is_left_out_whole() {
        assert_eq!(
            skip(None).judge(&gtid("0-1-5")).unwrap(),
            Verdict::Published
        );
    }

    #[test]
    fn a_transaction_that_never_comes_stops() {
        let mut skip = skip(None);
        skip.check(&at(899)).unwrap();
        assert!(skip.check(&at(900)).is_err());
        skip.judge(&gtid("0-1-5")).unwrap();
        skip.check(&at(900)).unwrap();
    }

    #[test]
    fn another_order_of_commits_stops() {
        let error = skip(None).judge(&gtid("0-1-6")).unwrap_err().to_string();
        assert!(
            error.contains("0-1-5") && error.contains("0-1-6"),
            "{error}"
        );
        let mut passed = skip(None);
        passed.judge(&gtid("0-1-5")).unwrap();
        assert!(passed.judge(&gtid("0-1-4")).is_err());
    }
}

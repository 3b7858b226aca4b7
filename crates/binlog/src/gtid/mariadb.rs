//! MariaDB's GTIDs, `domain-server-number`, and positions made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::GtidError;

/// One transaction of MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MariaGtid {
    /// The replication domain: transactions of one domain are ordered.
    pub domain: u32,
    /// The server that committed it first.
    pub server: u32,
    /// Rises by one with each transaction of the domain.
    pub number: u64,
}

impl fmt::Display for MariaGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.number)
    }
}

impl FromStr for MariaGtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let error = || GtidError::new(text);
        let mut parts = text.trim().split('-');
        let (Some(domain), Some(server), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        Ok(Self {
            domain: domain.parse().map_err(|_| error())?,
            server: server.parse().map_err(|_| error())?,
            number: number.parse().map_err(|_| error())?,
        })
    }
}

/// A place in MariaDB's log: the last transaction of each domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariaPosition {
    domains: BTreeMap<u32, (u32, u64)>,
}

impl MariaPosition {
    /// Goes on to this transaction in its domain.
    pub fn set(&mut self, gtid: MariaGtid) {
        self.domains.insert(gtid.domain, (gtid.server, gtid.number));
    }

    /// The last transaction of a domain.
    #[must_use]
    pub fn get(&self, domain: u32) -> Option<MariaGtid> {
        let &(server, number) = self.domains.get(&domain)?;
        Some(MariaGtid {
            domain,
            server,
            number,
        })
    }

    /// The last transactions, by domain.
    pub fn iter(&self) -> impl Iterator<Item = MariaGtid> {
        self.domains
            .iter()
            .map(|(&domain, &(server, number))| MariaGtid {
                domain,
                server,
                number,
            })
    }

    /// Whether no domain is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }
}

impl fmt::Display for MariaPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

impl FromStr for MariaPosition {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut position = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            position.set(part.parse()?);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_the_last_of_each_domain() {
        let mut position: MariaPosition = "1-2-7, 0-1-5".parse().unwrap();
        assert_eq!(position.to_string(), "0-1-5,1-2-7");
        position.set("0-3-6".parse().unwrap());
        assert_eq!(position.to_string(), "0-3-6,1-2-7");
        assert_eq!(position.get(1).map(|gtid| gtid.number), Some(7));
        assert!("0-1".parse::<MariaGtid>().is_err());
        assert!("0-1-2-3".parse::<MariaGtid>().is_err());
        assert!("".parse::<MariaPosition>().unwrap().is_empty());
    }
}

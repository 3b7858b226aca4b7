//! Which server this is, and what its log offers.

use std::collections::HashMap;

use adit_binlog::{Coordinates, Flavor};
use bytes::Bytes;

use crate::error::SourceError;
use crate::link::MysqlLink;
use crate::position::Executed;
use crate::quote;

/// What a server says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) flavor: Flavor,
    /// As it prints it.
    pub(crate) version: String,
    /// `server_uuid` (MySQL) or `server_id` (MariaDB).
    pub(crate) id: String,
    /// The end of its log.
    pub(crate) end: Coordinates,
    /// The files of its log with their lengths in bytes, oldest first.
    pub(crate) files: Vec<(String, u64)>,
    /// The transactions in its log, and those that were purged from it. Unknown where GTIDs are not
    /// always on, or not wanted.
    pub(crate) executed: Executed,
    /// The transactions that are not in its log any more (MySQL).
    pub(crate) purged: Executed,
    /// `binlog_row_metadata = FULL`: the log names tables' columns.
    pub(crate) names_columns: bool,
    /// `lower_case_table_names = 1`: names are stored in lower case, whatever a statement says.
    pub(crate) lower_case: bool,
}

/// Whether transactions are named by GTIDs in resume positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GtidMode {
    /// Where the server has them on.
    Auto,
    /// Yes; a server that has them off is refused.
    On,
    /// No: by coordinates only, so that another server cannot take over.
    Off,
}

/// Variables that say who the server is and how it writes its log. Those that a version lacks are left
/// out of its answer.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'log_bin', \
     'binlog_format', 'gtid_mode', 'gtid_purged', 'gtid_binlog_pos', 'lower_case_table_names', \
     'binlog_row_metadata')";

/// Asks a server who it is, and makes sure that its log can be read as changes of rows.
pub(crate) async fn identify(link: &mut MysqlLink, gtid: GtidMode) -> Result<Server, SourceError> {
    let flavor = link.server().flavor;
    let version = link.server().version.clone();
    let variables = variables(link).await?;
    let variable = |name: &str| variables.get(name).map_or("", String::as_str);
    if !is_on(variable("log_bin")) {
        return Err(SourceError::NoBinlog);
    }
    let format = variable("binlog_format");
    // MySQL will drop the variable together with the other formats.
    if !format.is_empty() && !format.eq_ignore_ascii_case("ROW") {
        return Err(SourceError::BinlogFormat {
            found: format.to_owned(),
        });
    }
    let has_gtids = match flavor {
        Flavor::Mysql => variable("gtid_mode").eq_ignore_ascii_case("ON"),
        Flavor::Mariadb => true,
    };
    if gtid == GtidMode::On && !has_gtids {
        return Err(SourceError::GtidsOff {
            found: variable("gtid_mode").to_owned(),
        });
    }
    let (end, executed_set) = log_end(link).await?;
    let bad = |what: &str| SourceError::Answer {
        doing: "asking the server who it is".to_owned(),
        what: what.to_owned(),
    };
    let set = |text: &str| text.parse().map_err(|_| bad("a GTID set that is none"));
    let (executed, purged) = match flavor {
        _ if !has_gtids || gtid == GtidMode::Off => (Executed::Unknown, Executed::Unknown),
        Flavor::Mysql => (
            Executed::Mysql {
                base: set(&executed_set)?,
                since: set("")?,
            },
            Executed::Mysql {
                base: set(variable("gtid_purged"))?,
                since: set("")?,
            },
        ),
        Flavor::Mariadb => {
            let position = variable("gtid_binlog_pos").parse();
            let position = position.map_err(|_| bad("a GTID position that is none"))?;
            (Executed::Mariadb(position), Executed::Unknown)
        }
    };
    let id = match flavor {
        Flavor::Mysql => variable("server_uuid"),
        Flavor::Mariadb => variable("server_id"),
    };
    if id.is_empty() {
        return Err(bad("no server_uuid"));
    }
    Ok(Server {
        flavor,
        version,
        id: id.to_owned(),
        end,
        files: files(link).await?,
        executed,
        purged,
        names_columns: variable("binlog_row_metadata").eq_ignore_ascii_case("FULL"),
        lower_case: variable("lower_case_table_names") == "1",
    })
}

/// What is before the oldest file of MariaDB's log: of each domain the last transaction. Unknown if the server does not
/// say. Who reads on need not know: the server itself refuses to send what it has purged.
pub(crate) async fn purged_by_mariadb(link: &mut MysqlLink, server: &Server) -> Executed {
    let Some((oldest, _)) = server.files.first() else {
        return Executed::Unknown;
    };
    let sql = format!("SELECT BINLOG_GTID_POS({}, 4)", quote::literal(oldest));
    let rows = link.query(&sql).await.unwrap_or_default();
    let found = rows.into_iter().flatten().flatten().next().map(text);
    let position = found.and_then(|found| found.parse().ok());
    position.map_or(Executed::Unknown, Executed::Mariadb)
}

async fn variables(link: &mut MysqlLink) -> Result<HashMap<String, String>, SourceError> {
    let rows = link.query(VARIABLES).await;
    let rows = rows.map_err(|error| SourceError::query("reading the server's variables", error))?;
    let pair = |row: Vec<Option<Bytes>>| {
        let mut cells = row.into_iter().flatten().map(text);
        Some((cells.next()?.to_ascii_lowercase(), cells.next()?))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Where the log ends now, and on MySQL the transactions up to there. In a moment when transactions are
/// committed the set may lack the last of them.
pub(crate) async fn log_end(link: &mut MysqlLink) -> Result<(Coordinates, String), SourceError> {
    const DOING: &str = "reading the end of the binary log";
    // MySQL 8.4 has only the new name, which came with 8.2; MariaDB and the older ones have the old.
    let is_new = link.server().flavor == Flavor::Mysql && version_of(link) >= (8, 2);
    let sql = if is_new {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    };
    let rows = link.query(sql).await;
    let rows = rows.map_err(|error| SourceError::query(DOING, error))?;
    let row = rows.into_iter().next().ok_or(SourceError::NoBinlog)?;
    let mut cells = row
        .into_iter()
        .map(|cell| cell.map(text).unwrap_or_default());
    let (Some(file), Some(position)) = (cells.next(), cells.next()) else {
        return Err(answer(DOING, "an answer with too few columns"));
    };
    let position = position.parse();
    let position = position.map_err(|_| answer(DOING, "a position that is not a number"))?;
    // File, position, do_db, ignore_db, executed set (MySQL).
    let executed = cells.nth(2).unwrap_or_default();
    Ok((Coordinates { file, position }, executed))
}

async fn files(link: &mut MysqlLink) -> Result<Vec<(String, u64)>, SourceError> {
    const DOING: &str = "listing the files of the binary log";
    let rows = link.query("SHOW BINARY LOGS").await;
    let rows = rows.map_err(|error| SourceError::query(DOING, error))?;
    let file = |row: Vec<Option<Bytes>>| {
        let mut cells = row.into_iter().flatten().map(text);
        Some((cells.next()?, cells.next()?.parse().ok()?))
    };
    let files: Option<Vec<_>> = rows.into_iter().map(file).collect();
    files.ok_or_else(|| answer(DOING, "a line that is not a name and a length"))
}

/// The first two numbers of the server's version.
pub(crate) fn version_of(link: &MysqlLink) -> (u32, u32) {
    let mut numbers = link.server().version.split(['.', '-']);
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    (next().unwrap_or(0), next().unwrap_or(0))
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("ON") || value == "1"
}

fn answer(doing: &str, what: &str) -> SourceError {
    SourceError::Answer {
        doing: doing.to_owned(),
        what: what.to_owned(),
    }
}

pub(crate) fn text(cell: Bytes) -> String {
    String::from_utf8_lossy(&cell).into_owned()
}

/// The replica's number that a connector takes where none is configured: from its name, so that it is the
/// same at each start. Small numbers are left to those that people give.
pub(crate) fn derived_server_id(name: &str) -> u32 {
    const RESERVED: u32 = 1 << 16;
    // FNV-1a, the 32-bit form.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    RESERVED + hash % (u32::MAX - RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_numbers_differ_and_are_never_small() {
        assert_eq!(derived_server_id("shop"), derived_server_id("shop"));
        assert_ne!(derived_server_id("shop"), derived_server_id("shop2"));
        for name in ["", "a", "b", "shop"] {
            assert!(derived_server_id(name) >= 1 << 16);
        }
    }
}

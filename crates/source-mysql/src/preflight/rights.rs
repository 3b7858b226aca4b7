//! What the user may do, by trying it where that changes nothing.

use adit_binlog::Flavor;
use adit_pipeline::Finding;

use super::{Found, Question};
use crate::error::SourceError;
use crate::identity::{log_end, text};

pub(super) async fn check(ask: &mut Question<'_>) -> Found {
    let grants = grants(ask).await?;
    let has = |right: &str| has(&grants, right);
    let user = ask.account.clone();
    let mut findings = Vec::new();
    findings.push(if has("REPLICATION SLAVE") {
        Finding::ok("REPLICATION SLAVE", "may read the log")
    } else {
        Finding::fail(
            "REPLICATION SLAVE",
            format!("user {user} may not read the log"),
            format!("GRANT REPLICATION SLAVE ON *.* TO {user}"),
        )
    });
    let wanted = match ask.flavor() {
        Flavor::Mysql => "REPLICATION CLIENT",
        Flavor::Mariadb => "BINLOG MONITOR",
    };
    findings.push(match log_end(ask.link).await {
        Ok((end, _)) => Finding::ok(wanted, format!("may ask for the end of the log: {end}")),
        Err(error @ SourceError::NoBinlog) => {
            Finding::fail(wanted, error.to_string(), "see log_bin")
        }
        Err(error) => Finding::fail(
            wanted,
            format!("user {user} may not ask for the end of the log: {error}"),
            format!("GRANT {wanted} ON *.* TO {user}"),
        ),
    });
    let lock = ["RELOAD", "FLUSH_TABLES", "LOCK TABLES", "BACKUP_ADMIN"]
        .into_iter()
        .find(|right| has(right));
    findings.push(match (lock, ask.flavor()) {
        (Some(right), _) => Finding::ok("snapshot", format!("may hold the tables for a moment, by {right}")),
        (None, Flavor::Mariadb) => {
            Finding::ok("snapshot", "takes none of the locks; MariaDB needs none")
        }
        (None, Flavor::Mysql) => Finding::warn(
            "snapshot",
            format!("user {user} may take no lock: the first snapshot works only in a moment without commits"),
            format!("GRANT LOCK TABLES ON *.* TO {user} (or RELOAD, or BACKUP_ADMIN)"),
        ),
    });
    Ok(findings)
}

async fn grants(ask: &mut Question<'_>) -> Result<Vec<String>, SourceError> {
    let rows = ask.link.query("SHOW GRANTS").await;
    let rows = rows.map_err(|error| SourceError::query("asking for the user's rights", error))?;
    let lines = rows.into_iter().flatten().flatten().map(text);
    Ok(lines.map(|line| line.to_ascii_uppercase()).collect())
}

/// Whether one of the grants gives the right, or all. Of those asked about only `LOCK TABLES` can be given for a
/// database, where `ALL PRIVILEGES` does not mean the others.
fn has(grants: &[String], right: &str) -> bool {
    let gives = |line: &String| {
        let (rights, of) = line.split_once(" ON ").unwrap_or_default();
        if right != "LOCK TABLES" && !of.starts_with("*.*") {
            return false;
        }
        let rights = rights.trim_start_matches("GRANT ");
        let mut rights = rights.split(',').map(str::trim);
        // MariaDB prints a right's new name for an old one.
        rights.any(|found| {
            found == right
                || found.starts_with("ALL PRIVILEGES")
                || right == "REPLICATION SLAVE" && found == "REPLICATION REPLICA"
        })
    };
    grants.iter().any(gives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_found_among_others() {
        let grants = |text: &str| vec![text.to_ascii_uppercase()];
        let some = grants("GRANT SELECT, RELOAD, REPLICATION SLAVE ON *.* TO `a`@`%`");
        assert!(has(&some, "REPLICATION SLAVE") && has(&some, "RELOAD"));
        assert!(!has(&some, "LOCK TABLES"));
        assert!(has(
            &grants("GRANT ALL PRIVILEGES ON *.* TO `root`@`%`"),
            "RELOAD"
        ));
        assert!(!has(&grants("GRANT USAGE ON *.* TO `a`@`%`"), "RELOAD"));
        let of_database = grants("GRANT ALL PRIVILEGES ON `shop`.* TO `a`@`%`");
        assert!(has(&of_database, "LOCK TABLES"));
        assert!(!has(&of_database, "REPLICATION SLAVE"));
    }
}

//! What `adit check` finds out about a server, without changing anything in it.
//!
//! Each question is asked for itself: one that cannot be answered is a finding too, and the others are
//! asked all the same.

mod rights;
mod settings;
mod tables;

use std::collections::HashMap;

use adit_binlog::Flavor;
use adit_event::Position;
use adit_pipeline::{Finding, SnapshotMode, Stored, Verdict, chain};

use crate::error::SourceError;
use crate::identity::{identify, purged_by_mariadb, text};
use crate::link::MysqlLink;
use crate::quote;
use crate::session;
use crate::source::{MysqlOptions, look_at_place};

/// What one group of questions found out.
type Found = Result<Vec<Finding>, SourceError>;

/// Looks at everything on the server that `run` needs; each finding names what mends it.
///
/// `stored` and `last` are what `run` would be given: whether it could go on there is looked at too.
pub async fn check(
    options: &MysqlOptions,
    stored: Option<&Stored>,
    last: Option<Position>,
) -> Vec<Finding> {
    let mut link = match session::sql(options, "adit check").await {
        Ok(link) => link,
        Err(error) => return vec![failed("connection", &error)],
    };
    let connect = options.connect.only(link.target().clone());
    let options = &MysqlOptions {
        connect,
        ..options.clone()
    };
    let server = link.server();
    let mut findings = vec![Finding::ok(
        "connection",
        format!("{} at {}", server.version, link.target()),
    )];
    let asked = async {
        let variables = variables(&mut link).await?;
        Ok((variables, account(&mut link).await?))
    };
    let (variables, account) = match asked.await {
        Ok(asked) => asked,
        Err(error) => return vec![failed("connection", &error)],
    };
    let mut ask = Question {
        link: &mut link,
        options,
        variables,
        account,
        is_first: stored.is_none() && last.is_none(),
    };
    let settings = settings::check(&ask);
    let unfit = settings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    findings.extend(settings);
    answer(&mut findings, "rights", rights::check(&mut ask).await);
    answer(&mut findings, "tables", tables::check(&mut ask).await);
    if !unfit {
        findings.push(place(&mut link, options, stored, last).await);
    }
    link.close().await;
    findings
}

/// A connection, and what is asked about.
struct Question<'a> {
    link: &'a mut MysqlLink,
    options: &'a MysqlOptions,
    variables: HashMap<String, String>,
    /// Who we are to the server, as its statements name us: `'adit'@'%'`.
    account: String,
    /// Whether the connector has never run.
    is_first: bool,
}

impl Question<'_> {
    /// A global variable; empty if this version has none of that name.
    fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    const fn flavor(&self) -> Flavor {
        self.link.server().flavor
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.variable(name).parse().ok()
    }
}

async fn variables(link: &mut MysqlLink) -> Result<HashMap<String, String>, SourceError> {
    let rows = link.query("SHOW GLOBAL VARIABLES").await;
    let rows = rows.map_err(|error| SourceError::query("reading the server's variables", error))?;
    let pairs = rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter().map(|cell| cell.map(text));
        let name = cells.next()??;
        Some((name.to_ascii_lowercase(), cells.next()?.unwrap_or_default()))
    });
    Ok(pairs.collect())
}

/// The account that let us in, which may be for a pattern of hosts.
async fn account(link: &mut MysqlLink) -> Result<String, SourceError> {
    let rows = link.query("SELECT CURRENT_USER()").await;
    let rows = rows.map_err(|error| SourceError::query("asking who we are", error))?;
    let found = rows.into_iter().flatten().flatten().next().map(text);
    let found = found.unwrap_or_default();
    // A host has no @; a user's name may.
    let (user, host) = found.rsplit_once('@').unwrap_or((&found, "%"));
    Ok(format!("{}@{}", quote::literal(user), quote::literal(host)))
}

/// Whether a connector that has run before can go on where it was.
async fn place(
    link: &mut MysqlLink,
    options: &MysqlOptions,
    stored: Option<&Stored>,
    last: Option<Position>,
) -> Finding {
    const SUBJECT: &str = "place to go on";
    let mut server = match identify(link, options.gtid).await {
        Ok(server) => server,
        Err(error) => return failed("binary log", &error),
    };
    if server.flavor == Flavor::Mariadb && server.executed.is_known() {
        server.purged = purged_by_mariadb(link, &server).await;
    }
    match look_at_place(&server, stored, last) {
        Ok(None) => Finding::ok(SUBJECT, format!("none yet; the log ends at {}", server.end)),
        Ok(Some(at)) => Finding::ok(SUBJECT, format!("{at}; the log ends at {}", server.end)),
        Err(error)
            if error.needs_snapshot() && options.snapshot.mode == SnapshotMode::WhenNeeded =>
        {
            Finding {
                verdict: Verdict::Warn,
                ..Finding::ok(
                    SUBJECT,
                    format!(
                        "the tables will be read afresh, as snapshot.mode says: {}",
                        chain(&error)
                    ),
                )
            }
        }
        Err(error) => failed(SUBJECT, &error),
    }
}

fn answer(findings: &mut Vec<Finding>, subject: &str, found: Found) {
    match found {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(failed(subject, &error)),
    }
}

fn failed(subject: &str, error: &SourceError) -> Finding {
    Finding {
        verdict: Verdict::Fail,
        ..Finding::ok(subject, chain(error))
    }
}

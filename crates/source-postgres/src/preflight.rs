//! What `adit check` finds out about a database, without changing anything in it.
//!
//! Each question is asked for itself: one that cannot be answered is a finding too, and the others
//! are asked all the same.

mod publication;
mod replication;
mod resume;
mod server;
mod slot;
mod tables;

use adit_event::Position;
use adit_pipeline::{Finding, Stored, Verdict, chain};
use tokio_postgres::Client;

use crate::error::SourceError;
use crate::link::{ConnectError, ReplicationLink, sql_client};
use crate::source::PostgresOptions;

/// So that a question that waits for a lock of somebody else does not hold up the others.
const TIMEOUTS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'";

/// What one group of questions found out.
type Found = Result<Vec<Finding>, SourceError>;

/// Looks at everything in the database that `run` needs; each finding names what mends it.
///
/// `stored` and `last` are what `run` would be given: whether it could go on there is looked at too.
pub async fn check(
    options: &PostgresOptions,
    stored: Option<&Stored>,
    last: Option<Position>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut link = ReplicationLink::connect(&options.connect, &[]).await;
    // As `run` does: the same server for everything, also where the URL names several.
    let connect = match &link {
        Ok(link) => options.connect.only(link.target().clone()),
        Err(error) if replication_alone(error) => options.connect.clone(),
        Err(error) => return vec![failed("connection", error)],
    };
    let options = &PostgresOptions {
        connect,
        ..options.clone()
    };
    let client = match sql_client(&options.connect, "adit check").await {
        Ok(client) => client,
        Err(error) => return vec![failed("connection", &error)],
    };
    if let Err(error) = client.batch_execute(TIMEOUTS).await {
        let error = SourceError::query("setting time-outs", &error);
        return vec![failed("connection", &error)];
    }
    let ask = Question {
        client: &client,
        options,
        begun: stored.is_some() || last.is_some(),
    };
    answer(&mut findings, "connection", ask.connection().await);
    findings.push(replication::check(&ask, &link).await);
    answer(
        &mut findings,
        "connection limit",
        replication::limit(&ask).await,
    );
    answer(&mut findings, "server", server::check(&ask).await);
    answer(&mut findings, "settings", server::settings(&ask).await);
    answer(&mut findings, "slot", slot::check(&ask).await);
    answer(
        &mut findings,
        "transactions",
        server::transactions(&ask).await,
    );
    answer(&mut findings, "publication", publication::check(&ask).await);
    answer(&mut findings, "tables", tables::check(&ask).await);
    if let Ok(link) = &mut link {
        findings.extend(resume::check(&ask, link, stored, last).await);
    }
    if let Ok(link) = link
        && let Err(error) = link.close().await
    {
        tracing::debug!(%error, "closing the connection");
    }
    findings
}

/// Whom is asked, and for what configuration.
struct Question<'a> {
    client: &'a Client,
    options: &'a PostgresOptions,
    /// The connector has run before: what it created must still be there.
    begun: bool,
}

impl Question<'_> {
    /// The server's version, as in `server_version_num`.
    async fn version(&self) -> Result<u32, SourceError> {
        let sql = "SELECT current_setting('server_version_num')::int4";
        let row = self.client.query_one(sql, &[]).await;
        let row =
            row.map_err(|error| SourceError::query("reading the server's version", &error))?;
        Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or(0))
    }

    async fn in_recovery(&self) -> Result<bool, SourceError> {
        let row = self
            .client
            .query_one("SELECT pg_catalog.pg_is_in_recovery()", &[])
            .await;
        let row = row.map_err(|error| {
            SourceError::query("asking whether the server is a standby", &error)
        })?;
        Ok(row.get(0))
    }

    async fn connection(&self) -> Found {
        let row = self
            .client
            .query_one(
                "SELECT s.version, a.client_addr IS NULL OR host(a.client_addr) IN ('127.0.0.1', '::1'), \
                 current_setting('server_version') FROM pg_catalog.pg_stat_ssl s \
                 JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE pid = pg_backend_pid()",
                &[],
            )
            .await
            .map_err(|error| SourceError::query("looking at the connection", &error))?;
        let tls: Option<String> = row.get(0);
        let local: bool = row.get(1);
        let version: String = row.get(2);
        let connect = &self.options.connect;
        let target = connect.targets().first().map(ToString::to_string);
        let detail = format!(
            "PostgreSQL {version} at {}, database {:?}, role {:?}, {}",
            target.unwrap_or_default(),
            connect.database(),
            connect.user(),
            tls.as_deref().unwrap_or("not encrypted"),
        );
        Ok(vec![if tls.is_none() && !local {
            let remedy = "add sslmode=verify-full to source.url, and switch ssl on in the server";
            Finding::warn("connection", detail, remedy)
        } else {
            Finding::ok("connection", detail)
        }])
    }
}

/// Whether replication was refused in a way that does not tell that ordinary sessions are too.
fn replication_alone(error: &ConnectError) -> bool {
    matches!(error.sqlstate(), Some("42501" | "53300" | "28000"))
}

/// Adds what was found, or why nothing was.
fn answer(findings: &mut Vec<Finding>, subject: &str, found: Found) {
    match found {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(failed(subject, &error)),
    }
}

/// The error's own text says what mends it.
fn failed(subject: &str, error: &(dyn std::error::Error + 'static)) -> Finding {
    Finding {
        verdict: Verdict::Fail,
        ..Finding::ok(subject, chain(error))
    }
}

/// The first few of many names, as SQL writes them.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names
        .get(..SHOWN.min(names.len()))
        .unwrap_or_default()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names = |n: usize| (0..n).map(|i| format!("t{i}")).collect::<Vec<_>>();
        assert_eq!(some(&names(2)), "t0, t1");
        assert_eq!(some(&names(7)), "t0, t1, t2, t3, t4 and 2 more");
    }
}

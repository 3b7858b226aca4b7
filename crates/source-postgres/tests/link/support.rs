//! What the tests of the link share.

use std::time::Duration;

use adit_source_postgres::config::ConnectConfig;
use adit_source_postgres::link::{ConnectError, ReplicationLink, SimpleRow, sql_client};
use anyhow::{Context as _, Result, bail, ensure};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Awaits it, or fails the test.
pub(crate) async fn with_deadline<F: Future>(work: F) -> Result<F::Output> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .context("not done before the deadline")
}

/// What the server says about a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) tls_version: Option<String>,
    pub(crate) port: u16,
}

impl Session {
    const QUERY: &str =
        "select version, current_setting('port') from pg_stat_ssl where pid = pg_backend_pid()";

    fn parse(row: Option<SimpleRow>) -> Result<Self> {
        let columns = <[_; 2]>::try_from(row.context("no row")?);
        let [tls_version, port] = columns.ok().context("not two columns")?;
        Ok(Self {
            tls_version,
            port: port.context("no port")?.parse()?,
        })
    }
}

/// Connects for replication and for SQL, and checks that both end up in the same place in the same way.
pub(crate) async fn connect_both(url: &str) -> Result<Session> {
    let config: ConnectConfig = url.parse()?;
    let mut link = ReplicationLink::connect(&config, &[]).await?;
    let rows = link.simple_query(Session::QUERY).await?;
    let replication = Session::parse(rows.into_iter().next())?;
    ensure!(
        link.is_tls() == replication.tls_version.is_some(),
        "the link is mistaken about tls"
    );
    link.close().await?;

    let client = sql_client(&config, "adit-test").await?;
    let row = client.query_one(Session::QUERY, &[]).await?;
    let row = vec![row.try_get(0)?, row.try_get(1)?];
    ensure!(
        Session::parse(Some(row))? == replication,
        "sql and replication differ"
    );
    Ok(replication)
}

/// The errors of both kinds of connection.
pub(crate) async fn refusal(url: &str) -> Result<[ConnectError; 2]> {
    let config: ConnectConfig = url.parse()?;
    let replication = with_deadline(ReplicationLink::connect(&config, &[])).await?;
    let sql = with_deadline(sql_client(&config, "adit-test")).await?;
    let (Err(replication), Err(sql)) = (replication, sql) else {
        bail!("{url}: let in");
    };
    Ok([replication, sql])
}

/// A standby status update with one position for all three, asking for no reply.
pub(crate) fn status_update(lsn: u64) -> Vec<u8> {
    let mut message = vec![b'r'];
    message.extend_from_slice(&lsn.to_be_bytes().repeat(3));
    message.extend_from_slice(&[0; 9]);
    message
}

/// A tally of the messages of a stream.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) inserts: usize,
    pub(crate) commits: usize,
    pub(crate) longest: usize,
    /// The end of the last commit.
    pub(crate) last_lsn: u64,
}

impl Seen {
    /// Looks into a CopyData payload as far as needed: `w`, three 64-bit numbers, then the pgoutput message.
    pub(crate) fn count(&mut self, payload: &[u8]) {
        self.longest = self.longest.max(payload.len());
        match (payload.first(), payload.get(25)) {
            (Some(b'w'), Some(b'I')) => self.inserts += 1,
            (Some(b'w'), Some(b'C')) => {
                self.commits += 1;
                // 'C', flags, commit LSN, end LSN.
                let end = payload.get(35..43).and_then(|bytes| bytes.try_into().ok());
                self.last_lsn = end.map_or(0, u64::from_be_bytes);
            }
            _ => {}
        }
    }
}

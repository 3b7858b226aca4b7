//! What the tests of the link share.

use std::error::Error;
use std::time::Duration;

use adit_lab::Mysql;
use adit_source_mysql::link::{LinkError, MysqlLink};
use anyhow::{Context as _, Result, bail, ensure};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Awaits it, or fails the test.
pub(crate) async fn with_deadline<F: Future>(work: F) -> Result<F::Output> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .context("not done before the deadline")
}

/// The URL of a server for `user` or `user:password`.
pub(crate) fn url(server: &Mysql, user: &str, query: &str) -> String {
    let scheme = server.version().scheme();
    format!("{scheme}://{user}@{}/?{query}", server.addr())
}

/// The same through the server's Unix socket.
pub(crate) fn socket_url(server: &Mysql, user: &str, query: &str) -> String {
    let socket = server.socket();
    url(
        server,
        user,
        &format!("socket={}&{query}", socket.display()),
    )
}

pub(crate) async fn connect(url: &str) -> Result<MysqlLink> {
    with_deadline(MysqlLink::connect(&url.parse()?, "adit-test"))
        .await?
        .with_context(|| url.to_owned())
}

/// The error of a connection that must not come about. It and its causes hold no password.
pub(crate) async fn refusal(url: &str) -> Result<LinkError> {
    let connected = with_deadline(MysqlLink::connect(&url.parse()?, "adit-test")).await?;
    let Err(error) = connected else {
        bail!("{url}: let in");
    };
    let credentials = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'));
    if let Some((_, password)) = credentials.and_then(|(text, _)| text.split_once(':')) {
        let shown = format!("{} {error:?}", chain(&error));
        ensure!(!shown.contains(password), "{url}: {shown}");
    }
    Ok(error)
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The only value of a query's only row.
pub(crate) async fn value(link: &mut MysqlLink, sql: &str) -> Result<String> {
    let rows = with_deadline(link.query(sql)).await??;
    let [row] = rows.as_slice() else {
        bail!("{sql}: {} rows", rows.len());
    };
    let cell = row.last().cloned().flatten().context("NULL")?;
    Ok(String::from_utf8(cell.to_vec())?)
}

/// A variable of the session's status.
pub(crate) async fn status(link: &mut MysqlLink, name: &str) -> Result<String> {
    value(link, &format!("SHOW SESSION STATUS LIKE '{name}'")).await
}

/// Whether the server says that it is encrypted.
pub(crate) async fn is_encrypted(link: &mut MysqlLink) -> Result<bool> {
    Ok(!status(link, "Ssl_cipher").await?.is_empty())
}

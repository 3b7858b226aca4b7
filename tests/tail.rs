//! `adit tail`: events on standard output, and nothing left behind.

use std::process::Stdio;
use std::time::Duration;

use adit_lab::{Postgres, pg, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Tail {
    adit: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(server: &Postgres, more: &[&str]) -> Result<Self> {
        let mut adit = Command::new(env!("CARGO_BIN_EXE_adit"))
            .arg("tail")
            .arg(server.url("postgres"))
            .args(more)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = adit.stdout.take().context("no standard output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { adit, lines })
    }

    async fn next(&mut self) -> Result<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("tail has ended")?)?)
    }

    /// Sends SIGINT and returns the exit code.
    async fn interrupt(mut self) -> Result<Option<i32>> {
        let id = self.adit.id().context("tail has ended")?.to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().await?;
        ensure!(kill.success(), "no signal was sent");
        Ok(timeout(PATIENCE, self.adit.wait()).await??.code())
    }
}

async fn server() -> Result<Postgres> {
    let server = Postgres::start(pg::Version::V17).await?;
    server
        .exec("create table t (id int primary key); insert into t values (1), (2); create table other (id int)")
        .await?;
    Ok(server)
}

async fn count(server: &Postgres, what: &str) -> Result<i64> {
    let client = server.client("postgres").await?;
    let row = client
        .query_one(&format!("select count(*) from {what}"), &[])
        .await?;
    Ok(row.get(0))
}

async fn wait_for_count(server: &Postgres, what: &str, expected: i64) -> Result<()> {
    wait_for(what, PATIENCE, async || {
        Ok(count(server, what).await? == expected)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_rows_and_changes_and_leaves_nothing_behind() -> Result<()> {
    let server = server().await?;
    let mut tail = Tail::start(&server, &["--snapshot", "--tables", "public.t"])?;
    let schema = tail.next().await?;
    ensure!(
        schema["op"] == "schema" && schema["table"] == "t",
        "{schema}"
    );
    for id in [1, 2] {
        let row = tail.next().await?;
        ensure!(row["op"] == "read" && row["after"]["id"] == id, "{row}");
    }
    server
        .exec("insert into other values (1); insert into t values (3)")
        .await?;
    let change = tail.next().await?;
    ensure!(
        change["op"] == "insert" && change["after"]["id"] == 3,
        "{change}"
    );
    ensure!(count(&server, "pg_replication_slots where temporary").await? == 1);
    ensure!(tail.interrupt().await? == Some(0));
    ensure!(count(&server, "pg_publication").await? == 0);
    wait_for_count(&server, "pg_replication_slots", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_ends_quietly_when_its_reader_has_enough() -> Result<()> {
    let server = server().await?;
    let mut tail = Tail::start(&server, &["--snapshot"])?;
    tail.next().await?;
    // As `head` does. Nothing changes in the database any more.
    let Tail { mut adit, lines } = tail;
    drop(lines);
    let status = timeout(PATIENCE, adit.wait()).await??;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(count(&server, "pg_publication").await? == 0);
    wait_for_count(&server, "pg_replication_slots", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_named_stays() -> Result<()> {
    let server = server().await?;
    server.exec("create publication mine for table t").await?;
    let tail = Tail::start(&server, &["--publication", "mine", "--tables", "public.t"])?;
    wait_for_count(&server, "pg_replication_slots where active", 1).await?;
    ensure!(tail.interrupt().await? == Some(0));
    ensure!(count(&server, "pg_publication").await? == 1);
    Ok(())
}

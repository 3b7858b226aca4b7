//! PostgreSQL's standby takes over, and the slot with it.

use std::time::Duration;

use adit_lab::pg::Version;
use adit_lab::{Postgres, wait_for};
use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use crate::path::{DataPath, WITHIN};

/// The standby's name, and its slot's.
const STANDBY: &str = "standby";
/// How often a server takes over.
const TAKEOVERS: u32 = 2;
/// Rows that are written between two of them, at least.
const ROWS: i64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_the_slot_takes_over_on_postgres_17() -> Result<()> {
    takes_over(Version::V17).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_the_slot_takes_over_on_postgres_18() -> Result<()> {
    takes_over(Version::V18).await
}

/// A row that somebody was told is committed is on the standby, because it is a synchronous one; and adit has read nothing that
/// the standby does not have, because the slot waits for it.
async fn takes_over(version: Version) -> Result<()> {
    let settings = "source.postgres.failover = true";
    let builder = Postgres::builder(version)
        .conf("sync_replication_slots", "on")
        .conf("wal_receiver_status_interval", "1s");
    let mut path = DataPath::with(builder.clone(), settings).await?;
    path.pg
        .exec("create table t (id bigint primary key)")
        .await?;
    path.proxied(settings).await?;
    path.start()?;
    path.slot().await?;
    let mut written = 0;
    for _ in 0..TAKEOVERS {
        let standby = add_standby(&mut path, builder.clone()).await?;
        write(&path, &mut written).await?;
        wait_for("the slot on the standby", WITHIN, async || {
            let synced = "select count(*) from pg_replication_slots where slot_name = 'adit_shop' and synced and not temporary";
            let count: i64 = standby.client("postgres").await?.query_one(synced, &[]).await?.get(0);
            Ok(count == 1)
        })
        .await
        .with_context(|| path.log())?;
        write(&path, &mut written).await?;
        path.pg.kill().await?;
        standby.exec("select pg_promote()").await?;
        let proxy = path.proxy.as_ref().context("adit is behind a proxy")?;
        proxy.lead_to(standby.addr());
        path.pg = standby;
        write(&path, &mut written).await?;
    }
    let mut reader = path.reader().await?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let expected: Vec<String> = (1..=written).map(|id| format!("{{\"id\":{id}}}")).collect();
    let inserts = events
        .iter()
        .filter(|event| event.table == "t" && event.op == "insert");
    let found: Vec<&str> = inserts.filter_map(|event| event.after()).collect();
    ensure!(
        found == expected,
        "{} rows in the stream, {written} were written",
        found.len()
    );
    ensure!(path.adit.starts() == 1, "adit ended");
    Ok(())
}

/// Makes a standby of the server, and waits until no commit is told before the standby has it.
async fn add_standby(path: &mut DataPath, builder: adit_lab::pg::Builder) -> Result<Postgres> {
    path.pg
        .exec(&format!(
            "select pg_create_physical_replication_slot('{STANDBY}', true)"
        ))
        .await?;
    path.pg.stop().await?;
    let starting = builder.standby_of(&path.pg, STANDBY).start();
    let standby = starting.await?;
    path.pg.restart().await?;
    let streams = format!(
        "select count(*) from pg_stat_replication where application_name = '{STANDBY}' and state = 'streaming'"
    );
    path.wait_until(&streams, "1").await?;
    // Only here: the standby has the settings that the server had before.
    for setting in ["synchronous_standby_names", "synchronized_standby_slots"] {
        let sql = format!("alter system set {setting} = '{STANDBY}'");
        path.pg.exec(&sql).await?;
    }
    path.pg.exec("select pg_reload_conf()").await?;
    let synchronous = format!(
        "select count(*) from pg_stat_replication where application_name = '{STANDBY}' and sync_state = 'sync'"
    );
    path.wait_until(&synchronous, "1").await?;
    Ok(standby)
}

/// Writes rows with rising numbers; one that was under way when a server went is there, or is written again.
async fn write(path: &DataPath, written: &mut i64) -> Result<()> {
    let client = connect(path).await?;
    for _ in 0..ROWS {
        client
            .execute("insert into t values ($1)", &[&(*written + 1)])
            .await?;
        *written += 1;
    }
    Ok(())
}

async fn connect(path: &DataPath) -> Result<Client> {
    let url = path.pg.url("postgres");
    loop {
        match tokio_postgres::connect(&url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(async move { drop(connection.await) });
                let in_recovery = client.query_one("select pg_is_in_recovery()", &[]).await?;
                if !in_recovery.get::<_, bool>(0) {
                    return Ok(client);
                }
            }
            Err(error) => drop(error),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

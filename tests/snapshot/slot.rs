//! The replication slot.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::path::DataPath;

pub(crate) async fn failover(version: Version) -> Result<()> {
    for wanted in [true, false] {
        let mut path =
            DataPath::new(version, &format!("source.postgres.failover = {wanted}")).await?;
        path.start()?;
        let mut reader = path.reader().await?;
        path.to_the_end(&mut reader).await?;
        // By way of JSON, as older versions lack some of the columns.
        let sql = "select concat_ws(' ', s->>'plugin', s->>'temporary', coalesce(s->>'two_phase', 'false'), coalesce(s->>'failover', 'false')) \
                   from (select to_jsonb(s) from pg_replication_slots s where slot_name = 'adit_shop') t(s)";
        let slot = path.ask(sql).await?;
        path.stop().await?;
        let expected = version.major() >= 17 && wanted;
        ensure!(slot == format!("pgoutput false false {expected}"), "{slot}");
    }
    Ok(())
}

pub(crate) async fn idle(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.to_the_end(&mut reader).await?;
    let messages = path
        .nats
        .jetstream()
        .await?
        .get_stream("CDC_SHOP")
        .await?
        .get_info()
        .await?
        .state
        .messages;

    path.pg.create_database("busy").await?;
    path.pg
        .exec_in(
            "busy",
            "create table t (id int); insert into t select generate_series(1, 50000)",
        )
        .await?;
    let written = path.ask("select pg_current_wal_lsn()").await?;
    let confirmed = format!(
        "select confirmed_flush_lsn >= '{written}' from pg_replication_slots where slot_name = 'adit_shop'"
    );
    path.wait_until(&confirmed, "true").await?;
    // What the server keeps for the slot follows.
    path.pg.exec("checkpoint").await?;

    // Nothing of it is told to readers, and a restart goes on from there.
    path.stop().await?;
    path.start()?;
    path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let after = path
        .nats
        .jetstream()
        .await?
        .get_stream("CDC_SHOP")
        .await?
        .get_info()
        .await?
        .state
        .messages;
    ensure!(after == messages + 1, "{} messages more", after - messages);
    Ok(())
}

//! What can be wrong with the database.

use adit_lab::{Postgres, Proxy, pg};
use anyhow::{Context as _, Result};

use crate::support::{Adit, LOCKED, SECRET, create_database, shared_nats, shared_postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_tried_again_until_it_is_up() -> Result<()> {
    let mut adit = Adit::shared("down").await?;
    let postgres = shared_postgres().await?;
    let mut proxy = Proxy::start(postgres.addr()).await?;
    proxy.refuse(true).await?;
    adit.source = format!("postgres://postgres@{}/down", proxy.addr());
    adit.check()
        .await?
        .with(1, &["cannot reach", "source url"])?;
    adit.start()?;
    adit.says(&["cannot reach", "retry_in_ms"]).await?;
    proxy.refuse(false).await?;
    adit.insert(postgres, "healed").await?;
    adit.arrives("healed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_resolve_is_said_and_tried_again() -> Result<()> {
    let mut adit = Adit::new(
        "no_host",
        ([127, 0, 0, 1], 1).into(),
        shared_nats().await?.addr(),
    )?;
    adit.source = "postgres://adit@db.invalid/shop".to_owned();
    adit.check()
        .await?
        .with(1, &["cannot find an address for db.invalid:5432"])?;
    adit.start()?;
    adit.says(&["cannot find an address for db.invalid:5432", "retry_in_ms"])
        .await?;
    adit.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused() -> Result<()> {
    let mut adit = Adit::shared("wrong_password").await?;
    let server = shared_postgres().await?.addr();
    adit.source = format!("postgres://{LOCKED}:not-{SECRET}@{server}/wrong_password");
    adit.is_refused(&["28P01", "check user and password"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_password_is_asked_for() -> Result<()> {
    let mut adit = Adit::shared("no_password").await?;
    let server = shared_postgres().await?.addr();
    adit.source = format!("postgres://{LOCKED}@{server}/no_password");
    adit.is_refused(&["asks for a password", "password_file"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_is_refused() -> Result<()> {
    let mut adit = Adit::shared("no_database").await?;
    let server = shared_postgres().await?.addr();
    adit.source = format!("postgres://postgres@{server}/nowhere");
    adit.is_refused(&["3D000", "correct the database name"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_pg_hba_keeps_out_is_refused() -> Result<()> {
    let mut adit = Adit::shared("barred").await?;
    let server = shared_postgres().await?.addr();
    adit.source = format!("postgres://barred@{server}/barred");
    adit.is_refused(&["28000", "pg_hba.conf"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() -> Result<()> {
    let mut adit = Adit::shared("no_tls").await?;
    adit.source.push_str("?sslmode=verify-full");
    adit.is_refused(&["does not offer tls", "sslmode"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_replication_is_refused_with_the_statement_that_grants_it() -> Result<()> {
    let mut adit = Adit::shared("no_replication").await?;
    let postgres = shared_postgres().await?;
    postgres.exec("create role plain login").await?;
    adit.source = format!("postgres://plain@{}/no_replication", postgres.addr());
    adit.is_refused(&[
        "may not use replication",
        "ALTER ROLE \"plain\" REPLICATION",
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_create_the_publication_is_refused_with_the_statement() -> Result<()> {
    let mut adit = Adit::shared("no_create").await?;
    let postgres = shared_postgres().await?;
    let sql = "create role reader login replication; grant select on t to reader";
    postgres.exec_in("no_create", sql).await?;
    adit.source = format!("postgres://reader@{}/no_create", postgres.addr());
    let sql = "CREATE PUBLICATION \"adit_no_create\" FOR TABLE \"public\".\"t\"";
    adit.is_refused(&["does not exist", sql]).await?;

    postgres
        .exec_in(
            "no_create",
            "create table u (id int primary key); create publication adit_no_create for table t",
        )
        .await?;
    let sql = "ALTER PUBLICATION \"adit_no_create\" ADD TABLE \"public\".\"u\"";
    adit.is_refused(&[sql]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_read_a_table_is_refused() -> Result<()> {
    let mut adit = Adit::shared("no_select").await?;
    let postgres = shared_postgres().await?;
    let sql = "create role blind login replication; create publication adit_no_select for table t";
    postgres.exec_in("no_select", sql).await?;
    adit.source = format!("postgres://blind@{}/no_select", postgres.addr());
    let check = adit.check().await?;
    check.with(1, &[])?;
    check.finding(
        "FAIL",
        &[
            "right to read",
            "GRANT SELECT ON \"public\".\"t\" TO \"blind\"",
        ],
    )?;
    adit.run_is_refused(&["42501", "adit check"]).await?;

    // Policies hide rows from a role that may read: a snapshot would not be whole.
    postgres
        .exec_in(
            "no_select",
            "grant select on t to blind; alter table t enable row level security",
        )
        .await?;
    adit.check()
        .await?
        .finding("FAIL", &["row security", "BYPASSRLS"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_leaves_operations_out_is_refused() -> Result<()> {
    let mut adit = Adit::shared("partial").await?;
    let postgres = shared_postgres().await?;
    let sql = "create publication adit_partial for table t with (publish = 'insert')";
    postgres.exec_in("partial", sql).await?;
    adit.is_refused(&[
        "does not publish every operation",
        "ALTER PUBLICATION \"adit_partial\" SET (publish = 'insert, update, delete, truncate')",
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_another_plugin_is_refused() -> Result<()> {
    let mut adit = Adit::shared("foreign_slot").await?;
    let sql = "select pg_create_logical_replication_slot('adit_foreign_slot', 'test_decoding')";
    shared_postgres()
        .await?
        .exec_in("foreign_slot", sql)
        .await?;
    adit.is_refused(&["its plugin is \"test_decoding\"", "source.postgres.slot"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_in_use_is_waited_for() -> Result<()> {
    let mut holder = Adit::shared("slot_in_use").await?;
    let postgres = shared_postgres().await?;
    holder.delivers(postgres, "by the holder").await?;

    let mut waiter = Adit::new("slot_waiter", postgres.addr(), shared_nats().await?.addr())?;
    waiter.source.clone_from(&holder.source);
    let slot = "[connector.source.postgres]\nslot = \"adit_slot_in_use\"\npublication = \"adit_slot_in_use\"";
    waiter.more = slot.to_owned();
    let check = waiter.check().await?;
    check.with(0, &[])?;
    check.finding(
        "warn",
        &[
            "\"adit_slot_in_use\" is being read by process",
            "pg_terminate_backend",
        ],
    )?;
    waiter.start()?;
    waiter
        .says(&["55006", "another connection uses it", "retry_in_ms"])
        .await?;
    holder.stop().await?;
    waiter.says(&["replication started"]).await?;
    holder.insert(postgres, "by the waiter").await?;
    waiter.arrives("by the waiter").await
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_and_senders_that_are_all_in_use_are_waited_for() -> Result<()> {
    let postgres = Postgres::builder(pg::Version::V17)
        .conf("max_replication_slots", "2")
        .conf("max_wal_senders", "1")
        .start()
        .await?;
    let broker = shared_nats().await?.addr();
    create_database(&postgres, "sender_holder").await?;
    create_database(&postgres, "sender_waiter").await?;
    create_database(&postgres, "slot_waiter2").await?;
    let mut holder = Adit::new("sender_holder", postgres.addr(), broker)?;
    holder.delivers(&postgres, "held").await?;

    let mut waiter = Adit::new("sender_waiter", postgres.addr(), broker)?;
    let check = waiter.check().await?;
    check.with(1, &[])?;
    check.finding(
        "FAIL",
        &["replication connection", "53300", "max_wal_senders"],
    )?;
    let running = holder.check().await?;
    running.with(0, &[])?;
    running.finding(
        "warn",
        &["replication connection", "reads the slot already"],
    )?;
    waiter.start()?;
    waiter
        .says(&["53300", "max_wal_senders", "retry_in_ms"])
        .await?;
    holder.stop().await?;
    waiter.insert(&postgres, "sent").await?;
    waiter.arrives("sent").await?;
    waiter.stop().await?;

    let mut waiter = Adit::new("slot_waiter2", postgres.addr(), broker)?;
    let check = waiter.check().await?;
    check.with(1, &[])?;
    check.finding(
        "FAIL",
        &[
            "all 2 replication slots",
            "adit_sender_holder",
            "pg_drop_replication_slot",
        ],
    )?;
    waiter.start()?;
    waiter
        .says(&["53400", "max_replication_slots", "retry_in_ms"])
        .await?;
    postgres
        .exec("select pg_drop_replication_slot('adit_sender_holder')")
        .await?;
    waiter.insert(&postgres, "slotted").await?;
    waiter.arrives("slotted").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_logs_too_little_is_refused() -> Result<()> {
    let postgres = Postgres::builder(pg::Version::V17)
        .conf("wal_level", "replica")
        // What check says about other settings is looked at here too; nobody waits for the standbys.
        .conf("synchronous_standby_names", "FIRST 1 (a, *)")
        .conf("synchronous_commit", "local")
        .conf("max_slot_wal_keep_size", "-1")
        .conf("wal_sender_timeout", "0")
        .start()
        .await?;
    create_database(&postgres, "replica").await?;
    let mut adit = Adit::new("replica", postgres.addr(), shared_nats().await?.addr())?;
    adit.is_refused(&[
        "\"replica\"",
        "ALTER SYSTEM SET wal_level = 'logical'",
        "restart the server",
    ])
    .await?;
    let check = adit.check().await?;
    check.finding(
        "FAIL",
        &["synchronous_standby_names", "\"*\"", "application_name"],
    )?;
    check.finding("warn", &["max_slot_wal_keep_size", "pg_reload_conf()"])?;
    check.finding("warn", &["wal_sender_timeout", "pg_reload_conf()"])?;
    adit.source.push_str("?application_name=miner");
    adit.check()
        .await?
        .finding("FAIL", &["synchronous_standby_names", "\"miner\""])
}

/// A slot whose log the server has thrown away.
async fn lose_slot(postgres: &Postgres, adit: &mut Adit) -> Result<()> {
    adit.delivers(postgres, "before").await?;
    adit.stop().await?;
    adit.insert(postgres, "lost").await?;
    postgres
        .exec(
            "do $$ begin for i in 1..4 loop perform pg_logical_emit_message(false, 'fill', repeat('x', 1000)); \
             perform pg_switch_wal(); end loop; end $$",
        )
        .await?;
    postgres.exec("checkpoint").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidated_slot_is_refused_or_replaced_as_the_configuration_says() -> Result<()> {
    for version in [pg::Version::V13, pg::Version::V18] {
        let mut builder = Postgres::builder(version)
            .conf("max_slot_wal_keep_size", "1MB")
            .conf("min_wal_size", "32MB")
            .conf("max_wal_size", "32MB");
        if version == pg::Version::V18 {
            builder = builder.conf("idle_replication_slot_timeout", "1d");
        }
        let postgres = builder.start().await?;
        let name = format!("invalidated_{}", version.major());
        create_database(&postgres, &name).await?;
        let mut adit = Adit::new(&name, postgres.addr(), shared_nats().await?.addr())?;
        lose_slot(&postgres, &mut adit).await?;
        adit.is_refused(&["was invalidated", "max_slot_wal_keep_size", "when_needed"])
            .await?;

        adit.more = "[connector.snapshot]\nmode = \"when_needed\"".to_owned();
        let check = adit.check().await?;
        check.with(0, &[])?;
        check.finding("warn", &["was invalidated", "when_needed"])?;
        check.finding("ok", &["max_slot_wal_keep_size", "1MB"])?;
        if version == pg::Version::V18 {
            check.finding("warn", &["idle_replication_slot_timeout", "1d"])?;
        }
        adit.start()?;
        adit.says(&["the tables are read afresh", "replication started"])
            .await?;
        adit.insert(&postgres, "after").await?;
        adit.arrives("after").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_dropped_under_the_stream_ends_it() -> Result<()> {
    for version in [pg::Version::V13, pg::Version::V17, pg::Version::V18] {
        let own;
        let postgres = if version == pg::Version::V17 {
            shared_postgres().await?
        } else {
            own = Postgres::start(version).await?;
            &own
        };
        let name = format!("dropped_{}", version.major());
        create_database(postgres, &name).await?;
        let mut adit = Adit::new(&name, postgres.addr(), shared_nats().await?.addr())?;
        adit.delivers(postgres, "before").await?;
        postgres
            .exec_in(&name, &format!("drop publication adit_{name}"))
            .await?;
        adit.insert(postgres, "unpublished").await?;
        let lost = [&*format!("\"adit_{name}\" was dropped"), "adit drop"];
        adit.ends()
            .await?
            .paragraph(1, &lost)
            .with_context(|| format!("PostgreSQL {version}"))?;
        // Neither does a new publication of that name bring back what was not sent.
        adit.is_refused(&lost)
            .await
            .with_context(|| format!("PostgreSQL {version}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_is_warned_of_and_works_once_it_is_mended() -> Result<()> {
    let mut adit = Adit::shared("no_key").await?;
    let postgres = shared_postgres().await?;
    postgres
        .exec_in("no_key", "create table log (v text)")
        .await?;
    let check = adit.check().await?;
    check.with(0, &[])?;
    let remedy = "ALTER TABLE \"public\".\"log\" REPLICA IDENTITY FULL";
    check.finding("warn", &["replica identity", "55000", remedy])?;
    adit.delivers(postgres, "running").await?;
    postgres
        .exec_in("no_key", "insert into log values ('old')")
        .await?;
    let refused = postgres.exec_in("no_key", "update log set v = 'new'").await;
    let refused = format!("{:#}", refused.err().context("the update was let through")?);
    assert!(refused.contains("replica identity"), "{refused}");
    postgres.exec_in("no_key", remedy).await?;
    postgres
        .exec_in("no_key", "update log set v = 'new'")
        .await?;
    adit.arrives("new").await?;
    adit.check().await?.finding("ok", &["replica identity"])
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_cannot_be_captured_are_named() -> Result<()> {
    let mut adit = Adit::shared("kinds").await?;
    let sql = "create unlogged table fast (id int primary key); \
               create table parts (id int primary key) partition by range (id); \
               create table part_1 partition of parts for values from (1) to (10)";
    shared_postgres().await?.exec_in("kinds", sql).await?;
    let check = adit.check().await?;
    check.with(0, &[])?;
    check.finding(
        "warn",
        &["unlogged tables", "\"public\".\"fast\"", "SET LOGGED"],
    )?;
    check.finding(
        "warn",
        &["partitioned tables", "\"public\".\"parts\"", "partitions"],
    )?;
    check.finding("ok", &["tables", "2 match"])?;

    adit.source_more = "tables = [\"sales.*\"]".to_owned();
    adit.check()
        .await?
        .finding("warn", &["tables", "none matches sales.*"])
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_a_new_slot_waits_for_are_named() -> Result<()> {
    let postgres = Postgres::start(pg::Version::V17).await?;
    create_database(&postgres, "waits").await?;
    let sql = "begin; insert into t (v) values ('x'); prepare transaction 'forgotten'";
    postgres.exec_in("waits", sql).await?;
    let mut adit = Adit::new("waits", postgres.addr(), shared_nats().await?.addr())?;
    let check = adit.check().await?;
    check.with(0, &[])?;
    check.finding(
        "warn",
        &[
            "prepared transactions",
            "\"forgotten\"",
            "ROLLBACK PREPARED 'forgotten'",
        ],
    )?;
    adit.start()?;
    postgres
        .exec_in("waits", "rollback prepared 'forgotten'")
        .await?;
    adit.insert(&postgres, "on").await?;
    adit.arrives("on").await
}

/// Turns a server that was stopped cleanly into a standby, which finds no primary.
async fn demote(postgres: &mut Postgres) -> Result<()> {
    postgres.stop().await?;
    std::fs::write(postgres.data_dir().join("standby.signal"), "")?;
    postgres.restart().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_told_apart() -> Result<()> {
    for version in [pg::Version::V13, pg::Version::V18] {
        let mut postgres = Postgres::start(version).await?;
        let name = format!("standby_{}", version.major());
        create_database(&postgres, &name).await?;
        let mut adit = Adit::new(&name, postgres.addr(), shared_nats().await?.addr())?;
        demote(&mut postgres).await?;
        let check = adit.check().await?;
        check.with(1, &[])?;
        check.finding(
            "FAIL",
            &["publication", "CREATE PUBLICATION", "on the primary"],
        )?;
        if version == pg::Version::V13 {
            check.finding(
                "FAIL",
                &["standby", "from PostgreSQL 16 on", "target_session_attrs"],
            )?;
        } else {
            check.finding("warn", &["standby", "pg_log_standby_snapshot()"])?;
        }
        adit.run_is_refused(&["does not exist and cannot be created", "CREATE PUBLICATION"])
            .await?;
        // Where the primary is to be found among several hosts, it is waited for.
        adit.source.push_str("?target_session_attrs=read-write");
        adit.start()?;
        adit.says(&["target_session_attrs=read-write", "retry_in_ms"])
            .await?;
        std::fs::remove_file(postgres.data_dir().join("standby.signal"))?;
        postgres.restart().await?;
        adit.insert(&postgres, "promoted").await?;
        adit.arrives("promoted").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_is_waited_for_while_running() -> Result<()> {
    let mut postgres = Postgres::start(pg::Version::V15).await?;
    create_database(&postgres, "crash").await?;
    let mut adit = Adit::new("crash", postgres.addr(), shared_nats().await?.addr())?;
    adit.delivers(&postgres, "before").await?;
    postgres.kill().await?;
    adit.says(&["cannot reach", "retry_in_ms"]).await?;
    postgres.restart().await?;
    adit.insert(&postgres, "after").await?;
    adit.arrives("after").await
}

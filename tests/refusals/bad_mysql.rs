//! What can be wrong with MySQL or MariaDB.

use adit_lab::mysql::{Builder, Version};
use adit_lab::tls::Authority;
use adit_lab::{Mysql, Proxy, wait_for};
use anyhow::{Context as _, Result, ensure};

use crate::support::{Adit, LOCKED, SECRET, WITHIN, shared_mysql, shared_nats};

/// Makes a module for each name, with a test for each family of servers.
macro_rules! on_both {
    ($($name:ident = $test:path;)*) => {
        $(mod $name {
            use adit_lab::mysql::Version;
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql() -> anyhow::Result<()> { $test(Version::Mysql9_7).await }
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb() -> anyhow::Result<()> { $test(Version::Maria11_8).await }
        })*
    };
}

on_both! {
    a_server_that_is_down_is_tried_again_until_it_is_up = super::down;
    a_wrong_password_is_refused = super::wrong_password;
    a_missing_password_is_asked_for = super::no_password;
    a_database_that_does_not_exist_is_refused = super::no_database;
    a_user_without_the_rights_of_a_replica_is_refused_with_the_statements_that_grant_them = super::no_replication;
    a_user_that_may_not_read_a_table_is_refused = super::no_select;
    a_server_that_writes_no_log_is_refused = super::no_log;
    a_server_that_logs_statements_is_refused = super::statements;
    a_change_that_is_logged_as_a_statement_ends_the_run = super::statement;
    settings_that_cost_columns_or_time_are_warned_of_with_the_statements_that_mend_them = super::settings;
    a_purged_log_is_refused_or_replaced_as_the_configuration_says = super::purged;
    another_server_without_gtids_is_refused = super::other_server;
    the_url_of_the_other_family_is_refused = super::other_family;
    a_certificate_of_an_unknown_authority_is_refused = super::unknown_authority;
}

/// A name for a connector, its stream and its database, which no other test has.
fn name(test: &str, version: Version) -> String {
    let family = if version.is_maria() { "maria" } else { "mysql" };
    format!("{family}_{test}")
}

/// A connector on the shared server.
async fn shared(test: &str, version: Version) -> Result<(Adit, &'static Mysql)> {
    let server = shared_mysql(version).await?;
    let adit = Adit::on_mysql(&name(test, version), server).await?;
    Ok((adit, server))
}

/// A connector on a server of its own.
async fn own(test: &str, builder: Builder) -> Result<(Adit, Mysql)> {
    let server = builder.start().await?;
    let adit = Adit::on_mysql(&name(test, server.version()), &server).await?;
    Ok((adit, server))
}

/// The URL with another user.
fn url_of(user: &str, server: &Mysql, database: &str) -> String {
    server
        .url(database)
        .replacen("root@", &format!("{user}@"), 1)
}

async fn down(version: Version) -> Result<()> {
    let (mut adit, server) = shared("down", version).await?;
    let mut proxy = Proxy::start(server.addr()).await?;
    proxy.refuse(true).await?;
    let (there, here) = (server.addr().to_string(), proxy.addr().to_string());
    adit.source = adit.source.replace(&there, &here);
    let down = &["cannot reach", &here, "source.url"];
    adit.check().await?.with(1, down)?;
    adit.start()?;
    adit.says(down).await?;
    adit.says(&["retry_in_ms"]).await?;
    proxy.refuse(false).await?;
    adit.insert(server, "healed").await?;
    adit.arrives("healed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_resolve_is_said_and_tried_again() -> Result<()> {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let mut adit = Adit::new("mysql_no_host", nowhere, shared_nats().await?.addr())?;
    adit.source = "mysql://adit@db.invalid/shop".to_owned();
    let unknown = "cannot find an address for \"db.invalid\"";
    adit.check().await?.with(1, &[unknown])?;
    adit.start()?;
    adit.says(&["cannot find an address for", "db.invalid", "retry_in_ms"])
        .await?;
    adit.stop().await
}

async fn wrong_password(version: Version) -> Result<()> {
    let (mut adit, server) = shared("wrong_password", version).await?;
    adit.source = url_of(&format!("{LOCKED}:not-{SECRET}"), server, &adit.name);
    let server = server.addr().to_string();
    adit.is_refused(&[&server, LOCKED, "1045", "check user and password"])
        .await
}

async fn no_password(version: Version) -> Result<()> {
    let (mut adit, server) = shared("no_password", version).await?;
    adit.source = url_of(LOCKED, server, &adit.name);
    adit.is_refused(&["1045", "no password is set", "password_file"])
        .await
}

async fn no_database(version: Version) -> Result<()> {
    let (mut adit, server) = shared("no_database", version).await?;
    adit.source = server.url("nowhere");
    adit.is_refused(&["no database \"nowhere\"", "correct the database name"])
        .await
}

async fn no_replication(version: Version) -> Result<()> {
    let (mut adit, server) = shared("no_replication", version).await?;
    let (database, account) = (adit.name.clone(), "'plain'@'127.0.0.1'");
    server
        .exec(&format!(
            "create user {account}; grant select on {database}.* to {account}"
        ))
        .await?;
    adit.source = url_of("plain", server, &database);
    let monitor = if version.is_maria() {
        "BINLOG MONITOR"
    } else {
        "REPLICATION CLIENT"
    };
    // Each is what run stumbles over next.
    let refused = [
        "reading the end of the binary log",
        "reading the binary log from",
    ];
    for (right, doing) in [monitor, "REPLICATION SLAVE"].into_iter().zip(refused) {
        let remedy = format!("GRANT {right} ON *.* TO {account}");
        let check = adit.check().await?;
        check.with(1, &[])?;
        check.finding("FAIL", &[right, account, &remedy])?;
        adit.run_is_refused(&[doing, "a right is missing", "adit check"])
            .await?;
        server.exec(&remedy).await?;
    }
    adit.check().await?.with(0, &[])?;
    adit.delivers(server, "granted").await
}

async fn no_select(version: Version) -> Result<()> {
    let (mut adit, server) = shared("no_select", version).await?;
    let (database, account) = (adit.name.clone(), "'blind'@'127.0.0.1'");
    server
        .exec(&format!(
            "create user {account}; grant replication slave, replication client on *.* to {account}"
        ))
        .await?;
    adit.source = url_of("blind", server, &database);
    let grant = format!("GRANT SELECT ON `{database}`.*");
    adit.is_refused(&["no right in it", &grant]).await?;

    // A right of another kind shows the table.
    server
        .exec(&format!("grant insert on {database}.t to {account}"))
        .await?;
    let remedy = format!("GRANT SELECT ON `{database}`.`t` TO {account}");
    let check = adit.check().await?;
    check.with(1, &[])?;
    check.finding("FAIL", &["right to read", account, &remedy])?;
    adit.run_is_refused(&["a right is missing", "adit check", "1142"])
        .await?;
    server.exec(&remedy).await?;
    adit.check().await?.finding("ok", &["right to read"])?;
    adit.delivers(server, "granted").await
}

async fn no_log(version: Version) -> Result<()> {
    let builder = Mysql::builder(version).conf("skip_log_bin", "ON");
    let (mut adit, _server) = own("no_log", builder).await?;
    adit.is_refused(&["writes no binary log", "log_bin", "restart"])
        .await
}

async fn statements(version: Version) -> Result<()> {
    let builder = Mysql::builder(version).conf("binlog_format", "STATEMENT");
    let (mut adit, server) = own("statements", builder).await?;
    let remedy = "SET GLOBAL binlog_format = 'ROW'";
    adit.is_refused(&["binlog_format", "STATEMENT", remedy])
        .await?;
    server.exec(remedy).await?;
    adit.check().await?.finding("ok", &["binlog_format"])?;
    adit.delivers(&server, "a row").await
}

async fn statement(version: Version) -> Result<()> {
    let (mut adit, server) = shared("statement", version).await?;
    adit.delivers(server, "before").await?;
    let database = adit.name.clone();
    server
        .exec_in(
            &database,
            "set session binlog_format = 'STATEMENT'; update t set v = 'unknown'",
        )
        .await?;
    let refused = [
        &*format!("\"{database}\".\"t\""),
        "logged as a statement",
        "take that right",
        "adit drop",
    ];
    adit.ends().await?.paragraph(1, &refused)?;
    // Nor is it passed over at the next start.
    adit.run_is_refused(&refused).await
}

async fn settings(version: Version) -> Result<()> {
    let builder = Mysql::builder(version)
        .conf("binlog_row_image", "MINIMAL")
        .conf("binlog_row_metadata", "MINIMAL")
        .conf("binlog_expire_logs_seconds", "7200");
    let (adit, server) = own("settings", builder).await?;
    let check = adit.check().await?;
    check.with(0, &[])?;
    for (setting, said, remedy) in [
        (
            "binlog_row_image",
            "it is MINIMAL",
            "SET GLOBAL binlog_row_image = 'FULL'",
        ),
        (
            "binlog_row_metadata",
            "does not name the columns",
            "SET GLOBAL binlog_row_metadata = 'FULL'",
        ),
        (
            "retention",
            "2 hours",
            "SET GLOBAL binlog_expire_logs_seconds = 259200",
        ),
    ] {
        check.finding("warn", &[setting, said, remedy])?;
        server.exec(remedy).await?;
        adit.check().await?.finding("ok", &[setting])?;
    }
    Ok(())
}

/// Throws all of the log away but its newest file. A file that is being sent stays, and the server misses a connection
/// that has ended only when it has something to send.
async fn purge(server: &Mysql) -> Result<()> {
    wait_for("a log of one file", WITHIN, async || {
        server.exec("flush binary logs").await?;
        let newest = server.log_files()?.pop().context("no log")?;
        let purge = format!("purge binary logs to '{newest}'");
        server.exec(&purge).await?;
        Ok(server.log_files()?.len() == 1)
    })
    .await
}

async fn purged(version: Version) -> Result<()> {
    let (mut adit, server) = own("purged", Mysql::builder(version)).await?;
    adit.delivers(&server, "before").await?;
    adit.stop().await?;
    adit.insert(&server, "lost").await?;
    purge(&server).await?;
    adit.is_refused(&["purged", "binlog_expire_logs_seconds", "when_needed"])
        .await?;

    adit.more = "[connector.snapshot]\nmode = \"when_needed\"".to_owned();
    let check = adit.check().await?;
    check.with(0, &[])?;
    check.finding("warn", &["purged", "when_needed"])?;
    adit.start()?;
    adit.says(&["the tables are read afresh", "reading the binary log"])
        .await?;
    adit.insert(&server, "after").await?;
    adit.arrives("after").await
}

async fn other_server(version: Version) -> Result<()> {
    let (mut adit, server) = shared("other_server", version).await?;
    adit.source_more = "mysql.gtid = \"off\"".to_owned();
    adit.delivers(server, "before").await?;
    adit.stop().await?;
    let other = Mysql::start(version).await?;
    adit.source = other.url(&adit.name);
    adit.is_refused(&["not the server", "without GTIDs", "source.url", "adit drop"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn gtids_that_are_wanted_and_off_are_refused() -> Result<()> {
    let builder = Mysql::builder(Version::Mysql9_7)
        .conf("gtid_mode", "OFF")
        .conf("enforce_gtid_consistency", "OFF");
    let (mut adit, _server) = own("no_gtids", builder).await?;
    adit.source_more = "mysql.gtid = \"on\"".to_owned();
    adit.is_refused(&["gtid_mode", "\"OFF\"", "gtid = \"auto\""])
        .await
}

async fn other_family(version: Version) -> Result<()> {
    let (mut adit, server) = shared("other_family", version).await?;
    let (right, wrong, family) = match version.is_maria() {
        true => ("mariadb://", "mysql://", "MariaDB"),
        false => ("mysql://", "mariadb://", "MySQL"),
    };
    adit.source = adit.source.replacen(right, wrong, 1);
    let server = server.addr().to_string();
    let said = format!("{server} is {family}");
    adit.is_refused(&[&said, "source.url", right]).await
}

async fn unknown_authority(version: Version) -> Result<()> {
    let (mut adit, _server) = shared("unknown_ca", version).await?;
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path())?;
    let ca = authority.ca_path().display().to_string();
    adit.source
        .push_str(&format!("?ssl-mode=verify_ca&ssl-ca={ca}"));
    adit.is_refused(&["TLS handshake", "issued by nobody we trust", "ssl-ca"])
        .await
}

/// MariaDB ends the older of two connections with one number. MySQL tells readers apart by a UUID, which each process has
/// of its own, so that both go on.
#[tokio::test(flavor = "multi_thread")]
async fn two_readers_with_one_server_id_do_not_fight() -> Result<()> {
    for version in [Version::Mysql9_7, Version::Maria11_8] {
        let (mut first, server) = shared("same_id", version).await?;
        let (mut second, _) = shared("same_id_2", version).await?;
        for adit in [&mut first, &mut second] {
            adit.source_more = "mysql.server_id = 4711".to_owned();
            adit.delivers(server, "one reader").await?;
        }
        let taken = "same server id 4711";
        if version.is_maria() {
            first
                .says(&[taken, "source.mysql.server_id", "pause_s"])
                .await?;
        }
        second.insert(server, "undisturbed").await?;
        second.arrives("undisturbed").await?;
        if !version.is_maria() {
            ensure!(!first.log()?.contains(taken) && !second.log()?.contains(taken));
        }
        second.stop().await?;
        first.insert(server, "its turn").await?;
        first.arrives("its turn").await?;
    }
    Ok(())
}

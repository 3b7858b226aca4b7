//! MySQL and MariaDB of the lab: each version starts, is killed and comes back with what was committed.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use adit_lab::{Mysql, mysql};
use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable as _;

async fn comes_back(version: mysql::Version) -> Result<()> {
    let mut server = Mysql::start(version).await?;
    server
        .exec("create database d; create table d.t (id int primary key, v varchar(20)); insert into d.t values (1, 'é')")
        .await?;
    let uuid = "select concat(@@server_id, '')";
    let before: Option<String> = server.client("").await?.query_first(uuid).await?;
    server.kill().await?;
    ensure!(server.client("d").await.is_err());
    server.restart().await?;
    let mut client = server.client("d").await?;
    let rows: Vec<(i32, String)> = client.query("select id, v from t").await?;
    ensure!(rows == [(1, "é".to_owned())], "{rows:?}");
    let after: Option<String> = client.query_first(uuid).await?;
    ensure!(before == after);
    let (file, position): (String, u64) = {
        let row: mysql_async::Row = client.query_first("show binary logs").await?.unwrap();
        (row.get(0).unwrap(), row.get(1).unwrap())
    };
    ensure!(file == "binlog.000001" && position > 4, "{file} {position}");
    client.disconnect().await?;
    server.stop().await?;
    server.restart().await
}

macro_rules! on_every_version {
    ($($name:ident = $version:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            comes_back(mysql::Version::$version).await.unwrap();
        })*
    };
}

on_every_version! {
    mysql_5_6 = Mysql5_6;
    mysql_9_7 = Mysql9_7;
    mariadb_10_5 = Maria10_5;
    mariadb_10_11 = Maria10_11;
    mariadb_11_8 = Maria11_8;
}

#[test]
fn its_log_can_be_read_by_its_own_program() {
    let output = mysql::Version::Mysql9_7
        .tool("mysqlbinlog")
        .unwrap()
        .arg("--version")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("mysqlbinlog"), "{text}");
}

//! Queries and their answers.

use std::time::Duration;

use adit_lab::Mysql;
use adit_lab::mysql::{VERSIONS, Version};
use adit_source_mysql::link::{LinkError, MysqlLink};
use anyhow::{Context as _, Result};

use crate::support::{chain, connect, refusal, status, url, value, with_deadline};

#[tokio::test]
async fn nulls_empty_texts_and_rows_of_many_packets_arrive_whole() -> Result<()> {
    const LONG: usize = 20_000_000;
    for version in VERSIONS {
        let server = Mysql::start(version).await?;
        for query in ["", "compress=zlib"] {
            let mut link = connect(&url(&server, "root", query)).await?;
            if !query.is_empty() {
                assert_eq!(status(&mut link, "Compression").await?, "ON", "{version}");
            }
            let rows = link
                .query("SELECT NULL, '', 'x', 0x00ff, 18446744073709551615")
                .await?;
            let row: Vec<_> = rows
                .concat()
                .into_iter()
                .map(|cell| cell.map(|bytes| bytes.to_vec()))
                .collect();
            let expected = [
                None,
                Some(&b""[..]),
                Some(b"x"),
                Some(b"\0\xff"),
                Some(b"18446744073709551615"),
            ];
            assert_eq!(
                row,
                expected.map(|cell| cell.map(<[u8]>::to_vec)),
                "{version}"
            );
            assert!(
                link.query("SELECT 1 FROM dual WHERE 1 = 0")
                    .await?
                    .is_empty()
            );

            // 250 and 251 bytes, 65 535 and 65 536, and packets of exactly, and just not, the longest length.
            for len in [
                0, 250, 251, 65_535, 65_536, 16_777_210, 16_777_211, 16_777_212, 33_554_422, LONG,
            ] {
                let sql = format!("SELECT REPEAT('a', {len}), 'end'");
                let rows = with_deadline(link.query(&sql)).await??;
                let cells: Vec<_> = rows.iter().flatten().flatten().collect();
                let [text, end] = cells.as_slice() else {
                    anyhow::bail!("{version} {len}: {} cells", cells.len())
                };
                assert_eq!(text.len(), len, "{version}");
                assert!(text.iter().all(|byte| *byte == b'a'), "{version} {len}");
                assert_eq!(&***end, b"end");
            }
            // A command of more than one packet.
            let sql = format!("SELECT LENGTH('{}')", "b".repeat(LONG));
            assert_eq!(value(&mut link, &sql).await?, LONG.to_string(), "{version}");
            link.close().await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_long_answer_is_read_row_by_row() -> Result<()> {
    const ROWS: usize = 200_000;
    for version in VERSIONS {
        let server = Mysql::start(version).await?;
        server.exec("CREATE DATABASE d").await?;
        server
            .exec("CREATE TABLE d.digits (d INT PRIMARY KEY)")
            .await?;
        server
            .exec("INSERT INTO d.digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
            .await?;
        let digits = ["a", "b", "c", "d", "e", "f"]
            .map(|name| format!("d.digits {name}"))
            .join(", ");
        let sql = format!("SELECT a.d, REPEAT('x', b.d * 10), NULL FROM {digits} WHERE f.d < 2");
        for query in ["", "compress=zlib"] {
            let mut link = connect(&url(&server, "root", query)).await?;
            let mut rows = link.query_stream(&sql).await?;
            let mut count = 0;
            while let Some(row) = with_deadline(rows.next_row()).await?? {
                assert_eq!(row.cells().count(), 3, "{version}");
                count += 1;
            }
            assert_eq!(count, ROWS, "{version} {query}");
            assert!(rows.next_row().await?.is_none());
            assert_eq!(value(&mut link, "SELECT 7").await?, "7");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_is_told_and_the_link_goes_on() -> Result<()> {
    for version in VERSIONS {
        let server = Mysql::start(version).await?;
        let mut link = connect(&url(&server, "root", "")).await?;
        for (sql, wanted, state) in [
            ("SELEKT 1", 1064, "42000"),
            ("SELECT * FROM mysql.nothing", 1146, "42S02"),
            (
                "SELECT 1 UNION SELECT (SELECT 1 UNION SELECT 2)",
                1242,
                "21000",
            ),
        ] {
            let error = link.query(sql).await.expect_err(sql);
            let LinkError::Server {
                code,
                sqlstate,
                message,
            } = &error
            else {
                anyhow::bail!("{version} {sql}: {error:?}");
            };
            assert_eq!(
                (*code, sqlstate.as_str()),
                (wanted, state),
                "{version} {sql}"
            );
            assert!(!message.is_empty() && error.to_string().contains(&**message));
            assert_eq!(value(&mut link, "SELECT 1").await?, "1", "{version}");
        }
        // The session is as the snapshot needs it.
        let sql = "SELECT CONCAT_WS(' ', @@time_zone, @@sql_mode, @@character_set_client, @@autocommit + 0)";
        assert_eq!(
            value(&mut link, sql).await?,
            "+00:00  utf8mb4 1",
            "{version}"
        );

        let killer = value(&mut link, "SELECT CONNECTION_ID()").await?;
        server.exec(&format!("KILL {killer}")).await?;
        let error = with_deadline(link.query("SELECT 1"))
            .await?
            .expect_err("killed");
        // MariaDB tells it before it closes.
        assert!(
            error.is_transient() || error.code() == Some(1927),
            "{version}: {}",
            chain(&error)
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_was_not_read_is_not_taken_for_anothers() -> Result<()> {
    let server = Mysql::start(Version::Maria10_11).await?;
    let url = url(&server, "root", "");
    let sql =
        "SELECT 1 FROM information_schema.collations a, information_schema.collations b LIMIT 1000";
    // Behind 253 rows comes the packet with the number that a new command's answer begins with.
    for taken in [0, 1, 252, 253, 254, 255] {
        let mut link = connect(&url).await?;
        let mut rows = link.query_stream(sql).await?;
        for _ in 0..taken {
            assert!(rows.next_row().await?.is_some());
        }
        let error = link
            .query("SELECT 'mine'")
            .await
            .expect_err("an answer was left");
        assert!(matches!(error, LinkError::Unread), "{taken}: {error}");
        assert!(!error.is_transient());
    }
    let mut link = connect(&url).await?;
    let sleep = tokio::time::timeout(Duration::from_millis(50), link.query("SELECT SLEEP(5)"));
    assert!(sleep.await.is_err());
    assert!(link.execute("SET @a = 1").await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_first_server_that_lets_us_in_is_taken() -> Result<()> {
    let first = Mysql::builder(Version::Maria10_11)
        .conf("max_connections", "10")
        .start()
        .await?;
    let second = Mysql::start(Version::Maria10_11).await?;
    let nobody = adit_lab::Proxy::start(first.addr()).await?;
    let dead = nobody.addr();
    drop(nobody);
    let hosts = |list: &[std::net::SocketAddr]| {
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        format!("mariadb://root@{}/?connect-timeout=5", list.join(","))
    };
    let link = connect(&hosts(&[dead, first.addr(), second.addr()])).await?;
    assert_eq!(link.target().to_string(), first.addr().to_string());
    link.close().await;

    // One that is full says so; another may have room.
    let mut links = Vec::new();
    let full = loop {
        match MysqlLink::connect(&hosts(&[first.addr()]).parse()?, "adit-test").await {
            Ok(link) => links.push(link),
            Err(error) => break error,
        }
    };
    assert_eq!(full.code(), Some(1040), "{full}");
    let link = connect(&hosts(&[first.addr(), second.addr()])).await?;
    assert_eq!(link.target().to_string(), second.addr().to_string());

    let error = refusal(&hosts(&[dead])).await?;
    assert!(
        error.is_transient() && error.to_string().contains(&dead.to_string()),
        "{error}"
    );
    let error = refusal("mysql://root@nowhere.invalid/").await?;
    assert!(chain(&error).contains("nowhere.invalid"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() -> Result<()> {
    let server = Mysql::start(Version::Maria10_11).await?;
    server.pause().await?;
    let error = refusal(&url(&server, "root", "connect-timeout=1")).await?;
    server.resume().await?;
    assert!(
        matches!(error, LinkError::TimedOut { .. }) && error.is_transient(),
        "{error:?}"
    );
    connect(&url(&server, "root", ""))
        .await
        .context("it goes on")?;
    Ok(())
}

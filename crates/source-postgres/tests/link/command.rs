//! Commands before the stream starts, and the session they run in.

use std::time::Duration;

use adit_lab::{Postgres, pg};
use adit_source_postgres::config::ConnectConfig;
use adit_source_postgres::link::{ConnectError, ReplicationLink, sql_client};
use anyhow::Result;

#[tokio::test]
async fn the_session_settings_are_pinned_whatever_the_role_says() -> Result<()> {
    let sql = "select row(now()::text ~ '^2', interval '1 day', interval '1 ms', E'\\\\x01'::bytea,
        current_setting('TimeZone'), current_setting('extra_float_digits'),
        current_setting('client_encoding'))::text";
    let expected = r#"(t,P1D,PT0.001S,"\\x01",UTC,3,UTF8)"#;
    for version in pg::VERSIONS {
        let server = Postgres::start(version).await?;
        server
            .exec(
                "alter role postgres set datestyle = 'German';
                 alter role postgres set intervalstyle = 'sql_standard';
                 alter role postgres set extra_float_digits = 0;
                 alter role postgres set bytea_output = 'escape';
                 alter role postgres set timezone = 'Asia/Tokyo'",
            )
            .await?;
        let config: ConnectConfig = server.url("postgres").parse()?;
        let mut link = ReplicationLink::connect(&config, &[]).await?;
        assert_eq!(
            link.simple_query(sql).await?,
            [[Some(expected.to_owned())]],
            "{version}"
        );
        let shown = link.simple_query("SHOW server_version_num").await?;
        assert_eq!(
            shown,
            [[Some(link.server_version_num().to_string())]],
            "{version}"
        );
        let client = sql_client(&config, "adit-test").await?;
        let row = client.query_one(sql, &[]).await?;
        assert_eq!(row.try_get::<_, &str>(0)?, expected, "{version}");
    }
    Ok(())
}

#[tokio::test]
async fn commands_answer_with_rows_and_an_error_leaves_the_link_usable() -> Result<()> {
    let server = Postgres::start(pg::Version::V17).await?;
    let config: ConnectConfig = server.url("postgres").parse()?;
    let mut link = ReplicationLink::connect(&config, &[("work_mem", "1234kB")]).await?;
    let identity = link.simple_query("IDENTIFY_SYSTEM").await?;
    assert_eq!(identity.len(), 1);
    assert_eq!(identity[0][3].as_deref(), Some("postgres"));

    let error = link
        .simple_query("DROP_REPLICATION_SLOT missing")
        .await
        .expect_err("no slot");
    assert_eq!(error.sqlstate(), Some("42704"));
    let text = error.to_string();
    assert!(
        text.starts_with("running DROP_REPLICATION_SLOT missing on 127.0.0.1"),
        "{text}"
    );

    let rows = link
        .simple_query("select null, '', 'ä' union all select '1', '2', '3'")
        .await?;
    assert_eq!(rows[0], [None, Some(String::new()), Some("ä".to_owned())]);
    assert_eq!(rows[1][2].as_deref(), Some("3"));
    assert_eq!(
        link.simple_query("SHOW work_mem").await?,
        [[Some("1234kB".to_owned())]]
    );
    assert!(link.simple_query("").await?.is_empty());

    // The answer that nobody waited for must not be taken for the next command's.
    let long = link.simple_query("select pg_sleep(600)");
    assert!(
        tokio::time::timeout(Duration::from_millis(1), long)
            .await
            .is_err()
    );
    let error = link.simple_query("select 1").await.expect_err("still busy");
    assert!(matches!(error, ConnectError::Misuse { .. }), "{error:?}");
    Ok(())
}

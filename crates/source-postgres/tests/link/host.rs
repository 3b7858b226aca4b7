//! Which host is used, and hosts that are no PostgreSQL.

use adit_lab::tls::Names;
use adit_lab::{Postgres, pg};
use adit_source_postgres::config::ConnectConfig;
use adit_source_postgres::link::{ConnectError, ReplicationLink};
use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{connect_both, refusal, with_deadline};

#[tokio::test]
async fn a_unix_socket_is_used_without_tls_whatever_the_mode() -> Result<()> {
    let server = Postgres::builder(pg::Version::V17)
        .tls(Names::Right)
        .start()
        .await?;
    let folder = server.socket_dir().display();
    let url =
        |port| format!("postgres://postgres@/postgres?host={folder}&port={port}&sslmode=require");
    assert_eq!(connect_both(&url(server.port())).await?.tls_version, None);
    for error in refusal(&url(1)).await? {
        assert!(matches!(error, ConnectError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains(".s.PGSQL.1"), "{error}");
        assert!(error.is_transient());
    }
    Ok(())
}

#[tokio::test]
async fn the_first_host_that_fits_is_used() -> Result<()> {
    let writable = Postgres::start(pg::Version::V17).await?;
    let read_only = Postgres::builder(pg::Version::V17)
        .conf("default_transaction_read_only", "on")
        .start()
        .await?;
    // A port that was free a moment ago and refuses connections.
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let hosts = format!("{dead},{},{}", read_only.addr(), writable.addr());
    let url =
        |attrs: &str| format!("postgres://postgres@{hosts}/postgres?target_session_attrs={attrs}");
    for (attrs, port) in [
        ("any", read_only.port()),
        ("read-write", writable.port()),
        ("read-only", read_only.port()),
        ("primary", read_only.port()),
        ("prefer-standby", read_only.port()),
    ] {
        assert_eq!(connect_both(&url(attrs)).await?.port, port, "{attrs}");
    }
    for error in refusal(&url("standby")).await? {
        let ConnectError::NoHost { failures } = &error else {
            bail!("not a list: {error:?}");
        };
        assert_eq!(failures.len(), 3);
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(text.contains(&dead.to_string()), "{text}");
        assert!(text.contains("target_session_attrs=standby"), "{text}");
    }
    // A wrong database would be wrong on the next host, too.
    let nowhere = format!("postgres://postgres@{},{dead}/nowhere", read_only.addr());
    for error in refusal(&nowhere).await? {
        assert!(matches!(error, ConnectError::Server { .. }), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_may_come_back() -> Result<()> {
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    for url in [
        format!("postgres://u@{dead}/db"),
        "postgres://u@nowhere.invalid/db".to_owned(),
    ] {
        for error in refusal(&url).await? {
            assert!(error.is_transient(), "{error:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_on() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://u@{}/db?connect_timeout=1", silent.local_addr()?);
    for error in refusal(&url).await? {
        assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
        assert!(error.is_transient());
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_speak_something_else_are_refused() -> Result<()> {
    for (answer, sslmode) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "prefer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "disable"),
        // A message of 2 GiB, one of a negative length, one of an unknown kind.
        (b"R\x7f\xff\xff\xff", "disable"),
        (b"R\xff\xff\xff\xff", "disable"),
        (b"?\0\0\0\x04", "disable"),
        // Asks for the password a second time.
        (b"R\0\0\0\x08\0\0\0\x03R\0\0\0\x08\0\0\0\x03", "disable"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!(
            "postgres://u:secret@{}/db?sslmode={sslmode}",
            listener.local_addr()?
        );
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            stream.read_exact(&mut [0; 8]).await?;
            stream.write_all(answer).await?;
            // Until the client goes away.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        });
        let config: ConnectConfig = url.parse()?;
        let link = with_deadline(ReplicationLink::connect(&config, &[])).await?;
        let error = link.expect_err("accepted");
        assert!(
            matches!(error, ConnectError::Protocol { .. }),
            "{answer:?}: {error:?}"
        );
        assert!(!error.is_transient() && !error.to_string().contains("secret"));
    }
    Ok(())
}

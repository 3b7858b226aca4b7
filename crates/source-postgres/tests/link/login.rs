//! Every way to log in, every way to be refused, every `sslmode`.

use adit_lab::tls::{Authority, Names};
use adit_lab::{Postgres, pg};
use adit_source_postgres::link::ReplicationLink;
use anyhow::{Context as _, Result};

use crate::support::{connect_both, refusal};

/// A TLS server with a role for every way to log in; a role's password is its name reversed.
async fn server_with_roles(version: pg::Version, names: Names) -> Result<Postgres> {
    let server = Postgres::builder(version)
        .tls(names)
        .hba("host all clear 127.0.0.1/32 password")
        .hba("host all hashed 127.0.0.1/32 md5")
        .hba("host all scrammed 127.0.0.1/32 scram-sha-256")
        .hba("hostssl all certified 127.0.0.1/32 cert")
        .hba("hostssl all encrypted 127.0.0.1/32 trust")
        .hba("hostnossl all encrypted 127.0.0.1/32 reject")
        .hba("hostnossl all plain 127.0.0.1/32 trust")
        .hba("hostssl all plain 127.0.0.1/32 reject")
        .start()
        .await?;
    server
        .exec(
            "set password_encryption = 'md5';
             create role hashed login replication password 'dehsah';
             set password_encryption = 'scram-sha-256';
             create role scrammed login replication password 'demmarcs';
             create role clear login replication password 'raelc';
             create role certified login replication;
             create role encrypted login replication;
             create role plain login replication;
             create role trusted login replication;
             create role reader login",
        )
        .await?;
    Ok(server)
}

#[tokio::test]
async fn every_login_method_works_on_every_version() -> Result<()> {
    for version in pg::VERSIONS {
        let server = server_with_roles(version, Names::Right).await?;
        let ca = server.ca_path().context("no authority")?;
        let ca = ca.display();
        let pair = server.client_cert("certified")?;
        let (cert, key) = (pair.cert.display(), pair.key.display());
        let full = format!("sslmode=verify-full&sslrootcert={ca}");
        for (user, query, encrypted) in [
            ("trusted", "sslmode=disable".to_owned(), false),
            ("clear:raelc", "sslmode=disable".to_owned(), false),
            ("hashed:dehsah", "sslmode=disable".to_owned(), false),
            ("scrammed:demmarcs", "sslmode=disable".to_owned(), false),
            (
                "scrammed:demmarcs",
                "sslmode=require&channel_binding=disable".to_owned(),
                true,
            ),
            (
                "scrammed:demmarcs",
                "sslmode=require&channel_binding=require".to_owned(),
                true,
            ),
            (
                "scrammed:demmarcs",
                format!("{full}&channel_binding=require"),
                true,
            ),
            (
                "certified",
                format!("{full}&sslcert={cert}&sslkey={key}"),
                true,
            ),
        ] {
            let url = format!(
                "postgres://{user}@localhost:{}/postgres?{query}",
                server.port()
            );
            let seen = connect_both(&url)
                .await
                .with_context(|| format!("{version} {url}"))?;
            let tls = encrypted.then_some("TLSv1.3");
            assert_eq!(seen.tls_version.as_deref(), tls, "{version} {url}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn scram_plus_works_over_tls_1_2() -> Result<()> {
    let server = Postgres::builder(pg::Version::V17)
        .tls(Names::Right)
        .conf("ssl_max_protocol_version", "TLSv1.2")
        .hba("host all scrammed 127.0.0.1/32 scram-sha-256")
        .start()
        .await?;
    server
        .exec("create role scrammed login replication password 'demmarcs'")
        .await?;
    let url = format!(
        "postgres://scrammed:demmarcs@localhost:{}/postgres?sslmode=require&channel_binding=require",
        server.port()
    );
    assert_eq!(
        connect_both(&url).await?.tls_version.as_deref(),
        Some("TLSv1.2")
    );
    Ok(())
}

#[tokio::test]
async fn refused_logins_say_what_to_do_and_are_not_tried_for_ever() -> Result<()> {
    let server = server_with_roles(pg::Version::V17, Names::Right).await?;
    let at = server.addr();
    let bound = "postgres?sslmode=require&channel_binding=require";
    for (user, rest, code, words) in [
        (
            "scrammed:wrong",
            "postgres",
            Some("28P01"),
            "check user and password",
        ),
        (
            "hashed:wrong",
            "postgres",
            Some("28P01"),
            "check user and password",
        ),
        (
            "clear:wrong",
            "postgres",
            Some("28P01"),
            "check user and password",
        ),
        ("scrammed", "postgres", None, "password_file"),
        ("clear", "postgres", None, "password_file"),
        (
            "trusted",
            "nowhere",
            Some("3D000"),
            "correct the database name",
        ),
        (
            "nobody",
            "postgres",
            Some("28000"),
            "check that the role exists",
        ),
        (
            "certified",
            "postgres?sslmode=require",
            Some("28000"),
            "pg_hba.conf",
        ),
        (
            "encrypted",
            "postgres?sslmode=disable",
            Some("28000"),
            "pg_hba.conf",
        ),
        (
            "plain",
            "postgres?sslmode=require",
            Some("28000"),
            "pg_hba.conf",
        ),
        ("hashed:dehsah", bound, None, "channel"),
        ("trusted", bound, None, "channel"),
        (
            "scrammed:demmarcs",
            "postgres?sslrootcert=/none.pem",
            None,
            "sslrootcert",
        ),
    ] {
        let url = format!("postgres://{user}@{at}/{rest}");
        for error in refusal(&url).await? {
            let text = error.to_string();
            assert_eq!(error.sqlstate(), code, "{url}: {text}");
            assert!(text.contains(words), "{url}: {text}");
            assert!(!error.is_transient(), "{url}: {text}");
            assert!(
                !text.contains("wrong@") && !text.contains("dehsah"),
                "{text}"
            );
        }
    }
    let url = format!("postgres://reader@{at}/postgres");
    let error = ReplicationLink::connect(&url.parse()?, &[])
        .await
        .expect_err("no REPLICATION");
    assert_eq!(error.sqlstate(), Some("42501"));
    assert!(
        error.to_string().contains("ALTER ROLE name REPLICATION"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn each_sslmode_encrypts_and_checks_what_libpq_would() -> Result<()> {
    let right = server_with_roles(pg::Version::V17, Names::Right).await?;
    let wrong = server_with_roles(pg::Version::V17, Names::Wrong).await?;
    let bare = Postgres::start(pg::Version::V17).await?;
    bare.exec("create role trusted login replication").await?;
    let folder = tempfile::tempdir()?;
    let other_ca = Authority::new(folder.path())?.ca_path();
    let right_ca = right.ca_path().context("no authority")?;
    let wrong_ca = wrong.ca_path().context("no authority")?;
    let url = |server: &Postgres, user: &str, mode: &str, ca: Option<&std::path::Path>| {
        let roots = ca.map_or_else(String::new, |ca| format!("&sslrootcert={}", ca.display()));
        format!(
            "postgres://{user}@{}/postgres?sslmode={mode}{roots}",
            server.addr()
        )
    };
    for (url, encrypted) in [
        (url(&right, "trusted", "disable", None), false),
        (url(&right, "trusted", "allow", None), false),
        (url(&right, "trusted", "prefer", None), true),
        (url(&right, "trusted", "require", None), true),
        (url(&right, "trusted", "require", Some(&right_ca)), true),
        (url(&right, "trusted", "verify-ca", Some(&right_ca)), true),
        (url(&right, "trusted", "verify-full", Some(&right_ca)), true),
        (url(&wrong, "trusted", "verify-ca", Some(&wrong_ca)), true),
        // The server lets in only one of the two ways.
        (url(&right, "encrypted", "allow", None), true),
        (url(&right, "plain", "prefer", None), false),
        // The server has no TLS.
        (url(&bare, "trusted", "prefer", None), false),
        (url(&bare, "trusted", "allow", None), false),
        // As libpq does: an untrusted certificate makes `prefer` go without.
        (url(&right, "trusted", "prefer", Some(&other_ca)), false),
    ] {
        let seen = connect_both(&url).await.with_context(|| url.clone())?;
        assert_eq!(seen.tls_version.is_some(), encrypted, "{url}");
    }
    for (url, words) in [
        (
            url(&wrong, "trusted", "verify-full", Some(&wrong_ca)),
            "is for another name",
        ),
        (
            url(&right, "trusted", "verify-full", Some(&other_ca)),
            "issued by nobody we trust",
        ),
        (
            url(&right, "trusted", "verify-ca", Some(&other_ca)),
            "issued by nobody we trust",
        ),
        (
            url(&right, "trusted", "require", Some(&other_ca)),
            "issued by nobody we trust",
        ),
        (
            url(&right, "trusted", "verify-full", None),
            "issued by nobody we trust",
        ),
        (url(&bare, "trusted", "require", None), "ssl = on"),
    ] {
        for error in refusal(&url).await? {
            assert!(error.to_string().contains(words), "{url}: {error}");
            assert!(!error.is_transient(), "{url}: {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_named_as_the_cause() -> Result<()> {
    // Up to TLS 1.2 the server's alert arrives for certain; later it may be lost with the connection.
    let server = Postgres::builder(pg::Version::V17)
        .tls(Names::Right)
        .conf("ssl_max_protocol_version", "TLSv1.2")
        .hba("hostssl all certified 127.0.0.1/32 cert")
        .start()
        .await?;
    let folder = tempfile::tempdir()?;
    let pair = Authority::new(folder.path())?.client("certified")?;
    let url = format!(
        "postgres://certified@{}/postgres?sslmode=require&sslcert={}&sslkey={}",
        server.addr(),
        pair.cert.display(),
        pair.key.display()
    );
    for error in refusal(&url).await? {
        assert!(
            error.to_string().contains("the certificate in sslcert"),
            "{error}"
        );
        assert!(!error.is_transient(), "{error:?}");
    }
    Ok(())
}

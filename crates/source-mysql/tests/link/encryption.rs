//! Every `ssl-mode`, and certificates of our own.

use adit_lab::Mysql;
use adit_lab::mysql::{VERSIONS, Version};
use adit_lab::tls::{Authority, Names};
use adit_source_mysql::link::LinkError;
use anyhow::{Context as _, Result};

use crate::support::{chain, connect, is_encrypted, refusal, socket_url, url};

/// MySQL 5.6 as the lab has it knows TLS 1.0 only, which rustls does not.
fn versions_with_tls() -> impl Iterator<Item = Version> {
    VERSIONS
        .into_iter()
        .filter(|version| *version != Version::Mysql5_6)
}

#[tokio::test]
async fn each_ssl_mode_encrypts_and_checks_what_the_servers_programs_would() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let other = Authority::new(folder.path())?.ca_path();
    let other = other.display();
    for version in versions_with_tls() {
        let right = Mysql::builder(version).tls(Names::Right).start().await?;
        let wrong = Mysql::builder(version).tls(Names::Wrong).start().await?;
        let (ca, wrong_ca) = (right.ca_path(), wrong.ca_path());
        let ca = ca.context("no authority")?;
        let wrong_ca = wrong_ca.context("no authority")?;
        let (ca, wrong_ca) = (ca.display(), wrong_ca.display());
        for (url, encrypted) in [
            (url(&right, "root", "ssl-mode=disabled"), false),
            (url(&right, "root", ""), true),
            (url(&right, "root", "ssl-mode=preferred"), true),
            (url(&right, "root", "ssl-mode=required"), true),
            (url(&right, "root", &format!("ssl-ca={ca}")), true),
            (
                url(&right, "root", &format!("ssl-mode=VERIFY_CA&ssl-ca={ca}")),
                true,
            ),
            (
                url(
                    &right,
                    "root",
                    &format!("ssl-mode=verify_identity&ssl-ca={ca}"),
                ),
                true,
            ),
            (
                url(
                    &right,
                    "root",
                    &format!("sslmode=verify-full&ssl-ca={ca}&compress=zlib"),
                ),
                true,
            ),
            (
                url(
                    &wrong,
                    "root",
                    &format!("ssl-mode=verify_ca&ssl-ca={wrong_ca}"),
                ),
                true,
            ),
            // A socket is private as it is.
            (socket_url(&right, "root", "ssl-mode=required"), false),
        ] {
            let mut link = connect(&url).await.with_context(|| version.to_string())?;
            assert_eq!(is_encrypted(&mut link).await?, encrypted, "{version} {url}");
        }
        for (url, words) in [
            (
                url(
                    &wrong,
                    "root",
                    &format!("ssl-mode=verify_identity&ssl-ca={wrong_ca}"),
                ),
                "name",
            ),
            (
                url(
                    &right,
                    "root",
                    &format!("ssl-mode=verify_identity&ssl-ca={other}"),
                ),
                "ssl-ca",
            ),
            (
                url(
                    &right,
                    "root",
                    &format!("ssl-mode=verify_ca&ssl-ca={other}"),
                ),
                "ssl-ca",
            ),
            (url(&right, "root", "ssl-mode=verify_identity"), "ssl-ca"),
            (
                url(&right, "root", "ssl-mode=verify_ca&ssl-ca=/none.pem"),
                "/none.pem",
            ),
        ] {
            let error = refusal(&url).await?;
            let text = chain(&error);
            assert!(text.contains(words), "{version} {url}: {text}");
            assert!(!error.is_transient(), "{version} {url}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn certificates_that_a_server_makes_itself_can_be_trusted() -> Result<()> {
    // MySQL makes an authority and a certificate for no host at all.
    let server = Mysql::start(Version::Mysql9_7).await?;
    let ca = server.data_dir().join("ca.pem");
    let ca = ca.display();
    let mut link = connect(&url(&server, "root", &format!("ssl-ca={ca}"))).await?;
    assert!(is_encrypted(&mut link).await?);
    let query = format!("ssl-mode=verify_identity&ssl-ca={ca}");
    let error = refusal(&url(&server, "root", &query)).await?;
    assert!(chain(&error).contains("another name"), "{error}");
    // MariaDB makes one that nobody signed, and keeps it in its memory.
    let server = Mysql::start(Version::Maria11_8).await?;
    let mut link = connect(&url(&server, "root", "ssl-mode=required")).await?;
    assert!(is_encrypted(&mut link).await?);
    let error = refusal(&url(&server, "root", "ssl-mode=verify_ca")).await?;
    assert!(error.to_string().contains("nobody we trust"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() -> Result<()> {
    for version in [Version::Mysql5_6, Version::Maria10_5, Version::Maria10_11] {
        let server = Mysql::start(version).await?;
        let mut link = connect(&url(&server, "root", "")).await?;
        assert!(!is_encrypted(&mut link).await?);
        for mode in ["required", "verify_ca", "verify_identity"] {
            let error = refusal(&url(&server, "root", &format!("ssl-mode={mode}"))).await?;
            assert!(
                matches!(error, LinkError::NoTls { .. }),
                "{version} {mode}: {error}"
            );
            assert!(error.to_string().contains(mode), "{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn our_certificate_lets_us_in_and_anothers_is_named_as_the_cause() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stranger = Authority::new(folder.path())?.client("certified")?;
    for version in versions_with_tls() {
        let server = Mysql::builder(version).tls(Names::Right).start().await?;
        server
            .exec("CREATE USER certified REQUIRE SUBJECT '/CN=certified'")
            .await?;
        let pair = server.client_cert("certified")?;
        let query = |pair: &adit_lab::tls::Pair| {
            format!(
                "ssl-mode=required&ssl-cert={}&ssl-key={}",
                pair.cert.display(),
                pair.key.display()
            )
        };
        connect(&url(&server, "certified", &query(&pair)))
            .await?
            .close()
            .await;

        let error = refusal(&url(&server, "certified", "ssl-mode=required")).await?;
        assert_eq!(error.code(), Some(1045), "{version}: {error}");
        // In TLS 1.3 the server's alert may be lost with the connection; but if it comes, it is told.
        let error = refusal(&url(&server, "certified", &query(&stranger))).await?;
        let text = chain(&error);
        assert!(
            text.contains("ssl-cert") || error.is_transient(),
            "{version}: {text}"
        );

        let swapped = adit_lab::tls::Pair {
            cert: pair.key.clone(),
            key: pair.cert.clone(),
            ..pair
        };
        let error = refusal(&url(&server, "certified", &query(&swapped))).await?;
        assert!(
            matches!(error, LinkError::File { .. }),
            "{version}: {error}"
        );
    }
    Ok(())
}

//! Encrypted servers: the authority's certificates are accepted by PostgreSQL, NATS and a client that checks them.

use std::sync::Arc;
use std::time::Duration;

use adit_lab::tls::{Authority, Names, Pair};
use adit_lab::{Nats, Postgres, nats, pg};
use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Logs in over TLS with a client certificate, as the protocol's documentation has it ("SSL Session Encryption", "Start-up"):
/// the type of the first message that comes back and its first word, `(b'R', 0)` for "authenticated".
async fn log_in(server: &Postgres, pair: &Pair, user: &str) -> Result<(u8, u32)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pair.ca)?)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&pair.cert)?],
            PrivateKeyDer::from_pem_file(&pair.key)?,
        )?;
    let mut stream = TcpStream::connect(server.addr()).await?;
    stream
        .write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
        .await?;
    ensure!(stream.read_u8().await? == b'S', "the server has no TLS");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost")?, stream)
        .await?;
    let parameters = format!("user\0{user}\0database\0postgres\0\0");
    let len = u32::try_from(8 + parameters.len())?;
    stream.write_u32(len).await?;
    stream.write_u32(0x0003_0000).await?;
    stream.write_all(parameters.as_bytes()).await?;
    let kind = stream.read_u8().await?;
    let _len = stream.read_u32().await?;
    Ok((kind, stream.read_u32().await?))
}

#[tokio::test]
async fn postgres_of_every_version_lets_in_who_has_a_client_certificate() -> Result<()> {
    for version in pg::VERSIONS {
        let server = Postgres::builder(version)
            .tls(Names::Right)
            .hba("hostssl all alice 127.0.0.1/32 cert")
            .hba("host all alice 127.0.0.1/32 reject")
            .start()
            .await?;
        server.exec("create role alice login").await?;
        let pair = server.client_cert("alice")?;
        assert_eq!(server.ca_path().as_ref(), Some(&pair.ca));
        assert_eq!(log_in(&server, &pair, "alice").await?, (b'R', 0));

        let stranger = server.client_cert("bob")?;
        let (kind, _) = log_in(&server, &stranger, "alice").await?;
        assert_eq!(kind, b'E', "bob's certificate is not alice's");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_with_the_wrong_name_is_refused_by_a_client_that_checks() -> Result<()> {
    let server = Postgres::builder(pg::Version::V17)
        .tls(Names::Wrong)
        .start()
        .await?;
    let pair = server.client_cert("postgres")?;
    let refused = log_in(&server, &pair, "postgres").await;
    let error = format!("{:#}", refused.err().context("it was let in")?);
    assert!(error.contains("not valid for name"), "{error}");
    Ok(())
}

#[tokio::test]
async fn nats_takes_certificates_users_and_permissions_from_extra_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path())?;
    let pair = authority.server(Names::Right)?;
    let conf = format!(
        r#"
        tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}
        authorization {{ users: [
            {{ user: "reader", password: "word", permissions: {{ publish: {{ deny: ">" }} }} }}
        ] }}
        "#,
        pair.cert, pair.key, pair.ca
    );
    let server = Nats::builder(nats::Version::V2_12)
        .conf(&conf)
        .jetstream_conf("max_file_store: 10MB")
        .start()
        .await?;
    assert!(server.client().await.is_err(), "no certificate, no user");
    let own = authority.client("reader")?;
    let client = async_nats::ConnectOptions::with_user_and_password("reader".into(), "word".into())
        .add_root_certificates(pair.ca.clone())
        .add_client_certificate(own.cert, own.key)
        .require_tls(true)
        .connection_timeout(Duration::from_secs(10))
        .connect(format!("tls://localhost:{}", server.port()))
        .await?;
    assert!(client.server_info().auth_required);
    Ok(())
}

//! TLS as `libpq` does it, on rustls.
//!
//! The handshake is made here, for the replication link and for SQL alike;
//! `tokio-postgres` is handed the finished stream (see `link::sql`).

mod end_point;
mod verifier;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::end_point::tls_server_end_point;
use self::verifier::{ServerTrust, ServerVerifier};
use crate::config::{ClientCertificate, Host, RootCertificates, SslMode, Target, TlsSettings};
use crate::link::ConnectError;

/// Reads the files and builds the client of one connection.
///
/// Blocks on files: call it where that is allowed. The files are read at each
/// connect, so a rotated certificate is picked up without a restart.
pub(crate) fn client_config(
    settings: &TlsSettings,
    target: &Target,
) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = ServerVerifier::new(trust(settings, target)?, &provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(target, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match &settings.client {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            let (chain, key) = client_certificate(files)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                ConnectError::CertificateFile {
                    path: files.certificate.clone(),
                    what: "the client certificate (sslcert)",
                    why: format!("it does not go with the key in sslkey: {error}"),
                }
            })
        }
    }
}

/// Makes the handshake over a connected stream whose server has agreed to it.
pub(crate) async fn handshake<S>(
    config: ClientConfig,
    target: &Target,
    stream: S,
) -> Result<TlsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = server_name(target)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|source| handshake_error(target, source))
}

/// The server's certificate hash for SCRAM-SHA-256-PLUS, if there is one.
pub(crate) fn channel_binding<S>(stream: &TlsStream<S>) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates()?.first()?;
    tls_server_end_point(leaf)
}

/// What makes a server's certificate good, by `sslmode` and `sslrootcert`.
fn trust(settings: &TlsSettings, target: &Target) -> Result<ServerTrust, ConnectError> {
    let roots = match (&settings.roots, settings.mode) {
        (Some(RootCertificates::File(path)), _) => Some(file_roots(path)?),
        (Some(RootCertificates::System), _) | (None, SslMode::VerifyFull) => Some(Roots {
            store: native_roots(target)?,
            certificates: Vec::new(),
        }),
        (None, _) => None,
    };
    Ok(match (roots, settings.mode) {
        (None, _) => ServerTrust::Anyone,
        (Some(roots), SslMode::VerifyFull) => ServerTrust::ChainAndName(roots),
        // libpq: a root certificate turns every weaker mode into verify-ca.
        (Some(roots), _) => ServerTrust::Chain(roots),
    })
}

/// Trusted certificates, as a store and as they were in the file.
#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

fn file_roots(path: &Path) -> Result<Roots, ConnectError> {
    const WHAT: &str = "the trusted root certificates (sslrootcert)";
    let certificates = certificates(path, WHAT)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| {
            unusable(path, WHAT, format!("a certificate in it is bad: {error}"))
        })?;
    }
    Ok(Roots {
        store,
        certificates,
    })
}

fn native_roots(target: &Target) -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(ConnectError::TlsSetup {
            target: target.clone(),
            why: "this system has no trusted root certificates: install its ca-certificates package, or give sslrootcert=FILE in the source url".to_owned(),
        });
    }
    Ok(store)
}

fn client_certificate(
    files: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConnectError> {
    const KEY: &str = "the client certificate's key (sslkey)";
    let chain = certificates(&files.certificate, "the client certificate (sslcert)")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| match error {
        PemError::NoItemsFound => unusable(
            &files.key,
            KEY,
            "it holds no private key in PEM form; an encrypted key has to be decrypted first (openssl pkey)".to_owned(),
        ),
        other => unusable(&files.key, KEY, other.to_string()),
    })?;
    Ok((chain, key))
}

fn certificates(
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, what, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(
            path,
            what,
            "it holds no certificate in PEM form".to_owned(),
        ));
    }
    Ok(found)
}

fn unusable(path: &Path, what: &'static str, why: String) -> ConnectError {
    ConnectError::CertificateFile {
        path: path.to_owned(),
        what,
        why,
    }
}

fn setup(target: &Target, error: &rustls::Error) -> ConnectError {
    ConnectError::TlsSetup {
        target: target.clone(),
        why: error.to_string(),
    }
}

/// The name the certificate has to carry, and that the server is told (SNI).
fn server_name(target: &Target) -> Result<ServerName<'static>, ConnectError> {
    let name = match &target.host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => {
            return Err(ConnectError::TlsSetup {
                target: target.clone(),
                why: "there is no tls over a unix socket".to_owned(),
            });
        }
    };
    ServerName::try_from(name).map_err(|_| ConnectError::TlsSetup {
        target: target.clone(),
        why:
            "the host in the source url is neither a dns name nor an ip address, and tls needs one"
                .to_owned(),
    })
}

/// A handshake that failed, or that the server called off after its end.
pub(crate) fn handshake_error(target: &Target, source: std::io::Error) -> ConnectError {
    ConnectError::TlsHandshake {
        target: target.clone(),
        advice: handshake_advice(&source),
        source,
    }
}

fn handshake_advice(error: &std::io::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    let verdict = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match verdict {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the server's certificate is for another name: use the host name it was made for (in its subjectAltName), or sslmode=verify-ca if that is safe here"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => {
                "the server's certificate has expired: renew it on the server"
            }
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: check the clocks of both machines"
            }
            // A bad signature is what an authority looks like that was made
            // anew under the same name.
            Bad::UnknownIssuer | Bad::BadSignature => {
                "the server's certificate was issued by nobody we trust: put its authority's certificate into sslrootcert"
            }
            _ => "the server's certificate cannot be accepted: replace it, or correct sslrootcert",
        },
        Some(rustls::Error::AlertReceived(_)) => {
            "the server refused it: check that the certificate in sslcert is signed by the authority in the server's ssl_ca_file, and that the server allows TLS 1.2 or later"
        }
        Some(_) => {
            "the two sides have no common way to speak: the server must allow TLS 1.2 or later"
        }
        None => "the connection broke off: see the server's log",
    }
}

//! TLS as MySQL's programs do it (`--ssl-mode`), on rustls.

mod verifier;

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{SslMode, Target, TlsSettings};
use crate::link::LinkError;

use verifier::{Roots, Trust, Verifier};

/// Makes the handshake over a stream whose server has agreed to it. Certificates are read each time, so that a
/// rotated one is found.
pub(crate) async fn handshake(
    settings: &TlsSettings,
    target: &Target,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let config = client_config(settings)?;
    let failed = |source| LinkError::Tls {
        target: target.to_string(),
        source,
    };
    let Target::Tcp { host, .. } = target else {
        return Err(failed(io::Error::other("a socket has no name to check")));
    };
    let name = ServerName::try_from(host.clone());
    let name = name.map_err(|error| failed(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::new(config));
    let connected = connector.connect(name, stream).await;
    connected.map_err(|source| match source.kind() {
        // What TLS itself found wrong; everything else is the network's.
        io::ErrorKind::InvalidData => failed(source),
        _ => LinkError::Broken(source),
    })
}

fn client_config(settings: &TlsSettings) -> Result<ClientConfig, LinkError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(trust(settings)?, &provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the TLS settings", Path::new(""), &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((certificate, key)) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, "our certificate (ssl-cert)")?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|error| unusable("our key (ssl-key)", key, &error))?;
    let config = builder.with_client_auth_cert(chain, secret);
    config.map_err(|error| {
        unusable(
            "our certificate with its key (ssl-cert)",
            certificate,
            &error,
        )
    })
}

fn trust(settings: &TlsSettings) -> Result<Trust, LinkError> {
    match settings.mode {
        SslMode::Disabled | SslMode::Preferred | SslMode::Required => Ok(Trust::Anyone),
        SslMode::VerifyCa => Ok(Trust::Chain(roots(settings)?)),
        SslMode::VerifyIdentity => Ok(Trust::ChainAndName(roots(settings)?)),
    }
}

fn roots(settings: &TlsSettings) -> Result<Roots, LinkError> {
    let mut store = RootCertStore::empty();
    let Some(path) = &settings.ca else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(LinkError::File {
                what: "the authorities of the system",
                path: "its usual places".to_owned(),
                why: "there are none; name a file with ssl-ca".to_owned(),
            });
        }
        return Ok(Roots {
            store,
            certificates: Vec::new(),
        });
    };
    const WHAT: &str = "the authorities (ssl-ca)";
    let certificates = certificates(path, WHAT)?;
    for certificate in &certificates {
        let added = store.add(certificate.clone());
        added.map_err(|error| unusable(WHAT, path, &error))?;
    }
    Ok(Roots {
        store,
        certificates,
    })
}

fn certificates(
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let found = CertificateDer::pem_file_iter(path);
    let found = found.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unusable(what, path, &error))?;
    if found.is_empty() {
        return Err(unusable(what, path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn unusable(what: &'static str, path: &Path, why: &dyn std::fmt::Display) -> LinkError {
    LinkError::File {
        what,
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

//! TLS settings, shared by the publishing link and the control connection.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{config::TlsConfig, error::Error};

/// Builds the client configuration; files are read now.
pub(crate) fn client_config(tls: &TlsConfig) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(format!("tls: {error}")))?
        .with_root_certificates(roots(tls)?);
    match (&tls.cert_file, &tls.key_file) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert_file), Some(key_file)) => {
            let chain = certificates("client certificate", cert_file)?;
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| unusable("client key", key_file, error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("client certificate", cert_file, error))
        }
        _ => Err(Error::Config(
            "nats.tls.cert and nats.tls.key belong together: set both or none".to_owned(),
        )),
    }
}

/// Whether a failed connection is about certificates or the TLS protocol itself, and not about the network under it.
pub(crate) fn is_tls_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error shows the error inside it as text, and only the cause of that as its source.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| is_tls_error(inner)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn roots(tls: &TlsConfig) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(path) => {
            for certificate in certificates("certification authority", path)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable("certification authority", path, error))?;
            }
        }
        None => {
            // Single broken certificates of the system's store are skipped, as everybody does; an empty store refuses every server.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(what, path, error))?;
    if found.is_empty() {
        Err(unusable(what, path, "it holds no certificate"))
    } else {
        Ok(found)
    }
}

fn unusable(what: &str, path: &Path, why: impl ToString) -> Error {
    Error::Secret {
        what: format!("{what} {}", path.display()),
        why: why.to_string(),
    }
}

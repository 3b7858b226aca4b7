//! Whether to accept the server's certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::Roots;

/// What makes a certificate good.
#[derive(Debug)]
pub(super) enum ServerTrust {
    /// Any will do: the line is encrypted, the peer is not known.
    Anyone,
    /// One issued by a root, for whatever name.
    Chain(Roots),
    /// One issued by a root for the host we called.
    ChainAndName(Roots),
}

/// Decides by [`ServerTrust`]. In every case the server has to prove that it
/// holds the certificate's key.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    trust: ServerTrust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(super) fn new(trust: ServerTrust, provider: &Arc<CryptoProvider>) -> Self {
        Self {
            trust,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn verify_chain(
        &self,
        roots: &Roots,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let verdict = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots.store,
            intermediates,
            now,
            self.algorithms.all,
        );
        match verdict {
            // The self-signed certificate that `openssl req -x509` makes is
            // marked as an authority, and webpki takes no authority for a
            // server. When that very certificate is in sslrootcert, its owner
            // trusts it as it is. webpki has checked the dates by then.
            Err(error) if is_ca_used_as_server(&error) && roots.certificates.contains(leaf) => {
                Ok(())
            }
            other => other,
        }
    }
}

fn is_ca_used_as_server(error: &Error) -> bool {
    let Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error else {
        return false;
    };
    other
        .0
        .downcast_ref::<webpki::Error>()
        .is_some_and(|error| *error == webpki::Error::CaUsedAsEndEntity)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            ServerTrust::Anyone => {}
            ServerTrust::Chain(roots) => self.verify_chain(roots, leaf, intermediates, now)?,
            ServerTrust::ChainAndName(roots) => {
                self.verify_chain(roots, leaf, intermediates, now)?;
                verify_server_name(&ParsedCertificate::try_from(leaf)?, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

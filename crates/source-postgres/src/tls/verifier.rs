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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::{CertificateError, RootCertStore};

    use super::*;

    /// What `openssl req -x509` makes: self-signed and marked as an authority.
    fn self_signed(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn roots(certificate: &CertificateDer<'static>) -> Roots {
        let mut store = RootCertStore::empty();
        store.add(certificate.clone()).unwrap();
        Roots {
            store,
            certificates: vec![certificate.clone()],
        }
    }

    fn verdict(
        trust: ServerTrust,
        leaf: &CertificateDer<'_>,
        name: &str,
        years: u64,
    ) -> Result<(), Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(years * 31_557_600));
        ServerVerifier::new(trust, &provider)
            .verify_server_cert(leaf, &[], &name.try_into().unwrap(), &[], now)
            .map(drop)
    }

    #[test]
    fn a_self_signed_certificate_is_trusted_when_it_is_its_own_root() {
        let server = self_signed("db");
        let chain = |years| verdict(ServerTrust::Chain(roots(&server)), &server, "other", years);
        assert_eq!(chain(55), Ok(()));
        assert!(matches!(
            chain(65),
            Err(Error::InvalidCertificate(
                CertificateError::ExpiredContext { .. }
            ))
        ));
        assert!(matches!(
            chain(45),
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYetContext { .. }
            ))
        ));
    }

    #[test]
    fn a_self_signed_certificate_that_is_not_in_the_file_is_refused() {
        let trusted = self_signed("db");
        let stranger = self_signed("db");
        let chain = verdict(ServerTrust::Chain(roots(&trusted)), &stranger, "db", 55);
        assert!(chain.is_err());
        assert_eq!(verdict(ServerTrust::Anyone, &stranger, "db", 55), Ok(()));
    }

    #[test]
    fn the_name_counts_only_where_it_was_asked_for() {
        let server = self_signed("db");
        let full = |name| verdict(ServerTrust::ChainAndName(roots(&server)), &server, name, 55);
        assert_eq!(full("db"), Ok(()));
        assert!(matches!(
            full("other"),
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForNameContext { .. }
            ))
        ));
    }
}

//! The `tls-server-end-point` channel binding: RFC 5929, section 4.
//!
//! It is the hash of the server's certificate, made with the hash function of
//! the certificate's own signature; MD5 and SHA-1 are replaced by SHA-256.
//! A signature without a hash function (Ed25519) leaves it undefined.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The channel binding data of a server that presented this certificate, or
/// none where the RFC defines none (or the certificate cannot be read).
pub(super) fn tls_server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let der = certificate.as_ref();
    Some(match signature_hash(der)? {
        Hash::Sha224 => Sha224::digest(der).to_vec(),
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Signature algorithms by their object identifiers, as in the DER value.
/// RFC 3279, RFC 4055 (RSA), RFC 5758 (ECDSA, DSA).
const SIGNATURES: &[(&[u8], Hash)] = &[
    // 1.2.840.113549.1.1.n: md5, sha1, sha256, sha384, sha512, sha224 with RSA
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
        Hash::Sha384,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
        Hash::Sha512,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e],
        Hash::Sha224,
    ),
    // 1.2.840.10045.4.1: ECDSA with SHA-1; 1.2.840.10045.4.3.n: with SHA-2
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], Hash::Sha256),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01],
        Hash::Sha224,
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
        Hash::Sha384,
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
        Hash::Sha512,
    ),
];

/// 1.2.840.113549.1.1.10: RSASSA-PSS, whose hash is in its parameters.
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// Hash functions by their object identifiers, for RSASSA-PSS. RFC 4055.
const HASHES: &[(&[u8], Hash)] = &[
    // 1.3.14.3.2.26: SHA-1; 2.16.840.1.101.3.4.2.n: SHA-2
    (&[0x2b, 0x0e, 0x03, 0x02, 0x1a], Hash::Sha256),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        Hash::Sha256,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        Hash::Sha384,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        Hash::Sha512,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04],
        Hash::Sha224,
    ),
];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, constructed: the explicit tag of PSS's hash algorithm.
const CONTEXT_0: u8 = 0xa0;

/// ```text
/// Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm AlgorithmIdentifier, … }
/// AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }
/// ```
fn signature_hash(der: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    if oid == RSA_PSS {
        pss_hash(parameters)
    } else {
        look_up(SIGNATURES, oid)
    }
}

/// `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] AlgorithmIdentifier DEFAULT sha1, … }`
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((tagged, _)) = element(parameters, CONTEXT_0) else {
        return Some(Hash::Sha256);
    };
    let (algorithm, _) = element(tagged, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    look_up(HASHES, oid)
}

fn look_up(table: &[(&[u8], Hash)], oid: &[u8]) -> Option<Hash> {
    table
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, hash)| *hash)
}

/// Splits a DER element with this tag off the front: its value and what follows.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        // The long form: the low bits count the bytes of the length.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_signed(algorithm: &'static rcgen::SignatureAlgorithm) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["db.example.com".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    /// A certificate of which only the signature algorithm is filled in.
    fn skeleton(algorithm: &[u8]) -> CertificateDer<'static> {
        let identifier = tagged(SEQUENCE, algorithm);
        let body = [tagged(SEQUENCE, &[0; 300]), identifier].concat();
        tagged(SEQUENCE, &body).into()
    }

    fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], value].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let p256 = self_signed(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(
            tls_server_end_point(&p256),
            Some(Sha256::digest(&p256).to_vec())
        );
        let p384 = self_signed(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(
            tls_server_end_point(&p384),
            Some(Sha384::digest(&p384).to_vec())
        );
    }

    #[test]
    fn ed25519_has_no_binding() {
        assert_eq!(
            tls_server_end_point(&self_signed(&rcgen::PKCS_ED25519)),
            None
        );
    }

    #[test]
    fn md5_and_sha1_are_replaced_by_sha256() {
        for last in [0x04, 0x05] {
            let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
            let certificate = skeleton(&[&tagged(OBJECT_IDENTIFIER, &oid)[..], &[5, 0]].concat());
            assert_eq!(signature_hash(&certificate), Some(Hash::Sha256));
        }
    }

    #[test]
    fn pss_names_its_hash_or_means_sha1() {
        let oid = tagged(OBJECT_IDENTIFIER, RSA_PSS);
        let default = skeleton(&[&oid[..], &tagged(SEQUENCE, &[])].concat());
        assert_eq!(signature_hash(&default), Some(Hash::Sha256));
        let sha512 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
        let hash = tagged(SEQUENCE, &tagged(OBJECT_IDENTIFIER, &sha512));
        let named = tagged(SEQUENCE, &tagged(CONTEXT_0, &hash));
        let certificate = skeleton(&[&oid[..], &named].concat());
        assert_eq!(signature_hash(&certificate), Some(Hash::Sha512));
    }

    #[test]
    fn a_cut_certificate_gives_none_and_no_panic() {
        let whole = self_signed(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..whole.len() {
            assert_eq!(signature_hash(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(signature_hash(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(signature_hash(&[0x30, 0x80]), None);
    }
}

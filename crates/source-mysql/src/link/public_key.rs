//! The server's public key, with which a password is encrypted where somebody may listen.
//!
//! The key is a SubjectPublicKeyInfo (RFC 5280, 4.1) with an RSA key (RFC 8017, A.1.1), in PEM. It is checked
//! here, because `mysql_common`, which encrypts, panics over a key that it cannot read.

use mysql_common::crypto::der::parse_pub_key_pkcs8;
use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 1.2.840.113549.1.1.1: rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// What OAEP with SHA-1 adds (RFC 8017, 7.1.1): two hashes and two bytes.
const PADDING: usize = 2 * 20 + 2;

/// Encrypts as the servers want it: RSA, OAEP with SHA-1.
///
/// # Errors
/// Why the key cannot be used.
pub(super) fn encrypt(clear: &[u8], pem: &[u8]) -> Result<Vec<u8>, &'static str> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
        .map_err(|_| "it is no public key in PEM format (-----BEGIN PUBLIC KEY-----)")?;
    if !is_rsa(&der) {
        return Err("it is no RSA key");
    }
    let (modulus, exponent) = parse_pub_key_pkcs8(&der);
    let key = PublicKey::new(modulus, exponent);
    if clear.len() + PADDING > key.num_octets() {
        return Err("the password is longer than what this key can encrypt");
    }
    Ok(key.encrypt_block(clear, Pkcs1OaepPadding::new(GetRandom)))
}

/// ```text
/// SEQUENCE { SEQUENCE { OBJECT IDENTIFIER, … }, BIT STRING { SEQUENCE { INTEGER, INTEGER } } }
/// ```
fn is_rsa(der: &[u8]) -> bool {
    let fields = || {
        let (info, _) = element(der, SEQUENCE)?;
        let (algorithm, rest) = element(info, SEQUENCE)?;
        let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
        let (bits, _) = element(rest, BIT_STRING)?;
        // No bit is left over.
        let (key, _) = element(bits.strip_prefix(&[0])?, SEQUENCE)?;
        let (_modulus, rest) = element(key, INTEGER)?;
        let (_exponent, _) = element(rest, INTEGER)?;
        Some(oid == RSA)
    };
    fields().unwrap_or(false)
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
            let digits = bytes.iter();
            let length = digits.fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], value].concat()
    }

    fn key(oid: &[u8], modulus: &[u8]) -> Vec<u8> {
        let numbers = [tagged(INTEGER, modulus), tagged(INTEGER, &[1, 0, 1])].concat();
        let bits = [&[0], &tagged(SEQUENCE, &numbers)[..]].concat();
        let algorithm = tagged(SEQUENCE, &tagged(OBJECT_IDENTIFIER, oid));
        tagged(SEQUENCE, &[algorithm, tagged(BIT_STRING, &bits)].concat())
    }

    #[test]
    fn only_whole_rsa_keys_are_taken() {
        let whole = key(RSA, &[0xff; 256]);
        assert!(is_rsa(&whole));
        // 1.3.101.112: Ed25519
        assert!(!is_rsa(&key(&[0x2b, 0x65, 0x70], &[0xff; 256])));
        for end in 0..whole.len() {
            assert!(!is_rsa(whole.get(..end).unwrap()), "cut at {end}");
        }
    }

    #[test]
    fn whatever_is_taken_can_be_parsed() {
        let whole = key(RSA, &[0xff; 16]);
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut der = whole.clone();
                *der.get_mut(at).unwrap() = byte;
                if is_rsa(&der) {
                    parse_pub_key_pkcs8(&der);
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_said() {
        for pem in [
            "",
            "hello",
            "-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(encrypt(b"x", pem.as_bytes()).is_err(), "{pem}");
        }
    }
}

//! Throw-away certificates: an authority that signs for servers and clients of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Which names a server's certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `localhost` and `127.0.0.1`, where the lab's servers are.
    Right,
    /// Another host's name, so that a client that checks names must refuse.
    Wrong,
}

/// A certificate and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The authority that signed it.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// The private key (PKCS #8), readable by its owner only.
    pub key: PathBuf,
}

/// A certificate authority.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority that keeps its files in `folder`.
    ///
    /// # Errors
    ///
    /// No key can be made, or the folder cannot be written.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "adit lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let authority = Self {
            folder: folder.to_path_buf(),
            issuer,
        };
        fs::write(authority.ca_path(), authority.issuer.pem())
            .with_context(|| format!("cannot write in {}", folder.display()))?;
        Ok(authority)
    }

    /// The authority's own certificate, for who must trust it.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for a server.
    ///
    /// # Errors
    ///
    /// No key can be made, or the folder cannot be written.
    pub fn server(&self, names: Names) -> Result<Pair> {
        let (file, names) = match names {
            Names::Right => ("server", &["localhost", "127.0.0.1"][..]),
            Names::Wrong => ("server-wrong", &["elsewhere.example"][..]),
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "adit lab server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(file, params)
    }

    /// A certificate for a client whose common name is `user`.
    ///
    /// # Errors
    ///
    /// No key can be made, or the folder cannot be written.
    pub fn client(&self, user: &str) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&format!("client-{user}"), params)
    }

    fn sign(&self, file: &str, mut params: CertificateParams) -> Result<Pair> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let pair = Pair {
            ca: self.ca_path(),
            cert: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
        };
        let write = || {
            fs::write(&pair.cert, cert.pem())?;
            fs::write(&pair.key, key.serialize_pem())?;
            fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600))
        };
        write().with_context(|| format!("cannot write in {}", self.folder.display()))?;
        Ok(pair)
    }
}

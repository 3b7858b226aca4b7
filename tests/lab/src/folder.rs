//! Where the lab keeps its files.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::user;

/// Longest root, in bytes, that leaves room for a Unix socket below it: the kernel's limit for the whole path is 107, and
/// `/run/pg-17-01234567/.s.PGSQL.25432` comes after the root.
const ROOT_LEN_MAX: usize = 70;

/// The lab's folder, made if missing: `target/lab`.
///
/// PostgreSQL refuses to run as root, so root's servers run as another user, who must be able to reach the folder. If
/// `target` lies in a place closed to others, or so deep that a socket's path would be too long, the folder is
/// `adit-lab-UID` in the system's folder for temporary files.
///
/// # Errors
///
/// The folder cannot be made, or somebody else owns it.
pub fn root() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let preferred = make(&target.join("lab"))?;
    if preferred.as_os_str().len() <= ROOT_LEN_MAX && passable(&preferred)? {
        return Ok(preferred);
    }
    let uid = user::own_uid()?;
    let other = make(&env::temp_dir().join(format!("adit-lab-{uid}")))?;
    if fs::metadata(&other)?.uid() != uid {
        bail!(
            "{} belongs to another user: remove it or set TMPDIR",
            other.display()
        );
    }
    if other.as_os_str().len() > ROOT_LEN_MAX || !passable(&other)? {
        bail!(
            "the user that runs PostgreSQL can reach neither {} nor {}: set CARGO_TARGET_DIR to a short path whose folders are open (chmod o+x)",
            preferred.display(),
            other.display()
        );
    }
    Ok(other)
}

/// A folder below the root, made if missing.
pub(crate) fn below_root(name: &str) -> Result<PathBuf> {
    make(&root()?.join(name))
}

/// The path of a fresh folder for one server, not yet made: [`Process::guard`] makes it once somebody watches over it.
///
/// [`Process::guard`]: crate::process::Process::guard
pub(crate) fn fresh_run_path(name: &str) -> Result<PathBuf> {
    let run = below_root("run")?;
    Ok(run.join(format!("{name}-{:08x}", rand::random::<u32>())))
}

/// Lets every user pass and read, whatever the umask.
pub(crate) fn open_to_all(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change the mode of {}", path.display()))
}

fn make(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        open_to_all(path)?;
    }
    path.canonicalize()
        .with_context(|| format!("cannot resolve {}", path.display()))
}

/// Whether the user that servers run as can reach `path`. Our own user can reach what it made.
fn passable(path: &Path) -> Result<bool> {
    if !user::is_root()? {
        return Ok(true);
    }
    for folder in path.ancestors() {
        if fs::metadata(folder)?.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

//! Work that parallel test processes must do once between them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::folder;

/// An exclusive lock between processes, given back when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock called `name`.
    pub(crate) fn take(name: &str) -> Result<Self> {
        let path = folder::below_root("locks")?.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// The folder `place/name`, made by `fill` once for all processes.
///
/// It is filled next to its final place and renamed, so a folder that exists is complete.
pub(crate) fn once(
    place: &str,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let place_path = folder::below_root(place)?;
    let done = place_path.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let _lock = Lock::take(&format!("{place}-{name}"))?;
    if done.is_dir() {
        return Ok(done);
    }
    let part = place_path.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    fs::create_dir(&part).with_context(|| format!("cannot make {}", part.display()))?;
    folder::open_to_all(&part)?;
    fill(&part)?;
    fs::rename(&part, &done).with_context(|| format!("cannot rename {}", part.display()))?;
    Ok(done)
}

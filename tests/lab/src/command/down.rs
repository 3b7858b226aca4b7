use std::fs;

use adit_lab::Detached;
use anyhow::{Context, Result};

use super::up;

/// Ends every server that `up` left running.
pub(crate) fn run() -> Result<()> {
    for entry in fs::read_dir(up::list()?)? {
        let path = entry?.path();
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let left: Detached = serde_json::from_slice(&text)
            .with_context(|| format!("cannot understand {}: remove it", path.display()))?;
        left.end()?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        println!("{} at {} is gone", left.name, left.url);
    }
    Ok(())
}

//! Which user a server runs as.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::once::Lock;

/// The user that PostgreSQL runs as when we are root. Debian's packages use the same name.
const NAME: &str = "postgres";

/// A user that a server runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Our own user.
pub(crate) fn own_uid() -> Result<u32> {
    Ok(fs::metadata("/proc/self")
        .context("cannot read /proc/self: the lab needs Linux with /proc")?
        .uid())
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(own_uid()? == 0)
}

/// The user for a server that refuses root; `None` when we are not root and the server runs as ourselves.
///
/// Adds the system user `postgres` if root asks and there is none.
pub(crate) fn for_postgres() -> Result<Option<User>> {
    if !is_root()? {
        return Ok(None);
    }
    if let Some(user) = find()? {
        return Ok(Some(user));
    }
    let _lock = Lock::take("user")?;
    if find()?.is_none() {
        let added = Command::new("useradd")
            .args([
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                NAME,
            ])
            .stdin(Stdio::null())
            .output()
            .context("cannot run useradd: add a user named postgres yourself")?;
        if !added.status.success() {
            bail!(
                "useradd {NAME}: {}: add a user named postgres yourself",
                String::from_utf8_lossy(&added.stderr).trim()
            );
        }
    }
    find()?
        .map(Some)
        .context("the user postgres was added but is not in /etc/passwd")
}

fn find() -> Result<Option<User>> {
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    Ok(passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(NAME) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    }))
}

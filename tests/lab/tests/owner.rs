//! Servers do not outlive their owner, however it ends.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use adit_lab::{Nats, Postgres, nats, pg, wait_for};
use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_adit-lab");
const SOON: Duration = Duration::from_secs(20);

/// What `cargo lab up` prints about a server: `NAME VERSION: SCHEME://[USER@]ADDR[/…] (files in FOLDER)`.
struct Printed {
    addr: String,
    folder: PathBuf,
}

fn parse(line: &str) -> Result<Printed> {
    let after_scheme = line.split("://").nth(1).context("no URL")?;
    let url = after_scheme.split(' ').next().context("no URL")?;
    let host = url.split('/').next().context("no host")?;
    let addr = host.rsplit('@').next().context("no host")?;
    let folder = line.split("files in ").nth(1).context("no folder")?;
    Ok(Printed {
        addr: addr.to_owned(),
        folder: PathBuf::from(folder.trim_end_matches(')')),
    })
}

/// Processes that have `folder` in their command line: a server, its watchdog, a copy into it.
fn processes_of(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.to_str().context("the lab's paths are text")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // A process may end while we look.
        let Ok(line) = fs::read(entry?.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(folder) {
            found.push(line);
        }
    }
    Ok(found)
}

async fn is_gone(server: &Printed) -> Result<bool> {
    if TcpStream::connect(&server.addr).is_ok() || server.folder.exists() {
        return Ok(false);
    }
    let left = processes_of(&server.folder)?;
    ensure!(left.is_empty(), "still there: {left:?}");
    Ok(true)
}

#[tokio::test]
async fn killing_the_owner_with_sigkill_removes_its_servers_and_their_folders() -> Result<()> {
    let mut owner = tokio::process::Command::new(PROGRAM)
        .args(["up", "--hold", "postgres", "nats"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(owner.stdout.take().context("piped")?).lines();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let line = lines.next_line().await?.context("a server's line")?;
        servers.push(parse(&line)?);
    }
    for server in &servers {
        assert!(TcpStream::connect(&server.addr).is_ok());
        assert!(!processes_of(&server.folder)?.is_empty());
    }

    owner.kill().await?;
    for server in &servers {
        wait_for("the server and its folder to go", SOON, async || {
            is_gone(server).await
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn killing_the_owner_while_it_starts_a_server_leaves_nothing() -> Result<()> {
    for start_ms in [5, 20, 40, 80, 120, 200, 300] {
        let target = open_target()?;
        let mut owner = tokio::process::Command::new(PROGRAM)
            .args(["up", "--hold", "postgres"])
            .env("CARGO_TARGET_DIR", target.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        // Not a wait for anything: the moment of death is the input of the test.
        tokio::time::timeout(Duration::from_millis(start_ms), owner.wait())
            .await
            .ok();
        owner.kill().await?;
        let run = target.path().join("lab/run");
        wait_for("the run folder to be empty", SOON, async || {
            let left = processes_of(&run)?;
            ensure!(left.is_empty(), "still there: {left:?}");
            Ok(!run.exists() || fs::read_dir(&run)?.next().is_none())
        })
        .await
        .with_context(|| format!("killed after {start_ms} ms"))?;
    }
    Ok(())
}

#[tokio::test]
async fn dropping_a_server_removes_it_at_once_even_when_it_is_paused() -> Result<()> {
    let postgres = Postgres::start(pg::Version::V18).await?;
    let nats = Nats::start(nats::Version::V2_15).await?;
    postgres.pause().await?;
    nats.pause().await?;
    let servers = [
        Printed {
            addr: postgres.addr().to_string(),
            folder: postgres.folder().to_owned(),
        },
        Printed {
            addr: nats.addr().to_string(),
            folder: nats.folder().to_owned(),
        },
    ];
    drop((postgres, nats));
    for server in &servers {
        assert!(is_gone(server).await?);
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_up_left_running_are_gone_after_down() -> Result<()> {
    // A lab of its own, so that a person's servers are left alone.
    let target = open_target()?;
    let run = |arguments: &[&str]| -> Result<String> {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .env("CARGO_TARGET_DIR", target.path())
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let printed = run(&["up", "nats", "postgres", "--nats", "2.10", "--pg", "15"])?;
    let servers = printed
        .lines()
        .filter(|line| line.contains("files in"))
        .map(parse)
        .collect::<Result<Vec<_>>>()?;
    assert_eq!(servers.len(), 2, "{printed}");
    for server in &servers {
        assert!(TcpStream::connect(&server.addr).is_ok());
    }

    let printed = run(&["down"])?;
    assert_eq!(printed.lines().count(), 2, "{printed}");
    for server in &servers {
        assert!(is_gone(server).await?);
    }
    assert_eq!(run(&["down"])?, "", "nothing is left to stop");
    Ok(())
}

/// A target folder whose lab is its own but for what was fetched and made once.
fn open_target() -> Result<tempfile::TempDir> {
    for version in [pg::Version::V15, pg::Version::V17] {
        version.fetch()?;
    }
    nats::Version::V2_10.fetch()?;
    let root = adit_lab::root()?;
    let target = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()?;
    let lab = target.path().join("lab");
    fs::create_dir(&lab)?;
    for shared in ["dl", "template", "locks", "ports"] {
        fs::create_dir_all(root.join(shared))?;
        symlink(root.join(shared), lab.join(shared))?;
    }
    Ok(target)
}

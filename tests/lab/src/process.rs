//! A server's process, and the watchdog that ends it.
//!
//! ```text
//!   test process ──pipe──▶ watchdog (sh)          the pipe closes when the test process drops the server or dies,
//!        │                    │                   be it by SIGKILL: the watchdog then kills the server with its
//!        └──starts──▶ server ◀┘ kills             children and removes the folder
//! ```
//!
//! The test process tells the watchdog which process the server is before it lets the server begin (a small shell waits
//! for the word and then becomes the server), so there is no moment at which a server could be left behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::folder::open_to_all;
use crate::program::{blocking, run};
use crate::user::User;

/// The shell functions that signal a server with its children.
const FUNCTIONS: &str = include_str!("process.sh");

/// Reads the server's process id whenever it changes (0: none; "keep": leave everything as it is), and the path of a disk
/// that it has of its own, until the pipe closes.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
server=0
disk=
while read -r line; do
    case $line in
        /*) disk=$line ;;
        *) server=$line ;;
    esac
done
case $server in
    keep) exit ;;
    0) ;;
    *) finish "$server" ;;
esac
[ -z "$disk" ] || umount "$disk"
# Twice if need be: when the test died while the folder was being filled, a copy may still be writing to it.
until rm -rf "$1"; do sleep 0.1; done
"#;

/// Pause between two looks at a process that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a server is asked to run.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) user: Option<User>,
}

/// A server's process with its folder. Dropping it kills the server and removes the folder.
#[derive(Debug)]
pub(crate) struct Process {
    folder: PathBuf,
    watchdog: Child,
    server: Option<Child>,
}

impl Process {
    /// Makes `folder`, which is removed when the value is dropped or this process dies.
    pub(crate) fn guard(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            bail!("{} exists already", folder.display());
        }
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(format!("{FUNCTIONS}{WATCHDOG}"))
            .arg("lab-watchdog")
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the whole group; the watchdog must outlive it.
            .process_group(0)
            .spawn()
            .context("cannot run sh")?;
        let process = Self {
            folder,
            watchdog,
            server: None,
        };
        fs::create_dir(&process.folder)
            .with_context(|| format!("cannot make {}", process.folder.display()))?;
        open_to_all(&process.folder)?;
        Ok(process)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes `path` below the folder a disk of so many bytes, until the folder is removed. Needs the right to mount.
    pub(crate) fn add_disk(&self, path: &Path, bytes: u64) -> Result<()> {
        fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
        self.tell_watchdog(&path.display().to_string())?;
        let size = format!("size={bytes}");
        run(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "lab"])
                .arg(path),
            "run this as root, who may mount",
        )?;
        Ok(())
    }

    /// The file that the server's output goes to.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The server's output so far; empty if there is none.
    pub(crate) fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts the server in its folder.
    pub(crate) fn start(&mut self, launch: &Launch) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context("cannot open the server's log")?;
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"read -r go && exec "$@" </dev/null"#, "sh"])
            .arg(&launch.program)
            .args(&launch.args)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(user) = launch.user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut server = command
            .spawn()
            .with_context(|| format!("cannot start {}", launch.program.display()))?;
        self.tell_watchdog(&server.id().to_string())?;
        let go = server
            .stdin
            .take()
            .context("the server's stdin is a pipe")?;
        self.server = Some(server);
        (&go)
            .write_all(b"go\n")
            .with_context(|| format!("cannot start {}", launch.program.display()))
    }

    /// How the server ended, if it did by itself.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let Some(server) = &mut self.server else {
            return Ok(None);
        };
        let status = server.try_wait()?;
        if status.is_some() {
            self.forget_server()?;
        }
        Ok(status)
    }

    /// Kills the server and its children with SIGKILL and returns when they are gone. The folder stays.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let pid = server.id();
        blocking(move || {
            shell("finish \"$1\"", &[&pid.to_string()])?;
            server.wait().context("cannot wait for the server")?;
            Ok(())
        })
        .await?;
        self.forget_server()
    }

    /// Stops the server and all its children where they are, without closing anything.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.signal_all("STOP").await
    }

    /// Lets a paused server go on.
    pub(crate) async fn resume(&self) -> Result<()> {
        self.signal_all("CONT").await
    }

    /// Asks the server to read its configuration again.
    pub(crate) async fn reload(&self) -> Result<()> {
        self.signal_all("HUP").await?;
        // It was stopped for the signal.
        self.resume().await
    }

    /// Sends `signal` to the server alone and waits until it has ended: how it did, if it ran at all.
    pub(crate) async fn stop(
        &mut self,
        signal: &'static str,
        deadline: Duration,
    ) -> Result<Option<ExitStatus>> {
        let Some(server) = &mut self.server else {
            return Ok(None);
        };
        let pid = server.id().to_string();
        shell("kill \"-$1\" \"$2\"", &[signal, &pid])?;
        let end = Instant::now() + deadline;
        let status = loop {
            if let Some(status) = server.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                bail!("the server did not end within {deadline:?} after SIG{signal}");
            }
            sleep(LOOK_EVERY).await;
        };
        self.forget_server()?;
        Ok(Some(status))
    }

    /// The server's process id, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Leaves the server running for good; the only way to keep it beyond this process.
    pub(crate) fn detach(mut self, name: String, url: String) -> Result<Detached> {
        let server = self.server.as_ref().context("the server is not running")?;
        let pid = server.id();
        let detached = Detached {
            name,
            url,
            folder: self.folder.clone(),
            pid,
            started: start_time(pid).context("the server is not running")?,
        };
        self.tell_watchdog("keep")?;
        self.server = None;
        Ok(detached)
    }

    async fn signal_all(&self, signal: &'static str) -> Result<()> {
        let server = self.server.as_ref().context("the server is not running")?;
        let pid = server.id().to_string();
        blocking(move || shell("signal \"$1\" \"$2\"", &[signal, &pid])).await
    }

    fn forget_server(&mut self) -> Result<()> {
        self.server = None;
        self.tell_watchdog("0")
    }

    fn tell_watchdog(&self, word: &str) -> Result<()> {
        let mut pipe = self
            .watchdog
            .stdin
            .as_ref()
            .context("the watchdog's stdin is a pipe")?;
        pipe.write_all(format!("{word}\n").as_bytes())
            .context("the watchdog is gone: it must not be killed")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the pipe is the whole of it: what happens when we are killed happens here as well. A failed wait leaves
        // nothing to be done.
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
        if let Some(mut server) = self.server.take() {
            drop(server.wait());
        }
    }
}

/// A server left running for a person, as `cargo lab up` does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detached {
    /// What it is, like `postgres 17`.
    pub name: String,
    /// Where to connect.
    pub url: String,
    /// Its folder, with its log and data.
    pub folder: PathBuf,
    /// Its process.
    pub pid: u32,
    /// When the process started, in the kernel's ticks since boot: tells it from another that got the same number.
    started: u64,
}

impl Detached {
    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Kills the server if it runs and removes its folder.
    ///
    /// # Errors
    ///
    /// No shell, or the folder cannot be removed.
    pub fn end(&self) -> Result<()> {
        if self.is_running() {
            shell("finish \"$1\"", &[&self.pid.to_string()])?;
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        Ok(())
    }
}

/// Field 22 of `/proc/PID/stat`, see proc(5); `None` if there is no such process or it is a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    // The state was field 3, so the next is field 4.
    fields.nth(22 - 4)?.parse().ok()
}

/// Runs a line of shell with the functions of `process.sh` at hand.
fn shell(line: &str, args: &[&str]) -> Result<()> {
    // A signal to a process that has just ended fails; that it is gone is what matters, and the callers look.
    run(
        Command::new("sh")
            .arg("-c")
            .arg(format!("{FUNCTIONS}\n{line} 2>/dev/null\ntrue"))
            .arg("lab")
            .args(args),
        "the lab needs a shell",
    )?;
    Ok(())
}

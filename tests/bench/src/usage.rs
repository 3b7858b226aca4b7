//! What processes used, as proc(5) tells.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks of a second in `/proc`: the same on every Linux, whatever the kernel's own clock.
const TICKS: u32 = 100;

/// Processor time of a process with all its threads, user and system.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks(&stat)
        .map(|ticks| Duration::from_secs(ticks) / TICKS)
        .with_context(|| format!("{path} looks unlike proc(5)"))
}

/// The same of a process that may not be there.
///
/// # Errors
/// There was one, and it has ended.
pub(crate) fn cpu_if_any(pid: Option<u32>) -> Result<Option<Duration>> {
    pid.map(cpu).transpose()
}

/// Fields 14 and 15, `utime` and `stime`.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is the command in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The processors that we may use.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 99 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
        assert!(cpu(std::process::id()).is_ok());
    }
}

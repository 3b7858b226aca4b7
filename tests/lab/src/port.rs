//! Free ports that stay ours.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};
use rand::Rng;

use crate::folder;

/// Lowest port given out.
const LOW: u16 = 15_000;
/// Ports tried before giving up. A taken one is rare, so this many in a row means that something else is wrong.
const TRIES_MAX: u32 = 200;

/// A port of 127.0.0.1 that no other server of the lab gets while this value lives, even while nothing listens on it, so
/// that a server can come back on its port after it was killed.
///
/// Held by a lock on a file, which the kernel gives back when the process dies. Ports are taken from below the range that
/// the kernel uses for outgoing connections, which know nothing of the locks.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        let folder = folder::below_root("ports")?;
        let high = ephemeral_low();
        for _ in 0..TRIES_MAX {
            let number = rand::rng().random_range(LOW..high);
            let path = folder.join(number.to_string());
            let lock =
                File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        bail!("no free port on 127.0.0.1 between {LOW} and {high} after {TRIES_MAX} tries")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// The first port that the kernel gives to outgoing connections.
fn ephemeral_low() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|low| *low > LOW + 1_000)
        .unwrap_or(32_768)
}

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{CONF, Nats, STORE, Version};
use crate::folder;
use crate::port::Port;
use crate::process::{Launch, Process};
use crate::program::{blocking, run};

/// Ports tried when a start fails because somebody took the port between our look and the server's.
const PORTS_MAX: u32 = 5;

/// How a server is to be started; see [`Nats::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    name: String,
    conf: String,
    jetstream: Option<String>,
    store: Option<PathBuf>,
    disk: Option<u64>,
}

impl Builder {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            name: "lab".to_owned(),
            conf: String::new(),
            jetstream: Some(String::new()),
            store: None,
            disk: None,
        }
    }

    /// Gives the server a name, by which those of a cluster know each other.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds text to the server's configuration: users, permissions, `tls { … }`, limits.
    #[must_use]
    pub fn conf(mut self, text: &str) -> Self {
        self.conf.push_str(text);
        self.conf.push('\n');
        self
    }

    /// Adds text to the `jetstream { … }` block, like `max_file_store: 1MB`.
    #[must_use]
    pub fn jetstream_conf(mut self, text: &str) -> Self {
        let block = self.jetstream.get_or_insert_default();
        block.push_str(text);
        block.push('\n');
        self
    }

    /// Leaves JetStream off.
    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = None;
        self
    }

    /// Begins with a copy of what a stopped server holds; see [`Nats::store`].
    #[must_use]
    pub fn copy_of(mut self, store: &Path) -> Self {
        self.store = Some(store.to_owned());
        self
    }

    /// Gives its store a disk of so many bytes. Needs the right to mount: root has it.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Starts the server, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; its log is in the error.
    pub async fn start(self) -> Result<Nats> {
        for _ in 1..PORTS_MAX {
            match self.clone().start_once().await {
                Err(error) if format!("{error:#}").contains("address already in use") => {}
                started => return started,
            }
        }
        self.start_once().await
    }

    async fn start_once(self) -> Result<Nats> {
        let mut server = blocking(move || self.prepare()).await?;
        server.launch().await?;
        Ok(server)
    }

    fn prepare(self) -> Result<Nats> {
        let program = self.version.fetch()?;
        let folder = folder::fresh_run_path(&format!("nats-{}", self.version))?;
        let process = Process::guard(folder.clone())?;
        let port = Port::reserve()?;
        let mut text = format!("listen: {}\nserver_name: {:?}\n", port.addr(), self.name);
        let store = folder.join(STORE);
        if let Some(bytes) = self.disk {
            process.add_disk(&store, bytes)?;
        }
        if let Some(other) = &self.store {
            run(
                Command::new("cp").arg("-a").arg(other).arg(&store),
                "install GNU coreutils",
            )?;
        }
        if let Some(more) = &self.jetstream {
            text.push_str(&format!(
                "jetstream {{\nstore_dir: {:?}\n{more}}}\n",
                store.display().to_string()
            ));
        }
        text.push_str(&self.conf);
        let conf = folder.join(CONF);
        fs::write(&conf, text).with_context(|| format!("cannot write {}", conf.display()))?;
        Ok(Nats {
            version: self.version,
            process,
            launch: Launch {
                program,
                args: vec!["--config".to_owned(), conf.display().to_string()],
                user: None,
            },
            port,
        })
    }
}

use std::fs;

use anyhow::{Context, Result};

use super::{Nats, Version};
use crate::folder;
use crate::port::Port;
use crate::process::{Launch, Process};
use crate::program::blocking;

/// Ports tried when a start fails because somebody took the port between our look and the server's.
const PORTS_MAX: u32 = 5;

/// How a server is to be started; see [`Nats::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    conf: String,
    jetstream: Option<String>,
}

impl Builder {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            conf: String::new(),
            jetstream: Some(String::new()),
        }
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
        let mut text = format!("listen: {}\nserver_name: lab\n", port.addr());
        if let Some(more) = &self.jetstream {
            let store = folder.join("jetstream");
            text.push_str(&format!(
                "jetstream {{\nstore_dir: {:?}\n{more}}}\n",
                store.display().to_string()
            ));
        }
        text.push_str(&self.conf);
        let conf = folder.join("nats.conf");
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

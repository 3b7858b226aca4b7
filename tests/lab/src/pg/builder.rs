use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Postgres, Version};
use crate::folder;
use crate::once::once;
use crate::port::Port;
use crate::process::{Launch, Process};
use crate::program::{blocking, run};
use crate::tls::{Authority, Names, Pair};
use crate::user::{self, User};

/// Ports tried when a start fails because somebody took the port between our look and the server's.
const PORTS_MAX: u32 = 5;

/// How a server is to be started; see [`Postgres::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    settings: Vec<(String, String)>,
    access_rules: Vec<String>,
    tls: Option<Names>,
    /// The data folder to begin with; none: an empty database.
    copy_of: Option<PathBuf>,
}

impl Builder {
    pub(super) fn new(version: Version) -> Self {
        let settings = [
            ("listen_addresses", "127.0.0.1"),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("max_prepared_transactions", "20"),
            // Why this is safe is told at `Postgres`.
            ("fsync", "off"),
            ("timezone", "UTC"),
        ];
        Self {
            version,
            settings: settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            access_rules: Vec::new(),
            tls: None,
            copy_of: None,
        }
    }

    /// Makes it a standby of a server of the same version, which must be stopped while this one is started for the first time.
    /// It streams through the physical slot of that name, which is also the name by which the primary knows it.
    #[must_use]
    pub fn standby_of(mut self, primary: &Postgres, slot: &str) -> Self {
        let addr = primary.addr();
        let conninfo = format!(
            "host={} port={} user=postgres dbname=postgres application_name={slot}",
            addr.ip(),
            addr.port()
        );
        self.copy_of = Some(primary.data_dir());
        self.conf("primary_conninfo", &conninfo)
            .conf("primary_slot_name", slot)
            .conf("hot_standby_feedback", "on")
    }

    /// Sets a parameter of `postgresql.conf`; the last value wins. The value is given without quotes.
    #[must_use]
    pub fn conf(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a line to `pg_hba.conf`. Lines are tried in the order given, before the lab's last rule that lets everybody
    /// in without a password. The superuser `postgres` always gets in.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.access_rules.push(line.to_owned());
        self
    }

    /// Turns TLS on, with a certificate for these names; see [`Postgres::ca_path`] and [`Postgres::client_cert`].
    #[must_use]
    pub fn tls(mut self, names: Names) -> Self {
        self.tls = Some(names);
        self
    }

    /// Starts the server, fetching it first if need be.
    ///
    /// # Errors
    ///
    /// It cannot be fetched or does not start; its log is in the error.
    pub async fn start(self) -> Result<Postgres> {
        for _ in 1..PORTS_MAX {
            match self.clone().start_once().await {
                Err(error) if format!("{error:#}").contains("could not bind") => {}
                started => return started,
            }
        }
        self.start_once().await
    }

    async fn start_once(self) -> Result<Postgres> {
        let mut server = blocking(move || self.prepare()).await?;
        server.launch().await?;
        Ok(server)
    }

    fn prepare(self) -> Result<Postgres> {
        let programs = self.version.fetch()?.join("bin");
        let user = user::for_postgres()?;
        let template = match &self.copy_of {
            Some(data) => data.clone(),
            None => template(self.version, &programs, user)?,
        };
        let folder = folder::fresh_run_path(&format!("pg-{}", self.version))?;
        let process = Process::guard(folder.clone())?;
        own(&folder, user)?;
        let data = folder.join("data");
        run(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(&template)
                .arg(&data),
            "install GNU coreutils",
        )?;
        let port = Port::reserve()?;
        let (authority, pair) = match self.tls {
            Some(names) => {
                let (authority, pair) = certify(&folder.join("tls"), names, user)?;
                (Some(authority), Some(pair))
            }
            None => (None, None),
        };
        self.configure(&data, &folder, &port, pair.as_ref())?;
        if self.copy_of.is_some() {
            // Slots are a server's own.
            let slots = data.join("pg_replslot");
            fs::remove_dir_all(&slots).context("cannot empty pg_replslot")?;
            fs::create_dir(&slots).context("cannot empty pg_replslot")?;
            own(&slots, user)?;
            let signal = data.join("standby.signal");
            fs::write(&signal, "").context("cannot write standby.signal")?;
            own(&signal, user)?;
        }
        Ok(Postgres {
            version: self.version,
            process,
            launch: Launch {
                program: programs.join("postgres"),
                args: vec!["-D".to_owned(), data.display().to_string()],
                user,
            },
            port,
            authority,
        })
    }

    fn configure(
        &self,
        data: &Path,
        folder: &Path,
        port: &Port,
        certificate: Option<&Pair>,
    ) -> Result<()> {
        let mut text = String::new();
        let mut set = |name: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            writeln!(text, "{name} = '{value}'")
        };
        set("port", &port.number().to_string())?;
        set("unix_socket_directories", &folder.display().to_string())?;
        if let Some(pair) = certificate {
            set("ssl", "on")?;
            set("ssl_ca_file", &pair.ca.display().to_string())?;
            set("ssl_cert_file", &pair.cert.display().to_string())?;
            set("ssl_key_file", &pair.key.display().to_string())?;
        }
        for (name, value) in &self.settings {
            set(name, value)?;
        }
        append(&data.join("postgresql.conf"), &text)?;

        let mut rules = String::from(
            "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\n\
             local replication postgres trust\nhost replication postgres 127.0.0.1/32 trust\n",
        );
        for rule in &self.access_rules {
            writeln!(rules, "{rule}")?;
        }
        rules.push_str(
            "local all all trust\nhost all all 127.0.0.1/32 trust\n\
             local replication all trust\nhost replication all 127.0.0.1/32 trust\n",
        );
        fs::write(data.join("pg_hba.conf"), rules).context("cannot write pg_hba.conf")
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut whole =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    whole.push_str(text);
    // Writing in place keeps the owner.
    fs::write(path, whole).with_context(|| format!("cannot write {}", path.display()))
}

/// A fresh data folder of this version, made once: `initdb` takes a second, a copy a tenth of that.
fn template(version: Version, programs: &Path, user: Option<User>) -> Result<PathBuf> {
    let name = format!("pg-{}", version.package_version());
    let folder = once("template", &name, |part| {
        own(part, user)?;
        let mut command = Command::new(programs.join("initdb"));
        command
            .arg("--pgdata")
            .arg(part.join("data"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"])
            .current_dir(part);
        if let Some(user) = user {
            use std::os::unix::process::CommandExt as _;
            command.uid(user.uid).gid(user.gid);
        }
        run(&mut command, "remove the lab's folder and try again")
            .with_context(|| format!("initdb of PostgreSQL {version}"))?;
        Ok(())
    })?;
    Ok(folder.join("data"))
}

fn certify(folder: &Path, names: Names, user: Option<User>) -> Result<(Authority, Pair)> {
    let authority = Authority::new(folder)?;
    let pair = authority.server(names)?;
    // The server refuses a key that belongs to neither it nor root.
    own(&pair.key, user)?;
    Ok((authority, pair))
}

fn own(path: &Path, user: Option<User>) -> Result<()> {
    if let Some(user) = user {
        chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("cannot give {} to the server's user", path.display()))?;
    }
    Ok(())
}

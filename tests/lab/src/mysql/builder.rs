use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Mysql, Version};
use crate::folder;
use crate::once::once;
use crate::port::Port;
use crate::process::{Launch, Process};
use crate::program::{blocking, run};
use crate::tls::{Authority, Names};

/// Ports tried when a start fails because somebody took the port between our look and the server's.
const PORTS_MAX: u32 = 5;

/// How a server is to be started; see [`Mysql::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    settings: Vec<(String, String)>,
    tls: Option<Names>,
}

/// What every server is told.
const SETTINGS: [(&str, &str); 16] = [
    // The lab runs as root where tests do.
    ("bind_address", "127.0.0.1"),
    ("log_bin", "binlog"),
    ("binlog_format", "ROW"),
    ("binlog_row_image", "FULL"),
    ("binlog_checksum", "CRC32"),
    // Why this is safe is told at `Mysql`.
    ("sync_binlog", "0"),
    ("innodb_flush_log_at_trx_commit", "2"),
    ("innodb_buffer_pool_size", "64M"),
    ("innodb_fast_shutdown", "1"),
    ("character_set_server", "utf8mb4"),
    ("local_infile", "ON"),
    ("secure_file_priv", ""),
    ("max_allowed_packet", "256M"),
    ("max_connections", "100"),
    ("net_write_timeout", "60"),
    ("default_time_zone", "+00:00"),
];

impl Builder {
    pub(super) fn new(version: Version) -> Self {
        let of_version: &[(&str, &str)] = match version {
            Version::Mysql5_6 => &[
                ("gtid_mode", "ON"),
                ("enforce_gtid_consistency", "ON"),
                ("log_slave_updates", "ON"),
                ("binlog_rows_query_log_events", "ON"),
            ],
            Version::Mysql9_7 => &[
                ("gtid_mode", "ON"),
                ("enforce_gtid_consistency", "ON"),
                ("binlog_row_metadata", "FULL"),
                ("binlog_rows_query_log_events", "ON"),
                ("mysqlx", "OFF"),
                ("innodb_redo_log_capacity", "16M"),
            ],
            Version::Maria10_5 | Version::Maria10_11 | Version::Maria11_8 => &[
                ("gtid_strict_mode", "ON"),
                ("log_slave_updates", "ON"),
                ("binlog_row_metadata", "FULL"),
                ("binlog_annotate_row_events", "ON"),
                ("innodb_log_file_size", "16M"),
            ],
        };
        let settings = SETTINGS.iter().chain(of_version);
        Self {
            version,
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            tls: None,
        }
    }

    /// Sets a variable of `my.cnf`; the last value wins.
    #[must_use]
    pub fn conf(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Turns TLS on with a certificate of ours for these names; see [`Mysql::ca_path`] and [`Mysql::client_cert`].
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
    pub async fn start(self) -> Result<Mysql> {
        for _ in 1..PORTS_MAX {
            match self.clone().start_once().await {
                Err(error) if format!("{error:#}").contains("Bind on TCP/IP port") => {}
                started => return started,
            }
        }
        self.start_once().await
    }

    async fn start_once(self) -> Result<Mysql> {
        let mut server = blocking(move || self.prepare()).await?;
        server.launch().await?;
        Ok(server)
    }

    fn prepare(self) -> Result<Mysql> {
        let home = self.version.fetch()?;
        let template = template(self.version, &home)?;
        let folder = folder::fresh_run_path(&self.version.to_string())?;
        let process = Process::guard(folder.clone())?;
        let data = folder.join("data");
        run(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(&template)
                .arg(&data),
            "install GNU coreutils",
        )?;
        fs::create_dir(folder.join("tmp"))?;
        let port = Port::reserve()?;
        let authority = match &self.tls {
            Some(names) => {
                let authority = Authority::new(&folder.join("tls"))?;
                let pair = authority.server(*names)?;
                Some((authority, pair))
            }
            None => None,
        };
        let mut text = head(self.version, &home, &folder, &data);
        let mut set = |name: &str, value: &str| text.push_str(&format!("{name}={value}\n"));
        set("port", &port.number().to_string());
        set("server_id", &port.number().to_string());
        if let Some((_, pair)) = &authority {
            set("ssl_ca", &pair.ca.display().to_string());
            set("ssl_cert", &pair.cert.display().to_string());
            set("ssl_key", &pair.key.display().to_string());
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        if self.version == Version::Mysql5_6 {
            // Its data folder comes with users without names, who are in the way of others on this host.
            let init = folder.join("init.sql");
            fs::write(
                &init,
                "SET sql_log_bin = 0;\nDELETE FROM mysql.user WHERE user = '';\nFLUSH PRIVILEGES;\n",
            )?;
            set("init_file", &init.display().to_string());
        }
        let config = folder.join("my.cnf");
        fs::write(&config, text).context("cannot write my.cnf")?;
        let (program, mut args) = server_program(self.version, &home)?;
        args.push(format!("--defaults-file={}", config.display()));
        Ok(Mysql {
            version: self.version,
            process,
            launch: Launch {
                program,
                args,
                user: None,
            },
            port,
            authority: authority.map(|(authority, _)| authority),
        })
    }
}

/// Where things are.
fn head(version: Version, home: &Path, folder: &Path, data: &Path) -> String {
    let (base, share) = match version {
        Version::Mysql5_6 => (home.to_owned(), home.join("share")),
        _ => (home.join("usr"), share(home)),
    };
    let mut text = format!(
        "[mysqld]\nuser=root\nbasedir={}\nlc_messages_dir={}\ndatadir={}\ntmpdir={}\nsocket={}\npid_file={}\n",
        base.display(),
        share.display(),
        data.display(),
        folder.join("tmp").display(),
        folder.join("s").display(),
        folder.join("pid").display(),
    );
    if version != Version::Mysql5_6 {
        let plugins = home.join("usr/lib/mysql/plugin");
        text.push_str(&format!(
            "plugin_dir={}\ncharacter_sets_dir={}\n",
            plugins.display(),
            share.join("charsets").display()
        ));
    }
    text
}

/// Where messages, character sets and scripts are: newer packages of MariaDB have a folder of their own.
fn share(home: &Path) -> PathBuf {
    let maria = home.join("usr/share/mariadb");
    if maria.is_dir() {
        maria
    } else {
        home.join("usr/share/mysql")
    }
}

/// The server's program with what has to come before its own arguments.
fn server_program(version: Version, home: &Path) -> Result<(PathBuf, Vec<String>)> {
    match version.tree()? {
        Some(tree) => {
            let (program, args) = tree.program(version.server_program())?;
            let args = args
                .into_iter()
                .map(|arg| arg.to_string_lossy().into_owned());
            Ok((program, args.collect()))
        }
        None => Ok((
            PathBuf::from("/usr/bin/env"),
            vec![
                format!("LD_LIBRARY_PATH={}", home.display()),
                home.join("mysqld").display().to_string(),
            ],
        )),
    }
}

/// A fresh data folder of this version, made once.
fn template(version: Version, home: &Path) -> Result<PathBuf> {
    let folder = once("template", &version.to_string(), |part| {
        let data = part.join("data");
        fs::create_dir(part.join("tmp"))?;
        let made = match version {
            Version::Mysql5_6 => copy_5_6(home, &data),
            Version::Mysql9_7 => initialize(version, home, part, &data),
            Version::Maria10_5 | Version::Maria10_11 | Version::Maria11_8 => {
                bootstrap(version, home, part, &data)
            }
        };
        made.with_context(|| format!("making a data folder of {version}"))?;
        // Each server gets an identity of its own.
        let identity = data.join("auto.cnf");
        if identity.exists() {
            fs::remove_file(identity)?;
        }
        Ok(())
    })?;
    Ok(folder.join("data"))
}

fn copy_5_6(home: &Path, data: &Path) -> Result<()> {
    run(
        Command::new("cp")
            .arg("-r")
            .arg(home.join("data/mysql"))
            .arg(data),
        "install GNU coreutils",
    )?;
    Ok(())
}

fn initialize(version: Version, home: &Path, part: &Path, data: &Path) -> Result<()> {
    let config = part.join("my.cnf");
    let mut text = head(version, home, part, data);
    text.push_str("mysqlx=OFF\ninnodb_redo_log_capacity=16M\nskip_log_bin\n");
    fs::write(&config, text)?;
    let (program, args) = server_program(version, home)?;
    run(
        Command::new(program)
            .args(args)
            .arg(format!("--defaults-file={}", config.display()))
            .arg("--initialize-insecure"),
        "remove the lab's folder and try again",
    )?;
    Ok(())
}

/// What `mariadb-install-db` does, which is a script that would start the server with the machine's own libraries.
fn bootstrap(version: Version, home: &Path, part: &Path, data: &Path) -> Result<()> {
    fs::create_dir(data)?;
    let config = part.join("my.cnf");
    let mut text = head(version, home, part, data);
    text.push_str("innodb_log_file_size=16M\nskip_log_bin\nenforce_storage_engine=\n");
    fs::write(&config, text)?;
    let scripts = share(home);
    let mut sql = String::from(
        "create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\nSET @skip_auth_anonymous_user=1;\n",
    );
    for name in ["system_tables", "performance_tables", "system_tables_data"] {
        let names = [format!("mariadb_{name}.sql"), format!("mysql_{name}.sql")];
        let found = names
            .iter()
            .map(|name| scripts.join(name))
            .find(|path| path.exists());
        let path = found.with_context(|| format!("{name}.sql is not in {}", scripts.display()))?;
        sql.push_str(&fs::read_to_string(path)?);
        sql.push('\n');
    }
    let input = part.join("bootstrap.sql");
    fs::write(&input, sql)?;
    let (program, args) = server_program(version, home)?;
    let output = Command::new(program)
        .args(args)
        .arg(format!("--defaults-file={}", config.display()))
        .args(["--bootstrap", "--log-warnings=0", "--net-buffer-length=16K"])
        .stdin(Stdio::from(fs::File::open(&input)?))
        .output()
        .context("cannot run the server")?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

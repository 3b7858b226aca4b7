//! A server, and statements for it.

use std::sync::Arc;

use adit_lab::mysql::Mysql;
pub use adit_lab::mysql::Version;
use adit_source_mysql::link::MysqlLink;

/// A server of the test's own.
#[derive(Clone)]
pub struct Server {
    lab: Arc<Mysql>,
}

impl Server {
    pub async fn start(version: Version) -> Self {
        Self::with(version, &[]).await
    }

    /// One with other settings.
    pub async fn with(version: Version, settings: &[(&str, &str)]) -> Self {
        let mut builder = Mysql::builder(version);
        for (name, value) in settings {
            builder = builder.conf(name, value);
        }
        let lab = builder
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        Self { lab: Arc::new(lab) }
    }

    /// Forgets what it did at its start, and replicates from another.
    pub async fn replicate(&self, source: &Self) {
        self.lab.forget_log().await.unwrap();
        self.lab.replicate(&source.lab).await.unwrap();
    }

    pub fn version(&self) -> Version {
        self.lab.version()
    }

    /// As root.
    pub fn url(&self) -> String {
        self.lab.url("")
    }

    pub fn is_mariadb(&self) -> bool {
        self.version().is_maria()
    }

    /// Whether XA transactions are in the log when they are prepared: before MySQL 5.7 only their commit is.
    pub fn has_xa_events(&self) -> bool {
        self.version() != Version::Mysql5_6
    }

    pub async fn conn(&self) -> MysqlLink {
        MysqlLink::connect(&self.url().parse().unwrap(), "test")
            .await
            .unwrap()
    }

    /// Makes a user with these rights alone, and says how it connects.
    pub async fn user(&self, name: &str, rights: &str) -> String {
        let who = format!("'{name}'@'127.0.0.1'");
        self.sql(&[
            format!("CREATE USER {who} IDENTIFIED BY 'secret'"),
            format!("GRANT {rights} ON *.* TO {who}"),
        ])
        .await;
        self.url().replace("root@", &format!("{name}:secret@"))
    }

    /// Runs statements on one connection.
    pub async fn sql<S: AsRef<str>>(&self, statements: &[S]) {
        let mut conn = self.conn().await;
        for sql in statements {
            let sql = sql.as_ref();
            if let Err(error) = conn.execute(sql).await {
                panic!("{sql}: {error}");
            }
        }
    }

    /// The rows of a query, as text.
    pub async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut conn = self.conn().await;
        let rows = conn
            .query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = |cell: bytes::Bytes| String::from_utf8_lossy(&cell).into_owned();
        rows.into_iter()
            .map(|row| row.into_iter().map(|cell| cell.map(text)).collect())
            .collect()
    }

    /// Kills the server and starts it again; nobody else may hold it.
    pub async fn kill_and_restart(&mut self) {
        let lab = Arc::get_mut(&mut self.lab).unwrap();
        lab.kill().await.unwrap();
        lab.restart().await.unwrap();
    }

    /// Ends all connections that receive the log.
    pub async fn kill_dumps(&self) {
        for row in self.query("SHOW PROCESSLIST").await {
            if let [Some(id), _, _, _, Some(command), ..] = row.as_slice()
                && command.starts_with("Binlog Dump")
            {
                self.sql(&[format!("KILL {id}")]).await;
            }
        }
    }
}

/// Makes a module for each name, with a test for each version.
macro_rules! on_every_server {
    ($($name:ident = $test:path;)*) => {
        $(mod $name {
            use super::support::server::{Server, Version};
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mysql_5_6() { $test(Server::start(Version::Mysql5_6).await).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mysql_9_7() { $test(Server::start(Version::Mysql9_7).await).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb_10_5() { $test(Server::start(Version::Maria10_5).await).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb_10_11() { $test(Server::start(Version::Maria10_11).await).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb_11_8() { $test(Server::start(Version::Maria11_8).await).await; }
        })*
    };
}
pub(crate) use on_every_server;

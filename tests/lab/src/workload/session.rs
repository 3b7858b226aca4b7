//! A connection of a writer, to whichever database.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use tokio_postgres::{Client, Config, NoTls};

use super::dialect::Dialect;
use crate::{Mysql, Postgres};

/// Where the database is. All clones follow when it moves.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) dialect: Dialect,
    place: Arc<Mutex<Place>>,
}

#[derive(Debug, Clone)]
struct Place {
    /// PostgreSQL: the folder of its socket. MySQL: its socket.
    socket: PathBuf,
    port: u16,
}

impl Place {
    fn of(server: Server<'_>) -> Self {
        match server {
            Server::Postgres(server) => Self {
                socket: server.socket_dir().to_owned(),
                port: server.port(),
            },
            Server::Mysql(server) => Self {
                socket: server.socket(),
                port: server.port(),
            },
        }
    }
}

/// A server that is written to.
#[derive(Debug, Clone, Copy)]
pub enum Server<'a> {
    /// PostgreSQL.
    Postgres(&'a Postgres),
    /// MySQL or MariaDB.
    Mysql(&'a Mysql),
}

impl<'a> From<&'a Postgres> for Server<'a> {
    fn from(server: &'a Postgres) -> Self {
        Self::Postgres(server)
    }
}

impl<'a> From<&'a Mysql> for Server<'a> {
    fn from(server: &'a Mysql) -> Self {
        Self::Mysql(server)
    }
}

impl Server<'_> {
    /// Which kind it is.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Session {
    Postgres(Client),
    Mysql(Conn),
}

/// A statement that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: anyhow::Error,
    /// It is what happens among writers, or to those whose server is killed.
    pub(super) expected: bool,
}

impl Address {
    pub(super) fn of(server: Server<'_>) -> Self {
        Self {
            dialect: server.dialect(),
            place: Arc::new(Mutex::new(Place::of(server))),
        }
    }

    /// Another server of the same kind takes over: connections are made to it from now on.
    pub(super) fn move_to(&self, server: Server<'_>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::of(server);
    }

    fn place(&self) -> Place {
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) async fn connect(&self, name: &str) -> Result<Session> {
        match self.dialect {
            Dialect::Postgres => self.postgres(name).await,
            Dialect::Mysql => {
                let options = OptsBuilder::default()
                    .socket(Some(self.place().socket.display().to_string()))
                    .user(Some("root"))
                    .stmt_cache_size(Some(0));
                let mut conn = Conn::new(options).await?;
                conn.query_drop("set innodb_lock_wait_timeout = 1, sql_mode = ''")
                    .await?;
                Ok(Session::Mysql(conn))
            }
        }
    }

    async fn postgres(&self, name: &str) -> Result<Session> {
        let place = self.place();
        let (client, connection) = Config::new()
            .host_path(&place.socket)
            .port(place.port)
            .user("postgres")
            .dbname(self.dialect.database())
            .application_name(name)
            .connect(NoTls)
            .await?;
        tokio::spawn(async move {
            // Who uses the client gets the error; here it only ends the connection.
            drop(connection.await);
        });
        // Waiting for each other's locks must not take the time that is for writing.
        client
            .batch_execute("set deadlock_timeout = '50ms'; set lock_timeout = '1s'")
            .await?;
        Ok(Session::Postgres(client))
    }
}

impl Session {
    /// A connection to the database that the tables are in.
    pub(crate) async fn of(server: Server<'_>, name: &str) -> Result<Self> {
        let mut session = Address::of(server).connect(name).await?;
        session.enter().await?;
        Ok(session)
    }

    /// Chooses the database that the tables are in, once it is there.
    pub(super) async fn enter(&mut self) -> Result<()> {
        if let Self::Mysql(conn) = self {
            conn.query_drop(format!("use {}", Dialect::Mysql.database()))
                .await?;
        }
        Ok(())
    }

    /// Whether no other session of this name is left in the server: a commit of which nobody knows would
    /// otherwise still be under way.
    pub(super) async fn is_alone(&mut self, name: &str) -> Result<bool> {
        match self {
            Self::Postgres(client) => {
                let others = "select count(*) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()";
                let others: i64 = client.query_one(others, &[&name]).await?.get(0);
                Ok(others == 0)
            }
            Self::Mysql(conn) => {
                let got: Option<Option<i64>> = conn
                    .query_first(format!("select get_lock('{name}', 0)"))
                    .await?;
                Ok(got.flatten() == Some(1))
            }
        }
    }

    /// Runs a statement; the rows that it changed.
    pub(super) async fn run(&mut self, sql: &str) -> Result<u64, Failure> {
        match self {
            Self::Postgres(client) => match client.execute(sql, &[]).await {
                Ok(rows) => Ok(rows),
                Err(error) => Err(Failure {
                    expected: is_expected_of_postgres(&error, client),
                    error: error.into(),
                }),
            },
            Self::Mysql(conn) => match conn.query_drop(sql).await {
                Ok(()) => Ok(conn.affected_rows()),
                Err(error) => Err(Failure {
                    expected: is_expected_of_mysql(&error),
                    error: error.into(),
                }),
            },
        }
    }

    /// Runs statements of which nothing is to be known.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        if let Self::Postgres(client) = self {
            return match client.batch_execute(sql).await {
                Ok(()) => Ok(()),
                Err(error) => Err(Failure {
                    expected: is_expected_of_postgres(&error, client),
                    error: error.into(),
                }),
            };
        }
        self.run(sql).await.map(drop)
    }

    /// The only number that a query gives.
    pub(super) async fn number(&mut self, sql: &str) -> Result<i64, Failure> {
        let found = match self {
            Self::Postgres(client) => match client.query_one(sql, &[]).await {
                Ok(row) => return Ok(row.get(0)),
                Err(error) => Failure {
                    expected: is_expected_of_postgres(&error, client),
                    error: error.into(),
                },
            },
            Self::Mysql(conn) => match conn.query_first(sql).await {
                Ok(number) => return Ok(number.unwrap_or_default()),
                Err(error) => Failure {
                    expected: is_expected_of_mysql(&error),
                    error: error.into(),
                },
            },
        };
        Err(found)
    }

    /// The texts in the only column of a query.
    pub(crate) async fn texts(&mut self, sql: &str) -> Result<Vec<String>> {
        let doing = || format!("running {sql:?}");
        match self {
            Self::Postgres(client) => {
                let rows = client.query(sql, &[]).await.with_context(doing)?;
                Ok(rows.iter().map(|row| row.get(0)).collect())
            }
            Self::Mysql(conn) => conn.query(sql).await.with_context(doing),
        }
    }

    /// Runs statements of which nothing is to be known, and that must not fail.
    pub(crate) async fn settle(&mut self, sql: &str) -> Result<()> {
        let ran = self.batch(sql).await;
        ran.map_err(|failure| failure.error)
    }
}

fn is_expected_of_postgres(error: &tokio_postgres::Error, client: &Client) -> bool {
    let Some(code) = error.code() else {
        // Not an answer of the server: the connection broke.
        return client.is_closed()
            || error.is_closed()
            || std::error::Error::source(error).is_some();
    };
    let code = code.code();
    // Rolled back for the good of others (40), a lock not given (55P03), a key taken meanwhile (23505), and the many ways
    // to say that the server goes down or comes up (57).
    ["40", "57"].iter().any(|class| code.starts_with(class)) || ["55P03", "23505"].contains(&code)
}

fn is_expected_of_mysql(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Server(error) => matches!(
            error.code,
            // A duplicate key, a lock not given or a deadlock, a shutdown, a connection that was killed, a table that
            // was altered meanwhile, a record that changed since it was read (MariaDB), a column that is there
            // already, or not.
            1060 | 1091 | 1062 | 1205 | 1213 | 1053 | 1317 | 1927 | 1412 | 1020 | 3024 | 1180
        ),
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(_) => true,
        mysql_async::Error::Other(_) | mysql_async::Error::Url(_) => false,
    }
}

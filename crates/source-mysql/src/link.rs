//! A connection to MySQL or MariaDB: queries, and the binary log.
//!
//! It is made of `mysql_common`'s parts for the greeting and the passwords; packets, rows and events are
//! ours, so that they are slices of what was read. (`mysql_async`, the driver that goes with
//! `mysql_common`, reads a log too, but panics on a short event, expands a compressed transaction in one
//! piece and leaves it out where it cannot be expanded.)

mod auth;
mod dump;
mod error;
mod greeting;
mod handshake;
mod public_key;
mod rows;
mod transport;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tracing::debug;

use crate::config::{ConnectConfig, Target};

pub use dump::{DumpGtid, DumpRequest, EventReader};
pub use error::LinkError;
pub use handshake::Handshake;
pub use rows::{RowStream, TextRow};

use wire::Wire;

/// `COM_QUIT`
const QUIT: u8 = 0x01;
/// `COM_QUERY`
const QUERY: u8 = 0x03;
/// Bytes of a small answer. What is larger is read as a stream.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// Bytes of an error's text. The longest of the servers' own have some hundred.
const MESSAGE_MAX: usize = 4 * 1024;
/// How long the farewell may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A connection that is logged in.
#[derive(Debug)]
pub struct MysqlLink {
    wire: Wire,
    server: Handshake,
    target: Target,
}

impl MysqlLink {
    /// Connects to the first server of the URL that answers, and makes the session's settings: text in UTF-8, time in
    /// UTC, and nothing that changes what values look like. `program` is how the server's administrator sees us.
    ///
    /// # Errors
    /// When no server answers, or the one that does refuses.
    pub async fn connect(config: &ConnectConfig, program: &str) -> Result<Self, LinkError> {
        let mut last = None;
        for target in config.targets() {
            let limit = config.connect_timeout();
            let connected = timeout(limit, Self::connect_to(config, target, program)).await;
            match connected {
                Ok(Ok(link)) => return Ok(link),
                // Another server would say the same of what it refuses.
                Ok(Err(error)) if !error.may_differ_elsewhere() => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    last = Some(LinkError::TimedOut {
                        target: target.to_string(),
                        limit,
                    });
                }
            }
        }
        Err(last.unwrap_or(LinkError::Closed))
    }

    async fn connect_to(
        config: &ConnectConfig,
        target: &Target,
        program: &str,
    ) -> Result<Self, LinkError> {
        let connected = handshake::connect(config, target, program).await;
        let (wire, server) = connected.map_err(|error| refused(error, config, target))?;
        let mut link = Self {
            wire,
            server,
            target: target.clone(),
        };
        link.execute("SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = ''")
            .await?;
        Ok(link)
    }

    /// What the server says of itself.
    #[must_use]
    pub const fn server(&self) -> &Handshake {
        &self.server
    }

    /// Which of the URL's servers it is.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// All rows of a query whose answer is small.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>, LinkError> {
        let mut stream = self.query_stream(sql).await?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(row) = stream.next_row().await? {
            let cells = row.to_cells();
            bytes += row.len() + size_of_val(&*cells);
            if bytes > ANSWER_MAX {
                return Err(LinkError::TooLarge { limit: ANSWER_MAX });
            }
            rows.push(cells);
        }
        Ok(rows)
    }

    /// The rows of a query, one after the other. If they are not read to their end, the link refuses every further
    /// command.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn query_stream(&mut self, sql: &str) -> Result<RowStream<'_>, LinkError> {
        let mut command = Vec::with_capacity(sql.len() + 1);
        command.push(QUERY);
        command.extend_from_slice(sql.as_bytes());
        self.wire.command(&command).await?;
        RowStream::open(&mut self.wire).await
    }

    /// Runs a statement; what it answers does not matter.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn execute(&mut self, sql: &str) -> Result<(), LinkError> {
        let mut stream = self.query_stream(sql).await?;
        while stream.next_row().await?.is_some() {}
        Ok(())
    }

    /// Tells the server who reads its log, for who lists the replicas.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn register_replica(&mut self, server_id: u32) -> Result<(), LinkError> {
        self.wire.command(&dump::register(server_id)).await?;
        let answer = self.wire.payload().await?;
        self.wire.answered();
        match answer.first() {
            Some(0xff) => Err(server_error(&answer)),
            _ => Ok(()),
        }
    }

    /// Asks for the log, by coordinates.
    ///
    /// # Errors
    /// When the connection breaks. What the server refuses comes with the first event.
    pub async fn dump(mut self, request: DumpRequest<'_>) -> Result<EventReader, LinkError> {
        let command = request.command()?;
        self.wire.command(&command).await?;
        Ok(EventReader::new(self.wire, self.server.flavor))
    }

    /// Asks for the log, by GTIDs.
    ///
    /// # Errors
    /// As [`MysqlLink::dump`].
    pub async fn dump_gtid(mut self, request: DumpGtid) -> Result<EventReader, LinkError> {
        self.wire.command(&request.command()).await?;
        Ok(EventReader::new(self.wire, self.server.flavor))
    }

    /// Says goodbye, so that the server does not count the connection as aborted.
    pub async fn close(mut self) {
        match timeout(CLOSE_WITHIN, self.wire.last_command(&[QUIT])).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "closing the connection"),
            Err(_) => debug!("closing the connection took too long"),
        }
    }
}

/// Who was not let in where, in front of what the server said.
fn refused(error: LinkError, config: &ConnectConfig, target: &Target) -> LinkError {
    match error {
        LinkError::Server { code, .. } => LinkError::Refused {
            target: target.to_string(),
            user: config.user().to_owned(),
            advice: error::login_advice(code, config.password().is_some()),
            source: Box::new(error),
        },
        other => other,
    }
}

/// The error in a packet: 0xff, its number, `#` and the SQLSTATE, and its words.
fn server_error(payload: &[u8]) -> LinkError {
    let rest = payload.get(1..).unwrap_or_default();
    let (code, rest) = match rest.split_first_chunk::<2>() {
        Some((code, rest)) => (u16::from_le_bytes(*code), rest),
        None => (0, rest),
    };
    let (sqlstate, message) = match rest
        .strip_prefix(b"#")
        .and_then(|rest| rest.split_at_checked(5))
    {
        Some((sqlstate, message)) => (sqlstate, message),
        // Before the login there is none.
        None => (&b"HY000"[..], rest),
    };
    let message = message.get(..MESSAGE_MAX).unwrap_or(message);
    LinkError::Server {
        code,
        sqlstate: String::from_utf8_lossy(sqlstate).into_owned(),
        message: String::from_utf8_lossy(message).into_owned(),
    }
}

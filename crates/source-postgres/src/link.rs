//! The replication connection: a walsender session on the server.
//!
//! [`ReplicationLink`] connects, logs in and runs replication commands;
//! [`ReplicationLink::start_copy_both`] turns it into a [`LinkReader`] and a
//! [`LinkWriter`] that carry opaque CopyData payloads. What is in them is the
//! business of `adit-pgoutput`. [`sql_client`] opens connections for ordinary
//! SQL by the same rules.
//!
//! ```text
//! config ─► host (which server) ─► transport (TCP, Unix, TLS) ─► startup (login) ─► wire
//!                                                     wire ─► stream: reader │ writer
//! ```

mod error;
mod frame;
mod host;
mod message;
mod sql;
mod startup;
mod stream;
mod transport;
mod wire;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

pub use self::error::ConnectError;
pub(crate) use self::error::sqlstate_is_transient;
use self::host::{Login, Role};
pub use self::message::ServerMessage;
pub use self::sql::sql_client;
use self::stream::Phase;
pub use self::stream::{Frame, LinkReader, LinkWriter};
use self::transport::Transport;
use self::wire::{Wire, describe};
use crate::config::{ConnectConfig, Target};

/// CopyBothResponse, which `postgres_protocol` does not know.
const COPY_BOTH_RESPONSE_TAG: u8 = b'W';
/// Rows that one command may answer with. The commands sent here answer with
/// one row; a list of settings or slots has some hundred.
const ROWS_MAX: usize = 100_000;
/// Bytes of all rows of one answer. A timeline history has some kilobytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A row of a command's answer: the columns as text, none for NULL. Text that
/// is not UTF-8 (a TIMELINE_HISTORY may hold some) has U+FFFD in its place.
pub type SimpleRow = Vec<Option<String>>;

/// A walsender session that takes commands.
#[derive(Debug)]
pub struct ReplicationLink {
    wire: Wire,
    /// A command's answer has not been read to its end, because its future was
    /// dropped: what comes next would be taken for another's.
    busy: bool,
}

impl ReplicationLink {
    /// Connects to the first server that fits and logs in with
    /// `replication=database`. `extra` are more startup parameters.
    pub async fn connect(
        config: &ConnectConfig,
        extra: &[(&str, &str)],
    ) -> Result<Self, ConnectError> {
        host::connect(config, &WalsenderLogin { config, extra }).await
    }

    /// The server connected to.
    pub fn target(&self) -> &Target {
        &self.wire.target
    }

    /// Its version as it writes it: `17.10`, `18beta1`, `13.23 (Debian …)`.
    pub fn server_version(&self) -> &str {
        &self.wire.server_version
    }

    /// Its version as a number, as in `server_version_num`: 170010. Zero if it
    /// gave none that can be read.
    pub fn server_version_num(&self) -> u32 {
        version_num(&self.wire.server_version)
    }

    /// The process of this session on the server.
    pub fn backend_pid(&self) -> i32 {
        self.wire.backend_pid
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.wire.transport.is_tls()
    }

    /// Runs one replication command, or SQL, and returns its rows.
    ///
    /// After an error from the server the link can be used further. Not cancel
    /// safe: when dropped half-way, the link refuses the next command.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<SimpleRow>, ConnectError> {
        const DOING: &str = "running a command";
        self.send_query(sql, DOING).await?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut refusal = None;
        loop {
            let message = match (self.wire.receive(DOING).await, refusal) {
                // After a FATAL the server just closes.
                (Err(ConnectError::Closed { .. }), Some(message)) => {
                    return Err(self.wire.refused(running(sql), message));
                }
                (received, kept) => {
                    refusal = kept;
                    received?
                }
            };
            match message {
                Message::DataRow(body) => {
                    bytes += body.buffer().len();
                    if rows.len() >= ROWS_MAX || bytes > ANSWER_BYTES_MAX {
                        return Err(self.wire.protocol(DOING, "the answer is too long"));
                    }
                    rows.push(self.row(&body, DOING)?);
                }
                Message::ErrorResponse(body) => {
                    refusal.get_or_insert_with(|| ServerMessage::parse(body.fields()));
                }
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse => {}
                Message::ReadyForQuery(_) => break,
                other => return Err(self.wire.protocol(DOING, describe(&other))),
            }
        }
        self.busy = false;
        match refusal {
            None => Ok(rows),
            Some(message) => Err(self.wire.refused(running(sql), message)),
        }
    }

    /// Runs a command that answers with CopyBoth mode: START_REPLICATION.
    pub async fn start_copy_both(
        mut self,
        sql: &str,
    ) -> Result<(LinkReader, LinkWriter), ConnectError> {
        const DOING: &str = "starting replication";
        self.send_query(sql, DOING).await?;
        loop {
            let frame = self.wire.receive_frame(DOING).await?;
            if frame.tag == COPY_BOTH_RESPONSE_TAG {
                break;
            }
            let message = frame
                .parse()
                .map_err(|error| self.wire.protocol(DOING, error.to_string()))?;
            match self.wire.note(message) {
                None => {}
                Some(Message::ErrorResponse(body)) => {
                    let message = ServerMessage::parse(body.fields());
                    return Err(self.wire.refused(DOING, message));
                }
                Some(other) => return Err(self.wire.protocol(DOING, describe(&other))),
            }
        }
        let Wire {
            transport,
            frames,
            target,
            ..
        } = self.wire;
        let (read, write) = tokio::io::split(transport);
        Ok((
            LinkReader {
                stream: read,
                frames,
                target: target.clone(),
                phase: Phase::Streaming,
            },
            LinkWriter {
                stream: write,
                unsent: BytesMut::new(),
                target,
            },
        ))
    }

    /// Says goodbye and closes the connection.
    pub async fn close(mut self) -> Result<(), ConnectError> {
        const DOING: &str = "closing the connection";
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        self.wire.send(&out, DOING).await?;
        let closed = self.wire.transport.shutdown().await;
        closed.map_err(|source| wire::io_error(&self.wire.target, DOING, source))
    }

    async fn send_query(&mut self, sql: &str, doing: &'static str) -> Result<(), ConnectError> {
        if self.busy {
            return Err(ConnectError::Misuse {
                target: self.wire.target.clone(),
                why: "an earlier command was not read to its end",
            });
        }
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(|_| ConnectError::Misuse {
            target: self.wire.target.clone(),
            why: "the command holds a zero byte",
        })?;
        self.busy = true;
        self.wire.send(&out, doing).await
    }

    fn row(&self, body: &DataRowBody, doing: &'static str) -> Result<SimpleRow, ConnectError> {
        let wrong = || self.wire.protocol(doing, "a row is cut short");
        let mut row = SimpleRow::new();
        let mut ranges = body.ranges();
        while let Some(range) = ranges.next().map_err(|_| wrong())? {
            row.push(match range {
                None => None,
                Some(range) => {
                    let bytes = body.buffer().get(range).ok_or_else(wrong)?;
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            });
        }
        Ok(row)
    }
}

/// Names a command in an error by its first words: the rest may be long.
fn running(sql: &str) -> String {
    let mut words = sql.split_whitespace();
    let named: Vec<&str> = words.by_ref().take(4).collect();
    let more = if words.next().is_some() { " …" } else { "" };
    format!("running {}{more}", named.join(" "))
}

/// `17.10` → 170010, `9.6.24` → 90624, `18beta1` → 180000.
fn version_num(text: &str) -> u32 {
    let numeric = text
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default();
    let mut numbers = numeric
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || numbers.next().unwrap_or(0);
    let (major, minor, patch) = (part(), part(), part());
    let number = if major >= 10 {
        major
            .checked_mul(10_000)
            .and_then(|major| major.checked_add(minor))
    } else {
        major
            .checked_mul(100)
            .and_then(|major| major.checked_add(minor))
            .and_then(|number| {
                number
                    .checked_mul(100)
                    .and_then(|number| number.checked_add(patch))
            })
    };
    number.unwrap_or(0)
}

struct WalsenderLogin<'a> {
    config: &'a ConnectConfig,
    extra: &'a [(&'a str, &'a str)],
}

impl Login for WalsenderLogin<'_> {
    type Session = ReplicationLink;

    async fn log_in(
        &self,
        transport: Transport,
        target: &Target,
    ) -> Result<ReplicationLink, ConnectError> {
        let wire = startup::log_in(transport, target, self.config, self.extra).await?;
        Ok(ReplicationLink { wire, busy: false })
    }

    async fn role(
        &self,
        link: &mut ReplicationLink,
        _target: &Target,
    ) -> Result<Role, ConnectError> {
        let rows = link.simple_query(Role::QUERY).await?;
        let role = match rows.first().map(Vec::as_slice) {
            Some([in_recovery, read_only]) => {
                Role::parse(in_recovery.as_deref(), read_only.as_deref())
            }
            _ => None,
        };
        role.ok_or_else(|| {
            link.wire
                .protocol("asking for the server's role", "no row came")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers_that_compare() {
        for (text, number) in [
            ("17.10", 170_010),
            ("13.23 (Debian 13.23-1.pgdg120+1)", 130_023),
            ("18beta1", 180_000),
            ("19rc1", 190_000),
            ("9.6.24", 90_624),
            ("", 0),
            ("4294967295.1", 0),
        ] {
            assert_eq!(version_num(text), number, "{text}");
        }
    }

    #[test]
    fn a_long_command_is_named_by_its_first_words() {
        assert_eq!(running("IDENTIFY_SYSTEM"), "running IDENTIFY_SYSTEM");
        assert_eq!(
            running("CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'export')"),
            "running CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput …"
        );
    }
}

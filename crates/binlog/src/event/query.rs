//! `QUERY_EVENT`, MariaDB's compressed one, and `EXECUTE_LOAD_QUERY_EVENT`: a statement.
//!
//! | bytes | meaning |
//! |---|---|
//! | u32, u32 | the connection, and the seconds that it took |
//! | u8 | length of the database's name |
//! | u16 | the statement's error |
//! | u16 | length of the status variables |
//! | u32, u32, u32, u8 | of a load query: its file, and where the name of it stands |
//! | | status variables, database, NUL, statement |

use std::borrow::Cow;

use adit_decode::{DecodeError, Reader};

use super::part;

/// A statement, and what decides how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// The default database, in UTF-8.
    pub database: &'a str,
    /// The statement, in the client's character set.
    pub sql: Cow<'a, [u8]>,
    /// The server's `sql_mode` bits, 0 where they are not said.
    pub sql_mode: u64,
    /// The collation number of the client's character set.
    pub client_collation: Option<u16>,
    /// It loads a file (statement format).
    pub load: bool,
}

/// `MODE_ANSI_QUOTES`
const ANSI_QUOTES: u64 = 4;

impl<'a> Query<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>, compressed: bool) -> Result<Self, DecodeError> {
        let (database_len, status_len) = head(reader)?;
        Self::rest(reader, database_len, status_len, compressed)
    }

    pub(super) fn parse_load(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (database_len, status_len) = head(reader)?;
        reader.bytes(13, "binlog load_query.file")?;
        let query = Self::rest(reader, database_len, status_len, false)?;
        Ok(Self {
            load: true,
            ..query
        })
    }

    fn rest(
        reader: &mut Reader<'a>,
        database_len: usize,
        status_len: usize,
        compressed: bool,
    ) -> Result<Self, DecodeError> {
        let status = reader.sub(status_len, "binlog query.status")?;
        let database = reader.str(database_len, "binlog query.database")?;
        reader.u8("binlog query.database_end")?;
        let (sql_mode, client_collation) = status_variables(status);
        Ok(Self {
            database,
            sql: part(reader, compressed, "binlog query.sql")?,
            sql_mode,
            client_collation,
            load: false,
        })
    }

    /// Whether double quotes are around identifiers.
    #[must_use]
    pub const fn ansi_quotes(&self) -> bool {
        self.sql_mode & ANSI_QUOTES != 0
    }
}

fn head(reader: &mut Reader<'_>) -> Result<(usize, usize), DecodeError> {
    reader.u32_le("binlog query.thread")?;
    reader.u32_le("binlog query.time")?;
    let database_len = usize::from(reader.u8("binlog query.database_length")?);
    reader.u16_le("binlog query.error")?;
    let status_len = usize::from(reader.u16_le("binlog query.status_length")?);
    Ok((database_len, status_len))
}

/// The modes and the client's collation. They come in front of those that are not known here, as
/// the servers write them in the order of their numbers.
fn status_variables(mut reader: Reader<'_>) -> (u64, Option<u16>) {
    let field = "binlog query.status";
    let (mut sql_mode, mut collation) = (0, None);
    while let Ok(code) = reader.u8(field) {
        let read = match code {
            // Q_FLAGS2_CODE, Q_AUTO_INCREMENT
            0 | 3 => reader.u32_le(field).map(drop),
            // Q_SQL_MODE_CODE
            1 => reader.u64_le(field).map(|mode| sql_mode = mode),
            // Q_CATALOG_CODE, which ends in NUL
            2 => reader
                .u8(field)
                .and_then(|len| reader.bytes(usize::from(len) + 1, field))
                .map(drop),
            // Q_CHARSET_CODE: client, connection, server
            4 => reader.u16_le(field).and_then(|client| {
                collation = Some(client);
                reader.u32_le(field).map(drop)
            }),
            // Q_TIME_ZONE_CODE, Q_CATALOG_NZ_CODE
            5 | 6 => reader
                .u8(field)
                .and_then(|len| reader.bytes(usize::from(len), field))
                .map(drop),
            _ => break,
        };
        if read.is_err() {
            break;
        }
    }
    (sql_mode, collation)
}

//! `FORMAT_DESCRIPTION_EVENT`: the first event of a file, and of a connection.
//!
//! | bytes | meaning |
//! |---|---|
//! | u16 | version of the format, 4 |
//! | 50 | the server's version, padded with NUL |
//! | u32 | when the file was created, if the server was started with it, else 0 |
//! | u8 | length of the common header, 19 |
//! | 1 each | length of the fixed part of each kind of event |
//! | u8 | checksum algorithm, where the server knows checksums (MySQL 5.6.1, MariaDB 5.3) |

use adit_decode::{DecodeError, DecodeErrorKind, Reader};

use crate::checksum::ChecksumAlgorithm;
use crate::header::{EventHeader, EventType};

/// How the events of a file are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// The server's version.
    pub server_version: String,
    /// When the file was created, in seconds since 1970, if the server was started with it; else 0.
    pub created: u32,
    /// What stands behind each event.
    pub checksum: ChecksumAlgorithm,
    /// The length of the fixed part of a table map.
    table_map_head: u8,
}

const VERSION_LEN: usize = 50;
/// In the versions of servers that were tried before MySQL 5.1 came out, such as `5.2.2-a_drop6p13-log`
/// (`Format_description_event` in MySQL's `control_events.cpp`).
const RENUMBERED: &str = "-a_drop";

impl FormatDescription {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let version = reader.u16_le("binlog format_description.version")?;
        if version != 4 {
            let why = "the log has another version than 4: it is of a server before MySQL 5.0";
            let kind = DecodeErrorKind::Invalid { why };
            return Err(start.error(kind, "binlog format_description.version"));
        }
        let field = "binlog format_description.server_version";
        let padded = reader.array::<VERSION_LEN>(field)?;
        let text = padded.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(text).into_owned();
        if server_version.contains(RENUMBERED) {
            let why = "the server is an early trial of MySQL 5.1 or 5.2, which numbers its events otherwise";
            return Err(reader.error(DecodeErrorKind::Invalid { why }, field));
        }
        let created = reader.u32_le("binlog format_description.created")?;
        let header_len = reader.u8("binlog format_description.header_length")?;
        if usize::from(header_len) != EventHeader::LEN {
            let why = "events have another header than the one of 19 bytes";
            let kind = DecodeErrorKind::Invalid { why };
            return Err(reader.error(kind, "binlog format_description.header_length"));
        }
        let mut lengths = reader.rest();
        let mut checksum = ChecksumAlgorithm::None;
        if knows_checksums(&server_version) {
            let Some((algorithm, rest)) = lengths.split_last() else {
                return Err(reader.error(
                    DecodeErrorKind::Truncated { needed: 1, left: 0 },
                    "binlog format_description.checksum",
                ));
            };
            lengths = rest;
            checksum = match algorithm {
                0 => ChecksumAlgorithm::None,
                1 => ChecksumAlgorithm::Crc32,
                tag => {
                    let kind = DecodeErrorKind::UnknownTag { tag: *tag };
                    return Err(reader.error(kind, "binlog format_description.checksum"));
                }
            };
        }
        let of = |kind: EventType| lengths.get(usize::from(kind.0) - 1).copied();
        Ok(Self {
            server_version,
            created,
            checksum,
            table_map_head: of(EventType::TABLE_MAP).unwrap_or(8),
        })
    }

    /// Whether table ids have four bytes, as servers before MySQL 5.1.4 wrote them.
    #[must_use]
    pub const fn table_ids_are_short(&self) -> bool {
        self.table_map_head == 6
    }
}

/// Whether format descriptions of this server end in the algorithm and a checksum, whatever the
/// algorithm is.
pub(crate) fn knows_checksums(server_version: &str) -> bool {
    let mut numbers = server_version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
    let since = if server_version.contains("MariaDB") {
        [5, 3, 0]
    } else {
        [5, 6, 1]
    };
    version >= since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_servers_whose_events_have_other_numbers_are_refused() {
        let describe = |version: &str| {
            let mut body = vec![4, 0];
            body.extend_from_slice(version.as_bytes());
            body.resize(2 + VERSION_LEN + 4, 0);
            body.push(19);
            FormatDescription::parse(&mut Reader::new(&body))
        };
        assert!(describe("5.1.23-rc-log").is_ok());
        let error = describe("5.2.2-a_drop6p13-debug-log").unwrap_err();
        assert!(error.to_string().contains("early trial"), "{error}");
    }

    #[test]
    fn servers_that_know_checksums_are_told_by_their_version() {
        for version in [
            "5.6.24-log",
            "9.7.4",
            "10.11.18-MariaDB-0+deb12u1-log",
            "5.3.1-MariaDB",
        ] {
            assert!(knows_checksums(version), "{version}");
        }
        for version in ["5.5.62-log", "5.6.0", "5.0.22", "5.2.9-MariaDB"] {
            assert!(!knows_checksums(version), "{version}");
        }
    }
}

//! The NATS client protocol as the server speaks it: bytes in, operations out.
//!
//! Sans-IO: [`parse`] looks at the front of a buffer and says what is there, how long it is, or that more bytes are needed.
//! It copies nothing, allocates nothing and has a limit on everything; the buffer's owner drops what was consumed.
//!
//! ```text
//! INFO {json}\r\n
//! PING\r\n   PONG\r\n   +OK\r\n   -ERR 'text'\r\n
//! MSG  subject sid [reply] size\r\n payload \r\n
//! HMSG subject sid [reply] header_size total_size\r\n header payload \r\n
//! ```
//! Layout: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use std::str;

/// The longest line accepted. `INFO` lists every server of a cluster, so it is far above the 4096 bytes that servers take.
pub(crate) const LINE_LEN_MAX: usize = 64 * 1024;

/// The largest message accepted: replies to publishes are short, so anything larger is not for us.
pub(crate) const PAYLOAD_LEN_MAX: usize = 1024 * 1024;

/// One operation of the server. Borrowed from the buffer it was parsed from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerOp<'a> {
    /// Who the server is and what it allows; sent first, and again when that changes.
    Info(&'a [u8]),
    /// Asks for a PONG.
    Ping,
    /// Answers a PING: everything sent before it has been read by the server.
    Pong,
    /// Only in verbose mode, which we never ask for.
    Ok,
    /// An error, with the quotes removed. Some close the connection, some do not.
    Err(&'a str),
    /// A message for one of our subscriptions.
    Message(ServerMessage<'a>),
}

/// A delivered message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerMessage<'a> {
    /// The subject it was published to.
    pub(crate) subject: &'a str,
    /// The header block, empty if it has none: `NATS/1.0[ code[ text]]\r\n` and `Name: value\r\n` lines.
    pub(crate) header: &'a [u8],
    /// The body.
    pub(crate) payload: &'a [u8],
}

impl ServerMessage<'_> {
    /// The status code of the header line, such as 503 for "no responders".
    pub(crate) fn status(&self) -> Option<u16> {
        let rest = self.header.strip_prefix(b"NATS/1.0 ")?;
        let digits = rest.get(..3)?;
        str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// The server sent something that is not the protocol; the connection cannot be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// A line longer than [`LINE_LEN_MAX`].
    #[error("line longer than {LINE_LEN_MAX} bytes")]
    LineTooLong,
    /// A message longer than [`PAYLOAD_LEN_MAX`].
    #[error("message of {0} bytes where at most {PAYLOAD_LEN_MAX} were expected")]
    PayloadTooLong(usize),
    /// The first word is none of the protocol's.
    #[error("unknown operation {0:?}")]
    UnknownOperation(String),
    /// An operation whose arguments do not make sense.
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// Parses the operation at the front of `buffer`.
///
/// Returns the operation and its length in bytes, or `None` if the buffer does not hold all of it yet.
pub(crate) fn parse(buffer: &[u8]) -> Result<Option<(ServerOp<'_>, usize)>, ProtocolError> {
    let Some(newline) = memchr::memchr(
        b'\n',
        buffer
            .get(..LINE_LEN_MAX.min(buffer.len()))
            .unwrap_or(buffer),
    ) else {
        return if buffer.len() >= LINE_LEN_MAX {
            Err(ProtocolError::LineTooLong)
        } else {
            Ok(None)
        };
    };
    let line_len = newline + 1;
    let line = buffer.get(..newline).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (word, rest) = split_word(line);
    let op = match word {
        b"MSG" => return message(buffer, line_len, rest, false),
        b"HMSG" => return message(buffer, line_len, rest, true),
        b"PING" => ServerOp::Ping,
        b"PONG" => ServerOp::Pong,
        b"+OK" => ServerOp::Ok,
        b"INFO" => ServerOp::Info(rest.trim_ascii()),
        b"-ERR" => {
            let text = str::from_utf8(rest).map_err(|_| ProtocolError::Malformed("-ERR"))?;
            ServerOp::Err(text.trim().trim_matches('\''))
        }
        other => {
            let shown = other.get(..other.len().min(32)).unwrap_or(other);
            return Err(ProtocolError::UnknownOperation(
                String::from_utf8_lossy(shown).into_owned(),
            ));
        }
    };
    Ok(Some((op, line_len)))
}

/// `MSG` and `HMSG`: the line in `args`, then the message behind the line.
fn message<'a>(
    buffer: &'a [u8],
    line_len: usize,
    args: &'a [u8],
    with_header: bool,
) -> Result<Option<(ServerOp<'a>, usize)>, ProtocolError> {
    let name = if with_header { "HMSG" } else { "MSG" };
    let malformed = || ProtocolError::Malformed(name);
    let args = str::from_utf8(args).map_err(|_| malformed())?;
    let mut words = args.split_ascii_whitespace();
    let subject = words.next().ok_or_else(malformed)?;
    words.next().ok_or_else(malformed)?; // sid: we have one subscription
    let total = words.next_back().ok_or_else(malformed)?;
    let total: usize = total.parse().map_err(|_| malformed())?;
    let header_len: usize = if with_header {
        words
            .next_back()
            .ok_or_else(malformed)?
            .parse()
            .map_err(|_| malformed())?
    } else {
        0
    };
    words.next(); // reply: nobody asks us anything
    if words.next().is_some() || header_len > total {
        return Err(malformed());
    }
    if total > PAYLOAD_LEN_MAX {
        return Err(ProtocolError::PayloadTooLong(total));
    }
    let end = line_len + total;
    let Some(content) = buffer.get(line_len..end) else {
        return Ok(None);
    };
    match buffer.get(end..end + 2) {
        None => return Ok(None),
        Some(b"\r\n") => {}
        Some(_) => return Err(malformed()),
    }
    let (header, payload) = content.split_at_checked(header_len).ok_or_else(malformed)?;
    Ok(Some((
        ServerOp::Message(ServerMessage {
            subject,
            header,
            payload,
        }),
        end + 2,
    )))
}

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
        Some(at) => (
            line.get(..at).unwrap_or_default(),
            line.get(at + 1..).unwrap_or_default(),
        ),
        None => (line, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<String> {
        let mut at = 0;
        let mut out = Vec::new();
        while at < bytes.len() {
            let (op, len) = parse(&bytes[at..]).unwrap().unwrap();
            out.push(format!("{op:?}"));
            at += len;
        }
        out
    }

    const STREAM: &[u8] = b"INFO {\"server_id\":\"x\"}\r\nPING\r\nPONG\r\n+OK\r\n-ERR 'Unknown Protocol'\r\n\
        MSG _INBOX.a.1 1 27\r\n{\"stream\":\"CDC\",\"seq\":12345}\r\nMSG a 1 reply.to 0\r\n\r\n\
        HMSG _INBOX.a.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n";

    #[test]
    fn every_operation_is_read_in_order() {
        let fixed = String::from_utf8(STREAM.to_vec())
            .unwrap()
            .replace("1 27\r\n", "1 28\r\n");
        let ops = all(fixed.as_bytes());
        assert_eq!(ops.len(), 9);
        assert!(ops[4].contains("Unknown Protocol") && !ops[4].contains('\''));
        assert!(ops[5].contains("_INBOX.a.1"));
    }

    #[test]
    fn a_truncated_operation_asks_for_more_and_is_never_an_error() {
        let whole = b"HMSG _INBOX.a.2 1 16 19\r\nNATS/1.0 503\r\n\r\nabc\r\n";
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), Ok(None), "prefix of {len} bytes");
        }
        let (op, len) = parse(whole).unwrap().unwrap();
        assert_eq!(len, whole.len());
        let ServerOp::Message(message) = op else {
            panic!("not a message")
        };
        assert_eq!(
            (message.status(), message.payload),
            (Some(503), b"abc".as_slice())
        );
    }

    #[test]
    fn any_flipped_byte_is_read_or_refused_without_a_panic() {
        for at in 0..STREAM.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = STREAM.to_vec();
                bytes[at] ^= flip;
                let mut rest = bytes.as_slice();
                while let Ok(Some((_, len))) = parse(rest) {
                    assert!(len > 0);
                    rest = &rest[len..];
                }
            }
        }
    }

    #[test]
    fn hostile_lengths_are_refused_before_anything_is_reserved() {
        assert!(matches!(
            parse(b"MSG a 1 99999999999999999999\r\n"),
            Err(ProtocolError::Malformed("MSG"))
        ));
        assert!(matches!(
            parse(b"MSG a 1 2147483648\r\n"),
            Err(ProtocolError::PayloadTooLong(2_147_483_648))
        ));
        assert!(matches!(
            parse(b"HMSG a 1 20 10\r\n"),
            Err(ProtocolError::Malformed("HMSG"))
        ));
        assert!(matches!(
            parse(b"MSG a 1 -1\r\n"),
            Err(ProtocolError::Malformed("MSG"))
        ));
        assert_eq!(
            parse(&vec![b'x'; LINE_LEN_MAX]),
            Err(ProtocolError::LineTooLong)
        );
        assert!(matches!(
            parse(b"HTTP/1.1 400\r\n"),
            Err(ProtocolError::UnknownOperation(_))
        ));
    }
}

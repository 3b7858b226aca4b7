//! What the server says in words: errors and notices.

use std::fmt;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;
use tokio_postgres::error::DbError;

/// Longest text kept of a server's message, in bytes.
const TEXT_MAX: usize = 4096;

/// An error or notice from the server.
///
/// The DETAIL and CONTEXT fields are not kept: they can hold row values
/// (`Key (email)=(…) already exists`).
/// Format: PostgreSQL manual, "Error and Notice Message Fields".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMessage {
    /// `ERROR`, `FATAL`, `WARNING`, … in English where the server says so.
    pub severity: String,
    /// The SQLSTATE: five letters and digits.
    pub code: String,
    /// The message, one sentence, possibly translated.
    pub message: String,
    /// What the server advises.
    pub hint: Option<String>,
}

impl ServerMessage {
    /// Reads the fields of an ErrorResponse or NoticeResponse. Fields that
    /// cannot be read are left out: a damaged message is still a message.
    pub(crate) fn parse(mut fields: ErrorFields<'_>) -> Self {
        let mut message = Self {
            severity: String::new(),
            code: String::new(),
            message: String::new(),
            hint: None,
        };
        while let Ok(Some(field)) = fields.next() {
            let value = || clip(String::from_utf8_lossy(field.value_bytes()).into_owned());
            match field.type_() {
                // 'V' is never translated; 'S' may be. 'S' comes first.
                b'S' | b'V' => message.severity = value(),
                b'C' => message.code = value(),
                b'M' => message.message = value(),
                b'H' => message.hint = Some(value()),
                _ => {}
            }
        }
        message
    }
}

impl From<&DbError> for ServerMessage {
    fn from(error: &DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: clip(error.message().to_owned()),
            hint: error.hint().map(|hint| clip(hint.to_owned())),
        }
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)
    }
}

fn clip(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use postgres_protocol::message::backend::Message;

    use super::*;

    fn error_response(fields: &[(u8, &str)]) -> ServerMessage {
        let mut body = Vec::new();
        for (kind, value) in fields {
            body.push(*kind);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut frame = BytesMut::from(&b"E"[..]);
        frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        frame.extend_from_slice(&body);
        match Message::parse(&mut frame).unwrap().unwrap() {
            Message::ErrorResponse(body) => ServerMessage::parse(body.fields()),
            _ => panic!("not an error response"),
        }
    }

    #[test]
    fn the_detail_with_row_values_is_dropped() {
        let message = error_response(&[
            (b'S', "FEHLER"),
            (b'V', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key"),
            (b'D', "Key (email)=(a@b.c) already exists."),
            (b'W', "COPY t, line 1: a@b.c"),
            (b'H', "try again"),
        ]);
        assert_eq!(message.to_string(), "ERROR 23505: duplicate key");
        assert_eq!(message.hint.as_deref(), Some("try again"));
        assert!(!format!("{message:?}").contains("a@b.c"));
    }

    #[test]
    fn a_very_long_message_is_clipped() {
        let long = "é".repeat(4096);
        let message = error_response(&[(b'M', &long)]);
        assert!(message.message.len() <= TEXT_MAX + '…'.len_utf8());
    }
}

//! What can go wrong between us and NATS, and whether waiting mends it.

use std::{io, path::PathBuf};

use adit_event::EncodeError;

use crate::subject::SubjectError;

/// An error of the sink. Each variant says what was being done, to which object, what the server answered and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value that cannot be used.
    #[error("nats configuration: {0}")]
    Config(String),
    /// A file named in the configuration cannot be read.
    #[error(
        "nats: cannot read {what} file {path:?}: check that it exists and that adit may read it"
    )]
    File {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate, key or seed that cannot be used.
    #[error("nats: {what} cannot be used: {why}")]
    Secret {
        /// Which one, with its path.
        what: String,
        /// What is wrong with it, without its content.
        why: String,
    },
    /// The subject template, or a subject made from it.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// No server could be reached. Heals when one is.
    #[error("cannot connect to nats at {server}: is the server running and the address right?")]
    Connect {
        /// Address tried last.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error(
        "tls handshake with nats at {server} failed: check nats.tls.ca and that the certificate names this host"
    )]
    Tls {
        /// Address of the server.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// The server refused who we are.
    #[error(
        "nats at {server} refused the login ({answer}): check user and password, token, nkey_file or creds_file"
    )]
    Login {
        /// Address of the server.
        server: String,
        /// What the server answered.
        answer: String,
    },
    /// The connection is gone. Heals by connecting again.
    #[error("connection to nats at {server} was lost: {why}")]
    Disconnected {
        /// Address of the server.
        server: String,
        /// What was seen.
        why: String,
    },
    /// The server does not speak the protocol we know.
    #[error("nats at {server} sent something that is not the nats protocol: {why}")]
    Protocol {
        /// Address of the server.
        server: String,
        /// What was wrong.
        why: String,
    },
    /// Nothing came back in time. Heals by asking again.
    #[error("nats did not answer in time while {doing}")]
    Timeout {
        /// What was being done.
        doing: String,
    },
    /// Nobody serves the subject: no leader just now, or no JetStream. Heals when there is a leader.
    #[error(
        "nothing answers while {doing}: the stream has no leader just now, or JetStream is not available"
    )]
    NoResponders {
        /// What was being done.
        doing: String,
    },
    /// The stream or the server is full; publishing pauses and goes on by itself when there is room.
    #[error(
        "stream {stream:?} takes no more messages ({answer}): raise its limits or free space; publishing goes on by itself"
    )]
    Full {
        /// The stream.
        stream: String,
        /// What the server answered.
        answer: String,
    },
    /// The server is overloaded or changing leaders. Heals.
    #[error("nats is not ready for {doing} ({answer})")]
    Busy {
        /// What was being done.
        doing: String,
        /// What the server answered.
        answer: String,
    },
    /// The chain of expected sequences broke: reading the stream's tail tells why. Heals by that, or turns into [`Error::Fenced`].
    #[error("stream {stream:?} refused message {sequence} or one behind it: {answer}")]
    ChainBroken {
        /// The stream.
        stream: String,
        /// Sequence the message was to get.
        sequence: u64,
        /// What the server answered.
        answer: String,
    },
    /// Somebody else wrote to the stream.
    #[error(
        "stream {stream:?} was written by somebody else: message {sequence} is from {writer}, not from this process ({ours}); stop the other writer, one connector writes to one stream"
    )]
    Fenced {
        /// The stream.
        stream: String,
        /// Sequence of the foreign message.
        sequence: u64,
        /// Its writer, or what is known of it.
        writer: String,
        /// Our own writer id.
        ours: String,
    },
    /// The stream lost messages that it had acknowledged.
    #[error(
        "stream {stream:?} ends at message {last}, but {acknowledged} was acknowledged: the server lost data (restored backup, or power cut without sync_interval: always); start again: what is missing is published again if the database still has the log"
    )]
    Regressed {
        /// The stream.
        stream: String,
        /// Its last sequence.
        last: u64,
        /// The last acknowledged sequence.
        acknowledged: u64,
    },
    /// The stream does not exist any more.
    #[error(
        "stream {stream:?} does not exist any more: it was deleted behind adit; decide whether to snapshot again or to restore it"
    )]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// The stream exists but cannot be written to exactly once.
    #[error("stream {stream:?} {why}: {fix}")]
    StreamRefused {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        why: String,
        /// What to do.
        fix: String,
    },
    /// The user lacks a right.
    #[error(
        "nats user may not {operation} {subject:?}: grant it in the server's permissions ({answer})"
    )]
    Permission {
        /// `publish to` or `subscribe to`.
        operation: &'static str,
        /// The subject.
        subject: String,
        /// What the server answered.
        answer: String,
    },
    /// The server or the account has no JetStream.
    #[error("jetstream is not enabled {place}: {fix} ({answer})")]
    NoJetStream {
        /// On the server, or for the account.
        place: &'static str,
        /// What to do.
        fix: &'static str,
        /// What the server answered.
        answer: String,
    },
    /// A message is larger than the server takes.
    #[error(
        "the message for subject {subject:?} at position {position} has {size} bytes, and at most {size_max} are taken (headers included): raise max_payload of the server, or max_msg_size of the stream; nothing behind it is published until then"
    )]
    Oversize {
        /// Its subject, which names the table.
        subject: String,
        /// Where it stands in the database's log, as in `Adit-Pos`.
        position: String,
        /// Size with headers, in bytes.
        size: u64,
        /// The limit, in bytes.
        size_max: u64,
    },
    /// A message was handed over that does not follow the one before: a defect of the caller.
    #[error(
        "message {got} was handed over where {expected} was due: a defect of adit, please report it"
    )]
    OutOfOrder {
        /// Sequence that was due.
        expected: u64,
        /// Sequence that came.
        got: u64,
    },
    /// An event cannot be written in the event format.
    #[error("event cannot be written")]
    Encode(#[from] EncodeError),
    /// JetStream refused a request for a reason that waiting does not mend.
    #[error("nats refused {doing} ({answer})")]
    Refused {
        /// What was being done.
        doing: String,
        /// What the server answered.
        answer: String,
    },
    /// A stored value changed between reading and writing it: somebody else holds it now.
    #[error(
        "key {key:?} in bucket {bucket:?} was changed by somebody else: another adit runs this connector"
    )]
    Conflict {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// A stored value or a reply cannot be read.
    #[error("cannot read {what}: {why}")]
    Malformed {
        /// What it is.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the error may heal by itself, so that trying again with back-off is right. The others need a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Disconnected { .. }
            | Self::Protocol { .. }
            | Self::Timeout { .. }
            | Self::NoResponders { .. }
            | Self::Full { .. }
            | Self::Busy { .. }
            | Self::ChainBroken { .. } => true,
            Self::Config(_)
            | Self::File { .. }
            | Self::Secret { .. }
            | Self::Subject(_)
            | Self::Tls { .. }
            | Self::Login { .. }
            | Self::Fenced { .. }
            | Self::Regressed { .. }
            | Self::StreamGone { .. }
            | Self::StreamRefused { .. }
            | Self::Permission { .. }
            | Self::NoJetStream { .. }
            | Self::Oversize { .. }
            | Self::OutOfOrder { .. }
            | Self::Encode(_)
            | Self::Refused { .. }
            | Self::Conflict { .. }
            | Self::Malformed { .. } => false,
        }
    }
}

/// An error as JetStream's API reports it. Numbers: `server/errors.json` of nats-server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct ApiError {
    /// Like an HTTP status.
    #[serde(default)]
    pub(crate) code: u16,
    /// The exact reason.
    #[serde(default)]
    pub(crate) err_code: u32,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    /// What the server said, for an error text.
    pub(crate) fn answer(&self) -> String {
        format!("{}, error {}", self.description, self.err_code)
    }

    /// What the reply to a publish of the message with `sequence` means.
    pub(crate) fn on_publish(&self, stream: &str, sequence: u64) -> Error {
        let (stream, answer) = (stream.to_owned(), self.answer());
        match self.err_code {
            code::WRONG_LAST_SEQUENCE
            | code::WRONG_LAST_SEQUENCE_CONSTANT
            | code::SEQUENCE_MISMATCH
            | code::DUPLICATE_IN_PROCESS
            | code::BATCH_UNKNOWN
            | code::ATOMIC_INCOMPLETE
            // Somebody switched batches off: the stream is looked at again, and goes on without, or is refused.
            | code::ATOMIC_DISABLED
            | code::BATCH_DISABLED => Error::ChainBroken { stream, sequence, answer },
            code::ATOMIC_TOO_LARGE => Error::StreamRefused {
                stream,
                why: format!("is on a server that takes only smaller atomic batches ({answer})"),
                fix: "let it take 1000 messages (jetstream.limits.batch.max_msgs), or switch nats.atomic_transactions off".to_owned(),
            },
            // Also "maximum messages exceeded" and its like, which come as "store failed".
            code::STORE_FAILED => Error::Full { stream, answer },
            _ => self.on_request(&format!("publishing message {sequence} to stream {stream:?}"), &stream),
        }
    }

    /// What the reply to an API request about `stream` means.
    pub(crate) fn on_request(&self, doing: &str, stream: &str) -> Error {
        let (doing, answer) = (doing.to_owned(), self.answer());
        match self.err_code {
            code::STREAM_NOT_FOUND => Error::StreamGone { stream: stream.to_owned() },
            code::STREAM_OFFLINE | code::NO_PEERS => Error::Busy { doing, answer },
            code::SUBJECT_OVERLAP => Error::StreamRefused {
                stream: stream.to_owned(),
                why: format!("cannot be created ({answer})"),
                fix: "another stream already takes some of these subjects; change nats.subject or that stream's subjects".to_owned(),
            },
            code::JETSTREAM_NOT_ENABLED => Error::NoJetStream {
                place: "on the server",
                fix: "start it with -js, or add a jetstream block to its configuration",
                answer,
            },
            code::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Error::NoJetStream {
                place: "for the account",
                fix: "enable it for the account of adit's user",
                answer,
            },
            code::SEALED => Error::StreamRefused {
                stream: stream.to_owned(),
                why: "is sealed".to_owned(),
                fix: "nothing can be written to it any more; name another stream".to_owned(),
            },
            code::INSUFFICIENT_RESOURCES | code::STORAGE_EXCEEDED | code::ACCOUNT_EXCEEDED | code::MEMORY_EXCEEDED => {
                Error::Full { stream: stream.to_owned(), answer }
            }
            code::TOO_MANY_BATCHES | code::TOO_MANY_FAST_BATCHES | code::TOO_MANY_REQUESTS => Error::Busy { doing, answer },
            _ if self.code == 503 || self.code == 429 => Error::Busy { doing, answer },
            _ => Error::Refused { doing, answer },
        }
    }
}

/// The error numbers that mean something to us.
pub(crate) mod code {
    pub(crate) const ACCOUNT_EXCEEDED: u32 = 10002;
    pub(crate) const NO_PEERS: u32 = 10005;
    pub(crate) const INSUFFICIENT_RESOURCES: u32 = 10023;
    pub(crate) const MEMORY_EXCEEDED: u32 = 10028;
    pub(crate) const MESSAGE_NOT_FOUND: u32 = 10037;
    pub(crate) const JETSTREAM_NOT_ENABLED_FOR_ACCOUNT: u32 = 10039;
    pub(crate) const STORAGE_EXCEEDED: u32 = 10047;
    pub(crate) const STREAM_NAME_IN_USE: u32 = 10058;
    pub(crate) const STREAM_NOT_FOUND: u32 = 10059;
    pub(crate) const SEQUENCE_MISMATCH: u32 = 10063;
    pub(crate) const SUBJECT_OVERLAP: u32 = 10065;
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10071;
    pub(crate) const JETSTREAM_NOT_ENABLED: u32 = 10076;
    pub(crate) const STORE_FAILED: u32 = 10077;
    pub(crate) const SEALED: u32 = 10109;
    pub(crate) const STREAM_OFFLINE: u32 = 10118;
    pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10158;
    pub(crate) const WRONG_LAST_SEQUENCE_CONSTANT: u32 = 10164;
    pub(crate) const TOO_MANY_REQUESTS: u32 = 10167;
    pub(crate) const ATOMIC_DISABLED: u32 = 10174;
    pub(crate) const ATOMIC_INCOMPLETE: u32 = 10176;
    pub(crate) const ATOMIC_TOO_LARGE: u32 = 10199;
    pub(crate) const BATCH_DISABLED: u32 = 10205;
    pub(crate) const BATCH_UNKNOWN: u32 = 10208;
    pub(crate) const TOO_MANY_BATCHES: u32 = 10210;
    pub(crate) const TOO_MANY_FAST_BATCHES: u32 = 10211;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, err_code: u32) -> ApiError {
        ApiError {
            code,
            err_code,
            description: "said so".to_owned(),
        }
    }

    #[test]
    fn each_reply_to_a_publish_is_retried_or_stops_as_it_must() {
        for (code, err_code, transient) in [
            (400, 10071, true),
            (503, 10063, true),
            (400, 10164, true),
            (503, 10077, true),
            (503, 10023, true),
            (500, 10047, true),
            (400, 10002, true),
            (429, 10167, true),
            (429, 10210, true),
            (503, 10008, true),
            (400, 10208, true),
            (400, 10158, true),
            (400, 10060, false),
            (400, 10109, false),
            (400, 10205, true),
            (400, 10174, true),
            (400, 10176, true),
            (400, 10199, false),
            (500, 10118, true),
            (404, 10059, false),
            (400, 10054, false),
            (400, 10097, false),
        ] {
            assert_eq!(
                api(code, err_code).on_publish("CDC", 7).is_transient(),
                transient,
                "{err_code}"
            );
        }
    }

    #[test]
    fn a_full_stream_is_shown_as_full() {
        let text = api(503, 10077).on_publish("CDC", 7).to_string();
        assert!(
            text.contains("\"CDC\" takes no more") && text.contains("10077"),
            "{text}"
        );
    }
}

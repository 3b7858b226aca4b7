//! The stream: created if it is missing, refused if it cannot keep the promise, and asked for its tail.

use std::ops::RangeInclusive;
use std::time::Duration;

use adit_event::{Position, transaction_id};
use adit_pipeline::{Tail, TailMessage};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream::iter;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    config::{Delivery, NatsConfig},
    control::{Failure, Nats},
    error::{ApiError, Error, code},
    outbox::Mode,
    subject::covers,
};

/// How many messages in front of the last one are looked at for the transaction that it follows: schema events come one
/// for each table at most.
const TRANSACTION_BACK_MAX: u64 = 100;
/// We send no message ids, so that the stream need not remember any. The server takes no less than 100 ms.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);
/// Two equal readings of the tail this far apart mean that nothing of an earlier connection is under way any more.
const TAIL_SETTLE: Duration = Duration::from_millis(50);
/// A tail that still moves after this many readings is somebody else's work.
const TAIL_READINGS_MAX: usize = 100;
/// Messages that are read at the same time.
const READS_MAX: usize = 64;
/// `invalid JSON`: what servers that check requests strictly say about a field they do not know.
const INVALID_JSON: u32 = 10025;

/// What of a stream's configuration matters to us. Fields: `StreamConfig` in the server's `stream.go`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StreamConfig {
    subjects: Vec<String>,
    retention: String,
    storage: String,
    discard: String,
    discard_new_per_subject: bool,
    max_msgs: i64,
    max_bytes: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i64,
    max_age: i64,
    no_ack: bool,
    sealed: bool,
    mirror: Option<serde_json::Value>,
    sources: Option<Vec<serde_json::Value>>,
    subject_transform: Option<serde_json::Value>,
    persist_mode: Option<String>,
    allow_batched: bool,
    allow_atomic: bool,
}

#[derive(Debug, Deserialize)]
struct StreamState {
    last_seq: u64,
    #[serde(default)]
    messages: u64,
}

#[derive(Debug, Deserialize)]
struct StreamInfo {
    config: StreamConfig,
    state: StreamState,
    created: String,
}

/// The stream as it was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// How to publish to it.
    pub(crate) mode: Mode,
    /// Its limit on a message, in bytes.
    pub(crate) max_message: u64,
}

/// How the stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamTail {
    pub(crate) last_seq: u64,
    pub(crate) created: String,
    pub(crate) message: Option<StreamMessage>,
}

/// The last message that can still be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamMessage {
    pub(crate) seq: u64,
    pub(crate) position: Option<Position>,
    pub(crate) n: Option<u64>,
    pub(crate) writer: Option<String>,
    /// The transaction that its body tells of.
    pub(crate) transaction: Option<Box<str>>,
}

impl From<StreamTail> for Tail {
    fn from(tail: StreamTail) -> Self {
        Self {
            seq: tail.last_seq,
            created: tail.created,
            message: tail.message.map(|message| TailMessage {
                seq: message.seq,
                position: message.position,
                n: message.n,
                transaction: message.transaction,
            }),
        }
    }
}

/// Makes sure that the stream is there and fit; creates it if it is missing and `create` is set.
pub(crate) async fn ensure(
    nats: &Nats,
    config: &NatsConfig,
    subjects: &[String],
    create: bool,
) -> Result<Found, Error> {
    let doing = format!("looking at stream {:?}", config.stream);
    let info = match info(nats, &config.stream, &doing).await {
        Ok(info) => info,
        Err(Failure::Api(error)) if error.err_code == code::STREAM_NOT_FOUND && create => {
            self::create(nats, config, subjects).await?
        }
        // The API is served by every server with JetStream, so that nobody there means no JetStream.
        Err(Failure::NoResponders) => return Err(no_jetstream()),
        Err(failure) => return Err(failure.into_error(&doing, &config.stream)),
    };
    check(&info.config, config, subjects)?;
    if info.config.max_age > 0 {
        let max_age = Duration::from_nanos(info.config.max_age.unsigned_abs());
        tracing::debug!(
            stream = config.stream,
            ?max_age,
            "stream forgets old messages"
        );
    }
    Ok(Found {
        mode: if info.config.allow_batched {
            Mode::Batched
        } else {
            Mode::Single
        },
        max_message: u64::try_from(info.config.max_msg_size).unwrap_or(u64::MAX),
    })
}

/// What `check` sees of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// There is none.
    Missing,
    /// It can be used.
    Fit {
        messages: u64,
        max_age: Option<Duration>,
    },
}

/// Looks whether the stream is fit, or could be created, and changes nothing.
pub(crate) async fn look(
    nats: &Nats,
    config: &NatsConfig,
    subjects: &[String],
) -> Result<Presence, Error> {
    let doing = format!("looking at stream {:?}", config.stream);
    let info = match info(nats, &config.stream, &doing).await {
        Ok(info) => info,
        Err(Failure::Api(error)) if error.err_code == code::STREAM_NOT_FOUND => {
            check_overlap(nats, config, subjects).await?;
            return Ok(Presence::Missing);
        }
        Err(failure) => return Err(failure.into_error(&doing, &config.stream)),
    };
    check(&info.config, config, subjects)?;
    Ok(Presence::Fit {
        messages: info.state.messages,
        max_age: u64::try_from(info.config.max_age)
            .ok()
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos),
    })
}

/// Refuses when another stream takes some of the subjects already.
async fn check_overlap(nats: &Nats, config: &NatsConfig, subjects: &[String]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Names {
        streams: Option<Vec<String>>,
    }
    for subject in subjects {
        let doing = format!("looking for other streams that take {subject:?}");
        let names = match nats
            .api::<Names>("STREAM.NAMES", &json!({"subject": subject}), &doing)
            .await
        {
            Ok(names) => names.streams.unwrap_or_default(),
            // The right to list streams is not needed to run.
            Err(Failure::Other(Error::Permission { .. })) => return Ok(()),
            Err(failure) => return Err(failure.into_error(&doing, &config.stream)),
        };
        if let Some(other) = names.first() {
            return Err(Error::StreamRefused {
                stream: config.stream.clone(),
                why: format!("does not exist and cannot be created: stream {other:?} takes {subject} already"),
                fix: "change nats.subject, or that stream's subjects, or set nats.stream to it if it is meant".to_owned(),
            });
        }
    }
    Ok(())
}

/// Reads how the stream ends, from its leader. With `settle`, waits until the end has stopped moving.
pub(crate) async fn tail(nats: &Nats, stream: &str, settle: bool) -> Result<StreamTail, Error> {
    let doing = format!("reading the end of stream {stream:?}");
    let failed = |failure: Failure| failure.into_error(&doing, stream);
    let mut before = info(nats, stream, &doing).await.map_err(failed)?;
    for reading in 0..TAIL_READINGS_MAX {
        if settle || reading > 0 {
            sleep(TAIL_SETTLE).await;
        }
        let message = last_message(nats, stream, &doing).await?;
        let after = info(nats, stream, &doing).await.map_err(failed)?;
        if after.state.last_seq == before.state.last_seq && after.created == before.created {
            return Ok(StreamTail {
                last_seq: after.state.last_seq,
                created: after.created,
                message,
            });
        }
        before = after;
    }
    Err(Error::Busy {
        doing,
        answer: "somebody keeps writing to it".to_owned(),
    })
}

/// Deletes the stream with everything in it.
///
/// # Errors
/// When it cannot be deleted; that it is not there is none.
pub async fn delete_stream(nats: &Nats, stream: &str) -> Result<(), Error> {
    let doing = format!("deleting stream {stream:?}");
    match nats
        .api::<serde_json::Value>(&format!("STREAM.DELETE.{stream}"), &json!({}), &doing)
        .await
    {
        Ok(_) => Ok(()),
        Err(Failure::Api(error)) if error.err_code == code::STREAM_NOT_FOUND => Ok(()),
        Err(failure) => Err(failure.into_error(&doing, stream)),
    }
}

async fn info(nats: &Nats, stream: &str, doing: &str) -> Result<StreamInfo, Failure> {
    nats.api(&format!("STREAM.INFO.{stream}"), &json!({}), doing)
        .await
}

async fn create(
    nats: &Nats,
    config: &NatsConfig,
    subjects: &[String],
) -> Result<StreamInfo, Error> {
    let doing = format!("creating stream {:?}", config.stream);
    let mut request = json!({
        "name": config.stream,
        "description": "change events, written by adit",
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_age": 0,
        "num_replicas": config.replicas,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "allow_direct": true,
        "allow_batched": true,
        "allow_atomic": config.atomic_transactions,
    });
    let verb = format!("STREAM.CREATE.{}", config.stream);
    let mut result = nats.api::<StreamInfo>(&verb, &request, &doing).await;
    if let (
        Err(Failure::Api(ApiError {
            err_code: INVALID_JSON,
            ..
        })),
        Some(fields),
    ) = (&result, request.as_object_mut())
    {
        // Servers before 2.12 drop what they do not know, later ones refuse it; these know atomic batches.
        fields.remove("allow_batched");
        result = nats.api(&verb, &request, &doing).await;
    }
    let created = match result {
        // Somebody else was faster, and did it differently: what is there now decides.
        Err(Failure::Api(error)) if error.err_code == code::STREAM_NAME_IN_USE => {
            info(nats, &config.stream, &doing)
                .await
                .map_err(|failure| failure.into_error(&doing, &config.stream))?
        }
        result => result.map_err(|failure| failure.into_error(&doing, &config.stream))?,
    };
    tracing::info!(
        stream = config.stream,
        ?subjects,
        replicas = config.replicas,
        "stream created"
    );
    Ok(created)
}

/// Refuses a stream that throws events away, mixes them with others, or acknowledges what it does not keep.
fn check(found: &StreamConfig, config: &NatsConfig, subjects: &[String]) -> Result<(), Error> {
    let refuse = |why: &str, fix: &str| {
        Err(Error::StreamRefused {
            stream: config.stream.clone(),
            why: why.to_owned(),
            fix: fix.to_owned(),
        })
    };
    let missing: Vec<&str> = subjects
        .iter()
        .filter(|ours| !found.subjects.iter().any(|theirs| covers(theirs, ours)))
        .map(String::as_str)
        .collect();
    if found.mirror.is_some()
        || found
            .sources
            .as_ref()
            .is_some_and(|sources| !sources.is_empty())
    {
        return refuse(
            "is fed from other streams",
            "adit must be the only writer of its stream; name another one",
        );
    }
    if !missing.is_empty() {
        let subjects = missing.join(", ");
        return refuse(
            &format!("does not take the subjects {subjects}"),
            "add them to the stream, or change nats.subject to what the stream takes",
        );
    }
    if found.sealed {
        return refuse(
            "is sealed",
            "nothing can be written to it any more; name another stream",
        );
    }
    if found.no_ack {
        return refuse(
            "does not acknowledge messages (no_ack)",
            "switch no_ack off",
        );
    }
    if found.retention != "limits" {
        return refuse(
            &format!(
                "forgets messages when they are consumed (retention {})",
                found.retention
            ),
            "only a stream with retention limits keeps its end; name another one",
        );
    }
    if found.subject_transform.is_some() {
        return refuse(
            "rewrites subjects (subject_transform)",
            "remove the transform, or name another stream",
        );
    }
    if config.atomic_transactions && !found.allow_atomic {
        return refuse(
            "takes no atomic batches, which nats.atomic_transactions needs",
            "allow them (allow_atomic, NATS 2.12 and later: nats stream edit --allow-batch), or switch atomic_transactions off",
        );
    }
    if config.delivery == Delivery::AtLeastOnce {
        return Ok(());
    }
    if found.storage != "file" {
        return refuse(
            "is kept in memory",
            "a restart of the server would lose acknowledged events; use storage file",
        );
    }
    if found.persist_mode.as_deref() == Some("async") {
        return refuse(
            "acknowledges before it has written (persist_mode async)",
            "set persist_mode to default",
        );
    }
    let discards_old = found.discard != "new";
    if discards_old && (found.max_msgs > 0 || found.max_bytes > 0) {
        return refuse(
            "throws the oldest events away when it is full (discard old with max_msgs or max_bytes)",
            "set discard to new, so that adit waits for room instead, or remove the limits",
        );
    }
    if found.max_msgs_per_subject > 0 && (discards_old || !found.discard_new_per_subject) {
        return refuse(
            &format!(
                "keeps only {} events of each table (max_msgs_per_subject)",
                found.max_msgs_per_subject
            ),
            "remove max_msgs_per_subject",
        );
    }
    Ok(())
}

pub(crate) fn no_jetstream() -> Error {
    Error::NoJetStream {
        place: "on the server",
        fix: "start it with -js, or add a jetstream block to its configuration",
        answer: "nobody serves $JS.API".to_owned(),
    }
}

/// A stored message as the API gives it back.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) hdrs: Option<String>,
    #[serde(default)]
    pub(crate) data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Got {
    message: Stored,
}

/// Which message to get.
#[derive(Debug, Serialize)]
struct Get<'a> {
    last_by_subj: &'a str,
}

/// The last message of `stream` on `subject`, from the leader; none if there is none.
pub(crate) async fn last_by_subject(
    nats: &Nats,
    stream: &str,
    subject: &str,
    doing: &str,
) -> Result<Option<Stored>, Error> {
    let verb = format!("STREAM.MSG.GET.{stream}");
    match nats
        .api::<Got>(
            &verb,
            &Get {
                last_by_subj: subject,
            },
            doing,
        )
        .await
    {
        Ok(got) => Ok(Some(got.message)),
        Err(Failure::Api(error)) if error.err_code == code::MESSAGE_NOT_FOUND => Ok(None),
        Err(failure) => Err(failure.into_error(doing, stream)),
    }
}

/// The message with that sequence, from the leader; none if it is not there any more.
async fn by_sequence(
    nats: &Nats,
    stream: &str,
    seq: u64,
    doing: &str,
) -> Result<Option<StreamMessage>, Error> {
    let verb = format!("STREAM.MSG.GET.{stream}");
    match nats.api::<Got>(&verb, &json!({"seq": seq}), doing).await {
        Ok(got) => read_headers(&got.message, doing).map(Some),
        Err(Failure::Api(error)) if error.err_code == code::MESSAGE_NOT_FOUND => Ok(None),
        Err(failure) => Err(failure.into_error(doing, stream)),
    }
}

/// Looks at every message of `range` in order until one is there that `ours` does not know as ours, and returns that. `seen` is moved
/// along, so that a look that is broken off need not begin again.
pub(crate) async fn first_foreign(
    nats: &Nats,
    stream: &str,
    range: RangeInclusive<u64>,
    seen: &mut u64,
    ours: impl Fn(&StreamMessage) -> bool,
) -> Result<Option<StreamMessage>, Error> {
    let doing = format!("looking for foreign messages in stream {stream:?}");
    let doing = doing.as_str();
    let reads = range.map(|seq| async move {
        by_sequence(nats, stream, seq, doing)
            .await
            .map(|message| (seq, message))
    });
    let mut reads = iter(reads).buffered(READS_MAX);
    while let Some((seq, message)) = reads.try_next().await? {
        if let Some(message) = message.filter(|message| !ours(message)) {
            return Ok(Some(message));
        }
        *seen = seq;
    }
    Ok(None)
}

async fn last_message(
    nats: &Nats,
    stream: &str,
    doing: &str,
) -> Result<Option<StreamMessage>, Error> {
    let Some(stored) = last_by_subject(nats, stream, ">", doing).await? else {
        return Ok(None);
    };
    let mut message = read_headers(&stored, doing)?;
    // Schema events are part of none.
    for back in 1..=TRANSACTION_BACK_MAX.min(message.seq.saturating_sub(1)) {
        if message.transaction.is_some() || message.position.is_none() {
            break;
        }
        let before = by_sequence(nats, stream, message.seq - back, doing).await?;
        message.transaction = before.and_then(|before| before.transaction);
    }
    Ok(Some(message))
}

fn read_headers(stored: &Stored, doing: &str) -> Result<StreamMessage, Error> {
    let headers = decode(stored.hdrs.as_deref(), doing)?;
    let headers = String::from_utf8_lossy(&headers);
    Ok(StreamMessage {
        seq: stored.seq,
        position: header(&headers, "Adit-Pos").and_then(|text| Position::parse(text).ok()),
        n: header(&headers, "Adit-N").and_then(|text| text.parse().ok()),
        writer: header(&headers, "Adit-Writer").map(str::to_owned),
        transaction: transaction_id(&decode(stored.data.as_deref(), doing)?).map(Into::into),
    })
}

/// Decodes a base64 field of the API.
pub(crate) fn decode(field: Option<&str>, doing: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(field.unwrap_or_default())
        .map_err(|error| Error::Malformed {
            what: format!("the answer to {doing}"),
            why: error.to_string(),
        })
}

/// The value of a header of a stored message.
pub(crate) fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// A duration as the API writes it.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> serde_json::Value {
        json!({"subjects": ["cdc.>"], "retention": "limits", "storage": "file", "discard": "new", "max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1})
    }

    fn checked(change: &serde_json::Value, delivery: Delivery) -> Result<(), String> {
        let mut found = good();
        for (key, value) in change.as_object().unwrap() {
            found[key] = value.clone();
        }
        let mut config = NatsConfig::new(["localhost"], "CDC", "cdc.{table}").unwrap();
        config.delivery = delivery;
        let subjects = ["cdc.*".to_owned(), "cdc.shop.$schema.*.*".to_owned()];
        check(&serde_json::from_value(found).unwrap(), &config, &subjects)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_stream_that_cannot_keep_the_promise_is_refused_with_what_to_do() {
        for (change, text) in [
            (
                json!({"subjects": ["other.>"]}),
                "does not take the subjects cdc.*, cdc.shop.$schema.*.*",
            ),
            (
                json!({"subjects": ["cdc.*"]}),
                "does not take the subjects cdc.shop.$schema.*.*",
            ),
            (json!({"sealed": true}), "is sealed"),
            (json!({"no_ack": true}), "no_ack"),
            (json!({"retention": "workqueue"}), "retention workqueue"),
            (
                json!({"subject_transform": {"src": "a", "dest": "b"}}),
                "subject_transform",
            ),
            (json!({"mirror": {"name": "X"}}), "fed from other streams"),
            (
                json!({"sources": [{"name": "X"}]}),
                "fed from other streams",
            ),
            (json!({"storage": "memory"}), "kept in memory"),
            (json!({"persist_mode": "async"}), "persist_mode async"),
            (
                json!({"discard": "old", "max_msgs": 5}),
                "throws the oldest events away",
            ),
            (
                json!({"discard": "old", "max_bytes": 5}),
                "throws the oldest events away",
            ),
            (
                json!({"max_msgs_per_subject": 1}),
                "keeps only 1 events of each table",
            ),
        ] {
            let error = checked(&change, Delivery::ExactlyOnce).unwrap_err();
            assert!(error.contains(text), "{change}: {error}");
        }
    }

    #[test]
    fn a_fit_stream_is_taken() {
        for change in [
            json!({}),
            json!({"discard": "old"}),
            json!({"discard": "new", "max_msgs": 5}),
            json!({"max_age": 1_000_000_000}),
            json!({"sources": []}),
            json!({"max_msgs_per_subject": 5, "discard_new_per_subject": true}),
        ] {
            assert_eq!(checked(&change, Delivery::ExactlyOnce), Ok(()), "{change}");
        }
        assert_eq!(
            checked(&json!({"storage": "memory"}), Delivery::AtLeastOnce),
            Ok(())
        );
    }

    #[test]
    fn headers_of_a_stored_message_are_found() {
        let headers = "NATS/1.0\r\nAdit-Position: x\r\nAdit-Pos: 00-1\r\nAdit-N: 7\r\n\r\n";
        assert_eq!(
            (
                header(headers, "Adit-Pos"),
                header(headers, "Adit-N"),
                header(headers, "Adit")
            ),
            (Some("00-1"), Some("7"), None)
        );
    }
}

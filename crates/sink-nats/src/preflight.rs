//! What `adit check` finds out about NATS. It publishes no event and creates nothing.

use adit_event::SourceMeta;
use adit_pipeline::{Checkpoint, Finding, Tail, Verdict, chain};
use serde::Deserialize;
use serde_json::json;

use crate::{
    bucket::Bucket,
    checkpoint,
    config::NatsConfig,
    control::{Failure, Nats},
    error::Error,
    lease,
    stream::{self, Presence},
    subject::{SubjectTemplate, encode_key},
};

/// Where the lease, the checkpoint and the tables' shapes are kept.
const BUCKETS: [&str; 3] = [lease::BUCKET, checkpoint::CHECKPOINTS, checkpoint::SCHEMAS];

/// What was found out, and where `run` would go on.
#[derive(Debug, Default)]
pub struct Preflight {
    /// Each names what mends it.
    pub findings: Vec<Finding>,
    /// How the stream ends, if it could be read; as that of an empty one if there is none.
    pub tail: Option<Tail>,
    /// The checkpoint, if there is one.
    pub checkpoint: Option<Checkpoint>,
}

/// Looks at everything in NATS that `run` needs.
pub async fn check(config: &NatsConfig, meta: &SourceMeta) -> Preflight {
    let mut preflight = Preflight::default();
    let findings = &mut preflight.findings;
    let subjects = match SubjectTemplate::parse(&config.subject, &meta.connector) {
        Ok(template) => template.stream_subjects(),
        Err(error) => {
            findings.push(failed("nats subject", &error));
            return preflight;
        }
    };
    let nats = match Nats::connect(config).await {
        Ok(nats) => nats,
        Err(error) => {
            findings.push(failed("nats connection", &error));
            return preflight;
        }
    };
    findings.push(Finding::ok("nats connection", nats.describe()));
    answer(findings, "jetstream", account(&nats).await);
    match stream(&nats, config, &subjects).await {
        Ok((finding, tail)) => {
            findings.push(finding);
            preflight.tail = Some(tail);
        }
        Err(error) => findings.push(failed("stream", &error)),
    }
    for name in BUCKETS {
        answer(
            findings,
            &format!("bucket {name}"),
            bucket(&nats, name).await,
        );
    }
    match checkpoint::look(&nats, &meta.connector).await {
        Ok(checkpoint) => preflight.checkpoint = checkpoint,
        Err(error) => findings.push(failed("checkpoint", &error)),
    }
    findings.extend(permissions(&nats, &subjects, &meta.connector).await);
    preflight
}

/// What JetStream says about our account. Field names: `JSApiAccountInfoResponse` in the server's `jetstream_api.go`.
#[derive(Deserialize)]
struct Account {
    storage: u64,
    streams: i64,
    limits: Limits,
}

#[derive(Deserialize)]
struct Limits {
    max_storage: i64,
    max_streams: i64,
}

async fn account(nats: &Nats) -> Result<Finding, Error> {
    const SUBJECT: &str = "jetstream";
    /// The stream and the three buckets.
    const STREAMS: i64 = 4;
    let doing = "asking for the account's limits";
    let account = match nats.api::<Account>("INFO", &json!({}), doing).await {
        Ok(account) => account,
        Err(Failure::NoResponders) => return Err(stream::no_jetstream()),
        // The right to ask is not needed to run.
        Err(Failure::Other(Error::Permission { .. })) => {
            return Ok(Finding::ok(
                SUBJECT,
                "this user may not ask for the account's limits",
            ));
        }
        Err(failure) => return Err(failure.into_error(doing, "")),
    };
    let Limits {
        max_storage,
        max_streams,
    } = account.limits;
    if max_storage >= 0 && account.storage >= max_storage.unsigned_abs() {
        return Ok(Finding::fail(
            SUBJECT,
            format!("the account has used its {max_storage} bytes of storage"),
            "raise the account's max_storage (max_file), or delete streams that nobody needs",
        ));
    }
    let storage = match max_storage {
        ..0 => format!("{} MiB used, no limit", account.storage >> 20),
        most => format!("{} of {} MiB used", account.storage >> 20, most >> 20),
    };
    if max_streams >= 0 && account.streams.saturating_add(STREAMS) > max_streams {
        return Ok(Finding::warn(
            SUBJECT,
            format!(
                "{} of {max_streams} streams exist, and run needs {STREAMS} (one and three buckets)",
                account.streams
            ),
            "raise the account's max_streams if run cannot create what is missing",
        ));
    }
    Ok(Finding::ok(SUBJECT, format!("storage: {storage}")))
}

async fn stream(
    nats: &Nats,
    config: &NatsConfig,
    subjects: &[String],
) -> Result<(Finding, Tail), Error> {
    const SUBJECT: &str = "stream";
    let name = &config.stream;
    let (messages, max_age) = match stream::look(nats, config, subjects).await? {
        Presence::Missing => {
            let subjects = subjects.join(", ");
            let detail = format!("{name:?} does not exist, run creates it for {subjects}");
            let none = Tail {
                seq: 0,
                created: String::new(),
                message: None,
            };
            return Ok((Finding::ok(SUBJECT, detail), none));
        }
        Presence::Fit { messages, max_age } => (messages, max_age),
    };
    let detail = format!("{name:?} is fit and holds {messages} messages");
    let finding = match max_age {
        None => Finding::ok(SUBJECT, detail),
        Some(max_age) => Finding::warn(
            SUBJECT,
            format!(
                "{detail}; events are removed {} s after they were stored (max_age)",
                max_age.as_secs()
            ),
            "see that every consumer is faster, or set max_age to 0",
        ),
    };
    Ok((finding, stream::tail(nats, name, false).await?.into()))
}

async fn bucket(nats: &Nats, name: &str) -> Result<Finding, Error> {
    let found = match Bucket::existing(nats, name).await? {
        Some(_) => "exists",
        None => "does not exist, run creates it",
    };
    Ok(Finding::ok(format!("bucket {name}"), found))
}

/// Adds what was found, or why nothing was.
fn answer(findings: &mut Vec<Finding>, subject: &str, found: Result<Finding, Error>) {
    findings.push(found.unwrap_or_else(|error| failed(subject, &error)));
}

/// Whether we may publish where events, checkpoint and lease go.
async fn permissions(nats: &Nats, subjects: &[String], connector: &str) -> Vec<Finding> {
    const SUBJECT: &str = "permission to publish";
    let events = subjects
        .iter()
        .map(|subject| subject.replace(['*', '>'], "adit-check"));
    let mut key = String::new();
    encode_key(connector, &mut key);
    let values = [
        format!("$KV.{}.{key}", lease::BUCKET),
        format!("$KV.{}.{key}", checkpoint::CHECKPOINTS),
        format!("$KV.{}.{key}.adit-check.adit-check", checkpoint::SCHEMAS),
    ];
    let mut findings = Vec::new();
    for subject in events.chain(values) {
        if let Err(error) = nats.probe(&subject).await {
            findings.push(failed(SUBJECT, &error));
        }
    }
    if findings.is_empty() {
        let detail = format!("to {} and the buckets", subjects.join(", "));
        findings.push(Finding::ok(SUBJECT, detail));
    }
    findings
}

/// The error's own text says what mends it.
fn failed(subject: &str, error: &(dyn std::error::Error + 'static)) -> Finding {
    Finding {
        verdict: Verdict::Fail,
        ..Finding::ok(subject, chain(error))
    }
}

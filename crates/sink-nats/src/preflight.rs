//! What `adit check` finds out about NATS. It publishes no event and creates nothing.

use adit_event::SourceMeta;
use adit_pipeline::{Finding, Verdict, chain};
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

/// Looks at everything in NATS that `run` needs; each finding names what mends it.
pub async fn check(config: &NatsConfig, meta: &SourceMeta) -> Vec<Finding> {
    let subjects = match SubjectTemplate::parse(&config.subject, &meta.connector) {
        Ok(template) => template.stream_subjects(),
        Err(error) => return vec![failed("nats subject", &error)],
    };
    let nats = match Nats::connect(config).await {
        Ok(nats) => nats,
        Err(error) => return vec![failed("nats connection", &error)],
    };
    let mut findings = vec![Finding::ok("nats connection", nats.describe())];
    let account = account(&nats).await;
    let without = matches!(&account, Err(Error::NoJetStream { .. }));
    match account {
        Ok(account) => findings.push(account),
        Err(error) => findings.push(failed("jetstream", &error)),
    }
    if without {
        return findings;
    }
    findings.push(stream(&nats, config, &subjects).await);
    for bucket in BUCKETS {
        findings.push(self::bucket(&nats, bucket).await);
    }
    findings.extend(permissions(&nats, &subjects, &meta.connector).await);
    findings
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

async fn stream(nats: &Nats, config: &NatsConfig, subjects: &[String]) -> Finding {
    const SUBJECT: &str = "stream";
    let name = &config.stream;
    let found = match stream::look(nats, config, subjects).await {
        Ok(found) => found,
        Err(error) => return failed(SUBJECT, &error),
    };
    match found {
        Presence::Missing => Finding::ok(
            SUBJECT,
            format!(
                "{name:?} does not exist, run creates it for {}",
                subjects.join(", ")
            ),
        ),
        Presence::Fit { messages, max_age } => {
            let detail = format!("{name:?} is fit and holds {messages} messages");
            match max_age {
                None => Finding::ok(SUBJECT, detail),
                Some(max_age) => Finding::warn(
                    SUBJECT,
                    format!(
                        "{detail}; events are removed {} s after they were stored (max_age)",
                        max_age.as_secs()
                    ),
                    "see that every consumer is faster, or set max_age to 0",
                ),
            }
        }
    }
}

async fn bucket(nats: &Nats, name: &str) -> Finding {
    let subject = format!("bucket {name}");
    match Bucket::exists(nats, name).await {
        Ok(true) => Finding::ok(subject, "exists"),
        Ok(false) => Finding::ok(subject, "does not exist, run creates it"),
        Err(error) => failed(&subject, &error),
    }
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

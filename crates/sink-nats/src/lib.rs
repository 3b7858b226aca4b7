//! NATS JetStream as the sink: subjects, stream, fenced pipelined publishing, checkpoints and lease.

mod auth;
mod bucket;
mod checkpoint;
mod config;
mod control;
mod error;
mod lease;
mod link;
mod outbox;
mod preflight;
mod protocol;
mod publish;
mod sink;
mod stream;
mod subject;
mod tls;

pub use checkpoint::NatsCheckpoints;
pub use config::{Auth, Delivery, NatsConfig, ServerAddress, TlsConfig};
pub use control::Nats;
pub use error::Error;
pub use lease::{Acquired, LEASE_TTL, Lease};
pub use preflight::{Preflight, check};
pub use sink::NatsSink;
pub use stream::delete_stream;
pub use subject::{
    SUBJECT_LEN_MAX, SubjectError, SubjectNames, SubjectTemplate, covers, decode_key, decode_token,
    encode_key, encode_token,
};

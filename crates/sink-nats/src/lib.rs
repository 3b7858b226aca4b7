//! NATS JetStream as the sink: everything of adit that knows NATS.
//!
//! [`NatsSink`] publishes events to one stream, pipelined, in order and fenced: every message says behind which stream sequence it belongs.
//! It sends over a connection of its own that never reconnects by itself, and keeps each message until it is stored. [`NatsCheckpoints`],
//! [`NatsShapes`] and [`Lease`] keep a connector's state in key-value buckets, over the control connection [`Nats`]. What all of them are told is in
//! [`NatsConfig`]; names become subjects by a [`SubjectTemplate`].
//!
//! ```
//! use adit_sink_nats::{SubjectNames, SubjectTemplate};
//!
//! let template = SubjectTemplate::parse("cdc.{connector}.{schema}.{table}", "shop")?;
//! assert_eq!(template.stream_subjects(), ["cdc.shop.*.*", "cdc.shop.$schema.*.*"]);
//! let mut subject = String::new();
//! let names = SubjectNames { database: "shop", schema: "public", table: "order.lines", op: "insert" };
//! template.render(&names, &mut subject)?;
//! assert_eq!(subject, "cdc.shop.public.order%2Elines");
//! # Ok::<(), adit_sink_nats::SubjectError>(())
//! ```

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
mod shapes;
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
pub use shapes::NatsShapes;
pub use sink::NatsSink;
pub use stream::delete_stream;
pub use subject::{
    SUBJECT_LEN_MAX, SubjectError, SubjectNames, SubjectTemplate, covers, decode_key, decode_token,
    encode_key, encode_token,
};

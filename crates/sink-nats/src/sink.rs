//! The pipeline's sink: events into one stream.

use std::{pin::Pin, time::Duration};

use adit_event::{Encoder, EventKind, SourceMeta, ValueOptions};
use adit_pipeline::{Classify, Disposition, Message, Sink, Tail};
use tokio::time::sleep;

use crate::{
    config::NatsConfig,
    control::Nats,
    error::Error,
    outbox::Publication,
    publish::Publisher,
    stream::{self, StreamMessage, StreamTail},
    subject::{SubjectNames, SubjectTemplate, encode_token},
};

/// How often the stream's configuration is looked at: what an operator changes there need not disturb publishing.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Ends when the stream is not fit any more.
type Watch = Pin<Box<dyn Future<Output = Error> + Send>>;

/// One connector's way into its stream.
pub struct NatsSink {
    nats: Nats,
    config: NatsConfig,
    template: SubjectTemplate,
    subjects: Vec<String>,
    database: String,
    encoder: Encoder,
    writer: String,
    publisher: Publisher,
    subject: String,
    /// Whether the stream was found or created once; from then on its absence is an error.
    found: bool,
    /// Whether a message was handed over; from then on the tail must be ours.
    started: bool,
    /// Messages up to this one were found to be ours without having been acknowledged.
    seen: u64,
    watch: Watch,
}

impl NatsSink {
    /// A sink for the events of one connector. Nothing is connected or created yet. `instance` names this process (its host, say); with a
    /// random part behind it, it is what `Adit-Writer` tells.
    ///
    /// # Errors
    /// A subject template that cannot be used.
    pub fn new(
        nats: Nats,
        config: NatsConfig,
        meta: &SourceMeta,
        options: ValueOptions,
        instance: &str,
    ) -> Result<Self, Error> {
        let template = SubjectTemplate::parse(&config.subject, &meta.connector)?;
        let inbox = nats.new_inbox();
        let mut writer = String::new();
        encode_token(instance, &mut writer);
        writer.push('-');
        writer.extend(inbox.chars().rev().take(8));
        Ok(Self {
            subjects: template.stream_subjects(),
            template,
            database: meta.database.clone(),
            encoder: Encoder::new(meta, options),
            publisher: Publisher::new(config.clone(), &inbox, &writer),
            writer,
            subject: String::new(),
            found: false,
            started: false,
            seen: 0,
            watch: Box::pin(std::future::pending()),
            nats,
            config,
        })
    }

    /// What `Adit-Writer` says in every message of this sink.
    #[must_use]
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Messages and bytes that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (
            self.publisher.outbox().len(),
            self.publisher.outbox().bytes(),
        )
    }

    fn watch(&self) -> Watch {
        let (nats, config) = (self.nats.clone(), self.config.clone());
        let subjects = self.subjects.clone();
        Box::pin(async move {
            loop {
                sleep(LOOK_EVERY).await;
                match stream::ensure(&nats, &config, &subjects, false).await {
                    Err(error) if !error.is_transient() => return error,
                    // Where NATS cannot be asked, publishing tells.
                    Ok(_) | Err(_) => {}
                }
            }
        })
    }

    /// Whether everything that was stored without our hearing of it is ours.
    ///
    /// The chain alone does not tell. A foreign message in the place of ours makes the server refuse our own, but the ones behind it fit
    /// again and are stored, so that an event would be missing under a tail that is ours. So each of them is looked at: it must be of this
    /// very process (another process of the same connector writes the same positions) and hold what we sent for that place. There are
    /// never more than the window holds.
    async fn check_ours(&mut self, tail: &StreamTail) -> Result<(), Error> {
        let (outbox, writer) = (self.publisher.outbox(), self.writer.as_str());
        let acknowledged = outbox.first_sequence() - 1;
        let stream = &self.config.stream;
        if !self.started || tail.last_seq == acknowledged {
            return Ok(());
        }
        if tail.last_seq < acknowledged {
            return Err(Error::Regressed {
                stream: stream.clone(),
                last: tail.last_seq,
                acknowledged,
            });
        }
        let ours = |message: &StreamMessage| {
            message.writer.as_deref() == Some(writer)
                && outbox.identity(message.seq).is_some_and(|(position, n)| {
                    message.n == Some(n)
                        && message
                            .position
                            .is_some_and(|found| found.as_bytes() == position)
                })
        };
        let foreign = match &tail.message {
            Some(message) if message.seq > acknowledged && !ours(message) => Some(message.clone()),
            _ => {
                let unheard =
                    acknowledged.max(self.seen) + 1..=tail.last_seq.min(outbox.next_sequence());
                stream::first_foreign(&self.nats, stream, unheard, &mut self.seen, ours).await?
            }
        };
        let Some(message) = foreign else {
            return Ok(());
        };
        let found = message
            .writer
            .unwrap_or_else(|| "a program that is not adit".to_owned());
        Err(Error::Fenced {
            stream: stream.clone(),
            sequence: message.seq,
            writer: found,
            ours: self.writer.clone(),
        })
    }
}

impl Sink for NatsSink {
    type Error = Error;

    async fn connect(&mut self) -> Result<Tail, Error> {
        // Before the control connection is used, which does not tell why it is down.
        self.publisher.connect().await?;
        let found = stream::ensure(&self.nats, &self.config, &self.subjects, !self.found).await?;
        self.found = true;
        self.publisher.set_stream(found.mode, found.max_message);
        let tail = stream::tail(&self.nats, &self.config.stream, true).await?;
        self.check_ours(&tail).await?;
        self.watch = self.watch();
        Ok(tail.into())
    }

    fn has_room(&self) -> bool {
        self.publisher.has_room()
    }

    fn publish(&mut self, message: Message<'_>) -> Result<(), Error> {
        let outbox = self.publisher.outbox();
        if outbox.next_sequence() != message.seq {
            if outbox.len() > 0 || message.seq == 0 {
                return Err(Error::OutOfOrder {
                    expected: outbox.next_sequence(),
                    got: message.seq,
                });
            }
            self.publisher.resume(message.seq - 1);
        }
        self.started = true;
        self.subject.clear();
        let relation = message.event.relation();
        let ends = match message.event.kind {
            EventKind::Change {
                change,
                transaction,
                last,
            } => {
                let names = SubjectNames {
                    database: &self.database,
                    schema: relation.schema(),
                    table: relation.table(),
                    op: change.op.as_str(),
                };
                self.template.render(&names, &mut self.subject)?;
                last || transaction.snapshot
            }
            EventKind::Schema { .. } => {
                let (schema, table) = (relation.schema(), relation.table());
                let subject = &mut self.subject;
                self.template.render_schema(schema, table, subject)?;
                // Between transactions it stands for itself.
                self.publisher.outbox().is_at_end()
            }
        };
        let publication = Publication {
            subject: &self.subject,
            position: message.event.position,
            n: message.n,
            headers: &[],
            ends,
        };
        let encoder = &mut self.encoder;
        self.publisher.push(&publication, |body| {
            encoder.write(&message.event, body).map_err(Error::from)
        })
    }

    fn resume(&mut self, stored: u64) {
        self.publisher.resume(stored);
    }

    async fn next(&mut self) -> Result<u64, Error> {
        tokio::select! {
            biased;
            stored = self.publisher.next() => stored,
            unfit = &mut self.watch => {
                self.watch = self.watch();
                Err(unfit)
            }
        }
    }
}

impl Classify for Error {
    fn disposition(&self) -> Disposition {
        if self.is_transient() {
            Disposition::Retry
        } else {
            Disposition::Halt
        }
    }
}

impl std::fmt::Debug for NatsSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSink")
            .field("stream", &self.config.stream)
            .field("writer", &self.writer)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

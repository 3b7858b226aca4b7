//! The lease: which of several processes that run the same connector works. It saves work and nothing else; what keeps two writers apart
//! is the chain of expected sequences.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::{bucket::Bucket, control::Nats, error::Error, subject::encode_key};

pub(crate) const BUCKET: &str = "adit_leases";
/// A lease that is not renewed for this long is anybody's. So short that another process, which has to notice and to find its place in the
/// log, publishes within ten seconds of the holder's death.
pub const LEASE_TTL: Duration = Duration::from_secs(7);
/// So that two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_millis(2_300);
/// A renewal that is not answered for this long has failed.
const RENEWAL_MAX: Duration = Duration::from_millis(1_800);
/// A renewal that fails is tried again after this.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// The right to run a connector, for as long as it is renewed.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    key: String,
    holder: String,
    revision: u64,
    renewed: Instant,
}

/// What asking for the lease ended with.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, made at a start")]
pub enum Acquired {
    /// It is ours: [`Lease::keep`] it.
    Ours(Lease),
    /// Somebody else has it: stand by and ask again.
    HeldBy(String),
}

impl Lease {
    /// Asks for the lease of a connector. `holder` says who we are, for others to read: instance, host and process id.
    ///
    /// # Errors
    /// When NATS cannot be asked.
    pub async fn acquire(
        nats: &Nats,
        connector: &str,
        holder: &str,
        replicas: usize,
    ) -> Result<Acquired, Error> {
        let bucket = Bucket::open(nats, BUCKET, replicas, LEASE_TTL).await?;
        let mut key = String::new();
        encode_key(connector, &mut key);
        let entry = bucket.get(&key).await?;
        if let Some(other) = entry.value.filter(|value| value != holder.as_bytes()) {
            return Ok(Acquired::HeldBy(
                String::from_utf8_lossy(&other).into_owned(),
            ));
        }
        let renewed = Instant::now();
        match bucket
            .update(&key, holder.as_bytes().to_vec(), entry.revision, &[])
            .await
        {
            Ok(revision) => Ok(Acquired::Ours(Self {
                bucket,
                key,
                holder: holder.to_owned(),
                revision,
                renewed,
            })),
            Err(Error::Conflict { .. }) => Ok(Acquired::HeldBy(
                "somebody who asked at the same time".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// Renews the lease until it is lost: somebody else has it, or it could not be renewed for its whole life. Cancel-safe: dropping the
    /// future and calling again goes on.
    pub async fn keep(&mut self) -> Error {
        let mut next = self.renewed + RENEW_EVERY;
        loop {
            sleep_until(next).await;
            let now = Instant::now();
            match self.renew().await {
                Ok(revision) => {
                    self.revision = revision;
                    self.renewed = now;
                    next = now + RENEW_EVERY;
                }
                // Also after a renewal whose answer was lost: then the value is still ours.
                Err(Error::Conflict { .. }) => match self.bucket.get(&self.key).await {
                    Ok(entry)
                        if entry
                            .value
                            .as_ref()
                            .is_none_or(|value| value == self.holder.as_bytes()) =>
                    {
                        // The same: an earlier renewal is under way still.
                        let is_settled = entry.revision != self.revision;
                        self.revision = entry.revision;
                        next = now
                            + if is_settled {
                                Duration::ZERO
                            } else {
                                RETRY_EVERY
                            };
                    }
                    Ok(_) => {
                        return Error::Conflict {
                            bucket: BUCKET.to_owned(),
                            key: self.key.clone(),
                        };
                    }
                    Err(_) => next = Instant::now() + RETRY_EVERY,
                },
                Err(error) if now.duration_since(self.renewed) > LEASE_TTL => return error,
                Err(error) => {
                    tracing::warn!(%error, "lease could not be renewed yet");
                    next = Instant::now() + RETRY_EVERY;
                }
            }
        }
    }

    async fn renew(&self) -> Result<u64, Error> {
        let holder = self.holder.as_bytes().to_vec();
        let renewal = self.bucket.update(&self.key, holder, self.revision, &[]);
        match timeout(RENEWAL_MAX, renewal).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                doing: "renewing the lease".to_owned(),
            }),
        }
    }

    /// Gives the lease back, so that others need not wait for its end.
    ///
    /// # Errors
    /// When that could not be written; the lease then ends by itself.
    pub async fn release(self) -> Result<(), Error> {
        self.bucket.delete(&self.key, Some(self.revision)).await
    }
}

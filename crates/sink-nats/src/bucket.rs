//! Key-value buckets, as far as we need them: get, compare-and-set, put, delete, list.
//!
//! A bucket is a stream `KV_{bucket}` with subjects `$KV.{bucket}.{key}`; the revision of a value is its stream sequence (ADR-8). Reading
//! goes to the leader, never to a replica that may lag, because what is compared here decides who may write.

use std::{collections::HashMap, time::Duration};

use async_nats::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use crate::{
    control::{Failure, Nats},
    error::{ApiError, Error, code},
    stream::{decode, header, last_by_subject, nanos},
};

/// The revision that a key has to have to be changed.
const EXPECTED_REVISION: &str = "Nats-Expected-Last-Subject-Sequence";

/// A bucket. One that is deleted behind us holds nothing, and is made again when it is written to.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    nats: Nats,
    name: String,
    replicas: usize,
    /// Values older than this are forgotten, if it is not zero.
    max_age: Duration,
}

/// What is known of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its value; none if there is none, or not any more.
    pub(crate) value: Option<Vec<u8>>,
    /// What has to be named to change it; 0 if it never had a value.
    pub(crate) revision: u64,
    headers: String,
}

impl Entry {
    /// A header that was stored with the value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

#[derive(Debug, Deserialize)]
struct PubAck {
    seq: u64,
}

impl Bucket {
    /// Opens the bucket, and creates it if it is missing: on file, one value per key, forgetting values older than `max_age` if that is
    /// not zero.
    pub(crate) async fn open(
        nats: &Nats,
        name: &str,
        replicas: usize,
        max_age: Duration,
    ) -> Result<Self, Error> {
        let bucket = Self {
            nats: nats.clone(),
            name: name.to_owned(),
            replicas,
            max_age,
        };
        if !bucket.exists().await? {
            bucket.create().await?;
        }
        Ok(bucket)
    }

    /// The bucket if it exists; creates none.
    pub(crate) async fn existing(nats: &Nats, name: &str) -> Result<Option<Self>, Error> {
        let bucket = Self {
            nats: nats.clone(),
            name: name.to_owned(),
            replicas: 1,
            max_age: Duration::ZERO,
        };
        Ok(bucket.exists().await?.then_some(bucket))
    }

    async fn exists(&self) -> Result<bool, Error> {
        let stream = self.stream();
        let doing = format!("looking at bucket {:?}", self.name);
        match self
            .nats
            .api::<serde_json::Value>(&format!("STREAM.INFO.{stream}"), &json!({}), &doing)
            .await
        {
            Ok(_) => Ok(true),
            Err(Failure::Api(error)) if error.err_code == code::STREAM_NOT_FOUND => Ok(false),
            Err(failure) => Err(failure.into_error(&doing, &stream)),
        }
    }

    async fn create(&self) -> Result<(), Error> {
        let stream = self.stream();
        // No longer than the values live, or the server refuses it.
        let duplicate_window = if self.max_age.is_zero() {
            Duration::from_secs(120)
        } else {
            self.max_age.min(Duration::from_secs(120))
        };
        let request = json!({
            "name": stream,
            "description": "written by adit",
            "subjects": [format!("$KV.{}.>", self.name)],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msgs_per_subject": 1,
            "max_msg_size": -1,
            "max_age": nanos(self.max_age),
            "num_replicas": self.replicas,
            "duplicate_window": nanos(duplicate_window),
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        let doing = format!("creating bucket {:?}", self.name);
        match self
            .nats
            .api::<serde_json::Value>(&format!("STREAM.CREATE.{stream}"), &request, &doing)
            .await
        {
            Ok(_) => Ok(()),
            // Another connector was faster.
            Err(Failure::Api(error)) if error.err_code == code::STREAM_NAME_IN_USE => Ok(()),
            Err(failure) => Err(failure.into_error(&doing, &stream)),
        }
    }

    /// The value of a key and its revision.
    pub(crate) async fn get(&self, key: &str) -> Result<Entry, Error> {
        let doing = format!("reading key {key:?} of bucket {:?}", self.name);
        let (stream, subject) = (self.stream(), self.subject(key));
        let stored = match last_by_subject(&self.nats, &stream, &subject, &doing).await {
            Ok(Some(stored)) => stored,
            Ok(None) | Err(Error::StreamGone { .. }) => return Ok(Entry::default()),
            Err(error) => return Err(error),
        };
        let headers =
            String::from_utf8_lossy(&decode(stored.hdrs.as_deref(), &doing)?).into_owned();
        let deleted = matches!(header(&headers, "KV-Operation"), Some("DEL" | "PURGE"));
        let value = if deleted {
            None
        } else {
            Some(decode(stored.data.as_deref(), &doing)?)
        };
        Ok(Entry {
            value,
            revision: stored.seq,
            headers,
        })
    }

    /// Sets a value with headers if its revision still is `revision`; returns the new one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub(crate) async fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: u64,
        headers: &[(&'static str, &str)],
    ) -> Result<u64, Error> {
        let mut map = header_map(headers);
        map.insert(EXPECTED_REVISION, revision.to_string());
        self.write(key, map, value).await
    }

    /// Reads a key and writes it again with these headers, so that who knows its old revision cannot change it any more.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else was faster.
    pub(crate) async fn claim(
        &self,
        key: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Entry, Error> {
        let entry = self.get(key).await?;
        let mut map = header_map(headers);
        map.insert(EXPECTED_REVISION, entry.revision.to_string());
        if entry.value.is_none() {
            map.insert("KV-Operation", "DEL");
        }
        let value = entry.value.clone().unwrap_or_default();
        let revision = self.write(key, map, value).await?;
        Ok(Entry { revision, ..entry })
    }

    /// Sets a value with headers, whatever it was.
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        headers: &[(&'static str, &str)],
    ) -> Result<u64, Error> {
        self.write(key, header_map(headers), value).await
    }

    /// Deletes a key if its revision still is `revision`, or whatever it is if `None`.
    pub(crate) async fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        if let Some(revision) = revision {
            headers.insert(EXPECTED_REVISION, revision.to_string());
        }
        self.write(key, headers, Vec::new()).await.map(|_| ())
    }

    /// The keys below `prefix` (a key's first parts), deleted ones included.
    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let doing = format!("listing bucket {:?}", self.name);
        let stream = self.stream();
        let start = format!("$KV.{}.", self.name);
        let mut keys = Vec::new();
        loop {
            let request =
                json!({"subjects_filter": format!("{start}{prefix}.>"), "offset": keys.len()});
            let info: Info = self
                .nats
                .api(&format!("STREAM.INFO.{stream}"), &request, &doing)
                .await
                .map_err(|failure| failure.into_error(&doing, &stream))?;
            let page = info.state.subjects.unwrap_or_default();
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(
                page.into_keys()
                    .filter_map(|subject| subject.strip_prefix(&start).map(str::to_owned)),
            );
            if keys.len() >= info.total {
                return Ok(keys);
            }
        }
    }

    async fn write(&self, key: &str, headers: HeaderMap, value: Vec<u8>) -> Result<u64, Error> {
        match self.try_write(key, headers.clone(), value.clone()).await {
            // Nobody takes what is written to a bucket that is gone, or that has no leader just now.
            Err(Error::NoResponders { .. }) if !self.exists().await? => {
                tracing::warn!(
                    bucket = self.name,
                    "the bucket was deleted behind adit, and is made again"
                );
                self.create().await?;
                self.try_write(key, headers, value).await
            }
            result => result,
        }
    }

    async fn try_write(&self, key: &str, headers: HeaderMap, value: Vec<u8>) -> Result<u64, Error> {
        let doing = format!("writing key {key:?} of bucket {:?}", self.name);
        match self
            .nats
            .publish::<PubAck>(&self.subject(key), headers, value, &doing)
            .await
        {
            Ok(ack) => Ok(ack.seq),
            Err(Failure::Api(ApiError {
                err_code: code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_CONSTANT,
                ..
            })) => Err(Error::Conflict {
                bucket: self.name.clone(),
                key: key.to_owned(),
            }),
            Err(Failure::Api(error)) if error.err_code == code::STORE_FAILED => Err(Error::Full {
                stream: self.stream(),
                answer: error.answer(),
            }),
            Err(failure) => Err(failure.into_error(&doing, &self.stream())),
        }
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }
}

fn header_map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    map
}

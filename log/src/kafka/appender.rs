//! Appending events to Kafka: one producer, idempotent, acknowledged by all replicas.

mod producer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::PartitionId;

use self::producer::{Delivered, Failed, Producer};
use super::client::{self, number};
use super::options::Options;
use super::topics::OpenError;
use crate::event::{AppendError, Appended, EventAppender, NewEvent};
use crate::partitioner;

/// How often the number of partitions is asked for.
const REFRESH: Duration = Duration::from_secs(5);

/// Appends events.
#[derive(Clone)]
pub struct KafkaAppender(Arc<Inner>);

struct Inner {
    producer: Producer,
    topic: String,
    partitions: AtomicU32,
    queue_bytes_max: usize,
    shown: String,
}

impl KafkaAppender {
    pub(super) fn new(options: &Options) -> Result<Self, OpenError> {
        let topic = options.topics.events.clone();
        // One waiting call is enough.
        let (keeper, called) = mpsc::sync_channel(1);
        let producer =
            Producer::new(options.producer(), keeper).map_err(|error| OpenError::client(&error))?;
        let inner = Inner {
            producer,
            shown: format!("topic {topic} at {}", options.bootstrap),
            topic,
            partitions: AtomicU32::new(0),
            queue_bytes_max: options.queue_bytes_max,
        };
        inner.refresh(options.request_timeout).map_err(|error| OpenError::unreachable(options, &error))?;
        let inner = Arc::new(inner);
        let (weak, timeout) = (Arc::downgrade(&inner), options.request_timeout);
        let spawned = std::thread::Builder::new()
            .name("kafka-appender".to_owned())
            .spawn(move || keep(&weak, &called, timeout));
        spawned.map_err(|error| OpenError::unreachable(options, &error))?;
        Ok(Self(inner))
    }
}

/// Keeps the number of partitions up to date, and the producer able to send, for as long as somebody appends.
fn keep(appender: &Weak<Inner>, called: &mpsc::Receiver<()>, timeout: Duration) {
    let (mut refreshed, mut renewed) = (Instant::now(), None);
    let mut wait = REFRESH;
    loop {
        if called.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let Some(inner) = appender.upgrade() else { return };
        wait = inner.renew(&mut renewed).unwrap_or(REFRESH);
        if refreshed.elapsed() >= REFRESH {
            if let Err(error) = inner.refresh(timeout) {
                tracing::debug!(%error, "the partitions are taken to be as many as before");
            }
            refreshed = Instant::now();
        }
    }
}

impl Inner {
    fn refresh(&self, timeout: Duration) -> Result<(), KafkaError> {
        let count = self.producer.partitions(&self.topic, timeout)?;
        self.partitions.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces a producer that met a fatal error, and says when to look again where that could not be done now.
    fn renew(&self, renewed: &mut Option<Instant>) -> Option<Duration> {
        let reason = self.producer.fatal_error()?;
        let rest = producer::rest(*renewed, Instant::now());
        if !rest.is_zero() {
            return Some(rest);
        }
        *renewed = Some(Instant::now());
        tracing::warn!(
            log = self.shown,
            reason,
            "the producer of events met a fatal error: a new one takes its place, and nothing is sent again"
        );
        if let Err(error) = self.producer.renew() {
            tracing::error!(log = self.shown, %error, "there is no new producer of events yet");
        }
        // Another fatal error may have come meanwhile.
        Some(producer::rest(*renewed, Instant::now()))
    }

    /// Hands an event over to be sent.
    fn send(&self, event: &NewEvent) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let partition =
            number(event.partition).map_err(|_| production(RDKafkaErrorCode::UnknownPartition))?;
        self.producer.send(&self.topic, partition, event.key.as_bytes(), &event.value)
    }

    /// What became of an event that was not handed over.
    fn refused(&self, error: &KafkaError, bytes: usize, partition: PartitionId) -> AppendError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => AppendError::QueueFull {
                queued_bytes: self.queue_bytes_max,
                limit_bytes: self.queue_bytes_max,
                setting: "log.queue_bytes_max",
            },
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                AppendError::TooLarge { bytes, limit_bytes: 1_000_000, setting: "kafka.message.max.bytes" }
            }
            Some(code) if client::is_unknown(code) => self.unknown(partition),
            _ => self.storage(error),
        }
    }

    fn unknown(&self, partition: PartitionId) -> AppendError {
        AppendError::UnknownPartition { partition, partitions: self.partitions.load(Ordering::Relaxed) }
    }

    fn storage(&self, error: &KafkaError) -> AppendError {
        AppendError::Storage { path: self.shown.clone(), reason: error.to_string() }
    }

    fn indefinite(&self, reason: String) -> AppendError {
        AppendError::Indefinite { path: self.shown.clone(), reason }
    }
}

fn production(code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::MessageProduction(code)
}

impl EventAppender for KafkaAppender {
    fn partition_of(&self, user_id: &str) -> PartitionId {
        partitioner::partition_of(user_id.as_bytes(), self.0.partitions.load(Ordering::Relaxed).max(1))
    }

    /// Several events are not one to Kafka: when some of them fail, all of them count as *may have been
    /// appended*.
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        let inner = &*self.0;
        let partitions = inner.partitions.load(Ordering::Relaxed);
        if let Some(event) = events.iter().find(|event| event.partition.0 >= partitions) {
            return Err(inner.unknown(event.partition));
        }
        let mut sent = Vec::with_capacity(events.len());
        let mut failed = None;
        for event in &events {
            match inner.send(event) {
                Ok(receiver) => sent.push((event.partition, receiver)),
                Err(error) => {
                    failed = Some(inner.refused(&error, event.value.len(), event.partition));
                    break;
                }
            }
        }
        let mut appended = Vec::with_capacity(sent.len());
        for (partition, receiver) in sent {
            match receiver.await {
                Ok(Ok(offset)) => appended.push(Appended { partition, offset: client::offset(offset) }),
                Ok(Err(Failed { surely: true, error })) => failed = failed.or(Some(inner.storage(&error))),
                Ok(Err(Failed { error, .. })) => failed = Some(inner.indefinite(error.to_string())),
                Err(oneshot::Canceled) => failed = Some(inner.indefinite("the producer ended".to_owned())),
            }
        }
        match failed {
            None => Ok(appended),
            Some(error) if appended.is_empty() => Err(error),
            Some(error) => Err(inner.indefinite(format!("some of the events failed: {error}"))),
        }
    }
}

//! Appending events to Kafka: one producer, idempotent, acknowledged by all replicas.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_channel::oneshot;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::PartitionId;

use super::client::{self, number};
use super::options::Options;
use super::stream::is_surely_not_stored;
use super::topics::OpenError;
use crate::event::{AppendError, Appended, EventAppender, NewEvent};
use crate::partitioner;

/// How often the number of partitions is asked for.
const REFRESH: Duration = Duration::from_secs(5);

/// What became of a message.
pub(super) type Delivered = Result<i64, Failed>;

/// Why a message could not be stored.
#[derive(Debug)]
pub(super) struct Failed {
    surely: bool,
    error: KafkaError,
}

/// Tells whoever waits for it what became of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery;

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = Box<oneshot::Sender<Delivered>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let delivered = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, message)) => {
                Err(Failed { surely: is_surely_not_stored(message), error: error.clone() })
            }
        };
        // Nobody may wait any more.
        let _ = sender.send(delivered);
    }
}

/// Appends events.
#[derive(Clone)]
pub struct KafkaAppender(Arc<Inner>);

struct Inner {
    producer: ThreadedProducer<Delivery>,
    topic: String,
    partitions: AtomicU32,
    queue_bytes_max: usize,
    shown: String,
}

impl KafkaAppender {
    pub(super) fn new(producer: ThreadedProducer<Delivery>, options: &Options) -> Result<Self, OpenError> {
        let topic = options.topics.events.clone();
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
            .name("kafka-partitions".to_owned())
            .spawn(move || follow(&weak, timeout));
        spawned.map_err(|error| OpenError::unreachable(options, &error))?;
        Ok(Self(inner))
    }
}

/// Keeps the number of partitions up to date for as long as somebody appends.
fn follow(appender: &Weak<Inner>, timeout: Duration) {
    loop {
        std::thread::park_timeout(REFRESH);
        let Some(inner) = appender.upgrade() else { return };
        if let Err(error) = inner.refresh(timeout) {
            tracing::debug!(%error, "the partitions are taken to be as many as before");
        }
    }
}

impl Inner {
    fn refresh(&self, timeout: Duration) -> Result<(), KafkaError> {
        let metadata = self.producer.client().fetch_metadata(Some(&self.topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        let found = found.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let count = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
        self.partitions.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Hands an event over to be sent.
    fn send(&self, event: &NewEvent) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let (sender, receiver) = oneshot::channel();
        let partition =
            number(event.partition).map_err(|_| production(RDKafkaErrorCode::UnknownPartition))?;
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(sender))
            .partition(partition)
            .key(event.key.as_bytes())
            .payload(&event.value[..]);
        self.producer.send(record).map(|()| receiver).map_err(|(error, _)| error)
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

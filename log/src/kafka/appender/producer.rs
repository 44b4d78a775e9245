//! The producer of events, and the one that takes its place after a fatal error: librdkafka's idempotent producer
//! takes nothing more then, for it cannot tell any longer what was stored.
//!
//! Nothing is sent again here. What the old one had taken is answered as it says of each: stored, surely not
//! stored, or unknown.

use std::sync::mpsc::SyncSender;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use crate::kafka::client;
use crate::kafka::stream::is_surely_not_stored;

/// A producer takes the place of another one no more often than this.
const RENEWAL_REST: Duration = Duration::from_secs(1);

/// How long the answers may take that the old one still waits for; what has none by then is unknown.
const SETTLE: Duration = Duration::from_secs(5);

/// What became of a message.
pub(super) type Delivered = Result<i64, Failed>;

/// Why a message could not be stored.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) surely: bool,
    pub(super) error: KafkaError,
}

/// Tells whoever waits for it what became of a message, and calls whoever keeps the producer at an error.
#[derive(Clone)]
struct Delivery {
    keeper: SyncSender<()>,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        // Whether it was a fatal one the producer knows. One waiting call is enough.
        let _ = self.keeper.try_send(());
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

/// A producer that is replaced when it met a fatal error.
pub(super) struct Producer {
    config: ClientConfig,
    delivery: Delivery,
    /// Whoever sends holds it while it hands a message over, so that the old one is dropped by its keeper only:
    /// that takes its time.
    current: RwLock<ThreadedProducer<Delivery>>,
}

impl Producer {
    /// The first one. `keeper` is called when it may have to be [renewed](Self::renew).
    pub(super) fn new(config: ClientConfig, keeper: SyncSender<()>) -> Result<Self, KafkaError> {
        let delivery = Delivery { keeper };
        let current = RwLock::new(config.create_with_context(delivery.clone())?);
        Ok(Self { config, delivery, current })
    }

    fn with<T>(&self, use_it: impl FnOnce(&ThreadedProducer<Delivery>) -> T) -> T {
        use_it(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a message over to be sent.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: &[u8],
    ) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let (sender, receiver) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(topic, Box::new(sender)).partition(partition);
        let record = record.key(key).payload(value);
        self.with(|producer| producer.send(record).map_err(|(error, _)| error)).map(|()| receiver)
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str, timeout: Duration) -> Result<u32, KafkaError> {
        let client = self.with(ThreadedProducer::clone);
        let metadata = client.client().fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        Ok(u32::try_from(found.partitions().len()).unwrap_or(u32::MAX))
    }

    /// The fatal error that it met.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.with(|producer| producer.client().fatal_error())
            .map(|(code, reason)| format!("{code}: {reason}"))
    }

    /// Puts a new producer in the place of this one, and waits until everything is answered that this one had.
    pub(super) fn renew(&self) -> Result<(), KafkaError> {
        let mut next = self.config.create_with_context(self.delivery.clone())?;
        std::mem::swap(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), &mut next);
        let old = next;
        if old.flush(SETTLE).is_err() {
            old.purge(PurgeConfig::default().queue().inflight());
            if let Err(error) = old.flush(SETTLE) {
                tracing::warn!(%error, events = old.in_flight_count(), "events have no answer from the old producer");
            }
        }
        Ok(())
    }

    /// Shows what librdkafka knows it by, for having it meet a fatal error.
    #[cfg(test)]
    pub(super) fn with_native(&self, use_it: impl FnOnce(*mut rdkafka::bindings::rd_kafka_t)) {
        self.with(|producer| use_it(producer.client().native_ptr()));
    }
}

/// How long a producer must still wait to take the place of the one that came `before`.
pub(super) fn rest(before: Option<Instant>, now: Instant) -> Duration {
    before.map_or(Duration::ZERO, |before| RENEWAL_REST.saturating_sub(now.duration_since(before)))
}

//! What the clients of this crate have in common: where their log goes, and how their errors are told.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::PartitionId;

use super::options::Options;
use crate::event::ReadError;

/// Passes librdkafka's log on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Context {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "kafka: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka: {message}"),
        _ => tracing::debug!(facility, "kafka: {message}"),
    }
}

pub(super) type Consumer = BaseConsumer<Context>;

pub(super) fn consumer(options: &Options) -> Result<Consumer, KafkaError> {
    options.consumer().create_with_context(Context)
}

/// The number that Kafka has for a partition; one that it cannot have does not exist.
pub(super) fn number(partition: PartitionId) -> Result<i32, ReadError> {
    i32::try_from(partition.0).map_err(|_| ReadError::UnknownPartition(partition))
}

pub(super) fn id(partition: i32) -> PartitionId {
    PartitionId(u32::try_from(partition).expect("Kafka counts partitions from 0"))
}

/// Kafka's offsets have a sign; below zero are words of its own.
pub(super) fn offset(offset: i64) -> tidegate_model::Offset {
    tidegate_model::Offset(offset.unsigned_abs())
}

/// What was asked for could not be had now.
pub(super) fn storage(what: &str, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Storage { path: what.to_owned(), reason: error.to_string() }
}

pub(super) fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopic)
}

/// Whether a partition has no leader yet, or another one than was thought.
pub(super) fn is_changing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::NotLeaderForPartition | Code::LeaderNotAvailable)
}

pub(super) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

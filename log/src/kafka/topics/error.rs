//! Why a log on Kafka cannot be used.

use rdkafka::error::KafkaError;

use super::fault::TopicFault;
use crate::kafka::options::Options;

/// Why a log on Kafka cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is not understood by the client.
    #[error("the Kafka client cannot be set up: {reason}; see the settings kafka.*")]
    Client {
        /// What it said.
        reason: String,
    },
    /// Nobody answers, or Kafka refuses.
    #[error("Kafka at {bootstrap} cannot be used: {reason}")]
    Unreachable {
        /// The brokers asked.
        bootstrap: String,
        /// What was said instead.
        reason: String,
    },
    /// A topic could not be created.
    #[error("topic {topic} is missing and cannot be created: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// What Kafka said.
        reason: String,
    },
    /// A topic is not as it must be: events or rows would be lost or misread.
    #[error("{fault}; {}", fault.remedy(bootstrap))]
    Topic {
        /// What is wrong with it.
        fault: TopicFault,
        /// The brokers asked.
        bootstrap: String,
    },
}

impl OpenError {
    pub(in crate::kafka) fn client(error: &KafkaError) -> Self {
        // Its own words would show the value, which may be a secret.
        let reason = match error {
            KafkaError::ClientConfig(_, description, name, _) => format!("kafka.{name}: {description}"),
            error => error.to_string(),
        };
        Self::Client { reason }
    }

    pub(in crate::kafka) fn unreachable(options: &Options, error: &dyn std::fmt::Display) -> Self {
        Self::Unreachable { bootstrap: options.bootstrap.clone(), reason: error.to_string() }
    }
}

//! The log on Kafka: events in a topic that many write, rows and bindings in transactions of one process.
//!
//! Everything here is synchronous but for appending, and holds no state that Kafka does not have: whoever opens
//! the log anew sees the same.

mod appender;
mod bindings;
mod client;
mod ends;
mod events;
mod journal;
mod newest;
mod options;
mod rows;
mod stream;
mod topics;

use std::sync::Arc;

use tidegate_model::Binding;

use self::bindings::EpochsTopic;
use crate::journal::JournalError;

pub use self::appender::KafkaAppender;
pub use self::events::KafkaEventReader;
pub use self::journal::KafkaJournal;
pub use self::options::{Options, TopicNames};
pub use self::rows::KafkaRowReader;
pub use self::topics::{
    CreatedTopics, OpenError, TopicFacts, TopicFault, TopicReport, TopicRole, check_topics, create_topics,
};

/// A log on Kafka. What is made of it lives on without it.
#[derive(Clone)]
pub struct KafkaLog {
    options: Arc<Options>,
}

/// The newest binding of a deployment, for whoever looks on: nothing is created, taken over or changed.
///
/// # Errors
/// When a setting is not understood, Kafka cannot be reached, or there is no such deployment.
pub fn newest_binding(options: &Options) -> Result<Option<Binding>, LookError> {
    let epochs = EpochsTopic::new(options).map_err(|error| OpenError::client(&error))?;
    Ok(epochs.newest()?.binding)
}

/// Why a deployment cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// There is no way to Kafka.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its bindings cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl KafkaLog {
    /// Connects to Kafka, creates what is missing of the topics, and looks at the others.
    ///
    /// # Errors
    /// When Kafka cannot be reached, refuses, or has a topic that cannot be used; see [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        topics::see_to(&options)?;
        Ok(Self { options: Arc::new(options) })
    }

    /// What tells the events of this log from those of others: the id that Kafka's brokers have in common, the topic, and the
    /// deployment that reads it.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn identity(&self) -> Result<String, OpenError> {
        let options = &self.options;
        let consumer = client::consumer(options).map_err(|error| OpenError::client(&error))?;
        let cluster =
            rdkafka::consumer::Consumer::client(&consumer).fetch_cluster_id(options.request_timeout);
        let cluster =
            cluster.ok_or_else(|| OpenError::unreachable(options, &"it does not say its cluster's id"))?;
        Ok(format!("deployment {}, topic {} of Kafka {cluster}", options.deployment, options.topics.events))
    }

    /// Appends events; cloned, it stays one producer.
    ///
    /// # Errors
    /// When a setting is not understood, or Kafka cannot be reached.
    pub fn appender(&self) -> Result<KafkaAppender, OpenError> {
        KafkaAppender::new(&self.options)
    }

    /// Another reader of events.
    ///
    /// # Errors
    /// When a setting is not understood.
    pub fn reader(&self) -> Result<KafkaEventReader, OpenError> {
        KafkaEventReader::new(&self.options).map_err(|error| OpenError::client(&error))
    }

    /// The journal, as one process has it.
    ///
    /// # Errors
    /// When a setting is not understood.
    pub fn journal(&self) -> Result<KafkaJournal, OpenError> {
        KafkaJournal::new(Arc::clone(&self.options)).map_err(|error| OpenError::client(&error))
    }

    /// Another reader of rows.
    ///
    /// # Errors
    /// When a setting is not understood.
    pub fn row_reader(&self) -> Result<KafkaRowReader, OpenError> {
        KafkaRowReader::new(&self.options).map_err(|error| OpenError::client(&error))
    }
}

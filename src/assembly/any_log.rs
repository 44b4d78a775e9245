//! The log of a process, whichever it is.

use std::sync::Arc;

use tidegate_log::embedded::{EmbeddedAppender, EmbeddedLog, LogWatch};
#[cfg(feature = "kafka")]
use tidegate_log::kafka::{KafkaAppender, KafkaLog};
use tidegate_log::{AppendError, Appended, EventAppender, EventReader, Journal, NewEvent, RowReader};
use tidegate_model::PartitionId;
use tidegate_runner::BeginsAt;

#[cfg(feature = "kafka")]
use super::kafka::{kafka_error, kafka_options};
use crate::config::{Config, LogUrl, StartupMode};
use crate::exit::{CommandError, Exit};

/// A log. What is made of it lives on without it.
#[derive(Clone)]
pub(crate) enum Log {
    /// The one in the data directory.
    Embedded(Arc<EmbeddedLog>),
    /// Kafka.
    #[cfg(feature = "kafka")]
    Kafka(KafkaLog),
}

/// Appends events to a log.
#[derive(Clone)]
pub(crate) enum Appender {
    Embedded(EmbeddedAppender),
    #[cfg(feature = "kafka")]
    Kafka(KafkaAppender),
}

/// Whether the configuration names Kafka.
pub(crate) fn is_on_kafka(config: &Config) -> bool {
    config.log_url != LogUrl::Embedded
}

/// Where a new deployment begins.
pub(crate) fn begins_at(config: &Config) -> BeginsAt {
    match config.startup_mode {
        _ if !is_on_kafka(config) => BeginsAt::First,
        StartupMode::Earliest => BeginsAt::Oldest,
        StartupMode::Latest => BeginsAt::Newest,
    }
}

/// Connects to Kafka.
#[cfg(feature = "kafka")]
pub(crate) fn open_kafka(config: &Config) -> Result<Log, CommandError> {
    let opened = KafkaLog::open(kafka_options(config)).and_then(|log| {
        // What is made of it later is made by the same settings.
        drop((log.reader()?, log.row_reader()?, log.journal()?));
        Ok(log)
    });
    opened.map(Log::Kafka).map_err(kafka_error)
}

/// This program knows no Kafka.
#[cfg(not(feature = "kafka"))]
pub(crate) fn open_kafka(_: &Config) -> Result<Log, CommandError> {
    Err(without_kafka())
}

#[cfg(not(feature = "kafka"))]
pub(crate) fn without_kafka() -> CommandError {
    let text = "this tidegate was built without the feature kafka: log.url = embedded";
    CommandError::new(Exit::Usage, text)
}

impl From<EmbeddedLog> for Log {
    fn from(log: EmbeddedLog) -> Self {
        Self::Embedded(Arc::new(log))
    }
}

impl Log {
    /// Another reader of events.
    pub(crate) fn reader(&self) -> Box<dyn EventReader> {
        match self {
            Self::Embedded(log) => Box::new(log.reader()),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => Box::new(log.reader().expect(UNDERSTOOD)),
        }
    }

    /// The journal, as one process has it.
    pub(crate) fn journal(&self) -> Box<dyn Journal> {
        match self {
            Self::Embedded(log) => Box::new(log.journal()),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => Box::new(log.journal().expect(UNDERSTOOD)),
        }
    }

    /// Another reader of rows.
    pub(crate) fn row_reader(&self) -> Result<Box<dyn RowReader>, CommandError> {
        match self {
            Self::Embedded(log) => Ok(Box::new(log.row_reader().map_err(failure)?)),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => Ok(Box::new(log.row_reader().map_err(failure)?)),
        }
    }

    /// Appends events; cloned, it stays one.
    pub(crate) fn appender(&self) -> Result<Appender, CommandError> {
        match self {
            Self::Embedded(log) => Ok(Appender::Embedded(log.appender())),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.appender().map(Appender::Kafka).map_err(failure),
        }
    }

    /// What tells the events of this log from those of others.
    pub(crate) fn identity(&self) -> Result<String, CommandError> {
        match self {
            Self::Embedded(_) => Ok("embedded".to_owned()),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.identity().map_err(failure),
        }
    }

    /// What the embedded log says of itself.
    pub(crate) fn watch(&self) -> Option<LogWatch> {
        self.embedded().map(EmbeddedLog::watch)
    }

    /// The one in the data directory, if it is that.
    pub(crate) fn embedded(&self) -> Option<&EmbeddedLog> {
        match self {
            Self::Embedded(log) => Some(log),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
        }
    }
}

#[cfg(feature = "kafka")]
const UNDERSTOOD: &str = "the settings were understood when the log was opened";

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(Exit::Failure, error)
}

impl EventAppender for Appender {
    fn partition_of(&self, user_id: &str) -> PartitionId {
        match self {
            Self::Embedded(appender) => appender.partition_of(user_id),
            #[cfg(feature = "kafka")]
            Self::Kafka(appender) => appender.partition_of(user_id),
        }
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        match self {
            Self::Embedded(appender) => appender.append(events).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(appender) => appender.append(events).await,
        }
    }
}

//! Why a step of a sink failed.

use std::sync::Arc;

use tidegate_log::ReadError;
use tidegate_model::{Epoch, Offset, PartitionId};

use crate::store::StoreError;

/// Why a step failed. The next step is always correct; see [`SinkError::is_definite`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log does not say which partitions a topic has.
    #[error("cannot list the partitions of topic {topic}")]
    Partitions {
        /// The topic.
        topic: Arc<str>,
        /// What the log said.
        source: ReadError,
    },
    /// Rows cannot be read.
    #[error("cannot read partition {partition} of topic {topic} from offset {from} on")]
    Read {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// Where reading should have begun.
        from: Offset,
        /// What the log said.
        source: ReadError,
    },
    /// Rows that were not stored yet are gone from the log.
    #[error(
        "offsets {from} to {available} (exclusive) of partition {partition} of topic {topic} are gone from the log \
         before they were stored; bring back the metric store that held them, or go on without them, once: --accept-gap"
    )]
    RowsRemoved {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// The first offset that is missing.
        from: Offset,
        /// The first one that can be read.
        available: Offset,
    },
    /// The log is not the one that the store's rows came from.
    #[error(
        "the metric store has rows up to offset {offset} (epoch {epoch}) of partition {partition} of topic {topic}, \
         but {found}: this is another log than the one they came from; \
         bring that one back, or move the metric store away and it is written anew"
    )]
    LogReplaced {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// The last row stored.
        offset: Offset,
        /// Its epoch.
        epoch: Epoch,
        /// What the log holds instead.
        found: String,
    },
    /// Rows are stored, but the log could not be told. It is told again at the next step.
    #[error(
        "cannot tell the log that partition {partition} of topic {topic} is stored up to offset {offset}"
    )]
    Acknowledge {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// The offset, exclusive.
        offset: Offset,
        /// What the log said.
        source: ReadError,
    },
}

impl SinkError {
    /// Whether the next step cannot succeed either: see [`StoreError::is_final`].
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_final())
    }

    /// Whether what the error names surely did not happen. When it may have happened, stepping again is
    /// right all the same: the store knows its position.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Store(error) => error.is_definite(),
            Self::Acknowledge { .. } => false,
            Self::Partitions { .. }
            | Self::Read { .. }
            | Self::RowsRemoved { .. }
            | Self::LogReplaced { .. } => true,
        }
    }
}

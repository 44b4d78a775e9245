//! Why a step of a cache sink failed.

use std::sync::Arc;

use tidegate_cache::WriteError;
use tidegate_log::ReadError;
use tidegate_model::{Epoch, Offset, PartitionId};

use crate::store::StoreError;

/// Why a step failed. The next step is always correct.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheSinkError {
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] WriteError),
    /// The metric store, which an empty cache begins from, cannot be read.
    #[error("the cache cannot begin from the metric store")]
    Seed(#[source] StoreError),
    /// The log does not say how far it is.
    #[error("cannot read the last binding")]
    AsOf(#[source] ReadError),
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
    /// The log is not the one that the cache's values came from.
    #[error(
        "the cache has rows up to offset {offset} (epoch {epoch}) of partition {partition} of topic {topic}, \
         but {found}: this is another log than the one they came from; bring that one back, \
         or move the metric store and the cache away"
    )]
    LogReplaced {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// The last row taken in.
        offset: Offset,
        /// Its epoch.
        epoch: Epoch,
        /// What the log holds instead.
        found: String,
    },
    /// Rows are in the cache, but the log could not be told. It is told again later.
    #[error(
        "cannot tell the log that partition {partition} of topic {topic} is cached up to offset {offset}"
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

impl CacheSinkError {
    /// Whether it is the cache, or what it begins from, that failed; nothing can be done without it.
    pub(super) fn is_of_the_cache(&self) -> bool {
        matches!(self, Self::Cache(_) | Self::Seed(_))
    }
}

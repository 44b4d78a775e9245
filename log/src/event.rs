//! Events in the log: appending them and reading them back.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_model::{EventTime, Offset, PartitionId};

/// An event on its way into the log.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The partition it goes to; [`EventAppender::partition_of`] says which one a user belongs to.
    pub partition: PartitionId,
    /// The user's id, which is the message's key where the log has keys.
    pub key: String,
    /// The event as JSON, all defaults filled in.
    pub value: Vec<u8>,
}

/// Where one event of an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// Why an append did not, or may not have, taken place.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Surely not appended: the queue holds as much as it may. Try again later.
    #[error(
        "the log's queue is full: {queued_bytes} of {limit_bytes} bytes wait; try again in a moment, or raise {setting}"
    )]
    QueueFull {
        /// Bytes that wait.
        queued_bytes: usize,
        /// The limit.
        limit_bytes: usize,
        /// The name of the limit's setting.
        setting: &'static str,
    },
    /// Surely not appended: no single append may be that large.
    #[error("an append of {bytes} bytes exceeds the limit of {limit_bytes} bytes ({setting})")]
    TooLarge {
        /// Size of the append.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
        /// The name of the limit's setting.
        setting: &'static str,
    },
    /// Surely not appended: the log is as large as it may be and nothing in it may be removed yet.
    #[error(
        "the log is full: {used_bytes} of {limit_bytes} bytes are used and all of them are still needed; raise {setting}"
    )]
    LogFull {
        /// Bytes used.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// The name of the limit's setting.
        setting: &'static str,
    },
    /// Surely not appended: the disk is full. Heals when there is room again.
    #[error("no space is left under {path}; free some, appends go on by themselves then")]
    DiskFull {
        /// The file or directory.
        path: String,
    },
    /// Surely not appended, for another reason of the storage's.
    #[error("cannot write {path}: {reason}")]
    Storage {
        /// The file or directory.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// May have been appended: the outcome is unknown.
    #[error("the append to {path} may or may not have been stored: {reason}")]
    Indefinite {
        /// The file or directory.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// Surely not appended: the partition does not exist.
    #[error("there is no partition {partition}; the log has {partitions}")]
    UnknownPartition {
        /// The one asked for.
        partition: PartitionId,
        /// How many there are.
        partitions: u32,
    },
    /// Surely not appended: the log is shut down.
    #[error("the log is shutting down")]
    Closed,
}

impl AppendError {
    /// Whether the events are surely not in the log, so that appending them again cannot double them.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Indefinite { .. })
    }
}

/// The writing side of the log of events.
pub trait EventAppender: Clone + Send + Sync + 'static {
    /// The partition of the events of `user_id`.
    fn partition_of(&self, user_id: &str) -> PartitionId;

    /// Appends all of `events` or none. The future is ready when they are durable (invariant 1), and
    /// holds the position of each, in order.
    fn append(
        &self,
        events: Vec<NewEvent>,
    ) -> impl Future<Output = Result<Vec<Appended>, AppendError>> + Send;
}

/// A record, as it lies in the log. Borrowed: it lives until the visitor returns.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its position.
    pub offset: Offset,
    /// The log's clock when it was appended.
    pub append_time: EventTime,
    /// The event as JSON.
    pub value: &'a [u8],
}

/// Why nothing could be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not, or no longer, in the log. Reading never jumps silently.
    #[error("partition {partition} holds offsets {} to {} (exclusive), not {asked}", available.start, available.end)]
    OutOfRange {
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        asked: Offset,
        /// What there is.
        available: Range<Offset>,
    },
    /// The partition does not exist.
    #[error("there is no partition {0}")]
    UnknownPartition(PartitionId),
    /// What lies there is not what was written.
    #[error("{path} is damaged at byte {at}: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        at: u64,
        /// What does not fit.
        reason: String,
    },
    /// The storage failed; the same read may succeed later.
    #[error("cannot read {path}: {reason}")]
    Storage {
        /// The file.
        path: String,
        /// What the storage said.
        reason: String,
    },
}

/// How long a record that is there may be on its way.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(10);

/// How long it rests between two looks whether it has come.
const ARRIVAL_REST: Duration = Duration::from_millis(1);

/// Shows `visit` the first record of `partition` from `from` on, below `end`, and waits for one that is on its
/// way. Says whether there is one.
///
/// # Errors
/// Those of [`EventReader::read`]; [`ReadError::Storage`] when nothing arrives.
pub fn read_first<R: EventReader + ?Sized>(
    reader: &mut R,
    partition: PartitionId,
    from: Offset,
    end: Offset,
    visit: &mut dyn FnMut(RecordRef<'_>),
) -> Result<bool, ReadError> {
    let (began, mut at, mut is_shown) = (Instant::now(), from, false);
    while at < end {
        let next = reader.read(partition, at, 1, &mut |record| {
            if !is_shown && record.offset < end {
                visit(record);
            }
            is_shown = true;
        })?;
        if is_shown {
            return Ok(true);
        }
        if next == at {
            if began.elapsed() > ARRIVAL_DEADLINE {
                let (path, reason) =
                    (format!("partition {partition}"), format!("offset {at} does not arrive"));
                return Err(ReadError::Storage { path, reason });
            }
            std::thread::park_timeout(ARRIVAL_REST);
        }
        at = next;
    }
    Ok(false)
}

impl<R: EventReader + ?Sized> EventReader for Box<R> {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        (**self).partitions()
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        (**self).bounds(partition)
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        (**self).read(partition, from, max_bytes, visit)
    }

    fn on_append(&mut self, wake: Wake) {
        (**self).on_append(wake);
    }
}

/// A wake-up call. May be called from any thread, as often as one likes.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The reading side of the log of events; each worker has its own. Only durable records are seen.
pub trait EventReader: Send {
    /// Every partition there is now. Partitions are added at times, never removed.
    ///
    /// # Errors
    /// When the storage fails.
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError>;

    /// The offsets that can be read: from the oldest one kept to the end (exclusive). A *look at the
    /// end* of the partition, in the words of the design; it is never answered from memory alone when
    /// the storage cannot be reached.
    ///
    /// # Errors
    /// When the partition does not exist or the storage fails.
    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError>;

    /// Shows `visit` the records of `partition` from `from` on, in order, each once: at least one if
    /// there is one, then until `max_bytes` bytes of values have been shown. Returns the offset to go on from;
    /// `from` itself when there was nothing. A log on other machines shows what has arrived: there may be more,
    /// and the wake-up call tells when it comes.
    ///
    /// # Errors
    /// When `from` is out of range, or the storage fails or is damaged. Records already shown stay
    /// valid: call again from the offset after the last one.
    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError>;

    /// Has `wake` called after every change that a read could see, of partitions that were read from before,
    /// until the reader is dropped.
    fn on_append(&mut self, wake: Wake);
}

//! Reading rows back out of the log; only committed ones are seen.

use tidegate_model::{AsOf, Epoch, Generation, Offset, Op, PartitionId};

use crate::event::{ReadError, Wake};

/// A committed row, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// Its position in its partition of the topic; increasing, with gaps.
    pub offset: Offset,
    /// The message's key.
    pub key: &'a [u8],
    /// The row as JSON; for `dropped_events` the record as it came.
    pub value: &'a [u8],
    /// The epoch that made it; 0 when the record has no headers (it is from the old Flink job).
    pub epoch: Epoch,
    /// What it does; `Final` without headers.
    pub op: Op,
    /// The process that committed it.
    pub generation: Generation,
    /// Further headers, in the order written.
    pub headers: &'a [(String, String)],
}

/// Reads the rows of topics, for the sinks. A row is seen exactly when the binding of its epoch is
/// durable.
pub trait RowReader: Send {
    /// The partitions of `topic`.
    ///
    /// # Errors
    /// When the storage fails.
    fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionId>, ReadError>;

    /// The last binding that was committed; `None` before the first one. Every row of its epoch and of those
    /// before is seen by a read that begins afterwards.
    ///
    /// # Errors
    /// When the storage fails.
    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError>;

    /// Shows `visit` up to `max_rows` rows of `topic` from `from` on, in order. Returns the offset to
    /// go on from.
    ///
    /// # Errors
    /// When rows from `from` on were already removed, or the storage fails.
    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError>;

    /// Tells the log that `sink` has durably stored everything of the partition before `offset`, so
    /// that retention may remove it once every sink has said so.
    ///
    /// # Errors
    /// When the storage fails; to say it again later is enough.
    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError>;

    /// Has `wake` called after every commit, until the reader is dropped.
    fn on_commit(&mut self, wake: Wake);
}

impl<R: RowReader + ?Sized> RowReader for Box<R> {
    fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        (**self).partitions(topic)
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        (**self).as_of()
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        (**self).read(topic, partition, from, max_rows, visit)
    }

    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        (**self).acknowledge(sink, topic, partition, offset)
    }

    fn on_commit(&mut self, wake: Wake) {
        (**self).on_commit(wake);
    }
}

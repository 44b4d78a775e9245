//! What a sink hands to a store: one contiguous range of offsets of one partition of one topic, decoded.

use std::ops::Range;
use std::sync::Arc;

use tidegate_model::row::Op;
use tidegate_model::{Epoch, EventTime, Offset, PartitionId, Schema};

/// A table that a topic is stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A metric table: columns and key are those of the schema.
    Metrics(&'static Schema),
    /// `dropped_events`: the records that a job did not count.
    Dropped,
}

impl Table {
    /// The name of the table, which is also the default name of its topic.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics(schema) => schema.table,
            Self::Dropped => tidegate_model::names::DROPPED_EVENTS,
        }
    }
}

/// Rows of one topic and partition, and the range of offsets that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The table they go to.
    pub table: Table,
    /// The topic they come from.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: PartitionId,
    /// Every row of the log between these offsets is in `rows`; there may be fewer rows than offsets.
    pub range: Range<Offset>,
    /// The rows, by increasing offset.
    pub rows: Vec<Row>,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its position in the partition.
    pub offset: Offset,
    /// The epoch that made it.
    pub epoch: Epoch,
    /// What it does to the row of its key.
    pub op: Op,
    /// What it says.
    pub content: Content,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The row of its key is this: one value per column of the schema, in order.
    Put(Box<[Value]>),
    /// There is no row of this key: one value per key column of the schema, in the order of the key.
    Remove(Box<[Value]>),
    /// A record that a job did not count.
    Dropped(Dropped),
    /// The row does not fit its table.
    Unreadable(Unreadable),
}

/// A value of a column of a metric table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An instant, in the years that a `DateTime64(3)` is printed with four digits.
    Instant(EventTime),
    /// A string.
    Text(Box<str>),
    /// A number from 0 to 2^63 − 1, the largest that every store can hold.
    UInt(u64),
    /// A finite number.
    Float(f64),
}

/// A record that a job did not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why: `expired`, `future` or `rejected`.
    pub reason: Box<str>,
    /// The job.
    pub job: Box<str>,
    /// Where the record lies in the topic of events.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: Offset,
    /// The record as it came.
    pub record: Box<[u8]>,
}

/// A row that does not fit its table. It is kept with the reason, so that nothing is lost silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What the row should have done (`final`, `correct`, `retract`).
    pub op: &'static str,
    /// What does not fit: the column and its value where there is one.
    pub reason: String,
    /// The row as it came.
    pub record: Box<[u8]>,
}

/// Names an unreadable row in full, for a log line or an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {offset} of partition {partition} of topic {topic} does not fit its table: {reason}")]
pub struct UnreadableRow {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
    /// What does not fit.
    pub reason: String,
}

//! The log: events in, rows and bindings out.
//!
//! The traits here are what the rest of Tidegate knows of a log. The reading side is synchronous, for
//! worker threads; the writing side of events is asynchronous, for servers. [`embedded`] implements
//! them on the local disk, `kafka` on Kafka; `conformance` is the suite that every implementation passes.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod event;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod partitioner;
pub mod rows;

#[cfg(any(test, feature = "conformance", feature = "kafka"))]
mod block_on;

pub use event::{
    AppendError, Appended, EventAppender, EventReader, NewEvent, ReadError, RecordRef, read_first,
};
pub use journal::{Commit, CommitError, Journal, Recovered, RowRecord};
pub use rows::{RowReader, RowRef};

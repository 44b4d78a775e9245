//! What a sink knows of a store of metric tables.
//!
//! A store keeps its own positions in the log. It changes rows and positions together or not at all; or, where
//! there are no transactions, rows first, and then such that storing them again changes nothing.
//! [`conformance`] is the suite that every implementation passes.

pub mod conformance;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use crate::batch::{Batch, UnreadableRow};

/// A partition of a topic of rows.
pub type TopicPartition = (Arc<str>, PartitionId);

/// How far a store has got, by topic and partition. What is missing was never stored from.
pub type Positions = BTreeMap<TopicPartition, Position>;

/// How far a store has got in one partition of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything before this offset is stored.
    pub next: Offset,
    /// The last row stored; whoever resumes compares it with what the log holds there.
    pub last: Option<LastRow>,
}

/// A row, by where it lies and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRow {
    /// Its offset.
    pub offset: Offset,
    /// Its epoch.
    pub epoch: Epoch,
}

/// What [`MetricStore::apply`] did with the rows of a batch. The counts add up to the batch's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows written: new ones and replaced ones, and dropped records.
    pub put: u64,
    /// Retractions, whether or not there was a row to remove.
    pub removed: u64,
    /// Rows below the position: they were stored by an earlier batch.
    pub repeated: u64,
    /// Rows older than what the table holds for their key; they change nothing.
    pub stale: u64,
    /// Rows that do not fit; they are kept, with the reason, where they can be looked at.
    pub unreadable: u64,
    /// The first of those.
    pub first_unreadable: Option<UnreadableRow>,
}

impl Applied {
    /// How many rows these are.
    pub fn rows(&self) -> u64 {
        self.put + self.removed + self.repeated + self.stale + self.unreadable
    }

    /// Adds what another batch did.
    pub fn add(&mut self, other: &Self) {
        self.put += other.put;
        self.removed += other.removed;
        self.repeated += other.repeated;
        self.stale += other.stale;
        self.unreadable += other.unreadable;
        if self.first_unreadable.is_none() {
            self.first_unreadable.clone_from(&other.first_unreadable);
        }
    }
}

/// Rows that are gone from the log before they were stored, and that somebody decided to go without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionId,
    /// What is missing.
    pub missing: Range<Offset>,
}

/// A log that has taken the place of the one that the stored rows of a partition came from. All its rows are newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLog {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionId,
    /// Where the partition begins.
    pub start: Offset,
    /// The epoch of its first row.
    pub since: Epoch,
}

/// Which rows a store may forget: those whose window or session ended more than `keep_ms` before the
/// newest row of their table began, or before `now` if that is earlier.
///
/// Age is measured in event time, so that importing old data does not empty the tables; `now` only
/// keeps a row from far in the future from emptying them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How long rows are kept, in milliseconds.
    pub keep_ms: i64,
    /// The clock.
    pub now: EventTime,
    /// At most so many rows are removed, over all tables.
    pub rows_max: usize,
}

/// Why a store did not, or may not have, changed.
///
/// After any but the [final](StoreError::is_final) ones the same call may be made again: a batch that did get stored after all is
/// recognised by the position that was stored with it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Surely not stored: no space. Heals when there is room again.
    #[error("no space is left for {path}; free some, storing goes on by itself then")]
    DiskFull {
        /// The file, or the table and its server.
        path: String,
    },
    /// Surely not stored, for another reason of the storage's.
    #[error("cannot write {path}: {reason}")]
    Storage {
        /// The file, or the table and its server.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// May have been stored: the outcome is unknown.
    #[error("the write to {path} may or may not have been stored: {reason}")]
    Indefinite {
        /// The file, or the table and its server.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// Surely not stored, and not by this process any more: another one writes the tables.
    #[error(
        "another sink writes {path} now: {by}; this one ends, and must not be started again beside it: one sink \
         writes a database"
    )]
    Fenced {
        /// The file, or the database and its server.
        path: String,
        /// The other one.
        by: String,
    },
    /// Surely not stored, and it never will be before somebody has changed something.
    #[error("{reason}")]
    Refused {
        /// What is wrong, where, and what to do about it.
        reason: String,
    },
    /// Surely not stored: rows before the batch are missing.
    #[error(
        "offsets {next} to {start} (exclusive) of partition {partition} of topic {topic} were never stored; \
         the batch must start at {next}"
    )]
    Gap {
        /// The topic.
        topic: Arc<str>,
        /// Its partition.
        partition: PartitionId,
        /// The store's position.
        next: Offset,
        /// Where the batch starts.
        start: Offset,
    },
}

impl StoreError {
    /// Whether the call surely changed nothing.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Indefinite { .. })
    }

    /// Whether the same call made again cannot succeed: the process has to end.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::Refused { .. })
    }
}

/// A store of metric tables.
///
/// The tables hold, for every key, the newest row that was put and not removed since. *Newest* means
/// the larger epoch, then the larger offset.
pub trait MetricStore: Send {
    /// The positions, as they are stored.
    ///
    /// # Errors
    /// When the storage fails.
    fn positions(&mut self) -> Result<Positions, StoreError>;

    /// Stores the rows of `batch` and moves the position to the end of its range, both or neither, or the
    /// rows first (see the module); when it returns, both are durable. Rows below the position are left out, so that a batch may be
    /// repeated, and may overlap with earlier ones.
    ///
    /// # Errors
    /// When the batch does not begin at or below the position, or the storage fails. See
    /// [`StoreError::is_definite`].
    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError>;

    /// Moves the position past rows that are gone from the log, and keeps a note of it.
    ///
    /// # Errors
    /// When the gap does not begin at or below the position, or the storage fails.
    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError>;

    /// Goes on in another log: moves the position back to its beginning. Rows stay, and what was counted.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn adopt(&mut self, log: &NewLog) -> Result<(), StoreError>;

    /// Forgets old rows, and says how many: with [`Expiry::rows_max`] there may be more. A store that
    /// forgets by itself does nothing.
    ///
    /// # Errors
    /// When the storage fails.
    fn expire(&mut self, expiry: Expiry) -> Result<u64, StoreError>;
}

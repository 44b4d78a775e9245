//! What a step did, and what all of them did.

use tidegate_cache::{Applied, Gap};
use tidegate_model::AsOf;

use crate::batch::UnreadableRow;

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheProgress {
    /// Rows read, of every kind.
    pub rows: u64,
    /// Batches that were applied.
    pub batches: u64,
    /// What became of the rows that fit.
    pub applied: Applied,
    /// Rows that do not fit their table, or whose job nobody knows: the cache goes on without them.
    pub unreadable: u64,
    /// The first of those.
    pub first_unreadable: Option<UnreadableRow>,
    /// How often windows were taken from the metric store.
    pub seeded: u64,
    /// Final rows that are gone from the log and that the metric store does not have either: the windows
    /// of their kind were forgotten. To be told to somebody.
    pub gaps: Vec<Gap>,
    /// Partitions that are those of another log now, whose rows are all newer.
    pub adopted: u64,
    /// Provisional rows that were gone from the log before they were read. Newer ones take their place.
    pub live_skipped: u64,
    /// Whether every partition was looked at and had no further row. A step that found rows does not
    /// say so: step again.
    pub caught_up: bool,
    /// Whether every partition was read to its end, as it was when the step began: rows may have come
    /// meanwhile, but none that the binding of its beginning speaks of is missing.
    pub complete: bool,
    /// What the cache was said to be as of; only a complete step says so.
    pub as_of: Option<AsOf>,
}

/// What all steps did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheTotals {
    /// Rows read, of every kind.
    pub rows: u64,
    /// Batches that were applied.
    pub batches: u64,
    /// What became of the rows that fit.
    pub applied: Applied,
    /// Rows that do not fit.
    pub unreadable: u64,
    /// How often windows were taken from the metric store.
    pub seeds: u64,
    /// Ranges of final rows that nobody has any more.
    pub gaps: u64,
    /// Provisional rows that were gone before they were read.
    pub live_skipped: u64,
    /// Times that the log was told what it may remove.
    pub acknowledgements: u64,
    /// Rows in the cache of which the log was not told yet.
    pub unacknowledged: u64,
    /// Steps that failed.
    pub errors: u64,
}

//! What a step did.

use crate::store::Applied;

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What became of the rows that were read.
    pub applied: Applied,
    /// Gaps that were accepted: see `sink_gaps`.
    pub gaps: u64,
    /// Partitions that are those of another log now, whose rows are all newer.
    pub adopted: u64,
    /// Old rows that were forgotten.
    pub expired: u64,
    /// Whether every partition was looked at and had no further row. A step that found rows does not
    /// say so: step again.
    pub caught_up: bool,
}

//! What a step did.

use crate::store::Applied;

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What became of the rows that were read.
    pub applied: Applied,
    /// Gaps that were accepted: see `sink_gaps`.
    pub gaps: u64,
    /// Old rows that were forgotten.
    pub expired: u64,
    /// Whether every partition was looked at and had no further row. A step that found rows does not
    /// say so: step again.
    pub caught_up: bool,
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

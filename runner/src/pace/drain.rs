//! Whether the sources have read what the log held when a drain was asked for.
//!
//! Whoever asks has stopped the intake; should more come all the same, it is not waited for.

use std::collections::BTreeMap;

use tidegate_dataflow::survey::Standing;
use tidegate_model::{Epoch, Offset, PartitionId};

/// How far a drain has come.
#[derive(Debug, Default)]
pub(super) enum Drain {
    /// None was asked for.
    #[default]
    NotAsked,
    /// It was asked for while this epoch was open: looks at the ends from its tick on count.
    Asked(Epoch),
    /// The log held so much; it is being read.
    To(BTreeMap<PartitionId, Offset>),
    /// All of that is read.
    Done,
}

impl Drain {
    /// Asks for it, while `open` is open. Only the first call counts.
    pub(super) fn ask(&mut self, open: Epoch) {
        if matches!(self, Self::NotAsked) {
            *self = Self::Asked(open);
        }
    }

    /// Takes in where the partitions stood at the end of `epoch`.
    pub(super) fn survey(&mut self, epoch: Epoch, standings: &[Standing]) {
        if let Self::Asked(open) = self
            && epoch >= *open
        {
            // A log that does not answer now may at the next tick.
            let ends = standings.iter().map(|it| it.look.map(|end| (it.partition, end)));
            if let Some(ends) = ends.collect() {
                *self = Self::To(ends);
            }
        }
        if let Self::To(ends) = self {
            let read = |it: &Standing| ends.get(&it.partition).is_none_or(|end| it.position >= *end);
            if standings.iter().all(read) {
                *self = Self::Done;
            }
        }
    }

    /// Whether everything is read.
    pub(super) fn done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

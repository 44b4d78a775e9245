//! A snapshot that workers start from: any number of them, whatever the number was that made it.

use std::collections::BTreeMap;

use tidegate_model::{Epoch, EventTime, PartitionId};

use super::{Keyed, PartitionRow, Windows};
use crate::hash::{KEY_GROUPS, worker_of_group};

/// What one worker captured, divided by key group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The epoch.
    pub epoch: Epoch,
    /// The worker's number.
    pub worker: usize,
    /// What belongs to users, for each key group.
    pub groups: Vec<Keyed>,
    /// What belongs to windows and partitions.
    pub windows: Windows,
}

/// All of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    epoch: Epoch,
    objects: Vec<Object>,
}

impl Restored {
    /// The objects of every worker that made it.
    pub fn new(epoch: Epoch, objects: Vec<Object>) -> Self {
        Self { epoch, objects }
    }

    /// The epoch at whose end it was made.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What belongs to the users of one worker of so many.
    pub(crate) fn keyed(&self, worker: usize, workers: usize) -> impl Iterator<Item = &Keyed> {
        let is_own = move |group: &usize| worker_of_group(*group, workers) == worker;
        let groups = (0..KEY_GROUPS).filter(is_own);
        groups.flat_map(|group| self.objects.iter().filter_map(move |object| object.groups.get(group)))
    }

    /// What belongs to windows, of every worker.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &Windows> {
        self.objects.iter().map(|object| &object.windows)
    }

    /// What the sources knew of the partitions: the largest min(event time, append time) and the largest
    /// event time.
    pub(crate) fn partitions(&self) -> BTreeMap<PartitionId, (EventTime, EventTime)> {
        let rows = self.windows().flat_map(|windows| &windows.partitions);
        let of = |row: &PartitionRow| {
            let partition = u32::try_from(row.partition).expect("decoding looked at it");
            let times = (EventTime::from_millis(row.largest_ms), EventTime::from_millis(row.latest_ms));
            (PartitionId(partition), times)
        };
        rows.map(of).collect()
    }
}

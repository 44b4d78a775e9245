//! Which snapshots are kept, and what nobody needs any more because of them.

use std::collections::{BTreeMap, VecDeque};

use tidegate_model::binding::Manifest;
use tidegate_model::{Epoch, Offset, PartitionId};

/// How many are kept: should the newest be spoilt, the one before it still stands for everything before it.
const KEPT: usize = 2;

/// The snapshots that a start could begin from, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    manifests: VecDeque<Manifest>,
    /// So many epochs before the oldest one stay in the journal.
    history_epochs: u64,
    /// Objects of those that are not kept; the journal may still name them.
    surplus: Vec<String>,
}

impl Kept {
    /// What a start found.
    pub(crate) fn new(manifests: Vec<Manifest>, history_epochs: u64) -> Self {
        let mut kept = Self { history_epochs, ..Self::default() };
        for manifest in manifests {
            kept.add(manifest);
        }
        kept
    }

    /// A newer one was committed.
    pub(crate) fn add(&mut self, manifest: Manifest) {
        self.manifests.push_back(manifest);
        while self.manifests.len() > KEPT {
            let gone = self.manifests.pop_front().expect("there are some");
            self.surplus.extend(gone.objects.into_iter().map(|object| object.name));
        }
    }

    /// The oldest one, once there are enough of them for everything before it to go.
    fn oldest(&self) -> Option<&Manifest> {
        (self.manifests.len() == KEPT).then(|| &self.manifests[0])
    }

    /// Bindings of epochs before this are not needed, by no start and by nobody who asks about the past.
    pub(crate) fn bindings_from(&self) -> Option<Epoch> {
        self.oldest().map(|oldest| Epoch(oldest.epoch.0.saturating_sub(self.history_epochs)))
    }

    /// Where the events begin that are needed; of a partition that is not named all of them are.
    pub(crate) fn events_from(&self) -> BTreeMap<PartitionId, Offset> {
        let ends = self.oldest().into_iter().flat_map(|oldest| &oldest.partitions);
        ends.map(|(partition, state)| (*partition, state.end)).collect()
    }

    /// Takes the objects out that no start looks at any more, once the bindings are pruned.
    pub(crate) fn take_surplus(&mut self) -> Vec<String> {
        std::mem::take(&mut self.surplus)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::binding::{Origin, SnapshotObject};
    use tidegate_model::{EventTime, PartitionState};

    use super::*;

    fn manifest(epoch: u64) -> Manifest {
        let at = EventTime::from_millis(0);
        let state = PartitionState { end: Offset(10 * epoch), largest: at, active_at: at };
        Manifest {
            epoch: Epoch(epoch),
            now: at,
            close_to: at,
            partitions: BTreeMap::from([(PartitionId(3), state)]),
            origin: Origin { hash_key: (1, 2) },
            objects: vec![SnapshotObject { name: format!("{epoch}"), bytes: 1, crc32: 2 }],
        }
    }

    #[test]
    fn some_epochs_stay_that_no_start_needs() {
        let kept = Kept::new([10, 20, 30].map(manifest).into(), 7);
        assert_eq!(
            (kept.bindings_from(), kept.events_from()[&PartitionId(3)]),
            (Some(Epoch(13)), Offset(200))
        );
    }

    #[test]
    fn everything_is_needed_until_two_are_kept() {
        let mut kept = Kept::new(vec![manifest(1)], 0);
        assert_eq!((kept.bindings_from(), kept.events_from()), (None, BTreeMap::new()));
        kept.add(manifest(2));
        let from = |offset| BTreeMap::from([(PartitionId(3), Offset(offset))]);
        assert_eq!((kept.bindings_from(), kept.events_from()), (Some(Epoch(1)), from(10)));
        assert!(kept.take_surplus().is_empty());
        kept.add(manifest(4));
        assert_eq!((kept.bindings_from(), kept.events_from()), (Some(Epoch(2)), from(20)));
        assert_eq!((kept.take_surplus(), kept.take_surplus()), (vec!["1".to_owned()], vec![]));
    }
}

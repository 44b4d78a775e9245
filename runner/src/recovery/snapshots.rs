//! Which snapshot a start begins from: the newest one that is as it was written and that everything is there to
//! follow; or none, and everything is replayed, as long as all of that is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_model::binding::{Manifest, SnapshotObject};
use tidegate_model::{Binding, Offset, PartitionId};

use super::journaled::AllBindings;
use super::tried::Tried;
use super::{FromSnapshot, events_missing};
use crate::error::{Remedy, RunError};
use crate::snapshot::{SnapshotStore, Unusable, load};

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) snapshot: Option<FromSnapshot>,
    /// The one chosen, and older ones, the newest of which seems to be whole; oldest first.
    pub(super) usable: Vec<Manifest>,
}

/// Chooses one of those that the bindings name, `tried` ones left out. Adds to these what cannot be used.
pub(super) fn choose(
    last: &Binding,
    journaled: &AllBindings,
    available: &BTreeMap<PartitionId, Range<Offset>>,
    store: Option<&dyn SnapshotStore>,
    tried: &mut Tried,
) -> Result<Chosen, RunError> {
    let untried = journaled.manifests.iter().filter(|manifest| !tried.has(manifest.epoch));
    let mut manifests: Vec<_> = untried.cloned().collect();
    let missing = |from: &dyn Fn(PartitionId) -> Offset| {
        available.iter().find(|(partition, bounds)| bounds.start > from(**partition))
    };
    while let (Some(manifest), Some(store)) = (manifests.last(), store) {
        let ends = |partition| manifest.partitions.get(&partition).map_or(Offset::ZERO, |state| state.end);
        let began = Instant::now();
        let loaded = match missing(&ends) {
            Some(_) => Err(Unusable::EventsGone),
            None => load(store, manifest),
        };
        match loaded {
            Ok(restored) => {
                let (close_to, partitions) = (manifest.close_to, manifest.partitions.clone());
                let time = TimeState::journaled(manifest.now, Journaled { close_to, partitions });
                let read_in = began.elapsed();
                let snapshot = FromSnapshot { restored: Arc::new(restored), time, read_in };
                keep_one_more(store, &mut manifests);
                return Ok(Chosen { snapshot: Some(snapshot), usable: manifests });
            }
            Err(unusable) => {
                tried.add(manifest.epoch, unusable);
                manifests.pop();
            }
        }
    }
    let (reasons, remedy) = match store {
        None => ("this run has no store of snapshots".to_owned(), Remedy::Restore),
        Some(_) if tried.is_empty() => {
            let reason = "the journal names none that all later bindings are there for";
            (reason.to_owned(), Remedy::RestoreJournal)
        }
        Some(_) => (tried.to_string(), tried.remedy()),
    };
    match missing(&|_| Offset::ZERO) {
        None if journaled.begins => Ok(Chosen::default()),
        // Not for want of a snapshot, when there never was one.
        Some((partition, bounds)) if journaled.begins && tried.is_empty() => {
            Err(events_missing(last, *partition, bounds))
        }
        _ => Err(RunError::SnapshotsUnusable { reasons, remedy }),
    }
}

/// Leaves out of the older ones those that are spoilt, up to one that is not: should the newest be lost, it is
/// the one to go by. Only lengths are looked at; all of it is read when it is needed. Two are kept: of those
/// before that nothing is expected.
fn keep_one_more(store: &dyn SnapshotStore, manifests: &mut Vec<Manifest>) {
    let newest = manifests.pop();
    let is_there = |object: &SnapshotObject| store.length(&object.name) == Ok(Some(object.bytes));
    let is_whole = |manifest: &Manifest| manifest.objects.iter().all(is_there);
    if let Some(spoilt) = manifests.last().filter(|manifest| !is_whole(manifest)) {
        tracing::warn!(epoch = %spoilt.epoch, "an older snapshot is spoilt, and not counted on any more");
        let whole = manifests.iter().rposition(is_whole);
        manifests.truncate(whole.map_or(0, |at| at + 1));
    }
    manifests.extend(newest);
}

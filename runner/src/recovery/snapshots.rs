//! Which snapshot a start begins from: the newest one that is as it was written and that everything is there to
//! follow; or none, and everything is replayed, as long as all of that is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::snapshot::FormatError;
use tidegate_model::binding::{Manifest, SnapshotObject};
use tidegate_model::{Binding, Epoch, Offset, PartitionId};

use super::{FromSnapshot, events_missing};
use crate::error::{Remedy, RunError, chain};
use crate::snapshot::{SnapshotStore, Unusable, load};

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) snapshot: Option<FromSnapshot>,
    /// The one chosen, and older ones, the newest of which seems to be whole; oldest first.
    pub(super) usable: Vec<Manifest>,
}

/// Chooses one of `manifests`, which come oldest first. `begins` says whether the first binding of the
/// deployment is there.
pub(super) fn choose(
    last: &Binding,
    mut manifests: Vec<Manifest>,
    begins: bool,
    available: &BTreeMap<PartitionId, Range<Offset>>,
    store: Option<&dyn SnapshotStore>,
) -> Result<Chosen, RunError> {
    let missing = |from: &dyn Fn(PartitionId) -> Offset| {
        available.iter().find(|(partition, bounds)| bounds.start > from(**partition))
    };
    let mut reasons = Vec::new();
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
                tracing::warn!(
                    "cannot start from {}; an older one is tried, or all epochs are replayed",
                    shown(manifest.epoch, &unusable)
                );
                reasons.push((manifest.epoch, unusable));
                manifests.pop();
            }
        }
    }
    let why = match store {
        None => "this run has no store of snapshots".to_owned(),
        Some(_) if reasons.is_empty() => {
            "the journal names none that all later bindings are there for".to_owned()
        }
        Some(_) => {
            let shown = reasons.iter().map(|(epoch, reason)| shown(*epoch, reason));
            shown.collect::<Vec<_>>().join("; ")
        }
    };
    match missing(&|_| Offset::ZERO) {
        None if begins => Ok(Chosen::default()),
        // Not for want of a snapshot, when there never was one.
        Some((partition, bounds)) if begins && reasons.is_empty() => {
            Err(events_missing(last, *partition, bounds))
        }
        _ => Err(RunError::SnapshotsUnusable { reasons: why, remedy: remedy(&reasons) }),
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

fn remedy(reasons: &[(Epoch, Unusable)]) -> Remedy {
    let is_any = |is: fn(&Unusable) -> bool| reasons.iter().any(|(_, reason)| is(reason));
    if is_any(|reason| matches!(reason, Unusable::Store(_))) {
        Remedy::Again
    } else if is_any(|reason| matches!(reason, Unusable::Format { error: FormatError::Version { .. }, .. })) {
        Remedy::OtherVersion
    } else {
        Remedy::Restore
    }
}

fn shown(epoch: Epoch, reason: &Unusable) -> String {
    format!("the snapshot of epoch {epoch}: {}", chain(reason))
}

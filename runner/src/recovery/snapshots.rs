//! Which snapshot a start begins from: the newest one that is as it was written and that everything is there to
//! follow; or none, and everything is replayed, as long as all of that is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_model::binding::Manifest;
use tidegate_model::{Binding, Offset, PartitionId};

use super::{FromSnapshot, events_missing};
use crate::error::{RunError, chain};
use crate::snapshot::{SnapshotStore, Unusable, load};

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) snapshot: Option<FromSnapshot>,
    /// The one chosen, and older ones that were not looked at; oldest first.
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
                return Ok(Chosen { snapshot: Some(snapshot), usable: manifests });
            }
            Err(unusable) => {
                let reason = format!("the snapshot of epoch {}: {}", manifest.epoch, chain(&unusable));
                tracing::warn!(
                    "cannot start from {reason}; an older one is tried, or all epochs are replayed"
                );
                reasons.push(reason);
                manifests.pop();
            }
        }
    }
    if begins {
        return match missing(&|_| Offset::ZERO) {
            None => Ok(Chosen::default()),
            // Not for want of a snapshot, when there never was one.
            Some((partition, bounds)) if reasons.is_empty() => Err(events_missing(last, *partition, bounds)),
            Some(_) => Err(unusable(&reasons)),
        };
    }
    Err(unusable(&reasons))
}

fn unusable(reasons: &[String]) -> RunError {
    let reasons =
        if reasons.is_empty() { "this run has no store of snapshots".to_owned() } else { reasons.join("; ") };
    RunError::SnapshotsUnusable { reasons }
}

//! What a start makes of the journal: which snapshot to begin from, which epochs to replay, and what was true
//! after the last one.

mod definitions;
mod epochs;
mod journaled;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_dataflow::snapshot::Restored;
use tidegate_log::{EventReader, Journal, Recovered};
use tidegate_model::binding::{Definition, Manifest, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation, JobStart, Ledger, Offset, PartitionId};

pub use self::epochs::{ReplayEpoch, ReplayEpochs};

use self::snapshots::Chosen;
use crate::clock::{Clock, Entropy};
use crate::error::RunError;
use crate::snapshot::SnapshotStore;

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The generation of this process.
    pub generation: Generation,
    /// The definitions of the jobs.
    pub definitions: BTreeMap<String, Definition>,
    /// The jobs that began, or begin anew, after the deployment did.
    pub starts: BTreeMap<String, JobStart>,
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// Given when this run begins the deployment, and then journaled in its first binding.
    pub origin: Option<Origin>,
    /// The epochs to replay.
    pub replay: ReplayEpochs,
    /// The first epoch that is not replayed.
    pub next: Epoch,
    /// What the journal knows of time after the last binding.
    pub time: TimeState,
    /// Totals after the last binding.
    pub ledger: Ledger,
    /// The number of events to replay.
    pub replay_events: u64,
    /// The snapshot to start from.
    pub snapshot: Option<FromSnapshot>,
    /// The snapshots that the journal names, oldest first; of those that were looked at, the ones that can be
    /// used.
    pub manifests: Vec<Manifest>,
    /// Every object of a snapshot that the journal names.
    pub named: BTreeSet<String>,
}

impl Recovery {
    /// How the deployment began.
    pub fn origin(&self) -> Origin {
        Origin { hash_key: (self.hash_key.0, self.hash_key.1) }
    }
}

/// A snapshot that a run starts from.
#[derive(Clone, Debug)]
pub struct FromSnapshot {
    /// What the workers held.
    pub restored: Arc<Restored>,
    /// What was known of time.
    pub time: TimeState,
    /// How long it took to read.
    pub read_in: Duration,
}

impl FromSnapshot {
    /// Where reading goes on.
    pub fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        self.time.partitions.iter().map(|(partition, state)| (*partition, state.end)).collect()
    }
}

/// What a start goes on in spite of, because somebody said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Jobs whose definition changed begin anew (`--accept-changed-jobs`).
    pub changed_jobs: bool,
}

/// Takes the journal over, and makes a recovery out of what it holds.
///
/// # Errors
/// When the journal cannot be read or contradicts itself, a job's definition changed, or the log does not
/// hold what the journal speaks of.
pub fn recover(
    journal: &mut dyn Journal,
    settings: &JobSettings,
    accept: Accept,
    log: &mut dyn EventReader,
    store: Option<&dyn SnapshotStore>,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Recovery, RunError> {
    let definitions = job::definitions(settings);
    let Recovered { generation, last } = journal.recover()?;
    let Some(last) = last else {
        let hash_key = entropy.secret();
        return Ok(Recovery {
            generation,
            definitions,
            starts: BTreeMap::new(),
            hash_key: HashKey(hash_key.0, hash_key.1),
            origin: Some(Origin { hash_key }),
            replay: ReplayEpochs::default(),
            // The unix time, so that the epochs of a deployment never restart below old ones.
            next: Epoch(clock.now().as_millis().unsigned_abs().max(1)),
            time: TimeState::default(),
            ledger: Ledger::default(),
            replay_events: 0,
            snapshot: None,
            manifests: Vec::new(),
            named: BTreeSet::new(),
        });
    };
    // What can be told by the last binding is told before all of them are read.
    let starts = definitions::starts(&last, &definitions, settings, accept)?;
    let available = available(&last, log)?;
    let mut journaled = journaled::read(journal, last.epoch)?;
    let manifests = std::mem::take(&mut journaled.manifests);
    let objects = manifests.iter().flat_map(|manifest| &manifest.objects);
    let named = objects.map(|object| object.name.clone()).collect();
    let Chosen { snapshot, usable: manifests } =
        snapshots::choose(&last, manifests, journaled.begins, &available, store)?;
    let hash_key = journaled.origin.hash_key;
    let start = snapshot.as_ref().map(FromSnapshot::ends).unwrap_or_default();
    if let Some(snapshot) = &snapshot {
        let epoch = snapshot.restored.epoch();
        while journaled.replay.iter().next().is_some_and(|bound| bound.epoch <= epoch) {
            journaled.replay.pop_front();
        }
    }
    let bound: u64 = last.partitions.values().map(|state| state.end.0).sum();
    Ok(Recovery {
        generation,
        definitions,
        starts,
        hash_key: HashKey(hash_key.0, hash_key.1),
        origin: None,
        replay: journaled.replay,
        next: last.epoch.next(),
        replay_events: bound - start.values().map(|end| end.0).sum::<u64>(),
        time: TimeState::journaled(
            last.now,
            Journaled { close_to: last.close_to, partitions: last.partitions },
        ),
        ledger: if is_planted(Bug::LedgerForgotten) { Ledger::default() } else { last.ledger },
        snapshot,
        manifests,
        named,
    })
}

/// The events that the log holds of each bound partition; all that is bound must have been appended.
fn available(
    last: &Binding,
    log: &mut dyn EventReader,
) -> Result<BTreeMap<PartitionId, Range<Offset>>, RunError> {
    let mut available = BTreeMap::new();
    for (partition, state) in &last.partitions {
        let bounds = log.bounds(*partition)?;
        if bounds.end < state.end {
            return Err(events_missing(last, *partition, &bounds));
        }
        available.insert(*partition, bounds);
    }
    Ok(available)
}

fn events_missing(last: &Binding, partition: PartitionId, available: &Range<Offset>) -> RunError {
    RunError::EventsMissing {
        epoch: last.epoch,
        partition,
        bound: last.partitions[&partition].end,
        start: available.start,
        end: available.end,
    }
}

#[cfg(test)]
pub(crate) mod tests;

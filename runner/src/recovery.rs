//! What a start makes of the journal: which snapshot to begin from, which epochs to replay, and what was true
//! after the last one.

mod definitions;
mod epochs;
mod gap;
mod journaled;
mod replaced;
mod snapshots;
mod tried;

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
use tidegate_model::binding::{Definition, LastRecord, Manifest, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation, JobStart, Ledger, Offset, PartitionId};

pub use self::definitions::check_definitions;
pub use self::epochs::{ReplayEpoch, ReplayEpochs};
pub use self::gap::Accepted;

use self::journaled::AllBindings;
use self::replaced::Replaced;
use self::snapshots::Chosen;
use self::tried::Tried;
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
    /// The last record read of each partition that gave one.
    pub last_records: BTreeMap<PartitionId, LastRecord>,
    /// The number of events to replay.
    pub replay_events: u64,
    /// The snapshot to start from.
    pub snapshot: Option<FromSnapshot>,
    /// The snapshots that the journal names, oldest first; of those that were looked at, the ones that can be
    /// used.
    pub manifests: Vec<Manifest>,
    /// Every object of a snapshot that a binding names which was looked at. These are the newest ones: what only older
    /// ones name no start needs.
    pub named: BTreeSet<String>,
    /// Given when this run goes on without what is gone, and then journaled in its first binding.
    pub accepted: Option<Accepted>,
}

impl Recovery {
    /// The epoch in which nothing is read: that of the snapshot, or the one before the first that is read.
    pub(crate) fn first(&self) -> Epoch {
        let next = || self.replay.iter().next().map_or(self.next, |bound| bound.epoch);
        self.snapshot.as_ref().map_or_else(|| Epoch(next().0 - 1), |snapshot| snapshot.restored.epoch())
    }

    /// The last epoch that is not new; 0 when all are.
    pub(crate) fn replayed_to(&self) -> Epoch {
        let from = self.snapshot.as_ref().map_or(Epoch(0), |snapshot| snapshot.restored.epoch());
        self.replay.last().map_or(from, |bound| bound.epoch)
    }

    /// What the snapshot consists of that it starts from.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        let accepted = self.accepted.as_ref().map(|accepted| &accepted.manifest);
        self.snapshot.as_ref().and(accepted.or(self.manifests.last()))
    }

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

/// Where a new deployment begins in a log that has events already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeginsAt {
    /// With the first event that there ever was; it is refused when that one is gone, for then somebody has read
    /// the log before.
    #[default]
    First,
    /// With the oldest event that there is.
    Oldest,
    /// With what comes from now on.
    Newest,
}

/// What a start goes on in spite of, because somebody said so; and where a new deployment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Jobs whose definition changed begin anew (`--accept-changed-jobs`).
    pub changed_jobs: bool,
    /// Events, or snapshots, that are gone (`--accept-gap`).
    pub gap: bool,
    /// Where a new deployment begins.
    pub begins_at: BeginsAt,
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
        return begin(generation, definitions, settings, accept, log, clock, entropy);
    };
    // What can be told by the last binding is told before all of them are read.
    let mut starts = definitions::starts(&last, &definitions, settings, accept)?;
    let available = available(&last, log)?;
    let others = replaced::find(&last, &available, log)?;
    let (mut journaled, chosen) = choose(journal, &last, &available, &others, store)?;
    let origin = journaled.origin;
    let objects = journaled.manifests.iter().flat_map(|manifest| &manifest.objects);
    let named = objects.map(|object| object.name.clone()).collect();
    let mut ledger = if is_planted(Bug::LedgerForgotten) { Ledger::default() } else { last.ledger.clone() };
    let mut accepted = None;
    let Chosen { snapshot, usable: manifests } = match chosen {
        Ok(chosen) => chosen,
        Err(error) if accept.gap && error.is_gap() => {
            tracing::warn!("going on without what is gone: {error}");
            let going_on = Accepted::after(&last, origin, &available, &others);
            let appended_by = going_on.appended_by(log, clock.now().max(last.now))?;
            let gone = definitions::latest(appended_by, &last.definitions, settings);
            let after = definitions::everything_read(&last, settings).max(gone);
            starts = all_begin(&definitions, JobStart { epoch: last.epoch.next(), after });
            going_on.count(settings, &mut ledger);
            journaled.replay = ReplayEpochs::default();
            let snapshot = Some(going_on.snapshot());
            accepted = Some(going_on);
            Chosen { snapshot, usable: Vec::new() }
        }
        Err(error) => return Err(error),
    };
    let start = snapshot.as_ref().map(FromSnapshot::ends).unwrap_or_default();
    if let Some(snapshot) = &snapshot {
        let epoch = snapshot.restored.epoch();
        while journaled.replay.iter().next().is_some_and(|bound| bound.epoch <= epoch) {
            journaled.replay.pop_front();
        }
    }
    let last_records = match &accepted {
        Some(accepted) => accepted.still_last(&last),
        None => last.last_records.clone(),
    };
    let sum = |ends: BTreeMap<PartitionId, Offset>| ends.values().map(|end| end.0).sum::<u64>();
    let replayed = journaled.replay.last().map(|bound| sum(bound.ends()));
    Ok(Recovery {
        generation,
        definitions,
        starts,
        hash_key: HashKey(origin.hash_key.0, origin.hash_key.1),
        origin: None,
        replay_events: replayed.map_or(0, |end| end - sum(start)),
        replay: journaled.replay,
        next: last.epoch.next(),
        time: TimeState::journaled(
            last.now,
            Journaled { close_to: last.close_to, partitions: last.partitions },
        ),
        ledger,
        last_records,
        snapshot,
        manifests,
        named,
        accepted,
    })
}

/// Reads the newest bindings, and all of them where nothing can be chosen by these; and chooses what to begin from.
fn choose(
    journal: &mut dyn Journal,
    last: &Binding,
    available: &BTreeMap<PartitionId, Range<Offset>>,
    replaced: &Replaced,
    store: Option<&dyn SnapshotStore>,
) -> Result<(AllBindings, Result<Chosen, RunError>), RunError> {
    let mut journaled = journaled::recent(journal, last.epoch)?;
    if let Err(gone) = whole(last, available).and_then(|()| replaced.check(last)) {
        // No older binding can change that.
        return Ok((journaled, Err(gone)));
    }
    let mut tried = Tried::default();
    let mut chosen = snapshots::choose(last, &journaled, available, store, &mut tried);
    if chosen.is_err() && !journaled.is_all {
        journaled = journaled::all(journal, last.epoch)?;
        chosen = snapshots::choose(last, &journaled, available, store, &mut tried);
    }
    tried.warn_of_others();
    Ok((journaled, chosen))
}

/// The first start of a deployment.
fn begin(
    generation: Generation,
    definitions: BTreeMap<String, Definition>,
    settings: &JobSettings,
    accept: Accept,
    log: &mut dyn EventReader,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Recovery, RunError> {
    let hash_key = entropy.secret();
    let origin = Origin { hash_key };
    // The unix time, so that the epochs of a deployment never restart below old ones.
    let next = Epoch(clock.now().as_millis().unsigned_abs().max(1));
    let mut begins = BTreeMap::new();
    for partition in log.partitions()? {
        let bounds = log.bounds(partition)?;
        let start = if accept.begins_at == BeginsAt::Newest { bounds.end } else { bounds.start };
        if start > Offset::ZERO {
            begins.insert(partition, start);
        }
    }
    let mut ledger = Ledger::default();
    let accepted = match begins.first_key_value() {
        None => None,
        Some(_) if accept.begins_at != BeginsAt::First => {
            Some(Accepted::at_the_beginning(next, origin, &begins, false))
        }
        Some((partition, start)) if !accept.gap => {
            return Err(RunError::JournalMissing { partition: *partition, start: *start });
        }
        Some(_) => {
            tracing::warn!("the journal is gone: beginning anew with the events that are left");
            Some(Accepted::at_the_beginning(next, origin, &begins, true))
        }
    };
    let mut starts = BTreeMap::new();
    if let Some(accepted) = &accepted {
        accepted.count(settings, &mut ledger);
        let appended_by = accepted.appended_by(log, clock.now())?;
        let after = definitions::latest(appended_by, &BTreeMap::new(), settings);
        starts = all_begin(&definitions, JobStart { epoch: next, after });
    }
    Ok(Recovery {
        generation,
        definitions,
        starts,
        hash_key: HashKey(hash_key.0, hash_key.1),
        origin: Some(origin),
        replay: ReplayEpochs::default(),
        next,
        time: TimeState::default(),
        ledger,
        last_records: BTreeMap::new(),
        replay_events: 0,
        snapshot: accepted.as_ref().map(Accepted::snapshot),
        manifests: Vec::new(),
        named: BTreeSet::new(),
        accepted,
    })
}

/// Every job begins with `start`.
fn all_begin(definitions: &BTreeMap<String, Definition>, start: JobStart) -> BTreeMap<String, JobStart> {
    definitions.keys().map(|job| (job.clone(), start)).collect()
}

/// The events that the log holds of each partition that is bound, or that was added since.
fn available(
    last: &Binding,
    log: &mut dyn EventReader,
) -> Result<BTreeMap<PartitionId, Range<Offset>>, RunError> {
    let partitions: BTreeSet<_> =
        log.partitions()?.into_iter().chain(last.partitions.keys().copied()).collect();
    partitions.into_iter().map(|partition| Ok((partition, log.bounds(partition)?))).collect()
}

/// Whether everything that is bound was appended, and nothing is gone of partitions that nobody has read.
fn whole(last: &Binding, available: &BTreeMap<PartitionId, Range<Offset>>) -> Result<(), RunError> {
    let is_gap = |(partition, bounds): &(&PartitionId, &Range<Offset>)| match last.partitions.get(*partition)
    {
        Some(state) => bounds.end < state.end,
        None => bounds.start > Offset::ZERO,
    };
    match available.iter().find(is_gap) {
        Some((partition, bounds)) => Err(events_missing(last, *partition, bounds)),
        None => Ok(()),
    }
}

fn events_missing(last: &Binding, partition: PartitionId, available: &Range<Offset>) -> RunError {
    RunError::EventsMissing {
        epoch: last.epoch,
        partition,
        bound: last.partitions.get(&partition).map_or(Offset::ZERO, |state| state.end),
        start: available.start,
        end: available.end,
    }
}

#[cfg(test)]
pub(crate) mod tests;

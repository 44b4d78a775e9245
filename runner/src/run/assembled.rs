//! A run before it has threads: what [`start`](super::start) runs on threads, a simulation steps by itself.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, mpsc};

use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::snapshot::Restored;
use tidegate_dataflow::{GraphConfig, job};
use tidegate_log::{EventReader, Journal};
use tidegate_model::{Epoch, JobStart, Offset, PartitionId};

use super::committing::Committing;
use super::worker::{Driver, WaysOut, WorkerPart};
use super::{Control, Failures, Handle};
use crate::clock::Clock;
use crate::cluster::Links;
use crate::committer::Committer;
use crate::config::RunnerConfig;
use crate::error::RunError;
use crate::observer::Observer;
use crate::pace::{Pace, Script};
use crate::recovery::Recovery;
use crate::snapshot::{Kept, Part, PartsOf, SnapshotStore, Snapshotting, Tells};
use crate::status::Status;

/// What a run is made of.
pub struct Parts<J, F> {
    /// Its configuration.
    pub config: RunnerConfig,
    /// Where it starts from.
    pub recovery: Recovery,
    /// The journal that the recovery was read from.
    pub journal: J,
    /// Opens a reader of events: one for each worker and one for the committer.
    pub open_reader: F,
    /// What follows the replay.
    pub script: Script,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where snapshots go; without it none are made.
    pub snapshots: Option<Arc<dyn SnapshotStore>>,
    /// Who is told of commits.
    pub observer: Box<dyn Observer>,
}

/// A run in its parts. Each of them is moved step by step and waits for nothing; together they make
/// progress in whatever order they are stepped.
pub struct Assembled<J, R> {
    /// One for each worker of a timely process.
    pub workers: Vec<WorkerPart<R>>,
    /// What commits.
    pub committing: Committing<J, R>,
    /// What writes snapshots, where there is a store for them.
    pub snapshotting: Option<Snapshotting>,
    /// The way to steer it.
    pub handle: Handle,
    /// What ended it before its time.
    pub failures: mpsc::Receiver<RunError>,
}

/// Takes a run apart.
pub fn assemble<J, R, F>(parts: Parts<J, F>) -> Assembled<J, R>
where
    J: Journal,
    R: EventReader,
    F: Fn() -> R,
{
    assemble_with(parts, None).0
}

/// The same of process 0, with the links to the others. The way in for their parts of snapshots is given beside it,
/// where there is a store for them: as long as it is there, more may come.
pub(super) fn assemble_with<J, R, F>(
    parts: Parts<J, F>,
    links: Option<Arc<Links>>,
) -> (Assembled<J, R>, Option<Sender<Part>>)
where
    J: Journal,
    R: EventReader,
    F: Fn() -> R,
{
    let Parts { config, recovery, journal, open_reader, script, clock, snapshots, observer } = parts;
    let others = links.as_ref().map_or(0, |links| links.count());
    let status = Status::new(&config, &recovery, Arc::clone(&clock));
    status.update(|progress| progress.process.of = others + 1);
    let control = Arc::new(Control::new(status, links));
    let (sender, failed) = mpsc::channel();
    let failures = Failures { sender, control: Arc::clone(&control) };
    let (results, complete) = mpsc::channel();
    let committer = Committer::new(journal, open_reader(), config.topics.clone(), &config.jobs, &recovery);
    let (hash_key, starts) = (recovery.hash_key, recovery.starts.clone());
    let replayed_to = recovery.replayed_to();
    let written_by = (recovery.generation, recovery.origin());
    let (kept, named) =
        (Kept::new(recovery.manifests.clone(), config.snapshots.history_epochs), recovery.named.clone());
    let (start, restored) = recovery
        .snapshot
        .as_ref()
        .map_or_else(Default::default, |snapshot| (snapshot.ends(), Some(Arc::clone(&snapshot.restored))));
    let mut pace = Pace::new(recovery, script, config.tick_ms, config.uncommitted_epochs_max);
    if snapshots.is_some() {
        pace = pace.with_snapshots(config.snapshots, clock.now());
    }
    let read_before = start.values().map(|end| end.0).sum();
    let beginning = Beginning { hash_key, first: pace.first(), start, restored, starts };
    let (parts, received) = mpsc::channel();
    let parts = snapshots.is_some().then_some(parts);
    let ways_out = WaysOut { results, parts: parts.clone() };
    let replayed = (replayed_to, read_before);
    let driver = Driver::new(pace, &config, replayed, clock, ways_out, failures.clone());
    let workers = workers(&config, beginning, &open_reader, &failures, parts.as_ref(), Some(driver));
    let snapshotting = snapshots.map(|store| {
        let tells = Tells::Committer { origin: written_by.1, others };
        let from = PartsOf { received, workers: config.workers, generation: written_by.0 };
        Snapshotting::new(from, store, tells, Some(named), Arc::clone(&control))
    });
    control.status.update(|progress| progress.snapshots.events_from = kept.events_from());
    let assembled = Assembled {
        workers,
        snapshotting,
        committing: Committing {
            committer,
            complete,
            more: true,
            last_wait_ms: config.snapshots.last_wait_ms,
            waits_for_last: None,
            kept,
            pruning: None,
            control: Arc::clone(&control),
            failures,
            observer,
        },
        handle: Handle(control),
        failures: failed,
    };
    (assembled, parts)
}

/// What the workers of every process begin with.
pub(super) struct Beginning {
    pub(super) hash_key: HashKey,
    /// The epoch in which nothing is read.
    pub(super) first: Epoch,
    pub(super) start: BTreeMap<PartitionId, Offset>,
    pub(super) restored: Option<Arc<Restored>>,
    pub(super) starts: BTreeMap<String, JobStart>,
}

/// The workers of a process; the first one has the driver, where the process has it.
pub(super) fn workers<R>(
    config: &RunnerConfig,
    beginning: Beginning,
    open_reader: &impl Fn() -> R,
    failures: &Failures,
    parts: Option<&Sender<Part>>,
    mut driver: Option<Driver>,
) -> Vec<WorkerPart<R>> {
    let Beginning { hash_key, first, start, restored, starts } = beginning;
    let graph = GraphConfig {
        jobs: config.jobs.clone(),
        time: config.time,
        hash_key,
        first,
        start,
        restored,
        starts,
        provisional_rows_max: config.provisional_rows_max,
        provisional_lag_max_ms: config.provisional_lag_max_ms,
    };
    let fields = job::fields(&config.jobs);
    let worker = |_| WorkerPart {
        graph: graph.clone(),
        fields,
        reader: open_reader(),
        in_flight_bytes_max: config.in_flight_bytes_max,
        control: Arc::clone(&failures.control),
        failures: failures.clone(),
        parts: parts.cloned(),
        driver: driver.take(),
    };
    (0..config.workers).map(worker).collect()
}

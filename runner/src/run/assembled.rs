//! A run before it has threads: what [`start`] runs on threads, a simulation steps by itself.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tidegate_dataflow::{GraphConfig, job};
use tidegate_log::{EventReader, Journal};
use tidegate_model::Epoch;

use super::committing::Committing;
use super::worker::{Driver, WaysOut, WorkerPart};
use super::{Control, Failures, Handle, Running};
use crate::clock::Clock;
use crate::committer::Committer;
use crate::config::RunnerConfig;
use crate::error::RunError;
use crate::observer::Observer;
use crate::pace::{Pace, Script, Stop};
use crate::recovery::Recovery;
use crate::snapshot::{Kept, Shared, SnapshotStore, Snapshotting};
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
    let Parts { config, recovery, journal, open_reader, script, clock, snapshots, observer } = parts;
    let control = Arc::new(Control {
        status: Arc::new(Status::new(&config, &recovery, Arc::clone(&clock))),
        released: Arc::new(AtomicU64::new(0)),
        stop: AtomicU8::new(Stop::No as u8),
        abort: AtomicBool::new(false),
        snapshots: Shared::default(),
        wakers: Mutex::default(),
    });
    let (sender, failed) = mpsc::channel();
    let failures = Failures { sender, control: Arc::clone(&control) };
    let (results, complete) = mpsc::channel();
    let committer = Committer::new(journal, open_reader(), config.topics.clone(), &config.jobs, &recovery);
    let (hash_key, starts) = (recovery.hash_key, recovery.starts.clone());
    let from = recovery.snapshot.as_ref().map_or(Epoch(0), |snapshot| snapshot.restored.epoch());
    let replayed_to = recovery.replay.last().map_or(from, |bound| bound.epoch);
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
    let graph = GraphConfig {
        jobs: config.jobs.clone(),
        time: config.time,
        hash_key,
        first: pace.first(),
        start,
        restored,
        starts,
        provisional_rows_max: config.provisional_rows_max,
        provisional_lag_max_ms: config.provisional_lag_max_ms,
    };
    let fields = job::fields(&config.jobs);
    let (parts, received) = mpsc::channel();
    let parts = snapshots.is_some().then_some(parts);
    let ways_out = WaysOut { results, parts: parts.clone() };
    let read_before = graph.start.values().map(|end| end.0).sum();
    let replayed = (replayed_to, read_before);
    let mut driver = Some(Driver::new(pace, &config, replayed, clock, ways_out, failures.clone()));
    let workers = (0..config.workers).map(|_| WorkerPart {
        graph: graph.clone(),
        fields,
        reader: open_reader(),
        in_flight_bytes_max: config.in_flight_bytes_max,
        control: Arc::clone(&control),
        failures: failures.clone(),
        parts: parts.clone(),
        driver: driver.take(),
    });
    let workers: Vec<_> = workers.collect();
    let snapshotting = snapshots.map(|store| {
        Snapshotting::new(received, store, written_by, named, config.workers, Arc::clone(&control))
    });
    control.status.update(|progress| progress.snapshots.events_from = kept.events_from());
    Assembled {
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
    }
}

/// Starts a run on threads of its own.
///
/// # Errors
/// When a thread cannot be started.
pub fn start<J, R, F>(parts: Parts<J, F>) -> Result<Running, RunError>
where
    J: Journal + 'static,
    R: EventReader + 'static,
    F: Fn() -> R,
{
    let Assembled { workers, committing, snapshotting, handle, failures } = assemble(parts);
    let count = workers.len();
    let cannot_start =
        move |reason: std::io::Error| RunError::Workers { workers: count, reason: reason.to_string() };
    let (alive, over) = mpsc::channel();
    let committer_alive = alive.clone();
    let committer = std::thread::Builder::new()
        .name("tidegate-commit".to_owned())
        .spawn(move || {
            let _alive = committer_alive;
            committing.run();
        })
        .map_err(cannot_start)?;
    let (writes, written) = mpsc::channel();
    let snapshots = snapshotting.map(|snapshotting| {
        let thread = std::thread::Builder::new().name("tidegate-snapshots".to_owned());
        thread.spawn(move || {
            let _writes = writes;
            snapshotting.run();
        })
    });
    let snapshots = snapshots.transpose().map_err(cannot_start)?.map(|thread| (thread, written));
    let workers = std::thread::Builder::new()
        .name("tidegate-workers".to_owned())
        .spawn(move || {
            let _alive = alive;
            run_workers(workers)
        })
        .map_err(cannot_start)?;
    Ok(Running { handle, workers, committer, snapshots, failures, over })
}

/// Runs the workers, each on a thread of timely's, until the last epoch has left the graph or the run is
/// aborted.
fn run_workers<R: EventReader + 'static>(parts: Vec<WorkerPart<R>>) -> Result<(), RunError> {
    let workers = parts.len();
    let parts: Mutex<Vec<_>> = Mutex::new(parts.into_iter().map(Some).collect());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts[worker.index()].take().expect("there is one for each worker");
        drop(parts);
        part.build(worker).run(worker);
    })
    .map_err(|reason| RunError::Workers { workers, reason })?;
    for outcome in guards.join() {
        outcome.expect("a worker that panics ends the process");
    }
    Ok(())
}

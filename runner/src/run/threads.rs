//! The threads of a run.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use tidegate_log::{EventReader, Journal};
use timely::WorkerConfig;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::{AllocatorBuilder, Hooks};

use super::assembled::{Assembled, Parts, assemble};
use super::clustered::Clustered;
use super::worker::WorkerPart;
use super::{Handle, Running, SNAPSHOTS_PATIENCE};
use crate::error::RunError;

/// What a thread does until it is over.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// What runs on threads.
pub(super) struct Threads<R> {
    pub(super) workers: Vec<WorkerPart<R>>,
    /// What timely builds the workers on.
    pub(super) builders: Vec<AllocatorBuilder>,
    /// What commits. Process 0 has it.
    pub(super) committing: Option<Task>,
    /// What writes snapshots.
    pub(super) snapshotting: Option<Task>,
    pub(super) snapshots_patience: Duration,
    /// The other processes.
    pub(super) clustered: Option<Clustered>,
    pub(super) handle: Handle,
    pub(super) failures: mpsc::Receiver<RunError>,
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
    let threads = ProcessBuilder::new_typed_vector(workers.len(), Hooks::default().refill, None);
    let builders = threads.into_iter().map(AllocatorBuilder::Process).collect();
    let snapshots_patience = SNAPSHOTS_PATIENCE;
    let committing: Task = Box::new(|| committing.run());
    let snapshotting = snapshotting.map(|snapshotting| Box::new(|| snapshotting.run()) as Task);
    launch(Threads {
        workers,
        builders,
        committing: Some(committing),
        snapshotting,
        snapshots_patience,
        clustered: None,
        handle,
        failures,
    })
}

/// Starts them all.
pub(super) fn launch<R: EventReader + 'static>(threads: Threads<R>) -> Result<Running, RunError> {
    let Threads {
        workers,
        builders,
        committing,
        snapshotting,
        snapshots_patience,
        clustered,
        handle,
        failures,
    } = threads;
    let count = workers.len();
    let cannot_start =
        move |reason: std::io::Error| RunError::Workers { workers: count, reason: reason.to_string() };
    let (alive, over) = mpsc::channel();
    let committer_alive = alive.clone();
    let committer = committing.map(|committing| {
        std::thread::Builder::new().name("tidegate-commit".to_owned()).spawn(move || {
            let _alive = committer_alive;
            committing();
        })
    });
    let committer = committer.transpose().map_err(cannot_start)?;
    let (writes, written) = mpsc::channel();
    let snapshots = snapshotting.map(|snapshotting| {
        let thread = std::thread::Builder::new().name("tidegate-snapshots".to_owned());
        thread.spawn(move || {
            let _writes = writes;
            snapshotting();
        })
    });
    let snapshots = snapshots.transpose().map_err(cannot_start)?.map(|thread| (thread, written));
    let workers = std::thread::Builder::new()
        .name("tidegate-workers".to_owned())
        .spawn(move || {
            let _alive = alive;
            run_workers(workers, builders)
        })
        .map_err(cannot_start)?;
    Ok(Running { handle, workers, committer, clustered, snapshots, snapshots_patience, failures, over })
}

/// Runs the workers, each on a thread of timely's, until the last epoch has left the graph or the run is
/// aborted.
fn run_workers<R: EventReader + 'static>(
    parts: Vec<WorkerPart<R>>,
    builders: Vec<AllocatorBuilder>,
) -> Result<(), RunError> {
    let workers = parts.len();
    let parts: Mutex<Vec<_>> = Mutex::new(parts.into_iter().map(Some).collect());
    let config = WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, Box::new(()), config, move |worker| {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Their numbers go on from process to process.
        let part = parts[worker.index() % workers].take().expect("there is one for each worker");
        drop(parts);
        part.build(worker).run(worker);
    })
    .map_err(|reason| RunError::Workers { workers, reason })?;
    for outcome in guards.join() {
        outcome.expect("a worker that panics ends the process");
    }
    Ok(())
}

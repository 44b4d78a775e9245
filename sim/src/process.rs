//! The processes: the runner, with its workers and its committer, and the sinks. What they hold is lost
//! with them.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tidegate_dataflow::settings::JobSettings;
use tidegate_log::journal::JournalError;
use tidegate_log::{CommitError, ReadError};
use tidegate_model::EventTime;
use tidegate_runner::observer::CommitFacts;
use tidegate_runner::run::{Committed, Committing, Handle, WorkerLoop, WorkerPart};
use tidegate_runner::snapshot::{Snapshotted, Snapshotting};
use tidegate_runner::{Accept, Assembled, Parts, Remedy, RunError, RunnerConfig, Script, assemble, recover};
use tidegate_sinks::{CacheConfig, CacheSink, CacheSinkError, Sink, SinkError};
use timely::worker::Worker;

use crate::crew::{Crew, Panicked, Seat};
use crate::plan::Setup;
use crate::world::cache::SimCache;
use crate::world::events::SimEvents;
use crate::world::journal::SimJournal;
use crate::world::rows::SimRows;
use crate::world::snapshots::SimSnapshots;
use crate::world::store::SimStore;
use crate::world::{ProcessId, SimClock, SimEntropy, World};

/// The process that runs the dataflow.
pub struct Runner {
    /// Which one it is.
    pub id: ProcessId,
    /// Whether it is paused.
    pub paused: bool,
    crew: Crew,
    committing: Committing<SimJournal, SimEvents>,
    committed: bool,
    snapshotting: Snapshotting,
    snapshotted: bool,
    /// The way to steer it.
    pub handle: Handle,
    failures: Receiver<RunError>,
}

/// Why a process could not be started.
pub enum StartError {
    /// It may be started again: what failed was told to fail.
    Again,
    /// It should have started.
    Wrong(String),
}

impl Seat for WorkerLoop {
    fn turn(&mut self, worker: &mut Worker) -> bool {
        let more = self.step(worker).is_some();
        if more {
            worker.step();
        }
        more
    }
}

impl Runner {
    /// Takes the journal over, and begins.
    ///
    /// # Errors
    /// When it does not come that far.
    pub fn start(
        world: &Arc<World>,
        id: ProcessId,
        setup: &Setup,
        jobs: &JobSettings,
        workers: usize,
    ) -> Result<Self, StartError> {
        let mut journal = SimJournal::new(Arc::clone(world), id);
        let clock = SimClock(Arc::clone(world));
        let mut reader = SimEvents::new(world);
        let accept = Accept { changed_jobs: true, gap: world.lock().accepts_gap, ..Accept::default() };
        let store = Arc::new(SimSnapshots { world: Arc::clone(world), process: id });
        let recovery =
            recover(&mut journal, jobs, accept, &mut reader, Some(&*store), &clock, &mut SimEntropy);
        let recovery = recovery.map_err(|error| match error {
            RunError::Journal(JournalError::Storage { .. }) | RunError::Read(ReadError::Storage { .. }) => {
                StartError::Again
            }
            // Each of them may be looked at again.
            RunError::SnapshotsUnusable { remedy: Remedy::Again, .. } => StartError::Again,
            error => StartError::Wrong(format!("process {} does not start: {}", id.0, chain(&error))),
        })?;
        {
            let mut state = world.lock();
            state.jobs.insert(recovery.generation, jobs.clone());
            state.restored += u64::from(recovery.snapshot.is_some());
        }
        let looked_at = Arc::clone(world);
        let look = move |commit: &CommitFacts<'_>| {
            let mut state = looked_at.lock();
            state.epochs_per_commit_max = state.epochs_per_commit_max.max(commit.epochs.len());
        };
        let Assembled { workers, committing, snapshotting, handle, failures } = assemble(Parts {
            config: RunnerConfig {
                workers,
                jobs: jobs.clone(),
                time: setup.time,
                tick_ms: setup.tick_ms,
                // The clock jumps, and some actors hardly get a turn.
                epoch_timeout_ms: i64::MAX,
                in_flight_bytes_max: setup.in_flight_bytes_max,
                uncommitted_epochs_max: setup.uncommitted_epochs_max,
                snapshots: setup.snapshots,
                ..RunnerConfig::default()
            },
            recovery,
            journal,
            open_reader: || SimEvents::new(world),
            script: Script::Live,
            clock: Arc::new(clock.clone()),
            snapshots: Some(store),
            observer: Box::new(look),
        });
        let crew = Crew::new(workers, WorkerPart::build).map_err(|Panicked(said)| StartError::Wrong(said))?;
        let snapshotting = snapshotting.expect("there is a store for them");
        let (committed, snapshotted, paused) = (false, false, false);
        Ok(Self { id, paused, crew, committing, committed, snapshotting, snapshotted, handle, failures })
    }

    /// How many actors it has: its workers, what commits, and what writes snapshots.
    pub fn actors(&self) -> usize {
        self.crew.workers() + 2
    }

    /// Gives one of its actors a turn.
    ///
    /// # Errors
    /// When it panics.
    pub fn turn(&mut self, actor: usize) -> Result<(), Panicked> {
        if actor < self.crew.workers() {
            self.handle.wake();
            return self.crew.turn(actor);
        }
        if actor == self.crew.workers() {
            self.committed |= self.committing.step() == Committed::Over;
        } else {
            self.snapshotted |= self.snapshotting.step() == Snapshotted::Over;
        }
        Ok(())
    }

    /// Whether it has come to its end.
    pub fn is_over(&self) -> bool {
        self.crew.is_over() && self.committed && self.snapshotted
    }

    /// What ended it before its time.
    pub fn failure(&self) -> Option<RunError> {
        self.failures.try_recv().ok()
    }
}

/// Whether a run may end so: what failed was told to fail, or somebody took over.
pub fn is_expected(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Commit { error: CommitError::Indefinite { .. } | CommitError::Fenced { .. }, .. }
    )
}

/// The same of a run that another one took over from: what it has not read may be gone meanwhile.
pub fn is_expected_of_a_zombie(error: &RunError) -> bool {
    is_expected(error) || matches!(error, RunError::Read(ReadError::OutOfRange { .. }))
}

/// The process of the sinks.
pub struct Sinks {
    /// Which one it is.
    pub id: ProcessId,
    world: Arc<World>,
    metrics: Sink<SimRows, SimStore>,
    cache: CacheSink<SimRows, SimCache, SimStore>,
}

/// The names of the sinks, as the log knows them.
pub const SINKS: [&str; 2] = ["metric-store", "cache"];

impl Sinks {
    /// Sinks that have read nothing yet.
    pub fn start(world: &Arc<World>, process: ProcessId, rows_max: usize) -> Self {
        let rows = || SimRows::new(world, process);
        let store = || SimStore { world: Arc::clone(world), process };
        let config = tidegate_sinks::Config { rows_per_topic_max: rows_max, ..Default::default() };
        let cache_config = CacheConfig { rows_per_topic_max: rows_max, ..CacheConfig::default() };
        let cache = SimCache { world: Arc::clone(world), process };
        Self {
            id: process,
            world: Arc::clone(world),
            metrics: Sink::new(rows(), store(), config),
            cache: CacheSink::new(rows(), cache, store(), cache_config),
        }
    }

    fn now(&self) -> EventTime {
        self.world.lock().now
    }

    /// Steps the metric sink; says whether it has caught up.
    ///
    /// # Errors
    /// When only an operator could help; other errors pass.
    pub fn step_metrics(&mut self) -> Result<bool, String> {
        let now = self.now();
        match self.metrics.step(now) {
            Ok(progress) => Ok(progress.caught_up),
            Err(error @ (SinkError::LogReplaced { .. } | SinkError::RowsRemoved { .. })) => {
                Err(format!("the metric sink is stuck: {}", chain(&error)))
            }
            Err(_) => Ok(false),
        }
    }

    /// Steps the cache sink; says whether it has caught up.
    ///
    /// # Errors
    /// When only an operator could help; other errors pass.
    pub fn step_cache(&mut self) -> Result<bool, String> {
        let now = self.now();
        match self.cache.step(now) {
            Ok(progress) => Ok(progress.caught_up),
            Err(error @ CacheSinkError::LogReplaced { .. }) => {
                Err(format!("the cache sink is stuck: {}", chain(&error)))
            }
            Err(_) => Ok(false),
        }
    }
}

/// An error with everything behind it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

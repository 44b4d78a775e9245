//! How a run is, for whoever shows it: written by the threads of the run, read by anyone.
//!
//! What is not known yet is `None` or empty, never a number that looks like one.

mod readiness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tidegate_dataflow::open::OpenState;
use tidegate_dataflow::survey::Survey;
use tidegate_model::{Epoch, EventTime, Generation, Ledger, Offset, PartitionId};
use tidegate_server::metrics::latency_histogram;

use crate::clock::Clock;
use crate::config::RunnerConfig;
use crate::pace::Stop;
use crate::recovery::Recovery;

pub use readiness::{NotReady, not_ready};

/// A run's status; shared between the threads that make it and those that show it.
pub struct Status {
    progress: Mutex<Progress>,
    clock: Arc<dyn Clock>,
    /// Complete epochs that wait for their commit.
    pub(crate) uncommitted: AtomicUsize,
    /// Bytes in flight, by worker; each is written by the worker's source.
    pub(crate) in_flight_bytes: Vec<Arc<AtomicUsize>>,
    /// How long commits took, in seconds.
    pub(crate) commit_durations: Histogram,
}

/// What there is to show.
#[derive(Clone, Debug)]
pub struct Progress {
    /// When the run was started.
    pub started_at: EventTime,
    /// The incarnation of the process.
    pub generation: Generation,
    /// Which process of the dataflow it is.
    pub process: Process,
    /// Events that the journal binds, to be replayed before anything new is read.
    pub replay_events: u64,
    /// Events replayed.
    pub replayed_events: u64,
    /// Whether the snapshot is taken in and everything bound after it is replayed.
    pub recovered: bool,
    /// Whether the run was asked to end.
    pub stop: Stop,
    /// The newest epoch committed, or replayed.
    pub epoch: Epoch,
    /// Its frontier.
    pub frontier: EventTime,
    /// Totals since the deployment began.
    pub ledger: Ledger,
    /// The newest complete epoch, committed or not; `None` before the first.
    pub newest: Option<Newest>,
    /// Epochs committed by this run.
    pub epochs: u64,
    /// Rows committed by this run.
    pub rows: u64,
    /// The last commit of this run.
    pub last_commit: Option<LastCommit>,
    /// Why commits wait, while they do.
    pub waits: Option<Waits>,
    /// The last error of the run's, healed or not.
    pub last_error: Option<LastError>,
    /// What ended the run, when it did not end in order.
    pub failure: Option<String>,
    /// What is known of snapshots.
    pub snapshots: Snapshots,
    /// Complete epochs that wait for their commit.
    pub uncommitted_epochs: usize,
    /// Bytes of compact rows in flight, by worker.
    pub in_flight_bytes: Vec<usize>,
    /// The limits of the run.
    pub limits: Limits,
}

/// One process of a dataflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number. Process 0 commits, and knows how the whole run is; the others know of themselves only.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Default for Process {
    fn default() -> Self {
        Self { number: 0, of: 1 }
    }
}

/// A complete epoch, as far as it is shown.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The epoch.
    pub epoch: Epoch,
    /// How things stood at its end.
    pub survey: Survey,
    /// What the jobs hold open.
    pub open: OpenState,
}

/// What is known of snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// Written by this run.
    pub written: u64,
    /// Given up by this run.
    pub failed: u64,
    /// Length of the last one written, and how long that took.
    pub last_written: Option<(u64, Duration)>,
    /// The epoch of the newest one that a start would begin from, and when it was committed by this run.
    pub newest: Option<(Epoch, Option<EventTime>)>,
    /// How long it took to read the one that this run began from.
    pub read: Option<Duration>,
    /// Where events begin that recovery may need; of a partition that is not named all of them.
    pub events_from: BTreeMap<PartitionId, Offset>,
}

impl Snapshots {
    pub(crate) fn written(&mut self, bytes: u64, took: Duration) {
        self.written += 1;
        self.last_written = Some((bytes, took));
    }

    pub(crate) fn committed(
        &mut self,
        epoch: Epoch,
        at: EventTime,
        events_from: BTreeMap<PartitionId, Offset>,
    ) {
        self.newest = Some((epoch, Some(at)));
        self.events_from = events_from;
    }
}

/// A commit that took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// When.
    pub at: EventTime,
    /// How long it took.
    pub duration: Duration,
}

/// Commits that wait: each try surely failed, and the next one may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Since when.
    pub since: EventTime,
    /// Why, as the last try said.
    pub reason: String,
    /// Whether there is no space left.
    pub disk_full: bool,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When it was met.
    pub at: EventTime,
    /// What it says, its causes included.
    pub error: String,
}

/// The limits that a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Epochs that may wait for their commit before live epochs get longer.
    pub uncommitted_epochs_max: usize,
    /// Bytes of compact rows that one worker may have in flight.
    pub in_flight_bytes_max: usize,
    /// How long a live epoch lasts, in milliseconds.
    pub tick_ms: i64,
    /// An epoch that is not complete so long after its tick ends the run, in milliseconds.
    pub epoch_timeout_ms: i64,
    /// How far the frontier stays behind the largest event time, in milliseconds.
    pub bound_ms: i64,
    /// A silent partition holds the frontier for so long, in milliseconds.
    pub idle_timeout_ms: i64,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It replays what the journal binds.
    Recovering,
    /// It reads and commits what comes.
    Live,
    /// It reads, but its commits wait.
    Waiting,
    /// It was asked to end.
    Stopping,
    /// It ended with an error.
    Failed,
}

impl State {
    /// Its name, for documents and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Live => "live",
            Self::Waiting => "waiting_for_commit",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl Progress {
    /// Whether the replay is over.
    pub fn live(&self) -> bool {
        self.recovered
    }

    /// What the run is doing; of several things that which an operator has to know first.
    pub fn state(&self) -> State {
        match self {
            Self { failure: Some(_), .. } => State::Failed,
            Self { stop: Stop::Drained | Stop::Now, .. } => State::Stopping,
            Self { recovered: false, .. } => State::Recovering,
            Self { waits: Some(_), .. } => State::Waiting,
            _ => State::Live,
        }
    }

    /// Its frontier, once it has begun to move.
    pub fn known_frontier(&self) -> Option<EventTime> {
        (self.frontier > EventTime::MIN).then_some(self.frontier)
    }
}

impl Status {
    /// Of the process that recovered.
    pub(crate) fn new(config: &RunnerConfig, recovery: &Recovery, clock: Arc<dyn Clock>) -> Self {
        let status = Self::begun(config, recovery.generation, clock);
        status.update(|progress| {
            progress.replay_events = recovery.replay_events;
            // The first epoch takes a snapshot in, which may be a while.
            progress.recovered = recovery.replay.is_empty() && recovery.snapshot.is_none();
            progress.frontier = recovery.time.frontier;
            progress.ledger = recovery.ledger.clone();
            progress.snapshots.newest =
                recovery.snapshot.as_ref().map(|snapshot| (snapshot.restored.epoch(), None));
            progress.snapshots.read = recovery.snapshot.as_ref().map(|snapshot| snapshot.read_in);
        });
        status
    }

    /// Of a process that knows nothing yet.
    pub(crate) fn begun(config: &RunnerConfig, generation: Generation, clock: Arc<dyn Clock>) -> Self {
        let progress = Progress {
            started_at: clock.now(),
            generation,
            process: Process::default(),
            replay_events: 0,
            replayed_events: 0,
            recovered: false,
            stop: Stop::No,
            epoch: Epoch::default(),
            frontier: EventTime::MIN,
            ledger: Ledger::default(),
            newest: None,
            epochs: 0,
            rows: 0,
            last_commit: None,
            waits: None,
            last_error: None,
            failure: None,
            snapshots: Snapshots::default(),
            uncommitted_epochs: 0,
            in_flight_bytes: Vec::new(),
            limits: Limits {
                uncommitted_epochs_max: config.uncommitted_epochs_max,
                in_flight_bytes_max: config.in_flight_bytes_max,
                tick_ms: config.tick_ms,
                epoch_timeout_ms: config.epoch_timeout_ms,
                bound_ms: config.time.bound_ms,
                idle_timeout_ms: config.time.idle_timeout_ms,
            },
        };
        Self {
            progress: Mutex::new(progress),
            clock,
            uncommitted: AtomicUsize::new(0),
            in_flight_bytes: (0..config.workers).map(|_| Arc::default()).collect(),
            commit_durations: latency_histogram(),
        }
    }

    /// The bytes of one of this process's workers, by its number among those of all processes.
    pub(crate) fn in_flight_bytes_of(&self, worker: usize) -> &Arc<AtomicUsize> {
        &self.in_flight_bytes[worker % self.in_flight_bytes.len()]
    }

    /// Bytes of compact rows in flight, by worker.
    pub fn in_flight_bytes(&self) -> impl Iterator<Item = usize> {
        self.in_flight_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// What there is to show now.
    pub fn progress(&self) -> Progress {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        progress.uncommitted_epochs = self.uncommitted.load(Ordering::Acquire);
        progress.in_flight_bytes = self.in_flight_bytes().collect();
        progress
    }

    /// Which process of the dataflow it is.
    pub(crate) fn process(&self) -> Process {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).process
    }

    /// The run's clock.
    pub fn now(&self) -> EventTime {
        self.clock.now()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes an error.
    pub(crate) fn error(&self, error: &str) {
        let at = self.now();
        self.update(|progress| progress.last_error = Some(LastError { at, error: error.to_owned() }));
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

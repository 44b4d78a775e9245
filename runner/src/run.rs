//! The threads of a run: timely's workers, and one that commits.

mod commit_thread;
mod drain;
mod worker;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_log::{EventReader, Journal};
use timely::scheduling::SyncActivator;

pub use self::drain::{DrainLimits, Drained};
use self::worker::WorkerParts;

use crate::clock::Clock;
use crate::committer::Committer;
use crate::config::RunnerConfig;
use crate::error::{RunError, chain};
use crate::observer::Observer;
use crate::pace::{Script, Stop};
use crate::recovery::Recovery;
use crate::status::{Progress, Status};

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
    /// Who is told of commits.
    pub observer: Box<dyn Observer>,
}

/// A run under way.
pub struct Running {
    control: Arc<Control>,
    workers: JoinHandle<Result<(), RunError>>,
    committer: JoinHandle<()>,
    failures: mpsc::Receiver<RunError>,
    /// Disconnected when both threads are over.
    over: mpsc::Receiver<Infallible>,
}

/// What the threads of a run share.
pub(crate) struct Control {
    pub(crate) status: Arc<Status>,
    /// The newest epoch that no source waits for any more.
    pub(crate) released: Arc<AtomicU64>,
    /// A [`Stop`] as a number; it only grows.
    stop: AtomicU8,
    /// Set when the run ends before its time: everything is dropped where it stands.
    pub(crate) abort: AtomicBool,
    wakers: Mutex<Vec<SyncActivator>>,
}

impl Control {
    /// Wakes every source.
    pub(crate) fn wake(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // A worker that is gone needs no waking.
            let _ = waker.activate();
        }
    }

    /// Whether the run is to end.
    pub(crate) fn stop(&self) -> Stop {
        match self.stop.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::Drained,
            _ => Stop::Now,
        }
    }

    /// Asks for an end; to be asked for an earlier one takes nothing back.
    pub(crate) fn ask_to_stop(&self, stop: Stop) {
        self.stop.fetch_max(stop as u8, Ordering::AcqRel);
        let stop = self.stop();
        self.status.update(|progress| progress.stop = stop);
        self.wake();
    }

    pub(crate) fn register(&self, waker: SyncActivator) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    pub(crate) fn abort(&self) {
        self.abort.store(true, Ordering::Release);
        self.wake();
    }
}

/// Ends the run with an error.
#[derive(Clone)]
pub(crate) struct Failures {
    sender: mpsc::Sender<RunError>,
    control: Arc<Control>,
}

impl Failures {
    pub(crate) fn fail(&self, error: RunError) {
        let text = chain(&error);
        self.control.status.error(&text);
        self.control.status.update(|progress| {
            // What follows from the first failure explains nothing.
            progress.failure.get_or_insert(text);
        });
        // The receiver is gone only when nobody waits for the run any more.
        let _ = self.sender.send(error);
        self.control.abort();
    }
}

/// A handle that wakes a run from outside: after a cut was pushed, say.
#[derive(Clone)]
pub struct Waker(Arc<Control>);

impl Waker {
    /// Wakes the run.
    pub fn wake(&self) {
        self.0.wake();
    }
}

/// Starts a run.
///
/// # Errors
/// When a reader cannot be opened or a thread cannot be started.
pub fn start<J, R, F>(parts: Parts<J, F>) -> Result<Running, RunError>
where
    J: Journal + 'static,
    R: EventReader + 'static,
    F: Fn() -> R,
{
    let Parts { config, recovery, journal, open_reader, script, clock, mut observer } = parts;
    let control = Arc::new(Control {
        status: Arc::new(Status::new(&config, &recovery, Arc::clone(&clock))),
        released: Arc::new(AtomicU64::new(0)),
        stop: AtomicU8::new(Stop::No as u8),
        abort: AtomicBool::new(false),
        wakers: Mutex::default(),
    });
    let (sender, failed) = mpsc::channel();
    let failures = Failures { sender, control: Arc::clone(&control) };
    let (results, complete) = mpsc::channel();
    let (alive, over) = mpsc::channel();
    let committer_alive = alive.clone();
    let committer = Committer::new(journal, open_reader(), config.topics.clone(), &config.jobs, &recovery);
    let committing = Arc::clone(&control);
    let failures_of_commits = failures.clone();
    let workers_max = config.workers;
    let cannot_start =
        move |reason: std::io::Error| RunError::Workers { workers: workers_max, reason: reason.to_string() };
    let committer = std::thread::Builder::new()
        .name("tidegate-commit".to_owned())
        .spawn(move || {
            let _alive = committer_alive;
            commit_thread::run(committer, &complete, &committing, &failures_of_commits, &mut *observer);
        })
        .map_err(cannot_start)?;
    let readers: Vec<R> = (0..config.workers).map(|_| open_reader()).collect();
    let shared = Arc::clone(&control);
    let workers = std::thread::Builder::new()
        .name("tidegate-workers".to_owned())
        .spawn(move || {
            let _alive = alive;
            let control = shared;
            worker::run(WorkerParts { config, recovery, readers, script, clock, control, failures, results })
        })
        .map_err(cannot_start)?;
    Ok(Running { control, workers, committer, failures: failed, over })
}

impl Running {
    /// How it is; whoever shows it keeps a clone.
    pub fn status(&self) -> &Arc<Status> {
        &self.control.status
    }

    /// A handle that wakes it.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.control))
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.workers.is_finished() && self.committer.is_finished()
    }

    /// Waits for at most `patience` until it is over; says whether it is.
    pub fn wait(&self, patience: Duration) -> bool {
        match self.over.recv_timeout(patience) {
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Err(mpsc::RecvTimeoutError::Disconnected) => true,
            Ok(never) => match never {},
        }
    }

    /// Asks it to end with the epoch that is open: what is not read stays in the log. A run that still
    /// replays ends where it stands: what is replayed was committed before. Returns at once.
    pub fn stop(&self) {
        self.control.ask_to_stop(Stop::Now);
    }

    /// Waits until everything is read and committed, and says how far that is.
    ///
    /// # Errors
    /// What ended the run before that.
    pub fn join(self) -> Result<Progress, RunError> {
        let workers = self.workers.join().expect("a worker that panics ends the process");
        self.committer.join().expect("a committer that panics ends the process");
        match self.failures.try_recv() {
            Ok(failure) => Err(failure),
            Err(_) => workers.map(|()| self.control.status.progress()),
        }
    }
}

//! The threads of a run: timely's workers, and one that commits.

mod assembled;
mod clustered;
mod committing;
mod drain;
mod threads;
mod worker;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_model::Epoch;
use timely::scheduling::SyncActivator;

pub use self::assembled::{Assembled, Parts, assemble};
pub use self::clustered::{OtherParts, start_first, start_other};
pub use self::committing::{Committed, Committing};
pub use self::drain::{DrainLimits, Drained};
pub use self::threads::start;
pub use self::worker::{WorkerLoop, WorkerPart};

use self::clustered::Clustered;
use crate::cluster::{Links, Message};
use crate::error::{RunError, chain};
use crate::pace::Stop;
use crate::snapshot::Shared;
use crate::status::{Progress, Status};

/// How long an end waits for what writes snapshots, once everything is committed.
const SNAPSHOTS_PATIENCE: Duration = Duration::from_millis(500);

/// A run under way.
pub struct Running {
    handle: Handle,
    workers: JoinHandle<Result<(), RunError>>,
    /// Process 0 has it.
    committer: Option<JoinHandle<()>>,
    /// The other processes, where there are any.
    clustered: Option<Clustered>,
    /// Its channel is disconnected when it is over. It may be writing something that nobody waits for.
    snapshots: Option<(JoinHandle<()>, mpsc::Receiver<Infallible>)>,
    snapshots_patience: Duration,
    failures: mpsc::Receiver<RunError>,
    /// Disconnected when workers and committer are over.
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
    /// What is told of snapshots.
    pub(crate) snapshots: Shared,
    /// The links to the other processes, where there are any.
    pub(crate) links: Option<Arc<Links>>,
    wakers: Mutex<Vec<SyncActivator>>,
}

impl Control {
    pub(crate) fn new(status: Status, links: Option<Arc<Links>>) -> Self {
        Self {
            status: Arc::new(status),
            released: Arc::new(AtomicU64::new(0)),
            stop: AtomicU8::new(Stop::No as u8),
            abort: AtomicBool::new(false),
            snapshots: Shared::default(),
            links,
            wakers: Mutex::default(),
        }
    }

    /// Whether this is the process that decides and commits.
    pub(crate) fn is_first(&self) -> bool {
        self.status.process().number == 0
    }

    /// Nothing waits for `epoch` any more: there is room for the sources, of every process.
    pub(crate) fn release(&self, epoch: Epoch) {
        self.released.store(epoch.0, Ordering::Release);
        if let Some(links) = self.links.as_ref().filter(|_| self.is_first()) {
            links.tell_all(&Message::Released(epoch));
        }
        self.wake();
    }

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
        let is_running = !self.abort.load(Ordering::Acquire);
        if let Some(links) = self.links.as_ref().filter(|_| !self.is_first() && is_running) {
            // Process 0 has it end for all.
            links.tell_all(&Message::Stop);
        }
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
        let (text, how) = (chain(&error), error.how());
        self.control.status.error(&text);
        self.control.status.update(|progress| {
            // What follows from the first failure explains nothing.
            progress.failure.get_or_insert(text.clone());
        });
        // The receiver is gone only when nobody waits for the run any more.
        let _ = self.sender.send(error);
        if let Some(links) = &self.control.links {
            links.tell_all(&Message::Ended { reason: text, how });
        }
        self.control.abort();
    }
}

/// A run as others see it: how it is, waking it, ending it.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Control>);

impl Handle {
    /// How the run is; whoever shows it keeps a clone.
    pub fn status(&self) -> &Arc<Status> {
        &self.0.status
    }

    /// Wakes it: after a cut was pushed, say.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Asks it to end with the epoch that is open: what is not read stays in the log. A run that still
    /// replays ends where it stands: what is replayed was committed before. Returns at once.
    pub fn stop(&self) {
        self.0.ask_to_stop(Stop::Now);
    }

    /// Asks it to end when everything is read and committed that the log holds now; the intake must have
    /// been stopped. Returns at once.
    pub fn begin_drain(&self) {
        self.0.ask_to_stop(Stop::Drained);
    }

    /// Ends it where it stands; what is not committed is read again by the next run. Returns at once.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl Running {
    /// How it is; whoever shows it keeps a clone.
    pub fn status(&self) -> &Arc<Status> {
        self.handle.status()
    }

    /// A handle for whoever looks after it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.workers.is_finished()
            && self.committer.as_ref().is_none_or(JoinHandle::is_finished)
            && self.clustered.as_ref().is_none_or(Clustered::may_end)
    }

    /// Waits for at most `patience` until it is over; says whether it is.
    pub fn wait(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        match self.over.recv_timeout(patience) {
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                self.clustered.as_ref().is_none_or(|clustered| clustered.wait_until(until))
            }
            Ok(never) => match never {},
        }
    }

    /// See [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until everything is read and committed, and says how far that is. A snapshot that is not done by
    /// then, and that nothing was committed with, is left to itself.
    ///
    /// # Errors
    /// What ended the run before that.
    pub fn join(self) -> Result<Progress, RunError> {
        let workers = self.workers.join().expect("a worker that panics ends the process");
        if let Some(committer) = self.committer {
            committer.join().expect("a committer that panics ends the process");
        }
        if let Some((thread, over)) = self.snapshots {
            match over.recv_timeout(self.snapshots_patience) {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    tracing::warn!(
                        "a snapshot that nobody waits for is still being written; the next start removes it"
                    );
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    thread.join().expect("a thread of snapshots that panics ends the process");
                }
                Ok(never) => match never {},
            }
        }
        if let Some(clustered) = self.clustered {
            clustered.finish();
        }
        match self.failures.try_recv() {
            Ok(failure) => Err(failure),
            Err(_) => workers.map(|()| self.handle.status().progress()),
        }
    }
}

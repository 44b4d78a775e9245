//! A run of several processes: what each of them does beside what a run of one does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::snapshot::Restored;
use tidegate_log::{EventReader, Journal};
use tidegate_model::Epoch;

use super::assembled::{Assembled, Beginning, Parts, assemble_with, workers};
use super::threads::{Task, Threads, launch};
use super::{Control, Failures, Handle, Running, SNAPSHOTS_PATIENCE};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterPlan, Ends, Event, Events, How, Links, Message, Plan};
use crate::config::RunnerConfig;
use crate::error::{RunError, chain};
use crate::pace::Stop;
use crate::recovery::Recovery;
use crate::snapshot::{Part, PartsOf, Probe, SnapshotStore, Snapshotting, Tells, load};
use crate::status::{Process, Status};

/// So long may the other processes take to end, after this one has done its part.
const OTHERS_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether the last commit took place.
const LOOK: Duration = Duration::from_millis(10);

/// What another process than process 0 runs.
pub struct OtherParts<F> {
    /// Its configuration. What decides rows is the same in all processes.
    pub config: RunnerConfig,
    /// What process 0 said.
    pub plan: ClusterPlan,
    /// Opens a reader of events, for each worker.
    pub open_reader: F,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where snapshots go: the same store as that of process 0.
    pub snapshots: Arc<dyn SnapshotStore>,
}

/// Starts process 0 of several, when the others hold what the run starts from: it alone decides and commits.
///
/// # Errors
/// When the others do not come to that, the store of snapshots cannot be written, or a thread cannot be started.
pub fn start_first<J, R, F>(parts: Parts<J, F>, cluster: Cluster) -> Result<Running, RunError>
where
    J: Journal + 'static,
    R: EventReader + 'static,
    F: Fn() -> R,
{
    let probe = parts.snapshots.as_deref().map(|store| Probe::put(store, parts.recovery.generation));
    let probe = told(cluster.links(), probe.transpose().map_err(RunError::from))?;
    let plan = plan(&parts.recovery, probe.as_ref());
    let replayed_to = plan.replayed_to;
    cluster.links().tell_all(&Message::Start(Box::new(plan)));
    // Until then they do not read what is sent to them, and no epoch could become complete.
    cluster.wait_for_all("the others to read the snapshot", &Message::Ready)?;
    let (_, links, events, mesh) = cluster.into_parts();
    let (assembled, way_in) = assemble_with(parts, Some(Arc::clone(&links)));
    let Assembled { workers, committing, snapshotting, handle, failures } = assembled;
    let failing = workers[0].failures.clone();
    let following =
        Following { control: Arc::clone(&handle.0), failures: failing.clone(), links: Arc::clone(&links) };
    let clustered = told(&links, following.start(events, way_in, replayed_to))?;
    let (builders, ends) = told(&links, mesh.build(broken(failing)).map_err(|error| cannot_start(&error)))?;
    launch(Threads {
        workers,
        builders,
        committing: Some(Box::new(|| committing.run())),
        snapshotting: snapshotting.map(|snapshotting| Box::new(|| snapshotting.run()) as Task),
        snapshots_patience: SNAPSHOTS_PATIENCE,
        clustered: Some(Clustered { ends: Some(ends), ..clustered }),
        handle,
        failures,
    })
}

/// Starts any other process of several.
///
/// # Errors
/// When what process 0 starts from cannot be read here, or a thread cannot be started.
pub fn start_other<R, F>(parts: OtherParts<F>, cluster: Cluster) -> Result<Running, RunError>
where
    R: EventReader + 'static,
    F: Fn() -> R,
{
    let OtherParts { config, plan: ClusterPlan(plan), open_reader, clock, snapshots } = parts;
    let (of_cluster, links, events, mesh) = cluster.into_parts();
    let restored = told(&links, restored(&plan, &*snapshots))?;
    let status = Status::begun(&config, plan.generation, clock);
    status.update(|progress| {
        progress.process = Process { number: of_cluster.process, of: of_cluster.processes() };
        progress.recovered = plan.replayed_to == Epoch(0);
    });
    let control = Arc::new(Control::new(status, Some(Arc::clone(&links))));
    let (sender, failed) = mpsc::channel();
    let failures = Failures { sender, control: Arc::clone(&control) };
    let beginning = Beginning {
        hash_key: HashKey(plan.hash_key.0, plan.hash_key.1),
        first: plan.first,
        start: plan.start,
        restored,
        starts: plan.starts,
    };
    let (parts, received) = mpsc::channel();
    let workers = workers(&config, beginning, &open_reader, &failures, Some(&parts), None);
    drop(parts);
    let from = PartsOf { received, workers: config.workers, generation: plan.generation };
    let tells = Tells::First(Arc::clone(&links));
    let snapshotting = Snapshotting::new(from, snapshots, tells, None, Arc::clone(&control));
    let broken = broken(failures.clone());
    let following = Following { control: Arc::clone(&control), failures, links: Arc::clone(&links) };
    let clustered = told(&links, following.start(events, None, plan.replayed_to))?;
    let (builders, ends) = told(&links, mesh.build(broken).map_err(|error| cannot_start(&error)))?;
    links.tell_all(&Message::Ready);
    let over = Arc::clone(&control);
    let snapshotting = move || {
        // The workers send parts as long as they are there.
        snapshotting.run();
        if !over.abort.load(Ordering::Acquire) {
            links.tell_all(&Message::Over);
        }
    };
    let wait_ms = u64::try_from(config.snapshots.last_wait_ms).unwrap_or(0);
    launch(Threads {
        workers,
        builders,
        committing: None,
        snapshotting: Some(Box::new(snapshotting)),
        snapshots_patience: SNAPSHOTS_PATIENCE + Duration::from_millis(wait_ms),
        clustered: Some(Clustered { ends: Some(ends), ..clustered }),
        handle: Handle(control),
        failures: failed,
    })
}

/// Tells the other processes of a start that fails.
fn told<T>(links: &Links, started: Result<T, RunError>) -> Result<T, RunError> {
    started.inspect_err(|error| links.tell_all(&Message::Ended { reason: chain(error), how: error.how() }))
}

fn cannot_start(error: &io::Error) -> RunError {
    RunError::Workers { workers: 0, reason: error.to_string() }
}

/// What the others have to know.
fn plan(recovery: &Recovery, probe: Option<&Probe>) -> Plan {
    Plan {
        generation: recovery.generation,
        hash_key: recovery.origin().hash_key,
        first: recovery.first(),
        replayed_to: recovery.replayed_to(),
        start: recovery.snapshot.as_ref().map(crate::recovery::FromSnapshot::ends).unwrap_or_default(),
        starts: recovery.starts.clone(),
        snapshot: recovery.manifest().cloned(),
        probe: probe.map(|probe| probe.object.clone()),
    }
}

/// What the workers here start from, read from the store that all processes share.
fn restored(plan: &Plan, store: &dyn SnapshotStore) -> Result<Option<Arc<Restored>>, RunError> {
    if let Some(probe) = &plan.probe {
        Probe::look(store, probe)?.map_err(|reason| RunError::SnapshotsNotShared { reason })?;
    }
    let Some(manifest) = &plan.snapshot else { return Ok(None) };
    let restored = load(store, manifest)
        .map_err(|error| RunError::SnapshotUnreadable { epoch: manifest.epoch, error })?;
    Ok(Some(Arc::new(restored)))
}

/// What happens when one of timely's connections breaks.
fn broken(failures: Failures) -> impl Fn(usize, &io::Error) + Send + Sync + 'static {
    move |process, error| {
        let host = failures.control.links.as_ref().map(|links| links.host(process)).unwrap_or_default();
        std::thread::park_timeout(LINK_FIRST);
        if !failures.control.abort.load(Ordering::Acquire) {
            failures.fail(RunError::ProcessGone { process, host, reason: error.to_string() });
        }
    }
}

/// Why a process ends comes over its link, perhaps after its connections were closed.
const LINK_FIRST: Duration = Duration::from_millis(200);

/// Does what the other processes say.
struct Following {
    control: Arc<Control>,
    failures: Failures,
    links: Arc<Links>,
}

/// The other processes of a run that is under way.
pub(super) struct Clustered {
    control: Arc<Control>,
    links: Arc<Links>,
    /// The connections of timely's.
    ends: Option<Ends>,
    /// Set when this process has done its part: the others may go.
    is_done: Arc<AtomicBool>,
    /// Disconnected when all the others have done theirs, or are gone.
    others_done: Receiver<Infallible>,
}

impl Following {
    /// Listens on a thread of its own. `way_in` is for parts of snapshots that others have written.
    fn start(
        self,
        events: Events,
        way_in: Option<Sender<Part>>,
        replayed_to: Epoch,
    ) -> Result<Clustered, RunError> {
        let (done, others_done) = channel();
        let is_done = Arc::new(AtomicBool::new(false));
        let (control, links) = (Arc::clone(&self.control), Arc::clone(&self.links));
        let is_done_here = Arc::clone(&is_done);
        let thread = std::thread::Builder::new().name("tidegate-cluster".to_owned());
        thread
            .spawn(move || self.follow(events, way_in, done, replayed_to, &is_done_here))
            .map_err(|error| cannot_start(&error))?;
        Ok(Clustered { control, links, ends: None, is_done, others_done })
    }

    /// Until the links are closed.
    fn follow(
        &self,
        events: Events,
        way_in: Option<Sender<Part>>,
        done: Sender<Infallible>,
        replayed_to: Epoch,
        is_done: &AtomicBool,
    ) {
        // Kept until all the others have done their part.
        let mut open = Some((way_in, done));
        let mut over = BTreeSet::new();
        for (process, event) in events {
            match event {
                Event::Said(Message::Released(epoch)) => self.released(epoch, replayed_to),
                Event::Said(Message::Snapshot { epoch, objects, failed }) => {
                    if let Some((Some(way_in), _)) = &open {
                        // Whoever writes snapshots is gone only when the run is being aborted.
                        let _ = way_in.send(Part::Other { epoch, objects, failed });
                    }
                }
                Event::Said(Message::Stop) => {
                    if self.control.stop() == Stop::No {
                        tracing::info!(process, "another process was told to end, and all end with it");
                    }
                    self.control.ask_to_stop(Stop::Now);
                }
                Event::Said(Message::Over) => drop(over.insert(process)),
                Event::Said(Message::Ended { how: How::Told, .. }) => {
                    tracing::info!(process, "another process was told to end, and all end with it");
                    self.control.abort();
                }
                Event::Said(Message::Ended { reason, how }) => {
                    self.fail(RunError::EndedBy { process, host: self.links.host(process), reason, how });
                }
                Event::Said(_) => {}
                Event::Gone(_) if over.contains(&process) => {}
                Event::Gone(reason) => {
                    over.insert(process);
                    if !is_done.load(Ordering::Acquire) {
                        self.fail(RunError::ProcessGone { process, host: self.links.host(process), reason });
                    }
                }
            }
            if over.len() == self.links.count() {
                open = None;
            }
        }
    }

    /// What follows from the first failure explains nothing.
    fn fail(&self, error: RunError) {
        if !self.control.abort.load(Ordering::Acquire) {
            self.failures.fail(error);
        }
    }

    fn released(&self, epoch: Epoch, replayed_to: Epoch) {
        self.control.status.update(|progress| {
            progress.epoch = epoch;
            progress.recovered |= epoch >= replayed_to;
        });
        self.control.release(epoch);
    }
}

impl Clustered {
    /// Whether this process need not be there any more: another one than process 0 is, until the last commit.
    pub(super) fn may_end(&self) -> bool {
        let is_needed = || matches!(self.others_done.try_recv(), Err(mpsc::TryRecvError::Empty));
        self.control.is_first() || self.control.abort.load(Ordering::Acquire) || !is_needed()
    }

    /// Waits for that; says whether it came to it in time.
    pub(super) fn wait_until(&self, until: Instant) -> bool {
        while !self.may_end() {
            if until <= Instant::now() {
                return false;
            }
            std::thread::park_timeout(LOOK);
        }
        true
    }

    /// After the threads of this process have ended: lets the others end, and waits for them a little.
    pub(super) fn finish(self) {
        let in_order = !self.control.abort.load(Ordering::Acquire);
        if in_order && self.control.is_first() {
            self.links.tell_all(&Message::Over);
        }
        if in_order {
            match self.others_done.recv_timeout(OTHERS_PATIENCE) {
                Ok(never) => match never {},
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    tracing::warn!("not every process of the dataflow has ended in time");
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {}
            }
        }
        self.is_done.store(true, Ordering::Release);
        let progress = self.control.status.progress();
        if !in_order && progress.failure.is_none() {
            let (reason, how) = if progress.recovered {
                ("it was told to end, and could not do so in time", How::Failed)
            } else {
                ("it was told to end while it recovered", How::Told)
            };
            self.links.tell_all(&Message::Ended { reason: reason.to_owned(), how });
        }
        self.links.close();
        if let Some(ends) = self.ends.filter(|_| in_order) {
            ends.close();
        }
    }
}

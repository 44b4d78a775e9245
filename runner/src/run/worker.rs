//! What runs on timely's worker threads.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::graph::{Results, Ticks};
use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::snapshot::Captures;
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build};
use tidegate_log::EventReader;
use tidegate_model::event::Fields;
use tidegate_model::{Epoch, EventTime};
use timely::scheduling::SyncActivator;
use timely::worker::Worker;

use super::{Control, Failures};
use crate::clock::Clock;
use crate::config::RunnerConfig;
use crate::error::RunError;
use crate::feed::LogFeed;
use crate::pace::{Facts, Pace, Stop};
use crate::snapshot::Part;
use crate::status::Newest;

/// A parked worker looks around at least so often.
const PARK_MAX: Duration = Duration::from_millis(100);

/// What may pass between two looks of worker 0 at its epochs, as far as it counts as waiting.
const LOOK_MAX_MS: i64 = 500;

/// One worker's part of a run, before its thread has built it.
pub struct WorkerPart<R> {
    pub(super) graph: GraphConfig,
    pub(super) fields: Fields,
    pub(super) reader: R,
    pub(super) in_flight_bytes_max: usize,
    pub(super) control: Arc<Control>,
    pub(super) failures: Failures,
    /// Where copies of its state go.
    pub(super) parts: Option<Sender<Part>>,
    /// Worker 0 has it.
    pub(super) driver: Option<Driver>,
}

impl<R: EventReader + 'static> WorkerPart<R> {
    /// Builds it on the thread of `worker`; every worker of the run must do so.
    pub fn build(self, worker: &mut Worker) -> WorkerLoop {
        let Self { graph, fields, reader, in_flight_bytes_max, control, failures, parts, driver } = self;
        let source = Arc::new(OnceLock::new());
        let feed = LogFeed::new(woken(reader, &source), fields, move |error| failures.fail(error));
        let throttle = Throttle {
            released: Arc::clone(&control.released),
            in_flight_bytes_max,
            in_flight_bytes: Arc::clone(control.status.in_flight_bytes_of(worker.index())),
        };
        let Graph { ticks, results, captures, source_address } =
            build(worker, &graph, throttle, Box::new(feed));
        // Waking works once the activator is there; until then the source runs by itself.
        let _ = source.set(worker.sync_activator_for(source_address.to_vec()));
        control.register(worker.sync_activator_for(source_address.to_vec()));
        WorkerLoop { ticks, results, captures, parts, driver, control }
    }
}

/// Has every append wake the source, when it is there.
fn woken<R: EventReader>(mut reader: R, source: &Arc<OnceLock<SyncActivator>>) -> R {
    let source = Arc::clone(source);
    reader.on_append(Arc::new(move || {
        if let Some(source) = source.get() {
            // A worker that is gone needs no waking.
            let _ = source.activate();
        }
    }));
    reader
}

/// One worker's part of a run, on its thread.
pub struct WorkerLoop {
    ticks: Option<Ticks>,
    results: Rc<Results>,
    captures: Rc<Captures>,
    parts: Option<Sender<Part>>,
    driver: Option<Driver>,
    control: Arc<Control>,
}

impl WorkerLoop {
    /// Steps the worker until its dataflow is complete or the run is aborted.
    pub(super) fn run(mut self, worker: &mut Worker) {
        while let Some(park) = self.step(worker) {
            worker.step_or_park(Some(park));
        }
    }

    /// Does what is due before the worker's own step, and says for how long the worker may then park;
    /// `None` when this part is over.
    pub fn step(&mut self, worker: &mut Worker) -> Option<Duration> {
        let mut park = PARK_MAX;
        while let Some(captured) = self.captures.pop() {
            if let Some(parts) = &self.parts {
                // Whoever writes it is gone only when the run is being aborted.
                let _ = parts.send(Part::Worker(Box::new(captured)));
            }
        }
        if let Some(driver) = &mut self.driver {
            park = driver.step(&mut self.ticks, &self.results);
        } else {
            self.ticks = None;
        }
        if self.control.abort.load(Ordering::Acquire) {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
            return None;
        }
        worker.has_dataflows().then_some(park)
    }
}

/// Where complete epochs go, and what is known of time when a snapshot was taken.
pub(super) struct WaysOut {
    pub(super) results: Sender<EpochResult>,
    pub(super) parts: Option<Sender<Part>>,
}

/// Worker 0's part: sends ticks in, takes complete epochs out.
pub(super) struct Driver {
    pace: Pace,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
    out: WaysOut,
    /// The newest epoch that has left the graph.
    complete: Epoch,
    replayed_to: Epoch,
    /// Events before those that are replayed.
    read_before: u64,
    /// Records read, and epochs bound, in complete epochs.
    records: u64,
    bound: u64,
    failures: Failures,
    epoch_timeout_ms: i64,
    looked_at: EventTime,
    /// The oldest incomplete epoch, and for how many milliseconds it has been that.
    watched: Option<(Epoch, i64)>,
}

impl Driver {
    pub(super) fn new(
        pace: Pace,
        config: &RunnerConfig,
        (replayed_to, read_before): (Epoch, u64),
        clock: Arc<dyn Clock>,
        out: WaysOut,
        failures: Failures,
    ) -> Self {
        Self {
            pace,
            clock,
            control: Arc::clone(&failures.control),
            out,
            complete: Epoch(0),
            replayed_to,
            read_before,
            records: 0,
            bound: 0,
            failures,
            epoch_timeout_ms: config.epoch_timeout_ms,
            looked_at: EventTime::MIN,
            watched: None,
        }
    }

    /// Ends the run when an epoch does not become complete. Waiting for a commit is not that: sources
    /// wait for room then, and go on when there is some.
    fn watch(&mut self, facts: &Facts) {
        let passed_ms = facts.now.since_ms(std::mem::replace(&mut self.looked_at, facts.now));
        let incomplete = self.pace.incomplete().filter(|_| facts.uncommitted == 0);
        self.watched = incomplete.map(|epoch| match self.watched {
            // A machine that slept, or a clock that was set, did not wait: one look counts for little.
            Some((watched, waited_ms)) if watched == epoch => {
                (epoch, waited_ms + passed_ms.clamp(0, LOOK_MAX_MS))
            }
            _ => (epoch, 0),
        });
        if let Some((epoch, waited_ms)) = self.watched
            && waited_ms >= self.epoch_timeout_ms
        {
            self.failures.fail(RunError::EpochStuck { epoch, waited_ms });
        }
    }

    /// Shows a complete epoch, also one that needs no commit: why time does not move is then of interest.
    fn show(&self, result: &EpochResult) {
        let replayed = result.epoch <= self.replayed_to;
        self.control.status.update(|progress| {
            if replayed {
                progress.epoch = result.epoch;
                let read: u64 = result.partitions.values().map(|state| state.end.0).sum();
                progress.replayed_events = read - self.read_before;
            }
            progress.recovered |= result.epoch >= self.replayed_to;
            let (survey, open) = (result.survey.clone(), result.open.clone());
            progress.newest = Some(Newest { epoch: result.epoch, survey, open });
        });
    }

    /// Hands over what was known of time at the end of an epoch that has a snapshot.
    fn time_of(&self, result: &EpochResult) {
        if let Some(parts) = &self.out.parts {
            let (now, frontier) = (result.now, result.close_to);
            let time = TimeState { now, frontier, partitions: result.partitions.clone() };
            // Whoever writes it is gone only when the run is being aborted.
            let _ = parts.send(Part::Time(result.epoch, time));
        }
    }

    /// Takes complete epochs out and sends ticks in; says how long the worker may sleep.
    fn step(&mut self, ticks: &mut Option<Ticks>, results: &Results) -> Duration {
        while let Some(result) = results.pop() {
            self.complete = result.epoch;
            self.pace.surveyed(result.epoch, &result.survey.standings);
            self.show(&result);
            self.records += result.survey.records;
            self.bound += u64::from(result.commit || result.survey.records > 0);
            if result.snapshot {
                self.time_of(&result);
            }
            if result.commit {
                self.control.status.uncommitted.fetch_add(1, Ordering::AcqRel);
                // The committer is gone only when the run is being aborted.
                let _ = self.out.results.send(result);
            } else if result.epoch <= self.replayed_to {
                // What was committed before needs no commit: nothing waits for it any more.
                self.control.release(result.epoch);
            }
        }
        let mut facts = Facts {
            now: self.clock.now(),
            complete: self.complete,
            uncommitted: self.control.status.uncommitted.load(Ordering::Acquire),
            stop: self.control.stop(),
            records: self.records,
            bound: self.bound,
            snapshot_under_way: self.control.snapshots.under_way(),
        };
        if facts.stop != Stop::No && self.complete < self.replayed_to {
            // What is replayed was committed before, and what is new stays in the log.
            self.control.abort();
            return Duration::ZERO;
        }
        if let Some(open) = ticks {
            while let Some(tick) = self.pace.step(facts) {
                if tick.snapshot {
                    self.control.snapshots.begin(tick.ends, tick.next.is_none());
                    facts.snapshot_under_way = true;
                }
                open.send(&tick);
            }
            if self.pace.ended() {
                *ticks = None;
            }
        }
        self.watch(&facts);
        self.pace.rest(facts.now).min(PARK_MAX)
    }
}

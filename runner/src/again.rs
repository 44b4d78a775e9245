//! Computing bound epochs once more, with their rows, to see that they come out as they did.
//!
//! The rows of an epoch are a function of the bindings up to it. Here it is put to use: a graph of any number
//! of workers starts from a snapshot or from the beginning, is given what the bindings say, and hands its rows
//! to whoever compares them. Nothing is written.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::graph::{Results, Ticks};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build, job};
use tidegate_log::EventReader;
use tidegate_model::{Epoch, JobStart};
use timely::worker::Worker;

use crate::error::RunError;
use crate::feed::LogFeed;
use crate::recovery::{FromSnapshot, ReplayEpoch, ReplayEpochs};

/// Epochs under way at once.
const UNDER_WAY_MAX: usize = 8;
/// Bytes of compact rows in flight, for each worker.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// A parked worker looks around at least so often.
const PARK_MAX: Duration = Duration::from_millis(10);

/// What is computed once more.
pub struct Again<R> {
    /// What the rows are made by.
    pub jobs: JobSettings,
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// The jobs that began, or began anew, after the deployment did.
    pub starts: BTreeMap<String, JobStart>,
    /// Where it starts; the beginning of the deployment without one.
    pub snapshot: Option<FromSnapshot>,
    /// The epochs that follow.
    pub epochs: ReplayEpochs,
    /// A reader of the log for each worker.
    pub readers: Vec<R>,
}

/// Computes the epochs, and shows each with its rows as soon as it is complete, in order.
///
/// # Errors
/// When the log cannot be read. What was shown before is right.
pub fn compute_again<R: EventReader + 'static>(
    again: Again<R>,
    mut show: impl FnMut(&EpochResult),
) -> Result<(), RunError> {
    let Again { jobs, hash_key, starts, snapshot, epochs, readers } = again;
    let workers = readers.len();
    let Some(next) = epochs.iter().next() else { return Ok(()) };
    let time = snapshot.as_ref().map(|snapshot| snapshot.time.clone()).unwrap_or_default();
    let config = GraphConfig {
        jobs,
        // Time was decided before.
        time: TimeSettings::default(),
        hash_key,
        first: snapshot.as_ref().map_or(Epoch(next.epoch.0 - 1), |snapshot| snapshot.restored.epoch()),
        start: snapshot.as_ref().map(FromSnapshot::ends).unwrap_or_default(),
        restored: snapshot.map(|snapshot| snapshot.restored),
        starts,
        provisional_rows_max: 0,
        provisional_lag_max_ms: 0,
    };
    let (completed, results) = sync_channel(UNDER_WAY_MAX);
    let mut driver = Some(Driver { first: Some((config.first, time)), epochs, under_way: 0, completed });
    let failure = Arc::new(Failure::default());
    let parts: Vec<_> = readers
        .into_iter()
        .map(|reader| {
            let (config, failure) = (config.clone(), Arc::clone(&failure));
            Some(Part { config, failure, reader, driver: driver.take() })
        })
        .collect();
    let parts = Mutex::new(parts);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let part = parts.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
        part.expect("there is one for each worker").run(worker);
    })
    .map_err(|reason| RunError::Workers { workers, reason })?;
    show_all(&results, &mut show);
    for outcome in guards.join() {
        outcome.expect("a worker that panics ends the process");
    }
    match failure.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The first epoch reads nothing: it takes the snapshot in.
fn show_all(results: &Receiver<EpochResult>, show: &mut impl FnMut(&EpochResult)) {
    results.iter().skip(1).for_each(|result| show(&result));
}

/// What ended it before its end.
#[derive(Default)]
struct Failure {
    is_over: AtomicBool,
    error: Mutex<Option<RunError>>,
}

/// What a worker is made of.
struct Part<R> {
    config: GraphConfig,
    reader: R,
    failure: Arc<Failure>,
    /// Worker 0 has it.
    driver: Option<Driver>,
}

impl<R: EventReader + 'static> Part<R> {
    fn run(self, worker: &mut Worker) {
        let Self { config, reader, failure, mut driver } = self;
        let throttle = Throttle {
            released: Arc::new(AtomicU64::new(u64::MAX)),
            in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
            in_flight_bytes: Arc::default(),
        };
        let told = Arc::clone(&failure);
        let fail = move |error| {
            told.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            told.is_over.store(true, Ordering::Release);
        };
        let feed = LogFeed::new(reader, job::fields(&config.jobs), fail).giving_up();
        let Graph { mut ticks, results, .. } = build(worker, &config, throttle, Box::new(feed));
        while worker.has_dataflows() {
            if failure.is_over.load(Ordering::Acquire) {
                // It would wait for what cannot be read.
                for dataflow in worker.installed_dataflows() {
                    worker.drop_dataflow(dataflow);
                }
                return;
            }
            match &mut driver {
                Some(driver) => driver.step(&mut ticks, &results),
                None => ticks = None,
            }
            worker.step_or_park(Some(PARK_MAX));
        }
        if let Some(driver) = &mut driver {
            driver.step(&mut ticks, &results);
        }
    }
}

/// Sends the bindings in, and takes complete epochs out.
struct Driver {
    /// What the first epoch takes over, until it is sent.
    first: Option<(Epoch, TimeState)>,
    epochs: ReplayEpochs,
    under_way: usize,
    completed: SyncSender<EpochResult>,
}

impl Driver {
    fn step(&mut self, ticks: &mut Option<Ticks>, results: &Rc<Results>) {
        while let Some(result) = results.pop() {
            self.under_way -= 1;
            // Whoever compares is gone only when it panics.
            let _ = self.completed.send(result);
        }
        while let Some(open) = ticks
            && self.under_way < UNDER_WAY_MAX
        {
            let tick = self.next();
            open.send(&tick);
            self.under_way += 1;
            if tick.next.is_none() {
                *ticks = None;
            }
        }
    }

    /// The tick that ends the next epoch.
    fn next(&mut self) -> Tick {
        let (ends, now, close) = if let Some((epoch, time)) = self.first.take() {
            let TimeState { now, frontier, partitions } = time;
            (epoch, now, Close::Journaled(Journaled { close_to: frontier, partitions }))
        } else {
            let ReplayEpoch { epoch, now, journaled } =
                self.epochs.pop_front().expect("the last tick had no next epoch");
            (epoch, now, Close::Again(journaled))
        };
        let plan = |bound: ReplayEpoch| Plan { epoch: bound.epoch, reading: Reading::UpTo(bound.ends()) };
        Tick { ends, now, close, next: self.epochs.iter().next().map(plan), snapshot: false }
    }
}

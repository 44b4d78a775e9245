//! An undisturbed run, fed the bindings of the disturbed one, by another number of workers.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};

use tidegate_dataflow::control::{Close, Journaled, Plan as EpochPlan, Reading, Tick};
use tidegate_dataflow::graph::{Results, Ticks};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build, job};
use tidegate_model::{Binding, Epoch, EventTime, Offset, PartitionId};
use tidegate_oracle::record::OutRow;
use tidegate_runner::feed::LogFeed;
use timely::worker::Worker;

use super::oracle::{committed, same};
use crate::crew::{Crew, Panicked, Seat};
use crate::director::{Violation, violated};
use crate::plan::Plan;
use crate::world::State;
use crate::world::events::{EventPartition, StillEvents};

const PROMISE: &str = "an undisturbed run, fed the same bindings, makes the same rows";

/// What one worker is made of.
struct Part {
    config: GraphConfig,
    events: Arc<Vec<EventPartition>>,
    /// The ticks to send, and where complete epochs go; worker 0 has them.
    ends: Option<(Vec<Tick>, Sender<EpochResult>)>,
}

struct Replaying {
    ticks: Option<Ticks>,
    results: Rc<Results>,
    ends: Option<(Vec<Tick>, Sender<EpochResult>)>,
}

impl Part {
    fn build(self, worker: &mut Worker) -> Replaying {
        let throttle = Throttle {
            released: Arc::new(AtomicU64::new(u64::MAX)),
            in_flight_bytes_max: usize::MAX,
            in_flight_bytes: Arc::default(),
        };
        let fields = job::fields(&self.config.jobs);
        let feed =
            LogFeed::new(StillEvents(self.events), fields, |error| panic!("the log is there: {error}"));
        let Graph { ticks, results, .. } = build(worker, &self.config, throttle, Box::new(feed));
        Replaying { ticks, results, ends: self.ends }
    }
}

impl Seat for Replaying {
    fn turn(&mut self, worker: &mut Worker) -> bool {
        let mut ticks = self.ticks.take();
        if let Some((planned, _)) = &mut self.ends {
            for tick in planned.drain(..) {
                ticks.as_mut().expect("worker 0 has them").send(&tick);
            }
        }
        drop(ticks);
        worker.step();
        if let Some((_, completed)) = &self.ends {
            while let Some(result) = self.results.pop() {
                completed.send(result).expect("somebody waits for it");
            }
        }
        worker.has_dataflows()
    }
}

fn ends(binding: &Binding) -> BTreeMap<PartitionId, Offset> {
    binding.partitions.iter().map(|(id, state)| (*id, state.end)).collect()
}

/// The ticks that have `bindings` computed once more.
fn ticks(first: Epoch, before: Option<&Binding>, bindings: &[Binding]) -> Vec<Tick> {
    let plan = |binding: &Binding| EpochPlan { epoch: binding.epoch, reading: Reading::UpTo(ends(binding)) };
    let nothing = (EventTime::MIN, Journaled { close_to: EventTime::MIN, partitions: BTreeMap::new() });
    let time = |binding: &Binding| {
        let (close_to, partitions) = (binding.close_to, binding.partitions.clone());
        (binding.now, Journaled { close_to, partitions })
    };
    let (now, journaled) = before.map_or(nothing, time);
    let begin = Tick {
        ends: first,
        now,
        close: Close::Journaled(journaled),
        next: bindings.first().map(plan),
        snapshot: false,
    };
    let epoch = |(at, binding): (usize, &Binding)| Tick {
        ends: binding.epoch,
        now: binding.now,
        close: Close::Again(Journaled { close_to: binding.close_to, partitions: binding.partitions.clone() }),
        next: bindings.get(at + 1).map(plan),
        snapshot: false,
    };
    std::iter::once(begin).chain(bindings.iter().enumerate().map(epoch)).collect()
}

pub(super) fn an_undisturbed_run_makes_the_same_rows(plan: &Plan, state: &State) -> Result<(), Violation> {
    let key = state.bindings.first().and_then(|first| first.origin).map(|origin| origin.hash_key);
    let key = key.unwrap_or_default();
    // Nobody gets across a gap.
    let from = state.bindings.iter().rposition(|binding| binding.gap.is_some()).unwrap_or(0);
    let bindings = &state.bindings[from..];
    let Some((begin, last)) = bindings.first().zip(bindings.last()) else { return Ok(()) };
    let first = Epoch(begin.epoch.0 - 1);
    let before = from.checked_sub(1).map(|before| &state.bindings[before]);
    let mut start = before.map(ends).unwrap_or_default();
    let jumps = begin.gap.iter().flatten().map(|(partition, gap)| (*partition, gap.resumed));
    start.extend(jumps);
    let workers = if plan.seed.is_multiple_of(2) { 3 } else { 1 };
    let config = GraphConfig {
        jobs: state.jobs[&last.generation].clone(),
        time: plan.setup.time,
        hash_key: HashKey(key.0, key.1),
        first,
        start,
        restored: None,
        starts: last.starts.clone(),
        provisional_rows_max: 0,
        provisional_lag_max_ms: 0,
    };
    let (completed, results) = channel();
    let events = Arc::new(state.events.clone());
    let mut ends = Some((ticks(first, before, bindings), completed));
    let parts = (0..workers).map(|_| {
        let (config, events) = (config.clone(), Arc::clone(&events));
        Part { config, events, ends: ends.take() }
    });
    run(parts.collect()).or_else(|Panicked(seen)| violated(PROMISE, seen))?;
    compare(state, bindings, last, &results)
}

fn run(parts: Vec<Part>) -> Result<(), Panicked> {
    let mut crew = Crew::new(parts, Part::build)?;
    while !crew.is_over() {
        for worker in 0..crew.workers() {
            crew.turn(worker)?;
        }
    }
    Ok(())
}

fn compare(
    state: &State,
    bindings: &[Binding],
    last: &Binding,
    results: &Receiver<EpochResult>,
) -> Result<(), Violation> {
    // What was committed before a job began anew was another job's.
    let first: BTreeMap<_, _> = job::all(&state.jobs[&last.generation])
        .iter()
        .map(|job| (job.schema().table, last.starts.get(job.name()).map_or(Epoch(0), |start| start.epoch)))
        .collect();
    let mut committed = committed(state);
    let mut expected = bindings.iter();
    for result in results.try_iter().skip(1) {
        let binding = expected.next().expect("an epoch for each binding");
        assert_eq!(result.epoch, binding.epoch, "epochs come in order");
        let row = |row: tidegate_dataflow::report::OutRow| {
            let schema = tidegate_model::Schema::of_table(&row.table).expect("a table of ours");
            OutRow { table: schema.table, key: row.key, json: row.value, op: row.op }
        };
        let mut rows: Vec<OutRow> = result.rows.into_iter().map(row).collect();
        rows.sort();
        let actual = committed.remove(&binding.epoch).unwrap_or_default();
        let is_its = |row: &OutRow| first[row.table] <= binding.epoch;
        let actual: Vec<_> = actual.rows.into_iter().filter(is_its).collect();
        same(PROMISE, &format!("epoch {}", binding.epoch), "rows", &rows, &actual)?;
    }
    match expected.next() {
        Some(missing) => violated(PROMISE, format!("epoch {} did not become complete", missing.epoch)),
        None => Ok(()),
    }
}

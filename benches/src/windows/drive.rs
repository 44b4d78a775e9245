//! The graph, driven over a log in memory: ticks in, complete epochs out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::feed::{Feed, Intake};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build};
use tidegate_model::row::{EventMetrics, SessionMetrics};
use tidegate_model::{Epoch, EventTime, MetricRow, Offset, PartitionId};

use crate::workload::{MemoryLog, OFFLINE_MS_MAX};

/// About the size of an event in a log, from which a source's appetite in bytes becomes a number of events.
const EVENT_BYTES: usize = 560;
/// Epochs that may be under way at once, as in a bounded run of the product.
const EPOCHS_UNDER_WAY_MAX: usize = 8;

/// The key of every hash.
pub(super) const HASH_KEY: HashKey = HashKey(11, 7);

/// What the rows of a run say, summed up: enough to see that two runs computed the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of `event_metrics`: rows, events, and users of each row, summed.
    pub windows: (u64, u64, u64),
    /// Of `session_metrics`: rows and pages.
    pub sessions: (u64, u64),
    /// Rows of `performance_metrics`.
    pub performance: u64,
    /// Rows of `session_window_metrics`.
    pub overview: u64,
}

impl Outcome {
    /// Sums epochs up.
    pub fn of(epochs: &[EpochResult]) -> Self {
        let mut outcome = Self::default();
        for epoch in epochs {
            outcome.add(epoch);
        }
        outcome
    }

    /// Adds an epoch. Nothing may have been dropped.
    fn add(&mut self, epoch: &EpochResult) {
        assert!(
            epoch.dropped.is_empty() && epoch.ledger.adds_up(),
            "an epoch with drops: {:?}",
            epoch.ledger
        );
        for row in &epoch.rows {
            match &*row.table {
                "event_metrics" => {
                    let row: EventMetrics = parse(&row.value);
                    let (rows, events, users) = self.windows;
                    self.windows = (rows + 1, events + row.event_count, users + row.user_count);
                }
                "session_metrics" => {
                    let row: SessionMetrics = parse(&row.value);
                    self.sessions = (self.sessions.0 + 1, self.sessions.1 + row.page_count);
                }
                "performance_metrics" => self.performance += 1,
                _ => self.overview += 1,
            }
        }
    }
}

fn parse<R: MetricRow>(json: &str) -> R {
    serde_json::from_str(json).expect("a row is read as it was written")
}

/// Reads the log in memory.
struct MemoryFeed(Arc<MemoryLog>);

impl Feed for MemoryFeed {
    fn partitions(&mut self) -> Vec<PartitionId> {
        (0..).map(PartitionId).take(self.0.partitions.len()).collect()
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        until: Option<Offset>,
        bytes: usize,
        intake: &mut dyn Intake,
    ) -> Offset {
        let own = &self.0.partitions[partition.0 as usize];
        let from = index(from);
        let until = until.map_or(own.events.len(), index).min(from + bytes / EVENT_BYTES);
        for (offset, event) in own.events.iter().enumerate().take(until).skip(from) {
            intake.event(Offset(offset as u64), event.append_time, &own.decoded(event));
        }
        Offset(until as u64)
    }

    fn look(&mut self, partition: PartitionId) -> Option<Offset> {
        Some(Offset(self.0.partitions[partition.0 as usize].events.len() as u64))
    }
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset.0).expect("it is the place of an event in memory")
}

/// Runs the log through the graph on `workers` threads, an epoch for each cut; the last one closes everything.
pub fn drive(log: &Arc<MemoryLog>, workers: usize) -> Vec<EpochResult> {
    let config = GraphConfig {
        jobs: JobSettings::default(),
        // As an import does it, whose lines may be out of order: nobody is too late.
        time: TimeSettings { bound_ms: 2 * OFFLINE_MS_MAX, ..TimeSettings::default() },
        hash_key: HASH_KEY,
        first: Epoch(0),
        start: BTreeMap::new(),
        restored: None,
        starts: BTreeMap::new(),
        provisional_rows_max: 10_000,
        provisional_lag_max_ms: 60_000,
    };
    let (results, received) = mpsc::channel();
    // Only worker 0 has ticks and results.
    let ends = Mutex::new(Some((ticks(log), results)));
    let log = Arc::clone(log);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let throttle = Throttle {
            released: Arc::new(AtomicU64::new(u64::MAX)),
            in_flight_bytes_max: 1 << 30,
            in_flight_bytes: Arc::default(),
        };
        let graph = build(worker, &config, throttle, Box::new(MemoryFeed(Arc::clone(&log))));
        let Graph { ticks: mut input, results: complete, .. } = graph;
        let mut own = if worker.index() == 0 { ends.lock().expect("no panic").take() } else { None };
        let mut under_way = 0_usize;
        // Whatever the last step completed is taken before the loop ends.
        loop {
            let mut more = false;
            if let Some((ticks, results)) = &mut own {
                while under_way < EPOCHS_UNDER_WAY_MAX
                    && let Some(tick) = ticks.pop_front()
                {
                    input.as_mut().expect("worker 0 has it").send(&tick);
                    under_way += 1;
                }
                while let Some(result) = complete.pop() {
                    under_way -= 1;
                    results.send(result).expect("all results are taken");
                }
                more = !ticks.is_empty();
            }
            if !more {
                input = None;
            }
            if !worker.has_dataflows() {
                break;
            }
            worker.step_or_park(Some(Duration::from_micros(200)));
        }
    })
    .expect("threads start");
    let results = received.iter().collect();
    drop(guards);
    results
}

/// The ticks of the whole run. The one that ends an epoch says what the next one reads.
fn ticks(log: &MemoryLog) -> VecDeque<Tick> {
    let mut plans =
        log.cuts.iter().zip(1..).map(|((ends, now), epoch)| (Epoch(epoch), ends.clone(), *now)).peekable();
    let plan = |(epoch, ends, _): &(Epoch, BTreeMap<PartitionId, Offset>, EventTime)| Plan {
        epoch: *epoch,
        reading: Reading::UpTo(ends.clone()),
    };
    let TimeState { now, frontier, partitions } = TimeState::default();
    let begin = Close::Journaled(Journaled { close_to: frontier, partitions });
    let mut ticks = VecDeque::from([Tick {
        ends: Epoch(0),
        now,
        close: begin,
        next: plans.peek().map(plan),
        snapshot: false,
    }]);
    while let Some((ends, _, now)) = plans.next() {
        let next = plans.peek().map(plan);
        let close = if next.is_some() { Close::Decide } else { Close::DecideAndCloseAll };
        ticks.push_back(Tick { ends, now, close, next, snapshot: false });
    }
    ticks
}

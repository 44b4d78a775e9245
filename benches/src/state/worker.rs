//! A worker whose graph holds what it is told to: one event for each session or user, in epochs of some
//! thousands.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tidegate_dataflow::batch::Decoded;
use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::feed::{Feed, Intake};
use tidegate_dataflow::graph::{Results, Ticks};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::open::OpenCounts;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_dataflow::snapshot::{Captured, Captures, Restored};
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build};
use tidegate_model::names::PAGE_VIEW;
use tidegate_model::{DeviceCategory, Epoch, EventTime, Offset, PartitionId};
use timely::communication::Allocator;
use timely::worker::Worker;

use crate::clock::{Took, timed};
use crate::measure::Done;

const PARTITION: PartitionId = PartitionId(0);
/// The first event.
const BEGIN_MS: i64 = 1_600_000_000_000;
/// Events of an epoch: few, so that those under way are no part of the memory measured.
const EPOCH_EVENTS: usize = 5_000;
/// The events of a round are spread over so long, which is less than the gap of sessions.
const SPREAD_MS: u64 = 20 * 60 * 1_000;
/// The length of both names of an event, together.
pub const NAMES: usize = 12 + 20;

/// What an event leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A session, and a user of a window that closes soon.
    Sessions,
    /// A user of a window.
    Users,
}

/// Rounds of events, one for each of `count` sessions; made up when they are read.
#[derive(Clone, Copy, Debug)]
struct Visits {
    held: Held,
    count: u64,
    /// The first event of this round, and its time.
    from: u64,
    from_ms: i64,
}

struct Made(Rc<Cell<Visits>>);

impl Visits {
    fn time(self, offset: u64) -> EventTime {
        let spread = if self.held == Held::Sessions { SPREAD_MS } else { 1_000 };
        let after = (offset - self.from) * spread / self.count.max(1);
        EventTime::from_millis(self.from_ms + i64::try_from(after).expect("minutes"))
    }
}

impl Feed for Made {
    fn partitions(&mut self) -> Vec<PartitionId> {
        vec![PARTITION]
    }

    fn read(
        &mut self,
        _: PartitionId,
        from: Offset,
        until: Option<Offset>,
        _: usize,
        intake: &mut dyn Intake,
    ) -> Offset {
        let visits = self.0.get();
        let end = visits.from + visits.count;
        let until = until.map_or(end, |until| until.0.min(end));
        let mut names = String::new();
        for offset in from.0..until {
            let number = offset - visits.from;
            names.clear();
            write!(names, "u{number:011}s{number:019}").expect("a text takes everything");
            let time = visits.time(offset);
            let decoded = Decoded {
                time,
                event_type: if visits.held == Held::Sessions { PAGE_VIEW } else { "click" },
                user_id: &names[..12],
                session_id: &names[12..],
                device: DeviceCategory::Mobile,
                load_time: None,
            };
            intake.event(Offset(offset), time, &decoded);
        }
        Offset(until.max(from.0))
    }

    fn look(&mut self, _: PartitionId) -> Option<Offset> {
        let visits = self.0.get();
        Some(Offset(visits.from + visits.count))
    }
}

/// A graph on a worker.
pub struct Worked {
    worker: Worker,
    ticks: Ticks,
    results: Rc<Results>,
    captures: Rc<Captures>,
    visits: Rc<Cell<Visits>>,
    /// The epoch that is under way; nothing is read in it.
    epoch: Epoch,
    state: TimeState,
    open: OpenCounts,
}

impl Worked {
    /// A graph on a worker of this thread, which has done its first epoch.
    pub fn start(from: Option<(Restored, TimeState)>) -> Self {
        let thread = timely::communication::allocator::Thread::default();
        let mut worker = Worker::new(timely::WorkerConfig::default(), Allocator::Thread(thread), None);
        let (restored, state) = from.map_or((None, TimeState::default()), |(own, state)| (Some(own), state));
        let first = restored.as_ref().map_or(Epoch(1), Restored::epoch);
        let read = state.partitions.get(&PARTITION).map_or(0, |state| state.end.0);
        let visits = Visits { held: Held::Sessions, count: 0, from: read, from_ms: BEGIN_MS };
        let visits = Rc::new(Cell::new(visits));
        let config = GraphConfig {
            jobs: JobSettings::default(),
            time: TimeSettings::default(),
            hash_key: HashKey(11, 7),
            first,
            start: state.partitions.iter().map(|(partition, state)| (*partition, state.end)).collect(),
            restored: restored.map(Arc::new),
            starts: BTreeMap::new(),
            provisional_rows_max: 0,
            provisional_lag_max_ms: 0,
        };
        let throttle = Throttle {
            released: Arc::new(AtomicU64::new(u64::MAX)),
            in_flight_bytes_max: 1 << 30,
            in_flight_bytes: Arc::default(),
        };
        let feed = Box::new(Made(Rc::clone(&visits)));
        let Graph { ticks, results, captures, .. } = build(&mut worker, &config, throttle, feed);
        let ticks = ticks.expect("the only worker has them");
        let open = OpenCounts::default();
        let mut started = Self { worker, ticks, results, captures, visits, epoch: first, state, open };
        started.rest();
        started
    }

    /// What is open.
    pub fn open(&self) -> OpenCounts {
        self.open
    }

    /// What is known of time.
    pub fn state(&self) -> &TimeState {
        &self.state
    }

    /// An epoch in which nothing comes.
    pub fn rest(&mut self) -> Took {
        let ((), took) = timed(|| self.end_epoch(self.again(), self.read(), false));
        took
    }

    /// The time that there is already.
    fn again(&self) -> Close {
        let TimeState { frontier, partitions, .. } = self.state.clone();
        Close::Journaled(Journaled { close_to: frontier, partitions })
    }

    /// An event for each of `count` sessions or users, who are the same every time.
    pub fn visit(&mut self, held: Held, count: usize) -> Done {
        let from = self.read();
        let largest =
            self.state.partitions.get(&PARTITION).map_or(BEGIN_MS, |state| state.largest.as_millis());
        self.visits.set(Visits { held, count: count as u64, from, from_ms: largest });
        let end = from + count as u64;
        let ((), took) = timed(|| {
            for until in (from..end).step_by(EPOCH_EVENTS).map(|begin| end.min(begin + EPOCH_EVENTS as u64)) {
                self.end_epoch(self.again(), until, false);
                self.end_epoch(Close::Decide, until, false);
            }
        });
        Done { took, note: String::new() }
    }

    /// An epoch in which nothing comes, with a snapshot.
    pub fn snapshot(&mut self) -> (Captured, Took) {
        let ((), took) = timed(|| self.end_epoch(self.again(), self.read(), true));
        (self.captures.pop().expect("the epoch is complete"), took)
    }

    /// How far it has read.
    fn read(&self) -> u64 {
        self.state.partitions.get(&PARTITION).map_or(self.visits.get().from, |state| state.end.0)
    }

    /// Ends the epoch that is under way; the next one reads up to `until`.
    fn end_epoch(&mut self, close: Close, until: u64, snapshot: bool) {
        let next = self.epoch.next();
        let now = self.visits.get().time(until).max(self.state.now);
        let ends = BTreeMap::from([(PARTITION, Offset(until))]);
        let next = Plan { epoch: next, reading: Reading::UpTo(ends) };
        self.ticks.send(&Tick { ends: self.epoch, now, close, next: Some(next), snapshot });
        let result = loop {
            if let Some(result) = self.results.pop() {
                break result;
            }
            self.worker.step();
        };
        self.epoch = self.epoch.next();
        self.open = result.open.total();
        self.state = TimeState { now, frontier: result.close_to, partitions: result.partitions };
    }
}

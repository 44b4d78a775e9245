//! A system made of the oracle and of `decide`: it shows that scenarios and random tests hold together,
//! it is the reference for time, and with a fault inside it shows that they bite.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use tidegate_dataflow::settings::{JobSettings, SessionEnd, TimeSettings};
use tidegate_model::binding::{BINDING_VERSION, Binding};
use tidegate_model::{Epoch, EventTime, Generation, Ledger, Offset, PartitionId, PartitionState, Tumbling};

use super::decide::{Bound, Statement, decide};
use super::oracle::{Oracle, OracleEpoch, OracleOutput};
use super::record::{TestRecord, complete};
use super::system::{EpochOutcome, System, SystemFactory};

/// No provisional rows leave while the frontier is so far behind the clock.
const PROVISIONAL_LAG_MAX_MS: i64 = 60_000;

/// A mistake that a real implementation could make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every record is judged as soon as it comes, not with the others of its epoch.
    RecordByRecord,
    /// The allowed lateness lasts a millisecond longer.
    LatenessOffByOne,
    /// Windows close a millisecond late: `<` for `<=`.
    ClosesLate,
    /// A partition counts as idle although the look at its end failed.
    IdleWithoutLook,
    /// One watermark for all partitions of a worker.
    WatermarkPerWorker {
        workers: u32,
    },
    /// Events of the future move the watermark like others.
    FutureMovesTime,
    /// A recovered system believes that every partition was active just now.
    ForgetsActivity,
}

/// See the module.
pub struct StandInFactory {
    name: String,
    fault: Fault,
}

impl StandInFactory {
    pub fn new(fault: Fault) -> Self {
        Self { name: format!("stand-in ({fault:?})"), fault }
    }

    fn build(&self, jobs: &JobSettings, time: &TimeSettings, workers: usize, partitions: u32) -> StandIn {
        let fault = match &self.fault {
            Fault::WatermarkPerWorker { .. } => {
                Fault::WatermarkPerWorker { workers: u32::try_from(workers).expect("few workers") }
            }
            other => other.clone(),
        };
        let off_by = i64::from(fault == Fault::LatenessOffByOne);
        let judged_by =
            JobSettings { allowed_lateness_ms: jobs.allowed_lateness_ms + off_by, ..jobs.clone() };
        StandIn {
            oracle: Oracle::new(&judged_by, jobs.future_tolerance_ms),
            jobs: jobs.clone(),
            time: *time,
            fault,
            log: (0..partitions).map(|partition| (PartitionId(partition), Vec::new())).collect(),
            paused: BTreeSet::new(),
            failing: BTreeSet::new(),
            finishing: false,
            permute: None,
            latest: None,
            epoch: Epoch(0),
            bound: Bound::NOTHING,
            ledger: complete(Ledger::default()),
            bindings: Vec::new(),
        }
    }
}

impl SystemFactory for StandInFactory {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Box<dyn System> {
        Box::new(self.build(jobs, time, workers, partitions))
    }

    fn replay(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
        records: &[TestRecord],
        bindings: &[Binding],
    ) -> Box<dyn System> {
        let mut system = self.build(jobs, time, workers, partitions);
        for record in records {
            system.append(record.clone());
        }
        for binding in bindings {
            system.epoch = binding.epoch;
            let mut partitions = binding.partitions.clone();
            if self.fault == Fault::ForgetsActivity {
                for state in partitions.values_mut() {
                    state.active_at = binding.now;
                }
            }
            system.run(Bound { now: binding.now, close_to: binding.close_to, partitions });
        }
        Box::new(system)
    }
}

struct StandIn {
    jobs: JobSettings,
    time: TimeSettings,
    fault: Fault,
    oracle: Oracle,
    log: BTreeMap<PartitionId, Vec<TestRecord>>,
    paused: BTreeSet<PartitionId>,
    failing: BTreeSet<PartitionId>,
    finishing: bool,
    /// Shuffles the records of each epoch.
    permute: Option<u64>,
    /// The largest event time that was read and judged.
    latest: Option<EventTime>,
    epoch: Epoch,
    bound: Bound,
    ledger: Ledger,
    bindings: Vec<Binding>,
}

impl StandIn {
    fn is_judgeable(&self, record: &TestRecord) -> bool {
        let is_future = record.time > record.append_time.plus_ms(self.jobs.future_tolerance_ms);
        let is_plausible = !is_future || self.fault == Fault::FutureMovesTime;
        !record.undecodable && is_plausible
    }

    fn statement(&self, partition: PartitionId) -> Statement {
        let records = &self.log[&partition];
        let end = Offset(records.len() as u64);
        let before = self.bound.partitions.get(&partition);
        let position = if self.paused.contains(&partition) {
            before.map_or(Offset::ZERO, |before| before.end)
        } else {
            end
        };
        let read = records.iter().filter(|record| record.offset < position && self.is_judgeable(record));
        let largest = read.map(|record| record.time.min(record.append_time)).max();
        Statement {
            position,
            largest: largest.unwrap_or(EventTime::MIN),
            look: (!self.failing.contains(&partition)).then_some(end),
        }
    }

    /// The records between the binding before and `partitions`.
    fn records_to(&self, partitions: &BTreeMap<PartitionId, PartitionState>) -> Vec<TestRecord> {
        let mut records = Vec::new();
        for (partition, state) in partitions {
            let from = self.bound.partitions.get(partition).map_or(Offset::ZERO, |before| before.end);
            let all = self.log[partition].iter();
            records.extend(all.filter(|record| from <= record.offset && record.offset < state.end).cloned());
        }
        records
    }

    /// The smallest frontier at which nothing can be open.
    fn closes_everything(&self, latest: EventTime) -> EventTime {
        let gap_ms = self.jobs.session_gap_ms;
        let closes = latest.plus_ms(gap_ms);
        let end_of = |size_ms: i64, time: EventTime| Tumbling::new(size_ms).window_of(time).end;
        let overview = match self.jobs.session_end {
            SessionEnd::LastEvent => end_of(self.jobs.session_window_ms, latest).plus_ms(gap_ms),
            SessionEnd::WindowEnd => end_of(self.jobs.session_window_ms, closes),
        };
        let windows = [self.jobs.event_window_ms, self.jobs.performance_window_ms];
        windows.map(|size_ms| end_of(size_ms, latest)).into_iter().fold(closes.max(overview), EventTime::max)
    }

    /// Carries out a journaled epoch.
    fn run(&mut self, next: Bound) -> OracleOutput {
        let mut records = self.records_to(&next.partitions);
        if let Some(seed) = self.permute {
            shuffle(&mut records, seed ^ self.epoch.0);
        }
        let judgeable = records.iter().filter(|record| self.is_judgeable(record));
        self.latest = self.latest.max(judgeable.map(|record| record.time).max());

        let whole = OracleEpoch { epoch: self.epoch, close_to: next.close_to, records };
        let output = match self.fault {
            Fault::RecordByRecord => self.one_by_one(whole),
            Fault::ClosesLate => {
                self.oracle.epoch(&OracleEpoch { close_to: whole.close_to.minus_ms(1), ..whole })
            }
            _ => self.oracle.epoch(&whole),
        };
        self.ledger = output.ledger.clone();
        self.bindings.push(Binding {
            version: BINDING_VERSION,
            epoch: self.epoch,
            generation: Generation(1),
            definitions: BTreeMap::new(),
            now: next.now,
            close_to: next.close_to,
            partitions: next.partitions.clone(),
            ledger: output.ledger.clone(),
            starts: BTreeMap::new(),
            origin: None,
            snapshot: None,
            gap: None,
            last_records: BTreeMap::new(),
        });
        self.bound = next;
        output
    }

    fn one_by_one(&mut self, whole: OracleEpoch) -> OracleOutput {
        let mut parts = Vec::new();
        for record in whole.records {
            let close_to = self.bound.close_to;
            parts.push(OracleEpoch { epoch: whole.epoch, close_to, records: vec![record] });
        }
        parts.push(OracleEpoch { epoch: whole.epoch, close_to: whole.close_to, records: Vec::new() });
        let (mut rows, mut dropped, mut last) = (Vec::new(), Vec::new(), None);
        for part in parts {
            let mut output = self.oracle.epoch(&part);
            rows.append(&mut output.rows);
            dropped.append(&mut output.dropped);
            last = Some(output);
        }
        OracleOutput { rows, dropped, ..last.expect("the closing part") }
    }
}

impl System for StandIn {
    fn append(&mut self, record: TestRecord) {
        let records = self.log.get_mut(&record.partition).expect("a partition of the log");
        assert_eq!(record.offset, Offset(records.len() as u64), "offsets have no gaps");
        records.push(record);
    }

    fn add_partition(&mut self, partition: PartitionId) {
        self.log.insert(partition, Vec::new());
    }

    fn fail_looks(&mut self, partition: PartitionId, failing: bool) {
        if failing {
            self.failing.insert(partition);
        } else {
            self.failing.remove(&partition);
        }
    }

    fn pause(&mut self, partition: PartitionId, paused: bool) {
        if paused {
            self.paused.insert(partition);
        } else {
            self.paused.remove(&partition);
        }
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn permute_within_epoch(&mut self, seed: u64) {
        self.permute = Some(seed);
    }

    fn tick(&mut self, now: EventTime) -> EpochOutcome {
        self.epoch = self.epoch.next();
        let statements: BTreeMap<_, _> =
            self.log.keys().map(|partition| (*partition, self.statement(*partition))).collect();
        let finish_to = mem::take(&mut self.finishing).then(|| {
            let read = statements.iter().flat_map(|(partition, statement)| {
                self.log[partition].iter().filter(|record| record.offset < statement.position)
            });
            let latest = read.filter(|record| self.is_judgeable(record)).map(|record| record.time).max();
            latest.map(|latest| self.closes_everything(latest))
        });
        let next = decide(&self.bound, &statements, now, finish_to.flatten(), &self.time, &self.fault);
        let journaled = next.is_some();
        let output = next.map(|next| self.run(next));
        let lag_ms = self.bound.now.since_ms(self.bound.close_to);
        let (rows, dropped, provisional) =
            output.map(|output| (output.rows, output.dropped, output.provisional)).unwrap_or_default();
        EpochOutcome {
            epoch: self.epoch,
            journaled,
            frontier: self.bound.close_to,
            rows,
            provisional: if lag_ms > PROVISIONAL_LAG_MAX_MS { Vec::new() } else { provisional },
            dropped,
            ledger: self.ledger.clone(),
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        self.bindings.clone()
    }
}

/// Fisher and Yates, with a small generator of its own.
fn shuffle(records: &mut [TestRecord], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for at in (1..records.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).expect("an index");
        records.swap(at, other);
    }
}

//! The source: one operator per worker. It reads its partitions, turns records into batches, and ends
//! epochs.
//!
//! Only the source keeps minted capabilities, so an epoch lasts until every source has seen its tick. A
//! source reads the next epoch at once; what it reads there waits at the operators behind it.

mod receiver;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_model::binding::LastRecord;
use tidegate_model::{Counts, Epoch, EventTime, Ledger, Offset, PartitionId};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::Activator;

use self::receiver::Receiver;
use crate::batch::{Batch, Router, RowRules};
use crate::control::{Plan, Reading, Statement, Tick};
use crate::feed::Feed;
use crate::graph::Hold;
use crate::report::{DropReason, Dropped, Report};
use crate::settings::EventClock;
use crate::snapshot::{Captures, PartitionRow, Restored};
use crate::survey::Appended;

/// Bytes of the log that a source reads before it lets other operators run.
const READ_QUANTUM_BYTES: usize = 256 * 1024;

/// How long a source rests when records that must be there could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a dropped record counts against the bytes in flight: it is kept until its epoch is committed.
const DROPPED_BYTES: usize = 1024;

/// How far sources may run ahead of what has been committed.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// The newest epoch that nothing waits for any more: committed, or passed in replay. Set by whoever
    /// commits, who then wakes the sources.
    pub released: Arc<AtomicU64>,
    /// Bytes of compact rows that one source may have in flight.
    pub in_flight_bytes_max: usize,
    /// Bytes that this worker's source has in flight; the source writes it, for whoever looks on.
    pub in_flight_bytes: Arc<AtomicUsize>,
}

/// Everything that a source is made of.
pub(crate) struct SourceParts {
    pub(crate) feed: Box<dyn Feed>,
    pub(crate) rules: RowRules,
    pub(crate) throttle: Throttle,
    pub(crate) future_tolerance_ms: i64,
    pub(crate) event_time: EventClock,
    /// Where reading starts; partitions that are not named start at 0.
    pub(crate) start: BTreeMap<PartitionId, Offset>,
    /// The jobs that have a ledger.
    pub(crate) ledger_jobs: Vec<&'static str>,
    /// The epoch that only recovers, in which nothing is read.
    pub(crate) first: Epoch,
    pub(crate) hold: Rc<Hold>,
    pub(crate) captures: Rc<Captures>,
    /// The snapshot to start from.
    pub(crate) restored: Option<Arc<Restored>>,
}

/// The streams that leave a source.
pub(crate) struct Sourced<'s> {
    /// Batches, each with the worker that it goes to.
    pub(crate) batches: StreamVec<'s, u64, (u64, Arc<Batch>)>,
    pub(crate) statements: StreamVec<'s, u64, Statement>,
    pub(crate) reports: StreamVec<'s, u64, Report>,
    /// Where to wake it.
    pub(crate) address: Rc<[usize]>,
}

/// Ticks reach the source as `(worker, tick)`.
pub(crate) fn source<'s>(
    scope: Scope<'s, u64>,
    ticks: StreamVec<'s, u64, (u64, Tick)>,
    parts: SourceParts,
) -> Sourced<'s> {
    let mut builder = OperatorBuilder::new("Source".to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(Rc::clone(&address));
    // The outputs come first: a tick has no path to them, or it would hold their frontier itself.
    let (batches_out, batches) = builder.new_output::<Vec<(u64, Arc<Batch>)>>();
    let (statements_out, statements) = builder.new_output::<Vec<Statement>>();
    let (reports_out, reports) = builder.new_output::<Vec<Report>>();
    let mut input = builder.new_input_connection(
        ticks,
        Exchange::new(|(worker, _): &(u64, Tick)| *worker),
        Vec::<(usize, timely::progress::Antichain<u64>)>::new(),
    );
    let mut batches_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(batches_out);
    let mut statements_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(statements_out);
    let mut reports_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(reports_out);
    let (index, peers) = (scope.index(), scope.peers());

    builder.build(move |mut capabilities| {
        for capability in &mut capabilities {
            capability.downgrade(&parts.first.0);
        }
        let mut source = Source::new(parts, index, peers, activator);
        let mut capabilities = Some(capabilities);
        move |_frontiers| {
            input.for_each(|_, ticks| source.ticks.extend(ticks.drain(..).map(|(_, tick)| tick)));
            // A source whose input has ended keeps no capability; nothing is left to do then.
            while let Some(caps) = &mut capabilities {
                let step = source.step();
                if !source.router.full().is_empty() {
                    let mut batches = batches_out.activate();
                    batches.session(&caps[0]).give_iterator(source.router.full().drain(..));
                }
                match step {
                    Step::Wait => break,
                    Step::Ended { statements, report, next } => {
                        statements_out.activate().session(&caps[1]).give_iterator(statements.into_iter());
                        reports_out.activate().session(&caps[2]).give_iterator(report.into_iter());
                        match next {
                            Some(epoch) => {
                                for capability in caps {
                                    capability.downgrade(&epoch.0);
                                }
                            }
                            None => capabilities = None,
                        }
                    }
                }
            }
        }
    });
    Sourced { batches, statements, reports, address }
}

/// What [`Source::step`] did.
enum Step {
    /// It read what it may for now; it has itself woken when there is more.
    Wait,
    /// The epoch ended.
    Ended { statements: Vec<Statement>, report: Option<Report>, next: Option<Epoch> },
}

struct Cursor {
    position: Offset,
    /// The largest event time since the start, for the order of reading.
    largest: EventTime,
    /// The largest of this epoch, for the statement.
    largest_of_epoch: EventTime,
    /// The largest event time, however far it is ahead of its append time.
    latest: EventTime,
    /// Records read in this epoch, and their append times.
    records: u64,
    appended: Option<Appended>,
    /// The last record read in this epoch.
    last: Option<LastRecord>,
}

struct Source {
    feed: Box<dyn Feed>,
    router: Router,
    throttle: Throttle,
    future_tolerance_ms: i64,
    event_time: EventClock,
    start: BTreeMap<PartitionId, Offset>,
    ledger_jobs: Vec<&'static str>,
    hold: Rc<Hold>,
    captures: Rc<Captures>,
    /// What the snapshot knows of the partitions: the largest time reached, and the latest.
    restored: BTreeMap<PartitionId, (EventTime, EventTime)>,
    index: usize,
    peers: usize,
    activator: Activator,
    ticks: VecDeque<Tick>,
    /// `None` in the first epoch, which only recovers.
    plan: Option<Plan>,
    partitions: BTreeMap<PartitionId, Cursor>,
    /// Bytes sent in this epoch, and in those before it that are not released yet.
    epoch_bytes: usize,
    in_flight: VecDeque<(Epoch, usize)>,
    read: u64,
    dropped: Vec<Dropped>,
}

impl Source {
    fn new(parts: SourceParts, index: usize, peers: usize, activator: Activator) -> Self {
        parts.captures.register();
        Self {
            feed: parts.feed,
            router: Router::new(parts.rules, peers),
            throttle: parts.throttle,
            future_tolerance_ms: parts.future_tolerance_ms,
            event_time: parts.event_time,
            start: parts.start,
            ledger_jobs: parts.ledger_jobs,
            hold: parts.hold,
            captures: parts.captures,
            restored: parts.restored.map(|restored| restored.partitions()).unwrap_or_default(),
            index,
            peers,
            activator,
            ticks: VecDeque::new(),
            plan: None,
            partitions: BTreeMap::new(),
            epoch_bytes: 0,
            in_flight: VecDeque::new(),
            read: 0,
            dropped: Vec::new(),
        }
    }

    fn step(&mut self) -> Step {
        let step = self.advance();
        let in_flight = self.earlier_bytes() + self.epoch_bytes;
        self.throttle.in_flight_bytes.store(in_flight, Ordering::Relaxed);
        step
    }

    fn advance(&mut self) -> Step {
        let complete = match self.plan.clone() {
            None => true,
            Some(Plan { reading: Reading::Live, .. }) => {
                // A tick ends a live epoch where it stands; what is left belongs to the next one.
                self.ticks.front().is_some() || {
                    self.read_live();
                    false
                }
            }
            Some(Plan { reading: Reading::UpTo(ends) | Reading::Input(ends), .. }) => self.read_up_to(&ends),
        };
        if !complete {
            return Step::Wait;
        }
        let Some(tick) = self.ticks.pop_front() else { return Step::Wait };
        self.end_epoch(tick)
    }

    /// Bytes in flight, those of the open epoch left aside.
    fn earlier_bytes(&mut self) -> usize {
        let released = Epoch(self.throttle.released.load(Ordering::Acquire));
        while self.in_flight.front().is_some_and(|(epoch, _)| *epoch <= released) {
            self.in_flight.pop_front();
        }
        self.in_flight.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Reads one quantum, of the partition that is furthest behind and has something.
    fn read_live(&mut self) {
        if self.earlier_bytes() + self.epoch_bytes >= self.throttle.in_flight_bytes_max {
            // Whoever releases an epoch, or ends this one, wakes us.
            return;
        }
        let hold = self.hold.above.get();
        let mut order: Vec<_> = self.partitions.iter().map(|(id, cursor)| (cursor.largest, *id)).collect();
        order.sort_unstable();
        for (largest, partition) in order {
            if largest > hold {
                break;
            }
            if self.read_one(partition, None) {
                self.activator.activate();
                return;
            }
        }
    }

    /// Reads one quantum; true when every partition stands at its end.
    fn read_up_to(&mut self, ends: &BTreeMap<PartitionId, Offset>) -> bool {
        let mut order: Vec<_> = self
            .partitions
            .iter()
            .filter_map(|(id, cursor)| {
                let end = *ends.get(id)?;
                (cursor.position < end).then_some((cursor.largest, *id, end))
            })
            .collect();
        if order.is_empty() {
            return true;
        }
        // Epochs of this kind cannot be cut, so only the earlier ones are waited for.
        if self.earlier_bytes() >= self.throttle.in_flight_bytes_max {
            return false;
        }
        order.sort_unstable();
        for (_, partition, end) in order {
            if self.read_one(partition, Some(end)) {
                self.activator.activate();
                return false;
            }
        }
        // Nothing came although it must be there: the feed knows why, and may do better soon.
        self.activator.activate_after(RETRY_PAUSE);
        false
    }

    fn read_one(&mut self, partition: PartitionId, until: Option<Offset>) -> bool {
        let cursor = self.partitions.get_mut(&partition).expect("only partitions of the plan are read");
        let (from, records) = (cursor.position, cursor.records);
        let dropped = self.dropped.len();
        let mut intake = Receiver {
            partition,
            cursor,
            router: &mut self.router,
            future_tolerance_ms: self.future_tolerance_ms,
            event_time: self.event_time,
            dropped: &mut self.dropped,
        };
        let position = self.feed.read(partition, from, until, READ_QUANTUM_BYTES, &mut intake);
        cursor.position = position;
        // Between records there may be offsets that hold none.
        self.read += cursor.records - records;
        self.epoch_bytes += self.router.take_bytes() + (self.dropped.len() - dropped) * DROPPED_BYTES;
        position > from
    }

    fn end_epoch(&mut self, tick: Tick) -> Step {
        self.router.flush();
        self.epoch_bytes += self.router.take_bytes();
        if self.epoch_bytes > 0 {
            self.in_flight.push_back((tick.ends, std::mem::take(&mut self.epoch_bytes)));
        }
        let feed = &mut self.feed;
        let is_input = matches!(&self.plan, Some(Plan { reading: Reading::Input(_), .. }));
        let statements = self
            .partitions
            .iter_mut()
            .map(|(partition, cursor)| Statement {
                partition: *partition,
                position: cursor.position,
                largest: std::mem::replace(&mut cursor.largest_of_epoch, EventTime::MIN),
                latest: cursor.latest,
                look: if is_input { Some(cursor.position) } else { feed.look(*partition) },
                records: std::mem::take(&mut cursor.records),
                appended: cursor.appended.take(),
                last: cursor.last.take(),
            })
            .collect();
        if tick.snapshot {
            self.capture(tick.ends);
        }
        let report = self.tally();
        let next = tick.next.as_ref().map(|plan| plan.epoch);
        if let Some(plan) = &tick.next {
            self.join_partitions(&plan.reading);
        }
        self.plan = tick.next;
        Step::Ended { statements, report, next }
    }

    fn capture(&self, epoch: Epoch) {
        self.captures.add(epoch, |captured| {
            let row = |(id, cursor): (&PartitionId, &Cursor)| PartitionRow {
                largest_ms: cursor.largest.as_millis(),
                latest_ms: cursor.latest.as_millis(),
                partition: u64::from(id.0),
            };
            captured.windows.partitions.extend(self.partitions.iter().map(row));
        });
    }

    fn tally(&mut self) -> Option<Report> {
        let read = std::mem::take(&mut self.read);
        if read == 0 {
            return None;
        }
        let dropped = std::mem::take(&mut self.dropped);
        let of = |reason| dropped.iter().filter(|dropped| dropped.reason == reason).count() as u64;
        let counts = Counts {
            accepted: read,
            future: of(DropReason::Future),
            rejected: of(DropReason::Rejected),
            ..Counts::default()
        };
        let mut ledger = Ledger::default();
        for job in &self.ledger_jobs {
            ledger.add(job, counts);
        }
        Some(Report::Tally(ledger, dropped))
    }

    /// New partitions join when an epoch begins; in replay, when the journal says that they did.
    fn join_partitions(&mut self, reading: &Reading) {
        let ids = match reading {
            Reading::Live => self.feed.partitions(),
            Reading::UpTo(ends) | Reading::Input(ends) => ends.keys().copied().collect(),
        };
        for id in ids {
            if id.0 as usize % self.peers == self.index {
                let position = self.start.get(&id).copied().unwrap_or(Offset::ZERO);
                let nothing = (EventTime::MIN, EventTime::MIN);
                let (largest, latest) = self.restored.get(&id).copied().unwrap_or(nothing);
                self.partitions.entry(id).or_insert(Cursor {
                    position,
                    largest,
                    largest_of_epoch: EventTime::MIN,
                    latest,
                    records: 0,
                    appended: None,
                    last: None,
                });
            }
        }
    }
}

//! Drives a system through a workload.

use std::collections::BTreeMap;

use tidegate_model::{EventTime, Offset, PartitionId};

use super::{Begin, Client, Kind, START, Step, Workload, partition};
use crate::support::hand::Hand;
use crate::support::oracle::OracleEpoch;
use crate::support::record::{TestRecord, complete, ends};
use crate::support::system::{EpochOutcome, SystemFactory};

/// What may differ from run to run without a difference in the rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drive {
    pub workers: usize,
    /// Feeds the records of an epoch in another order, within partitions too.
    pub permute: Option<u64>,
    /// Appends the records of an epoch partition by partition, the last partition first.
    pub partition_by_partition: bool,
    /// After so many ticks another system takes over, with so many workers.
    pub recover: Option<(usize, usize)>,
}

impl Drive {
    pub fn workers(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }
}

/// What one tick brought, and of what its epoch consisted if it was journaled.
#[derive(Clone, Debug)]
pub struct Course {
    pub outcome: EpochOutcome,
    pub epoch: Option<OracleEpoch>,
}

/// Drives a new system through all steps and then to the end of the input.
pub fn drive(workload: &Workload, factory: &dyn SystemFactory, how: Drive) -> Result<Vec<Course>, String> {
    let Workload { jobs, time, partitions, .. } = workload;
    let mut run = Run {
        how,
        hand: Hand::start(factory, jobs, time, how.workers, *partitions),
        partitions: *partitions,
        clock: START,
        waiting: Vec::new(),
        sent: BTreeMap::new(),
        bound: BTreeMap::new(),
        course: Vec::new(),
        bindings: 0,
    };
    if let Some(seed) = how.permute {
        run.hand.permute_within_epoch(seed);
    }
    let mut recover = how.recover;
    for step in &workload.steps {
        if let Some((_, workers)) = recover.filter(|(ticks, _)| *ticks <= run.course.len()) {
            recover = None;
            run.append_waiting();
            run.hand.recover(factory, jobs, time, workers);
        }
        run.step(step)?;
    }
    run.end()?;
    Ok(run.course)
}

struct Run {
    how: Drive,
    hand: Hand,
    partitions: u32,
    clock: EventTime,
    /// Records of this epoch that are not appended yet.
    waiting: Vec<TestRecord>,
    /// The time of the last event of each user and session.
    sent: BTreeMap<(u8, u8), EventTime>,
    /// The offsets in the last binding.
    bound: BTreeMap<PartitionId, Offset>,
    course: Vec<Course>,
    bindings: usize,
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Records { from, kind, begin, spacing_ms, count } => {
                self.send(*from, *kind, *begin, (*spacing_ms, *count));
            }
            Step::Wait { wait_ms } => self.clock = self.clock.plus_ms(*wait_ms),
            Step::Tick { wait_ms } => {
                self.clock = self.clock.plus_ms(*wait_ms);
                self.tick()?;
            }
            Step::Pause { partition: number, paused } => {
                self.hand.pause(partition(*number, self.partitions), *paused);
            }
            Step::FailLooks { partition: number, failing } => {
                self.hand.fail_looks(partition(*number, self.partitions), *failing);
            }
            Step::AddPartition => {
                self.hand.add_partition();
                self.partitions += 1;
            }
        }
        Ok(())
    }

    fn send(&mut self, from: Client, kind: Kind, begin: Begin, (spacing_ms, count): (i64, u32)) {
        let own = self.sent.entry((from.user, from.session)).or_insert(self.clock);
        let first = match begin {
            Begin::BehindClock { lag_ms } => self.clock.minus_ms(lag_ms),
            Begin::AfterOwn { after_ms } => own.plus_ms(after_ms),
        };
        for number in 0..count {
            let time = first.plus_ms(spacing_ms * i64::from(number));
            *own = time;
            self.waiting.push(TestRecord {
                partition: partition(from.partition, self.partitions),
                offset: Offset::ZERO,
                append_time: self.clock,
                time,
                event_type: kind.event_type().to_owned(),
                user_id: format!("u{}", from.user),
                session_id: format!("s{}", from.session),
                device: from.device,
                load_time: if let Kind::PageView { load_time } = kind { load_time } else { None },
                undecodable: kind == Kind::Garbage,
            });
        }
    }

    fn append_waiting(&mut self) {
        if self.how.partition_by_partition {
            self.waiting.sort_by_key(|record| std::cmp::Reverse(record.partition));
        }
        for record in self.waiting.drain(..) {
            self.hand.append(record);
        }
    }

    fn tick(&mut self) -> Result<(), String> {
        self.append_waiting();
        let outcome = self.hand.tick(self.clock).map_err(|why| format!("{}: {why}", self.place()))?;
        let bindings = self.hand.bindings();
        let mut epoch = None;
        if outcome.journaled {
            self.bindings += 1;
            let binding = bindings.last().ok_or_else(|| format!("{}: no binding", self.place()))?;
            if binding.close_to != outcome.frontier || complete(binding.ledger.clone()) != outcome.ledger {
                return Err(format!("{}: {binding:?} is not that of {outcome:?}", self.place()));
            }
            let to = ends(binding);
            let records = self.hand.records_between(&self.bound, &to);
            epoch = Some(OracleEpoch { epoch: outcome.epoch, close_to: outcome.frontier, records });
            self.bound = to;
        }
        if bindings.len() != self.bindings {
            return Err(format!("{}: {} bindings, not {}", self.place(), bindings.len(), self.bindings));
        }
        self.course.push(Course { outcome, epoch });
        Ok(())
    }

    /// Nothing is paused any more, all is read, and the input ends.
    fn end(&mut self) -> Result<(), String> {
        for number in 0..self.partitions {
            self.hand.pause(PartitionId(number), false);
            self.hand.fail_looks(PartitionId(number), false);
        }
        self.tick()?;
        self.hand.finish();
        self.clock = self.clock.plus_ms(100);
        self.tick()
    }

    fn place(&self) -> String {
        format!("tick {} at {}, {:?}", self.course.len(), self.clock, self.how)
    }
}

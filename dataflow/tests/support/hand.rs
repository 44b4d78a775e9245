//! The hand that drives a system: it counts offsets, and checks at every tick what must hold whatever
//! the input is: the ledger adds up, and everything that was dropped is booked and listed.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::binding::Binding;
use tidegate_model::{Counts, EventTime, Offset, PartitionId};

use super::record::{Dropped, EVENT_JOBS, Reason, TestRecord, complete};
use super::system::{EpochOutcome, System, SystemFactory};

/// A system under test and what is known about its input.
pub struct Hand {
    system: Box<dyn System>,
    /// Everything appended, in order of appending.
    records: Vec<TestRecord>,
    next: BTreeMap<PartitionId, Offset>,
    paused: BTreeSet<PartitionId>,
    failing: BTreeSet<PartitionId>,
    /// How far the system must have read.
    read: BTreeMap<PartitionId, Offset>,
    dropped: Vec<Dropped>,
    frontier: EventTime,
}

impl Hand {
    pub fn start(
        factory: &dyn SystemFactory,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Self {
        let offsets: BTreeMap<_, _> =
            (0..partitions).map(|partition| (PartitionId(partition), Offset::ZERO)).collect();
        Self {
            system: factory.start(jobs, time, workers, partitions),
            records: Vec::new(),
            next: offsets.clone(),
            paused: BTreeSet::new(),
            failing: BTreeSet::new(),
            read: offsets,
            dropped: Vec::new(),
            frontier: EventTime::MIN,
        }
    }

    /// The system goes away and another one, with other workers, recovers from the log and bindings.
    pub fn recover(
        &mut self,
        factory: &dyn SystemFactory,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
    ) {
        let bindings = self.system.bindings();
        let partitions = u32::try_from(self.next.len()).expect("few partitions");
        self.system = factory.replay(jobs, time, workers, partitions, &self.records, &bindings);
        for partition in &self.paused {
            self.system.pause(*partition, true);
        }
        for partition in &self.failing {
            self.system.fail_looks(*partition, true);
        }
    }

    /// Appends; the record's offset is set here. Returns it.
    pub fn append(&mut self, record: TestRecord) -> Offset {
        let next = self.next.get_mut(&record.partition).expect("a partition of the log");
        let offset = *next;
        *next = offset.plus(1);
        let record = TestRecord { offset, ..record };
        self.records.push(record.clone());
        self.system.append(record);
        offset
    }

    /// Adds the partition of the next number.
    pub fn add_partition(&mut self) -> PartitionId {
        let partition = PartitionId(u32::try_from(self.next.len()).expect("few partitions"));
        self.next.insert(partition, Offset::ZERO);
        self.system.add_partition(partition);
        partition
    }

    pub fn has_partition(&self, partition: PartitionId) -> bool {
        self.next.contains_key(&partition)
    }

    pub fn fail_looks(&mut self, partition: PartitionId, failing: bool) {
        set(&mut self.failing, partition, failing);
        self.system.fail_looks(partition, failing);
    }

    pub fn pause(&mut self, partition: PartitionId, paused: bool) {
        set(&mut self.paused, partition, paused);
        self.system.pause(partition, paused);
    }

    pub fn finish(&mut self) {
        self.system.finish();
    }

    pub fn permute_within_epoch(&mut self, seed: u64) {
        self.system.permute_within_epoch(seed);
    }

    pub fn bindings(&self) -> Vec<Binding> {
        self.system.bindings()
    }

    /// The records of partitions up to `to` that are not below `from`.
    pub fn records_between(
        &self,
        from: &BTreeMap<PartitionId, Offset>,
        to: &BTreeMap<PartitionId, Offset>,
    ) -> Vec<TestRecord> {
        let zero = Offset::ZERO;
        let is_between = |record: &&TestRecord| {
            let from = from.get(&record.partition).unwrap_or(&zero);
            let to = to.get(&record.partition).unwrap_or(&zero);
            *from <= record.offset && record.offset < *to
        };
        self.records.iter().filter(is_between).cloned().collect()
    }

    /// Ends an epoch and checks what holds for every epoch.
    pub fn tick(&mut self, now: EventTime) -> Result<EpochOutcome, String> {
        let mut outcome = self.system.tick(now);
        outcome.ledger = complete(outcome.ledger);
        outcome.dropped.sort();
        for (partition, next) in &self.next {
            if !self.paused.contains(partition) {
                self.read.insert(*partition, *next);
            }
        }
        self.check(&outcome)?;
        Ok(outcome)
    }

    fn check(&mut self, outcome: &EpochOutcome) -> Result<(), String> {
        if outcome.frontier < self.frontier {
            return Err(format!("the frontier moves back from {} to {}", self.frontier, outcome.frontier));
        }
        if !outcome.journaled {
            let is_empty = outcome.rows.is_empty() && outcome.dropped.is_empty();
            if outcome.frontier != self.frontier || !is_empty {
                return Err(format!("an epoch that is not journaled changes something: {outcome:?}"));
            }
        }
        self.frontier = outcome.frontier;
        self.dropped.extend(outcome.dropped.iter().cloned());
        let accepted = self.read.values().map(|end| end.0).sum();
        for job in EVENT_JOBS {
            let listed = |reason: Reason| {
                let of_job = |dropped: &&Dropped| dropped.job == job || dropped.job == "*";
                let listed = self.dropped.iter().filter(of_job).filter(|dropped| dropped.reason == reason);
                listed.count() as u64
            };
            let counts = &outcome.ledger.jobs[job];
            let expected = Counts {
                accepted,
                expired: listed(Reason::Expired),
                future: listed(Reason::Future),
                rejected: listed(Reason::Rejected),
                ..*counts
            };
            if *counts != expected || !counts.adds_up() {
                return Err(format!(
                    "the ledger of {job} does not add up, or not to what was read and dropped:\n  \
                     expected {expected:?}\n  actual   {counts:?}"
                ));
            }
        }
        if outcome.ledger.jobs.len() != EVENT_JOBS.len() {
            return Err(format!("jobs in the ledger: {:?}", outcome.ledger.jobs.keys()));
        }
        Ok(())
    }
}

fn set(partitions: &mut BTreeSet<PartitionId>, partition: PartitionId, member: bool) {
    if member {
        partitions.insert(partition);
    } else {
        partitions.remove(&partition);
    }
}

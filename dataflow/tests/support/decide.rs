//! `decide`, written down a second time, from the text of section 3 of the architecture alone.

use std::collections::BTreeMap;

use tidegate_dataflow::settings::TimeSettings;
use tidegate_model::{EventTime, Offset, PartitionId, PartitionState};

use super::stand_in::Fault;

/// What is known from the last journaled epoch.
#[derive(Clone, Debug)]
pub struct Bound {
    pub now: EventTime,
    pub close_to: EventTime,
    pub partitions: BTreeMap<PartitionId, PartitionState>,
}

impl Bound {
    /// Before the first epoch.
    pub const NOTHING: Self =
        Self { now: EventTime::MIN, close_to: EventTime::MIN, partitions: BTreeMap::new() };
}

/// What the source says about a partition at the end of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    pub position: Offset,
    /// The largest min(event time, append time) of all records so far that are not of the future.
    pub largest: EventTime,
    /// The end that a look in this epoch saw, if it succeeded.
    pub look: Option<Offset>,
}

/// The next binding, or `None` when there is nothing to journal.
pub fn decide(
    bound: &Bound,
    statements: &BTreeMap<PartitionId, Statement>,
    clock: EventTime,
    finish_to: Option<EventTime>,
    time: &TimeSettings,
    fault: &Fault,
) -> Option<Bound> {
    let now = clock.max(bound.now);
    let mut partitions = BTreeMap::new();
    let mut news = false;
    for (partition, statement) in statements {
        let before = bound.partitions.get(partition);
        let moved = before.is_none_or(|before| statement.position > before.end);
        news |= moved;
        let active_at = before.filter(|_| !moved).map_or(now, |before| before.active_at);
        let state = PartitionState { end: statement.position, largest: statement.largest, active_at };
        partitions.insert(*partition, state);
    }

    let is_idle = |partition: &PartitionId| {
        let state = &partitions[partition];
        let at_its_end = match statements[partition].look {
            Some(end) => end == state.end,
            None => matches!(fault, Fault::IdleWithoutLook),
        };
        at_its_end && now.since_ms(state.active_at) >= time.idle_timeout_ms
    };
    let watermark = |partition: &PartitionId| {
        let largest = match fault {
            Fault::WatermarkPerWorker { workers } => {
                let same = |other: &PartitionId| other.0 % workers == partition.0 % workers;
                let states = partitions.iter().filter(|(other, _)| same(other));
                states.map(|(_, state)| state.largest).max().expect("the partition itself")
            }
            _ => partitions[partition].largest,
        };
        largest.minus_ms(time.bound_ms)
    };

    let smallest = partitions.keys().filter(|partition| !is_idle(partition)).map(watermark).min();
    let mut close_to = match smallest {
        Some(smallest) => bound.close_to.max(smallest),
        None if bound.close_to == EventTime::MIN => {
            // Time begins where the slowest partition that gave a record stands.
            let gave = partitions.values().filter(|state| state.largest > EventTime::MIN);
            let slowest = gave.map(|state| state.largest.min(now).minus_ms(time.bound_ms)).min();
            slowest.unwrap_or(EventTime::MIN)
        }
        None => {
            let with_the_clock = bound.close_to.plus_ms(now.since_ms(bound.now));
            bound.close_to.max(with_the_clock.min(now.minus_ms(time.bound_ms)))
        }
    };
    let mut finished = false;
    if let Some(to) = finish_to.filter(|to| *to > close_to) {
        close_to = to;
        finished = true;
    }
    let is_due = close_to > bound.close_to && now.since_ms(bound.now) >= time.quiet_journal_ms;
    (news || finished || is_due).then_some(Bound { now, close_to, partitions })
}

//! A workload that looks like a web site's: the same events for the same seed, without end.
//!
//! The visitors are those of the product's own [generator](tidegate::load): a few of them do most of it (Zipf's law),
//! in visits, each with a session id of its own. Here they get times. One device in twenty is offline now and then
//! and sends what it has gathered all at once, up to five minutes late: on smooth data even a wrong program looks
//! right. There are a hundred events in a second of event time, so that some thousands of sessions are open at once,
//! and close on the way.

mod access_log;
mod json;
mod memory;
mod sessions;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate::load::random::Random;
use tidegate::load::{Act, Visitors};
use tidegate_model::EventTime;

pub use access_log::access_log;
pub use json::JsonLines;
pub use memory::{MemoryEvent, MemoryLog, MemoryPartition};
pub(crate) use sessions::session;

/// Users, active or not.
const USERS: u32 = 100_000;
/// When it begins: 2024-03-01T00:00:00Z.
const BEGIN_MS: i64 = 1_709_251_200_000;
/// Between two events there are 10 ms in the middle.
const STEP_MS_MAX: u32 = 20;
/// How late a device may be that was offline.
pub const OFFLINE_MS_MAX: i64 = 300_000;

/// An event, before anybody wrote it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happening {
    /// When it reaches the log.
    pub arrival: EventTime,
    /// When it took place.
    pub time: EventTime,
    /// What it is.
    pub act: Act,
}

/// Makes happenings, in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Workload {
    visitors: Visitors,
    random: Random,
    clock_ms: i64,
    under_way: BinaryHeap<Reverse<Happening>>,
}

impl Workload {
    /// A workload; equal seeds make equal ones.
    pub fn new(seed: u64) -> Self {
        Self {
            visitors: Visitors::new(USERS, seed),
            random: Random::new(!seed),
            clock_ms: BEGIN_MS,
            under_way: BinaryHeap::new(),
        }
    }

    fn happen(&mut self) -> Happening {
        let random = &mut self.random;
        self.clock_ms += i64::from(random.below(STEP_MS_MAX + 1));
        let act = self.visitors.act();
        let user = act.user();
        let arrival_ms = if is_offline(user) {
            // It is online for an instant every five minutes, each device at another time.
            let phase = i64::from(user) * 1_000 % OFFLINE_MS_MAX;
            (self.clock_ms + phase).div_euclid(OFFLINE_MS_MAX) * OFFLINE_MS_MAX + OFFLINE_MS_MAX - phase
        } else if random.one_in(50) {
            self.clock_ms + i64::from(random.below(5_000))
        } else {
            self.clock_ms + i64::from(random.below(50))
        };
        Happening {
            arrival: EventTime::from_millis(arrival_ms),
            time: EventTime::from_millis(self.clock_ms),
            act,
        }
    }
}

/// The most active users are spared: each of them is a good part of all there is.
fn is_offline(user: u32) -> bool {
    user >= 100 && user.is_multiple_of(20)
}

impl Iterator for Workload {
    type Item = Happening;

    fn next(&mut self) -> Option<Happening> {
        loop {
            let clock = EventTime::from_millis(self.clock_ms);
            if self.under_way.peek().is_some_and(|Reverse(first)| first.arrival < clock) {
                return self.under_way.pop().map(|Reverse(first)| first);
            }
            let happening = self.happen();
            self.under_way.push(Reverse(happening));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_each_time_and_arrives_in_order() {
        let some: Vec<_> = Workload::new(3).take(5_000).collect();
        assert!(some.iter().copied().eq(Workload::new(3).take(5_000)));
        assert!(some.is_sorted_by_key(|one| one.arrival));
        assert!(
            some.iter()
                .all(|one| one.time <= one.arrival && one.arrival.since_ms(one.time) <= OFFLINE_MS_MAX)
        );
    }

    #[test]
    fn some_devices_are_minutes_late() {
        let late = |one: &Happening| one.arrival.since_ms(one.time) > 60_000;
        let count = Workload::new(3).take(100_000).filter(late).count();
        assert!((500..10_000).contains(&count), "{count}");
    }
}

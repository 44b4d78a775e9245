//! A workload that looks like a web site's: the same events for the same seed, without end.
//!
//! A few users do most of it (Zipf's law). They come in visits, each with a session id of its own. One device
//! in twenty is offline now and then and sends what it has gathered all at once, up to five minutes late: on
//! smooth data even a wrong program looks right. There are a hundred events in a second of event time, so that
//! some thousands of sessions are open at once, and close on the way.

mod access_log;
mod json;
mod memory;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_model::{DeviceCategory, EventTime};

use crate::random::{Random, mix};

pub use access_log::access_log;
pub use json::JsonLines;
pub use memory::{MemoryEvent, MemoryLog, MemoryPartition};

/// Users, active or not.
const USERS: u32 = 100_000;
/// When it begins: 2024-03-01T00:00:00Z.
const BEGIN_MS: i64 = 1_709_251_200_000;
/// Between two events there are 10 ms in the middle.
const STEP_MS_MAX: u32 = 20;
/// A visit goes on with the next event, except once in so many times.
const PAGES_OF_VISIT: u32 = 8;
/// How late a device may be that was offline.
pub const OFFLINE_MS_MAX: i64 = 300_000;

/// The browsers, with the category that each belongs to.
const AGENTS: [(&str, DeviceCategory); 6] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
        DeviceCategory::Desktop,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Safari/605.1.15",
        DeviceCategory::Desktop,
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0", DeviceCategory::Desktop),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Mobile/15E148 Safari/604.1",
        DeviceCategory::Mobile,
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-X910 Tablet) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
        DeviceCategory::Tablet,
    ),
    ("Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example.com/about.html)", DeviceCategory::Bot),
];

/// The event types, each as often as it stands here.
const TYPES: [&str; 10] = [
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "click",
    "add_to_cart",
    "conversion",
];

/// An event, before anybody wrote it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happening {
    /// When it reaches the log.
    pub arrival: EventTime,
    /// When it took place.
    pub time: EventTime,
    user: u32,
    visit: u32,
    event_type: &'static str,
    load_time: Option<u32>,
    /// Decides everything else about it.
    seed: u64,
}

impl Happening {
    /// The user's name.
    pub fn user_id(&self) -> String {
        format!("user-{:08}", self.user)
    }

    /// The session's name.
    pub fn session_id(&self) -> String {
        format!("sess-{:016x}", mix(u64::from(self.user) << 32 | u64::from(self.visit)))
    }

    /// The event's type.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// Milliseconds.
    pub fn load_time(&self) -> Option<u32> {
        self.load_time
    }

    /// The user agent and its category. A user has one device.
    pub fn agent(&self) -> (&'static str, DeviceCategory) {
        *Random::new(u64::from(self.user)).choose(&AGENTS)
    }
}

/// Makes happenings, in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Workload {
    random: Random,
    clock_ms: i64,
    /// The visit of each user.
    visits: Vec<u32>,
    under_way: BinaryHeap<Reverse<Happening>>,
}

impl Workload {
    /// A workload; equal seeds make equal ones.
    pub fn new(seed: u64) -> Self {
        let visits = vec![0; USERS as usize];
        Self { random: Random::new(seed), clock_ms: BEGIN_MS, visits, under_way: BinaryHeap::new() }
    }

    fn happen(&mut self) -> Happening {
        let random = &mut self.random;
        self.clock_ms += i64::from(random.below(STEP_MS_MAX + 1));
        let user = random.zipf(USERS);
        let visit = &mut self.visits[user as usize];
        *visit += u32::from(random.one_in(PAGES_OF_VISIT));
        let event_type = *random.choose(&TYPES);
        let loads = event_type == "page_view" && !random.one_in(10);
        // From 60 ms to 2 s, most of them fast.
        let load_time = loads.then(|| (60 << random.below(5)) + random.below(60));
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
            user,
            visit: *visit,
            event_type,
            load_time,
            seed: random.number(),
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

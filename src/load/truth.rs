//! What an instance has to have counted once everything is closed: the acknowledged events, window by window.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use tidegate_model::{EventTime, Tumbling};

use super::Act;

/// How many windows are kept; older ones are given up first.
const WINDOWS_MAX: usize = 10_000;

/// Acknowledged events of one window and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TruthRow {
    /// Where the window starts, in milliseconds since 1970.
    pub window_start: i64,
    /// The type.
    pub event_type: &'static str,
    /// How many events.
    pub events: u64,
    /// Of how many users.
    pub users: u64,
}

/// Counts acknowledged events by window.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    window: Tumbling,
    windows: BTreeMap<EventTime, BTreeMap<&'static str, Counted>>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    events: u64,
    users: HashSet<u32>,
}

impl Truth {
    /// Tumbling windows of this size, aligned to 1970.
    pub(super) fn new(window_ms: u32) -> Self {
        Self { window: Tumbling::new(i64::from(window_ms.max(1))), windows: BTreeMap::new() }
    }

    pub(super) fn observe(&mut self, act: &Act, time: EventTime) {
        let start = self.window.window_of(time).start;
        let counted = self.windows.entry(start).or_default().entry(act.event_type()).or_default();
        counted.events += 1;
        counted.users.insert(act.user());
        if self.windows.len() > WINDOWS_MAX {
            self.windows.pop_first();
        }
    }

    pub(super) fn rows(&self) -> Vec<TruthRow> {
        let row = |start: EventTime, event_type: &'static str, counted: &Counted| TruthRow {
            window_start: start.as_millis(),
            event_type,
            events: counted.events,
            users: counted.users.len() as u64,
        };
        let of_window = |(start, types): (&EventTime, &BTreeMap<&'static str, Counted>)| -> Vec<TruthRow> {
            types.iter().map(|(event_type, counted)| row(*start, event_type, counted)).collect()
        };
        self.windows.iter().flat_map(of_window).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Visitors;

    #[test]
    fn events_and_distinct_users_are_counted_by_window_and_type() {
        let mut truth = Truth::new(1_000);
        let mut visitors = Visitors::new(2, 1);
        let acts = [0, 0, 1].map(|user| Act { event_type: "click", ..visitors.act_of(user) });
        for (act, ms) in acts.iter().zip([-1, 0, 999]) {
            truth.observe(act, EventTime::from_millis(ms));
        }
        let row = |window_start, events, users| TruthRow { window_start, event_type: "click", events, users };
        assert_eq!(truth.rows(), [row(-1_000, 1, 1), row(0, 2, 2)]);
    }

    #[test]
    fn the_oldest_windows_are_given_up_first() {
        let mut truth = Truth::new(1);
        let act = Visitors::new(1, 1).act();
        let count = i64::try_from(WINDOWS_MAX).expect("small") + 5;
        (0..count).for_each(|ms| truth.observe(&act, EventTime::from_millis(ms)));
        let rows = truth.rows();
        assert_eq!((rows.len(), rows[0].window_start), (WINDOWS_MAX, 5));
    }
}

//! When to look at keys again: their places, by time, in steps of some seconds.
//!
//! A place stays until its time comes, although its key may have been reminded of at an earlier one since, and
//! another key may be there now. So what is told in the end goes by what the key itself says.

use std::collections::BTreeMap;

use tidegate_model::EventTime;

use super::keyed::{KeySessions, Rules};
use super::table::{Place, Table};

/// How long a step is.
const STEP_MS: i64 = 4_096;

/// Places by time.
#[derive(Debug)]
pub(super) struct Timers {
    /// The last step of which some places were due.
    begun: i64,
    /// Places of steps that have begun, each with its time.
    soon: Vec<(EventTime, Place)>,
    /// Places of each later step.
    later: BTreeMap<i64, Vec<Place>>,
}

impl Default for Timers {
    fn default() -> Self {
        Self { begun: i64::MIN, soon: Vec::new(), later: BTreeMap::new() }
    }
}

fn step_of(at: EventTime) -> i64 {
    at.as_millis().div_euclid(STEP_MS)
}

impl Timers {
    /// Makes sure that a key is looked at when the first of its sessions is due.
    pub(super) fn remind(&mut self, place: Place, held: &mut KeySessions, rules: Rules) {
        let due = held.due(rules);
        if due < held.timer {
            let step = step_of(due);
            if step <= self.begun {
                self.soon.push((due, place));
            } else if step < step_of(held.timer) {
                self.later.entry(step).or_default().push(place);
            }
            held.timer = due;
        }
    }

    /// Takes the places out whose time has come, each once.
    pub(super) fn due(&mut self, close_to: EventTime, table: &Table) -> Vec<Place> {
        let timer = |place| table.get(place).map_or(EventTime::MAX, |held| held.timer);
        self.begun = self.begun.max(step_of(close_to));
        while let Some(first) = self.later.first_entry()
            && *first.key() <= self.begun
        {
            let (step, places) = first.remove_entry();
            let with_time = places.into_iter().map(|place| (timer(place), place));
            self.soon.extend(with_time.filter(|(due, _)| step_of(*due) == step));
        }
        let soon = self.soon.extract_if(.., |(due, _)| *due <= close_to);
        let mut due: Vec<_> =
            soon.filter(|(due, place)| timer(*place) == *due).map(|(_, place)| place).collect();
        // In the order in which they lie in memory.
        due.sort_unstable();
        due.dedup();
        due
    }
}

#[cfg(test)]
mod tests;

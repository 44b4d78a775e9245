//! When to look at keys again: their places, by time, in steps that are about as long as ticks.
//!
//! A place stays until its time comes, although its key may have been reminded of at an earlier one since, and
//! another key may be there now. So it goes by what the key itself says, and that it was told of is noted there.

use std::collections::BTreeMap;

use tidegate_model::EventTime;

use super::keyed::{KeySessions, Rules};
use super::table::{Place, Table};

/// How long a step is.
const STEP_MS: i64 = 128;

/// Places by step.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<i64, Vec<Place>>);

fn step_of(at: EventTime) -> i64 {
    at.as_millis().div_euclid(STEP_MS)
}

impl Timers {
    /// Makes sure that a key is looked at when the first of its sessions is due.
    pub(super) fn remind(&mut self, place: Place, held: &mut KeySessions, rules: Rules) {
        let due = held.due(rules);
        if due < held.timer {
            if step_of(due) < step_of(held.timer) {
                self.0.entry(step_of(due)).or_default().push(place);
            }
            held.timer = due;
        }
    }

    /// Takes the places out whose time has come, each once.
    pub(super) fn due(&mut self, close_to: EventTime, table: &mut Table) -> Vec<Place> {
        let last = step_of(close_to);
        let mut due = Vec::new();
        while let Some(first) = self.0.first_entry()
            && *first.key() <= last
        {
            let (step, mut places) = first.remove_entry();
            places.retain(|place| {
                let timer = table.get(*place).map_or(EventTime::MAX, |held| held.timer);
                let is_due = timer <= close_to;
                if is_due && step_of(timer) == step {
                    table.get_mut(*place).1.timer = EventTime::MAX;
                    due.push(*place);
                }
                !is_due && step_of(timer) == step
            });
            if !places.is_empty() {
                self.0.insert(step, places);
                break;
            }
        }
        due
    }
}

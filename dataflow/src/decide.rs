//! `decide`: how far event time has come. The one place where the frontier is made.
//!
//! A pure function of the state before, of what the sources stated, and of the clock. Its result is
//! journaled with the epoch and never computed again, which is what makes replay exact.

use std::collections::BTreeMap;

use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{EventTime, PartitionId, PartitionState};

use crate::control::{Journaled, Statement};
use crate::settings::TimeSettings;
use crate::survey::{Holder, Survey, standings};

/// What the journal knows of time after an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeState {
    /// The clock; never goes back.
    pub now: EventTime,
    /// `F`; never goes back.
    pub frontier: EventTime,
    /// Where the partitions stood.
    pub partitions: BTreeMap<PartitionId, PartitionState>,
}

impl Default for TimeState {
    /// The state of a deployment that has not begun.
    fn default() -> Self {
        Self { now: EventTime::MIN, frontier: EventTime::MIN, partitions: BTreeMap::new() }
    }
}

impl TimeState {
    /// The state that a binding journaled.
    pub fn journaled(now: EventTime, journaled: Journaled) -> Self {
        Self { now, frontier: journaled.close_to, partitions: journaled.partitions }
    }
}

/// What [`decide`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state after the epoch; the state before it where the epoch is not journaled.
    pub state: TimeState,
    /// Whether the epoch is journaled. One in which nothing happened is not, and changes nothing.
    pub journal: bool,
    /// Partitions whose watermark is beyond this wait, because another one has a backlog.
    pub hold_above: EventTime,
    /// How things stand, for whoever looks on.
    pub survey: Survey,
}

impl Decision {
    /// What a journal decided before.
    pub fn journaled(
        settings: &TimeSettings,
        now: EventTime,
        journaled: Journaled,
        statements: &[Statement],
    ) -> Self {
        let state = TimeState::journaled(now, journaled);
        let standings = standings(settings, &state.partitions, statements, now);
        let survey = Survey::new(now, statements, standings, Holder::Journal);
        let journal = is_planted(Bug::ReplayEmits) && !statements.is_empty();
        Self { state, journal, hold_above: EventTime::MAX, survey }
    }
}

/// Decides the frontier of an epoch.
///
/// `close_all` is given when the input ends with this epoch: the frontier then moves at least so far.
pub fn decide(
    settings: &TimeSettings,
    previous: &TimeState,
    statements: &[Statement],
    now: EventTime,
    close_all: Option<EventTime>,
) -> Decision {
    // A clock that was set back stops time; it does not reverse it.
    let now = now.max(previous.now);
    let mut partitions = previous.partitions.clone();
    let mut progressed = false;
    for statement in statements {
        let known = partitions.get(&statement.partition).copied();
        let before = known.unwrap_or(PartitionState {
            end: statement.position,
            largest: EventTime::MIN,
            active_at: now,
        });
        let advanced = known.is_none() || statement.position > before.end;
        progressed |= advanced;
        let state = PartitionState {
            end: statement.position,
            largest: before.largest.max(statement.largest),
            active_at: if advanced { now } else { before.active_at },
        };
        partitions.insert(statement.partition, state);
    }

    let standings = standings(settings, &partitions, statements, now);
    let lowest = standings.iter().filter(|standing| {
        !(standing.idle || standing.largest == EventTime::MIN && is_planted(Bug::EmptyPartitionIgnored))
    });
    let lowest = lowest.map(|standing| standing.watermark).min();
    let reached =
        lowest.unwrap_or_else(|| clock_rate(settings, previous, &partitions, now)).max(previous.frontier);
    let frontier = reached.max(close_all.unwrap_or(EventTime::MIN));
    let finished = frontier > reached;
    let holder = if finished { Holder::EndOfInput } else { Holder::of(&standings) };
    let moved = frontier > previous.frontier;
    let rested = previous.now == EventTime::MIN || now.since_ms(previous.now) >= settings.quiet_journal_ms;
    let journal = progressed || finished || (moved && rested);
    let state = if journal { TimeState { now, frontier, partitions } } else { previous.clone() };
    let hold_above = hold_above(settings, state.frontier, statements);
    Decision { state, journal, hold_above, survey: Survey::new(now, statements, standings, holder) }
}

/// When all partitions are idle, time goes on at the clock's rate. A backfill that pauses for a minute
/// thus loses a minute, and not the years between its data and today.
///
/// Before it has begun to move, because partitions without a record held it until all went idle
/// together, it begins where the slowest of the others stands.
fn clock_rate(
    settings: &TimeSettings,
    previous: &TimeState,
    partitions: &BTreeMap<PartitionId, PartitionState>,
    now: EventTime,
) -> EventTime {
    let clock = now.minus_ms(settings.bound_ms);
    if previous.frontier == EventTime::MIN {
        let seen = partitions.values().map(|state| state.largest).filter(|largest| *largest > EventTime::MIN);
        return seen.min().map_or(EventTime::MIN, |slowest| slowest.minus_ms(settings.bound_ms).min(clock));
    }
    previous.frontier.plus_ms(now.since_ms(previous.now)).min(clock)
}

/// No partition runs far ahead of the frontier while another one has a backlog: otherwise the windows
/// that it opens stay open until the other has caught up.
fn hold_above(settings: &TimeSettings, frontier: EventTime, statements: &[Statement]) -> EventTime {
    let behind = statements.iter().filter(|s| s.look.is_none_or(|end| end > s.position)).count();
    if behind > 1 { frontier.plus_ms(settings.bound_ms + settings.lead_max_ms) } else { EventTime::MAX }
}

#[cfg(test)]
mod tests;

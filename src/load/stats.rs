//! What has happened so far: written by every connection, read by whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::latency::Latencies;
use super::report::Totals;
use super::truth::Truth;
use super::{Latency, Planned};
use crate::client::{Answer, Failure, FailureKind};
use tidegate_model::EventTime;

/// The status that acknowledges an event.
const ACCEPTED: u16 = 202;
/// How much time the figures of the last second cover.
const SECOND: Duration = Duration::from_secs(1);

/// Counts of a run, under way or over. One handle belongs to one run.
#[derive(Debug)]
pub struct LoadStats(Mutex<State>);

/// Counts at one moment. Every event that was sent is in flight or in exactly one of the four that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Since the first request was due.
    pub elapsed: Duration,
    /// Requests that are due; 0 at the rate `max`, where nothing is before it is sent.
    pub due: u64,
    /// Requests that a connection took up.
    pub sent: u64,
    /// Answered with 202.
    pub acknowledged: u64,
    /// Answered with another status.
    pub refused: u64,
    /// Surely not arrived: no connection.
    pub failed: u64,
    /// Perhaps arrived: no complete answer.
    pub unanswered: u64,
    /// The last whole second.
    pub last_second: LastSecond,
}

/// Figures of the last whole second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastSecond {
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// How long their acknowledgements took.
    pub latency: Latency,
}

#[derive(Debug)]
struct State {
    begun: Option<Instant>,
    last_end: Option<Instant>,
    due: u64,
    sent: u64,
    late: u64,
    ended: Ended,
    bytes_sent: u64,
    latencies: Latencies,
    second: Second,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<FailureKind, u64>,
    by_type: BTreeMap<&'static str, u64>,
    truth: Option<Truth>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    acknowledged: u64,
    refused: u64,
    failed: u64,
    unanswered: u64,
}

/// The second that runs, and the one before it.
#[derive(Debug)]
struct Second {
    begun: Instant,
    running: Latencies,
    last: LastSecond,
}

impl Default for LoadStats {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl LoadStats {
    /// Nothing has happened at `now`.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            begun: None,
            last_end: None,
            due: 0,
            sent: 0,
            late: 0,
            ended: Ended::default(),
            bytes_sent: 0,
            latencies: Latencies::new(),
            second: Second { begun: now, running: Latencies::new(), last: LastSecond::default() },
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            by_type: BTreeMap::new(),
            truth: None,
        }))
    }

    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut state = self.state();
        state.second.roll(now);
        let Ended { acknowledged, refused, failed, unanswered } = state.ended;
        Snapshot {
            elapsed: state.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun)),
            due: state.due,
            sent: state.sent,
            acknowledged,
            refused,
            failed,
            unanswered,
            last_second: state.second.last,
        }
    }

    pub(super) fn begin(&self, now: Instant, truth: Option<Truth>) {
        let mut state = self.state();
        state.begun = Some(now);
        state.truth = truth;
    }

    pub(super) fn is_due(&self, due: u64) {
        self.state().due = due;
    }

    pub(super) fn is_sent(&self, planned: &Planned, bytes: usize) {
        let mut state = self.state();
        state.sent += 1;
        state.late += u64::from(planned.is_late);
        state.bytes_sent += bytes as u64;
    }

    /// What became of a request that was due at `due`, and is over at `now`.
    pub(super) fn has_ended(
        &self,
        (planned, time): (&Planned, EventTime),
        result: &Result<Answer, Failure>,
        due: Instant,
        now: Instant,
    ) {
        let mut state = self.state();
        let state = &mut *state;
        state.last_end = Some(now);
        state.second.roll(now);
        let latency = now.saturating_duration_since(due);
        match result {
            Ok(answer) => {
                let status = answer.status.as_u16();
                *state.statuses.entry(status).or_default() += 1;
                if status != ACCEPTED {
                    state.ended.refused += 1;
                    return;
                }
                state.ended.acknowledged += 1;
                *state.by_type.entry(planned.act.event_type()).or_default() += 1;
                state.latencies.record(latency);
                state.second.running.record(latency);
                if let Some(truth) = &mut state.truth {
                    truth.observe(&planned.act, time);
                }
            }
            Err(failure) => {
                *state.failures.entry(failure.kind()).or_default() += 1;
                if failure.is_definite() {
                    state.ended.failed += 1;
                } else {
                    state.ended.unanswered += 1;
                }
                if failure.kind() == FailureKind::Timeout {
                    // It took that long at least; leaving it out would make a stall look fast.
                    state.latencies.record(latency);
                }
            }
        }
    }

    /// The closing counts, of a run that asked for the given rate and during which requests became due for so long.
    pub(super) fn totals(&self, asked: Option<f64>, lasted: Duration, is_interrupted: bool) -> Totals {
        let state = self.state();
        let Ended { acknowledged, refused, failed, unanswered } = state.ended;
        let elapsed = match (state.begun, state.last_end) {
            (Some(begun), Some(end)) => lasted.max(end.saturating_duration_since(begun)),
            _ => lasted,
        };
        Totals {
            asked_per_second: asked,
            elapsed_seconds: elapsed.as_secs_f64(),
            is_interrupted,
            due: if asked.is_some() { state.due } else { state.sent },
            sent: state.sent,
            late: state.late,
            acknowledged,
            refused,
            failed,
            unanswered,
            bytes_sent: state.bytes_sent,
            latency: state.latencies.read(),
            statuses: state.statuses.clone(),
            failures: state.failures.clone(),
            acknowledged_by_type: state.by_type.clone(),
            windows: state.truth.as_ref().map(Truth::rows).unwrap_or_default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the counts")
    }
}

impl Second {
    /// Ends the second that runs when it is over; after a longer silence the last one was empty.
    fn roll(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.begun);
        if since < SECOND {
            return;
        }
        let latency = if since < 2 * SECOND { self.running.read() } else { Latency::default() };
        self.last = LastSecond { acknowledged: latency.count, latency };
        self.running.clear();
        let whole = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        self.begun += SECOND * whole;
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::load::{Traffic, TrafficConfig};

    fn answer(status: StatusCode) -> Answer {
        Answer { status, retry_after: None, body: bytes::Bytes::new() }
    }

    #[test]
    fn every_event_is_counted_once_and_latency_is_of_those_that_were_kept_waiting() {
        let begun = Instant::now();
        let stats = LoadStats::new(begun);
        stats.begin(begun, None);
        let planned = Traffic::new(TrafficConfig::default()).next().expect("it has no end");
        let ms = Duration::from_millis;
        for (result, took) in [
            (Ok(answer(StatusCode::ACCEPTED)), ms(3)),
            (Ok(answer(StatusCode::OK)), ms(500)),
            (Ok(answer(StatusCode::SERVICE_UNAVAILABLE)), ms(500)),
            (Err(Failure::NotSent), ms(500)),
            (Err(Failure::Lost { reason: String::new() }), ms(500)),
            (Err(Failure::Timeout { after: ms(40) }), ms(40)),
        ] {
            stats.is_sent(&planned, 10);
            stats.has_ended((&planned, EventTime::MIN), &result, begun, begun + took);
        }
        let totals = stats.totals(None, Duration::ZERO, false);
        let counts = [totals.acknowledged, totals.refused, totals.failed, totals.unanswered];
        assert_eq!((totals.sent, counts, totals.bytes_sent), (6, [1, 2, 1, 2], 60));
        assert_eq!(totals.latency.count, 2, "the one that was acknowledged, and the one that was given up");
        assert!(totals.latency.max_ms >= 39.9 && totals.latency.max_ms < 41.0, "{:?}", totals.latency);
        assert_eq!(totals.statuses, BTreeMap::from([(200, 1), (202, 1), (503, 1)]));
    }

    #[test]
    fn the_last_second_is_a_whole_one_and_silence_empties_it() {
        let begun = Instant::now();
        let mut second = Second { begun, running: Latencies::new(), last: LastSecond::default() };
        second.running.record(Duration::from_millis(5));
        second.roll(begun + Duration::from_millis(999));
        assert_eq!(second.last.acknowledged, 0);
        second.roll(begun + Duration::from_millis(1_001));
        assert_eq!(second.last.acknowledged, 1);
        second.roll(begun + Duration::from_millis(5_500));
        assert_eq!((second.last.acknowledged, second.begun), (0, begun + Duration::from_secs(5)));
    }
}

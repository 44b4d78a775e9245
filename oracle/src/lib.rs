//! The slow oracle: the rows of every epoch, recomputed from all records and frontiers so far.
//!
//! It keeps every record it was ever given, knows nothing of workers, partial results or state that is
//! freed, and writes each rule down once, as directly as it can. Of the dataflow it uses the settings
//! only. Tests and the simulator compare the real thing with it; nothing of the product imports it.

mod overview;
pub mod record;
mod sessions;
mod windows;

use tidegate_dataflow::settings::JobSettings;
use tidegate_model::{Counts, Epoch, EventTime, Ledger, names};

use crate::record::{Dropped, EVENT_JOBS, OutRow, Reason, TestRecord};
use overview::SessionOverview;
use sessions::SessionTracker;
use windows::Windowed;

/// One journaled epoch: its records, a set, and the frontier that was decided at its end.
#[derive(Clone, Debug)]
pub struct OracleEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// `F(e)`. `F(e-1)` is that of the epoch before, `MIN` before the first.
    pub close_to: EventTime,
    /// Its records, in any order.
    pub records: Vec<TestRecord>,
}

/// What an epoch must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleOutput {
    /// Sorted.
    pub rows: Vec<OutRow>,
    /// Rows of windows that are still open and changed in this epoch, sorted.
    pub provisional: Vec<OutRow>,
    /// Sorted.
    pub dropped: Vec<Dropped>,
    /// Totals.
    pub ledger: Ledger,
}

/// What a job does with a record that has a plausible time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Counted,
    Expired,
    Filtered,
    Rejected,
}

/// A record and what became of it.
type Judged<'a> = (&'a TestRecord, Verdict);

/// All jobs over all epochs so far.
pub struct Oracle {
    future_tolerance_ms: i64,
    close_to: EventTime,
    event_aggregator: Windowed,
    performance_tracker: Windowed,
    session_tracker: SessionTracker,
    session_overview: SessionOverview,
    ledger: Ledger,
}

impl Oracle {
    /// An oracle that has seen nothing.
    pub fn new(jobs: &JobSettings, future_tolerance_ms: i64) -> Self {
        let mut ledger = Ledger::default();
        for job in EVENT_JOBS {
            ledger.add(job, Counts::default());
        }
        Self {
            future_tolerance_ms,
            close_to: EventTime::MIN,
            event_aggregator: windows::event_aggregator(jobs),
            performance_tracker: windows::performance_tracker(jobs),
            session_tracker: SessionTracker::new(jobs),
            session_overview: SessionOverview::new(jobs),
            ledger,
        }
    }

    /// From the next epoch on `job` is another one, under these settings: its windows begin after `after`, and
    /// what it had open is given up.
    pub fn begin_anew(&mut self, job: &str, jobs: &JobSettings, after: EventTime) {
        self.future_tolerance_ms = jobs.future_tolerance_ms;
        match job {
            names::EVENT_AGGREGATOR => {
                self.event_aggregator = windows::event_aggregator(jobs);
                self.event_aggregator.after = after;
            }
            names::PERFORMANCE_TRACKER => {
                self.performance_tracker = windows::performance_tracker(jobs);
                self.performance_tracker.after = after;
            }
            names::SESSION_TRACKER => {
                self.session_tracker = SessionTracker::new(jobs);
                self.session_tracker.after = after;
            }
            names::SESSION_OVERVIEW => {
                self.session_overview = SessionOverview::new(jobs);
                self.session_overview.after = after;
            }
            other => panic!("there is no job {other:?}"),
        }
    }

    /// What the next epoch must bring.
    ///
    /// # Panics
    /// When its frontier is before that of the epoch before.
    pub fn epoch(&mut self, epoch: &OracleEpoch) -> OracleOutput {
        let before = self.close_to;
        assert!(epoch.close_to >= before, "the frontier of epoch {} moves back", epoch.epoch);
        self.close_to = epoch.close_to;

        let mut dropped = Vec::new();
        let mut judgeable = Vec::new();
        for record in &epoch.records {
            let unusable = if record.undecodable {
                Some((Reason::Rejected, Counts { accepted: 1, rejected: 1, ..Counts::default() }))
            } else if record.time > record.append_time.plus_ms(self.future_tolerance_ms) {
                Some((Reason::Future, Counts { accepted: 1, future: 1, ..Counts::default() }))
            } else {
                None
            };
            if let Some((reason, counts)) = unusable {
                dropped.push(Dropped::new("*", record, reason));
                for job in EVENT_JOBS {
                    self.ledger.add(job, counts);
                }
            } else {
                judgeable.push(record);
            }
        }

        let (mut rows, mut provisional) = (Vec::new(), Vec::new());
        for job in [&mut self.event_aggregator, &mut self.performance_tracker] {
            let output = job.epoch(before, epoch.close_to, &judgeable);
            account(&mut self.ledger, &mut dropped, job.name, &output.judged);
            rows.extend(output.rows);
            provisional.extend(output.provisional);
        }
        let sessions = self.session_tracker.epoch(before, epoch.close_to, &judgeable);
        account(&mut self.ledger, &mut dropped, names::SESSION_TRACKER, &sessions.judged);
        rows.extend(sessions.rows());
        rows.extend(self.session_overview.epoch(
            before,
            epoch.close_to,
            &sessions.retracted,
            &sessions.emitted,
        ));

        rows.sort();
        provisional.sort();
        dropped.sort();
        OracleOutput { rows, provisional, dropped, ledger: self.ledger.clone() }
    }
}

/// Books what a job did with each record.
fn account(ledger: &mut Ledger, dropped: &mut Vec<Dropped>, job: &str, judged: &[Judged<'_>]) {
    for (record, verdict) in judged {
        let mut counts = Counts { accepted: 1, ..Counts::default() };
        match verdict {
            Verdict::Counted => counts.counted = 1,
            Verdict::Expired => {
                counts.expired = 1;
                dropped.push(Dropped::new(job, record, Reason::Expired));
            }
            Verdict::Filtered => counts.filtered = 1,
            Verdict::Rejected => {
                counts.rejected = 1;
                dropped.push(Dropped::new(job, record, Reason::Rejected));
            }
        }
        ledger.add(job, counts);
    }
}

//! `SessionTracker`: sessions of page views, by gap.
//!
//! A session is a maximal set of events of one user and session id of which neighbours in time are at
//! most the gap apart. It is judged as a whole: a record is late only when the whole session that it
//! falls into, formed from *all* records of the epoch, ended before the epoch began. See [`keyed`] for
//! the judgement, [`table`] for where they are kept; this file is the job around it.

mod keyed;
mod table;
mod timers;

use std::rc::Rc;

use differential_dataflow::consolidation::consolidate;
use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::row::SessionMetrics;
use tidegate_model::{DeviceCategory, EventTime, MetricRow, Op, Schema, names};
use timely::dataflow::channels::pact::Pipeline;

pub(crate) use self::table::SharedSessions;

use self::keyed::{Doubtful, Rules, Session};
use self::table::{Key, Place, Table};
use self::timers::Timers;
use crate::batch::{Batch, Row};
use crate::control::Decided;
use crate::epochs::per_epoch;
use crate::fold::{Fold, Tally};
use crate::job::{Building, Common, Job, definition};
use crate::open::OpenCounts;
use crate::report::{OutRow, Report};
use crate::settings::{JobSettings, SessionEnd};
use crate::snapshot::{Captured, Keyed};
use crate::view::report;

/// The job.
#[derive(Clone, Debug)]
pub struct SessionTracker {
    rules: Rules,
    common: Common,
    session_end: SessionEnd,
}

impl SessionTracker {
    /// The job under `settings`.
    pub fn new(settings: &JobSettings) -> Self {
        let rules = Rules { gap_ms: settings.session_gap_ms, lateness_ms: settings.allowed_lateness_ms };
        Self { rules, common: Common::of(settings), session_end: settings.session_end }
    }

    /// The row; shared, because SessionOverview reads it as well.
    fn row(&self, names: (&str, &str), session: &Session) -> Rc<SessionMetrics> {
        let end = match self.session_end {
            SessionEnd::LastEvent => session.last,
            SessionEnd::WindowEnd => session.last.plus_ms(self.rules.gap_ms),
        };
        Rc::new(SessionMetrics {
            session_id: names.0.to_owned(),
            user_id: names.1.to_owned(),
            start_time: session.start,
            end_time: end,
            duration: end.since_ms(session.start).unsigned_abs(),
            page_count: session.pages,
            device_category: session.device.as_str().to_owned(),
        })
    }
}

impl Job for SessionTracker {
    fn name(&self) -> &'static str {
        names::SESSION_TRACKER
    }

    fn schema(&self) -> &'static Schema {
        &SessionMetrics::SCHEMA
    }

    fn fields(&self) -> Fields {
        Fields::EVENT_TYPE | Fields::USER_ID | Fields::SESSION_ID | Fields::USER_AGENT
    }

    fn definition(&self) -> Definition {
        definition(
            &self.common,
            &[
                ("session_gap_ms", self.rules.gap_ms.to_string()),
                ("session_end", format!("{:?}", self.session_end)),
            ],
        )
    }

    fn closed_at(&self, time: EventTime) -> EventTime {
        time.plus_ms(self.rules.gap_ms)
    }

    fn build(&self, graph: &mut Building<'_, '_>) {
        let start = graph.start_of(self.name());
        let mut fold = Tracked {
            job: self.clone(),
            after: start.after,
            table: Table::default(),
            timers: Timers::default(),
            doubtful: Vec::new(),
            changes: Vec::new(),
            open: 0,
        };
        if let Some(restored) = graph.restored_for(self.name()) {
            let keyed = restored.keyed(graph.scope.index(), graph.scope.peers());
            keyed.for_each(|keyed| fold.restore(keyed));
        }
        let sessions = graph.by_user.fold(self.name(), start.epoch, fold);
        graph.sessions = Some(sessions.clone());
        let name = format!("{}: rows", self.name());
        let reports = per_epoch(&name, sessions, Pipeline, graph.decided.clone(), rows);
        graph.reports.push(reports);
    }
}

/// Turns an epoch's changes of sessions into rows: what is taken away and put back under the same key is
/// one correction.
fn rows(decided: &Decided, mut changes: Vec<(Rc<SessionMetrics>, isize)>, out: &mut Vec<Report>) {
    if !decided.emit {
        return;
    }
    if changes.iter().all(|(_, diff)| *diff > 0) {
        // Mostly sessions only close: their keys are distinct, and whoever reports them sorts them.
        let rows = changes.iter().map(|(session, _)| OutRow::new(&**session, Op::Final));
        out.extend(report(rows, Report::Rows));
        return;
    }
    consolidate(&mut changes);
    changes.sort_by(|(a, a_diff), (b, b_diff)| (key(a), a_diff).cmp(&(key(b), b_diff)));
    let mut rows: Vec<(Rc<SessionMetrics>, Op)> = Vec::with_capacity(changes.len());
    for (session, diff) in changes {
        match rows.last_mut() {
            Some((last, op @ Op::Retract)) if diff > 0 && key(last) == key(&session) => {
                *op = Op::Correct;
                *last = session;
            }
            _ => rows.push((session, if diff > 0 { Op::Final } else { Op::Retract })),
        }
    }
    out.extend(report(rows.iter().map(|(session, op)| OutRow::new(&**session, *op)), Report::Rows));
}

fn key(session: &SessionMetrics) -> (EventTime, &str, &str) {
    (session.start_time, &session.session_id, &session.user_id)
}

/// The sessions of this worker's users.
struct Tracked {
    job: SessionTracker,
    /// Sessions are made of events after this.
    after: EventTime,
    table: Table,
    /// When to look at a key again. A key's sessions may have grown since; then it is put back.
    timers: Timers,
    /// Records that can be judged only when the epoch is complete.
    doubtful: Vec<(Key, Doubtful, Box<str>, usize)>,
    /// Sessions that were taken back in this epoch.
    changes: Vec<(Rc<SessionMetrics>, isize)>,
    /// Sessions that are not closed.
    open: i64,
}

impl Tracked {
    fn page_view(&mut self, batch: &Batch, row: &Row, close_before: EventTime, tally: &mut Tally) {
        let key = (row.user, row.session);
        let rules = self.job.rules;
        let in_time = rules.closes_at(row.time()) > close_before;
        let one = Session::of(row.time(), row.device());
        let place = match self.table.find(key) {
            Some(place) => place,
            None if in_time => self.table.insert(key, batch.names(row)),
            None if is_planted(Bug::JudgedInArrivalOrder) => {
                tally.expire(row.position());
                return;
            }
            None => {
                self.doubt(key, batch, row);
                return;
            }
        };
        if in_time || self.table.get(place).is_some_and(|held| held.touches_open(&one, rules, close_before)) {
            self.add(place, &[one]);
            tally.counts.counted += 1;
        } else {
            self.doubt(key, batch, row);
        }
    }

    /// Adds to a key's sessions.
    fn add(&mut self, place: Place, sessions: &[Session]) {
        let Self { job, table, timers, changes, open, .. } = self;
        let (names, held) = table.get_mut(place);
        for session in sessions {
            let taken = |taken: &Session| changes.push((job.row(names, taken), -1));
            *open += held.sessions.add(*session, job.rules.gap_ms, taken);
        }
        timers.remind(place, held, job.rules);
    }

    fn doubt(&mut self, key: Key, batch: &Batch, row: &Row) {
        let (session_id, user_id) = batch.names(row);
        let doubtful = Doubtful { session: Session::of(row.time(), row.device()), at: row.position() };
        self.doubtful.push((key, doubtful, format!("{session_id}{user_id}").into(), session_id.len()));
    }

    /// Judges the records that were in doubt, now that all of the epoch are there.
    fn judge(&mut self, close_before: EventTime, tally: &mut Tally) {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.sort_by_key(|(key, doubtful, _, _)| (*key, doubtful.session.start));
        for of_key in doubtful.chunk_by(|a, b| a.0 == b.0) {
            let (key, _, names, split) = &of_key[0];
            let records: Vec<&Doubtful> = of_key.iter().map(|(_, doubtful, _, _)| doubtful).collect();
            let place = self.table.find(*key);
            let held = place.and_then(|place| self.table.get(place)).cloned().unwrap_or_default();
            let mut accepted = Vec::new();
            for component in held.components(&records, self.job.rules.gap_ms) {
                if self.job.rules.accepts(component.last, close_before) {
                    tally.counts.counted += component.records.len() as u64;
                    accepted.extend(component.records.iter().map(|record| record.session));
                } else {
                    component.records.iter().for_each(|record| tally.expire(record.at));
                }
            }
            if !accepted.is_empty() {
                let names = names.split_at(*split);
                let place = place.unwrap_or_else(|| self.table.insert(*key, names));
                self.add(place, &accepted);
            }
        }
    }

    /// Takes in what a snapshot holds.
    fn restore(&mut self, keyed: &Keyed) {
        for (row, sessions, names) in keyed.each_key() {
            let names = std::str::from_utf8(names).expect("decoding looked at it");
            let names = names.split_at(row.session_len as usize);
            let place = self.table.insert((row.user, row.session), names);
            let (_, held) = self.table.get_mut(place);
            for session in sessions {
                self.open += i64::from(session.emitted == 0);
                held.sessions.restore(session);
            }
            self.timers.remind(place, held, self.job.rules);
        }
    }

    /// Closes the sessions of a key that are due, and forgets those that can be forgotten.
    fn close(&mut self, place: Place, close_to: EventTime, out: &mut Vec<(Rc<SessionMetrics>, isize)>) {
        let Self { job, table, timers, open, .. } = self;
        let (names, held) = table.get_mut(place);
        held.timer = EventTime::MAX;
        held.sessions.close(job.rules, close_to, |closed| {
            *open -= 1;
            out.push((job.row(names, closed), 1));
        });
        if held.sessions.is_empty() {
            table.remove(place);
        } else {
            timers.remind(place, held, job.rules);
        }
    }
}

impl Fold for Tracked {
    type Data = Rc<SessionMetrics>;
    type Diff = isize;

    fn rows(&mut self, batch: &Batch, close_before: EventTime, tally: &mut Tally) {
        for row in batch.rows() {
            if row.is_page_view() && row.time() > self.after {
                self.page_view(batch, row, close_before, tally);
            } else {
                tally.counts.filtered += 1;
            }
        }
    }

    fn finish(&mut self, decided: &Decided, tally: &mut Tally, out: &mut Vec<(Rc<SessionMetrics>, isize)>) {
        self.judge(decided.close_before, tally);
        out.append(&mut self.changes);
        for place in self.timers.due(decided.close_to, &self.table) {
            self.close(place, decided.close_to, out);
        }
    }

    fn open(&self) -> OpenCounts {
        OpenCounts { sessions: self.open, ..OpenCounts::default() }
    }

    fn capture(&self, captured: &mut Captured) {
        captured.sessions = self.table.share();
    }
}

impl Session {
    fn of(time: EventTime, device: DeviceCategory) -> Self {
        Self { start: time, last: time, pages: 1, device, emitted: false }
    }
}

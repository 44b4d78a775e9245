//! `SessionTracker`: sessions of page views, by gap.
//!
//! A session is a maximal set of events of one user and session id of which neighbours in time are at
//! most the gap apart. It is judged as a whole: a record is late only when the whole session that it
//! falls into, formed from *all* records of the epoch, ended before the epoch began. See [`keyed`] for
//! the judgement; this file is the job around it.

mod keyed;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use differential_dataflow::consolidation::consolidate;
use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::row::SessionMetrics;
use tidegate_model::{DeviceCategory, EventTime, MetricRow, Op, Schema, names};
use timely::dataflow::channels::pact::Pipeline;

use self::keyed::{Doubtful, KeySessions, Rules, Session};
use crate::batch::{Batch, Row};
use crate::control::Decided;
use crate::epochs::per_epoch;
use crate::fold::{Fold, Tally};
use crate::hash::HashedMap;
use crate::job::{Building, Common, Job, definition};
use crate::open::OpenCounts;
use crate::report::{OutRow, Report};
use crate::settings::{JobSettings, SessionEnd};
use crate::snapshot::{Captured, KeyRow, Keyed};
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
            keys: HashedMap::default(),
            timers: BinaryHeap::new(),
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

/// User and session, hashed: 128 bits, so that two keys are never taken for one.
type Key = (u64, u64);

/// The sessions of this worker's users.
struct Tracked {
    job: SessionTracker,
    /// Sessions are made of events after this.
    after: EventTime,
    keys: HashedMap<Key, KeySessions>,
    /// When to look at a key again. A key's sessions may have grown since; then it is put back.
    timers: BinaryHeap<Reverse<(EventTime, Key)>>,
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
        let entry = match self.keys.entry(key) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) if in_time => {
                let (session_id, user_id) = batch.names(row);
                entry.insert(KeySessions::new(session_id, user_id))
            }
            hashbrown::hash_map::Entry::Vacant(_) => {
                if is_planted(Bug::JudgedInArrivalOrder) {
                    tally.expire(row.position());
                    return;
                }
                self.doubt(key, batch, row);
                return;
            }
        };
        if in_time || entry.touches_open(&one, rules, close_before) {
            let names = &entry.names;
            let (job, changes) = (&self.job, &mut self.changes);
            let taken = |taken: &Session| changes.push((job.row(names.pair(), taken), -1));
            self.open += entry.sessions.add(one, rules.gap_ms, taken);
            tally.counts.counted += 1;
            self.remind(key);
        } else {
            self.doubt(key, batch, row);
        }
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
            let (session_id, user_id) = names.split_at(*split);
            let entry = self.keys.entry(*key).or_insert_with(|| KeySessions::new(session_id, user_id));
            let records: Vec<&Doubtful> = of_key.iter().map(|(_, doubtful, _, _)| doubtful).collect();
            for component in entry.components(&records, self.job.rules.gap_ms) {
                if self.job.rules.accepts(component.last, close_before) {
                    tally.counts.counted += component.records.len() as u64;
                    for record in component.records {
                        let (job, changes, names) = (&self.job, &mut self.changes, &entry.names);
                        let taken = |taken: &Session| changes.push((job.row(names.pair(), taken), -1));
                        self.open += entry.sessions.add(record.session, self.job.rules.gap_ms, taken);
                    }
                } else {
                    component.records.iter().for_each(|record| tally.expire(record.at));
                }
            }
            if entry.sessions.is_empty() {
                self.keys.remove(key);
            } else {
                self.remind(*key);
            }
        }
    }

    /// Takes in what a snapshot holds.
    fn restore(&mut self, keyed: &Keyed) {
        self.keys.reserve(keyed.keys.len());
        for (row, sessions, names) in keyed.each_key() {
            let names = std::str::from_utf8(names).expect("decoding looked at it");
            let (session_id, user_id) = names.split_at(row.session_len as usize);
            let mut entry = KeySessions::new(session_id, user_id);
            for session in sessions {
                self.open += i64::from(session.emitted == 0);
                entry.sessions.restore(session);
            }
            let key = (row.user, row.session);
            self.keys.insert(key, entry);
            self.remind(key);
        }
    }

    /// Makes sure that the key is looked at when the first of its sessions closes.
    fn remind(&mut self, key: Key) {
        let entry = self.keys.get_mut(&key).expect("a key with a session is kept");
        let due = entry.due(self.job.rules);
        if due < entry.timer {
            entry.timer = due;
            self.timers.push(Reverse((due, key)));
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
        while let Some(Reverse((due, key))) = self.timers.peek().copied() {
            if due > decided.close_to {
                break;
            }
            self.timers.pop();
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            if entry.timer != due {
                // An earlier reminder of the same key took this one's place.
                continue;
            }
            entry.timer = EventTime::MAX;
            let KeySessions { names, sessions, .. } = entry;
            sessions.close(self.job.rules, decided.close_to, |closed| {
                self.open -= 1;
                out.push((self.job.row(names.pair(), closed), 1));
            });
            if sessions.is_empty() {
                self.keys.remove(&key);
            } else {
                self.remind(key);
            }
        }
    }

    fn open(&self) -> OpenCounts {
        OpenCounts { sessions: self.open, ..OpenCounts::default() }
    }

    fn capture(&self, captured: &mut Captured) {
        let keyed = &mut captured.keyed;
        keyed.keys.reserve(self.keys.len());
        keyed.sessions.reserve(self.keys.len());
        for ((user, session), entry) in &self.keys {
            let (session_id, user_id) = entry.names.pair();
            let before = keyed.sessions.len();
            keyed.sessions.extend(entry.sessions.rows());
            keyed.names.extend_from_slice(session_id.as_bytes());
            keyed.names.extend_from_slice(user_id.as_bytes());
            let length = |count: usize| u32::try_from(count).expect("no record is near 4 GiB");
            keyed.keys.push(KeyRow {
                user: *user,
                session: *session,
                session_len: length(session_id.len()),
                user_len: length(user_id.len()),
                sessions: length(keyed.sessions.len() - before),
                reserved: 0,
            });
        }
    }
}

impl Session {
    fn of(time: EventTime, device: DeviceCategory) -> Self {
        Self { start: time, last: time, pages: 1, device, emitted: false }
    }
}

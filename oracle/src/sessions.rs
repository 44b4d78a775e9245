//! `SessionTracker`: events of a key at most the gap apart belong to one session.

use std::collections::BTreeMap;
use std::mem;

use tidegate_dataflow::settings::{JobSettings, SessionEnd};
use tidegate_model::row::{Op, SessionMetrics};
use tidegate_model::{EventTime, names};

use crate::record::{OutRow, TestRecord, changes};
use crate::{Judged, Verdict};

/// Session and user.
type Key = (String, String);

/// A session and all its events, never none.
struct Session {
    records: Vec<TestRecord>,
    /// Its row, once it was closed and written.
    written: Option<SessionMetrics>,
}

/// All sessions that may still change.
pub(super) struct SessionTracker {
    gap_ms: i64,
    lateness_ms: i64,
    session_end: SessionEnd,
    /// Sessions are made of events after this.
    pub(super) after: EventTime,
    sessions: BTreeMap<Key, Vec<Session>>,
}

/// What an epoch brought.
#[derive(Default)]
pub(super) struct Output<'a> {
    /// Rows that were written in an earlier epoch and hold no longer.
    pub(super) retracted: Vec<SessionMetrics>,
    /// Rows of sessions that closed.
    pub(super) emitted: Vec<SessionMetrics>,
    pub(super) judged: Vec<Judged<'a>>,
}

impl Output<'_> {
    /// The epoch's rows: at most one for each key of the table.
    pub(super) fn rows(&self) -> Vec<OutRow> {
        let by_key = |rows: &[SessionMetrics]| {
            let keyed = rows.iter().map(|row| {
                let key = (row.start_time, row.session_id.clone(), row.user_id.clone());
                (key, OutRow::new(Op::Final, row))
            });
            let map: BTreeMap<_, _> = keyed.collect();
            assert_eq!(map.len(), rows.len(), "sessions of a key that touch are one session: {rows:?}");
            map
        };
        changes(&by_key(&self.retracted), &by_key(&self.emitted))
    }
}

/// What merges: a session known before, or an event of the epoch.
enum Part<'a> {
    Known(Session),
    New(&'a TestRecord),
}

impl Part<'_> {
    fn first(&self) -> EventTime {
        match self {
            Self::Known(session) => session.first(),
            Self::New(record) => record.time,
        }
    }

    fn last(&self) -> EventTime {
        match self {
            Self::Known(session) => session.last(),
            Self::New(record) => record.time,
        }
    }
}

impl Session {
    fn first(&self) -> EventTime {
        self.records.iter().map(|record| record.time).min().expect("a session has an event")
    }

    fn last(&self) -> EventTime {
        self.records.iter().map(|record| record.time).max().expect("a session has an event")
    }
}

impl SessionTracker {
    pub(super) fn new(jobs: &JobSettings) -> Self {
        Self {
            gap_ms: jobs.session_gap_ms,
            lateness_ms: jobs.allowed_lateness_ms,
            session_end: jobs.session_end,
            after: EventTime::MIN,
            sessions: BTreeMap::new(),
        }
    }

    pub(super) fn epoch<'a>(
        &mut self,
        before: EventTime,
        close_to: EventTime,
        records: &[&'a TestRecord],
    ) -> Output<'a> {
        let mut output = Output::default();
        let mut arrived: BTreeMap<Key, Vec<&TestRecord>> = BTreeMap::new();
        for &record in records {
            if record.event_type == names::PAGE_VIEW && record.time > self.after {
                let key = (record.session_id.clone(), record.user_id.clone());
                arrived.entry(key).or_default().push(record);
            } else {
                output.judged.push((record, Verdict::Filtered));
            }
        }
        for key in arrived.keys() {
            self.sessions.entry(key.clone()).or_default();
        }
        for (key, sessions) in mem::take(&mut self.sessions) {
            let kept = sessions.into_iter().filter(|session| self.is_kept(session, before)).map(Part::Known);
            let new = arrived.remove(&key).into_iter().flatten().map(Part::New);
            let mut after = Vec::new();
            for component in components(kept.chain(new).collect(), self.gap_ms) {
                after.extend(self.judge(component, before, &mut output));
            }
            for session in &mut after {
                if session.written.is_none() && session.last().plus_ms(self.gap_ms) <= close_to {
                    let row = self.row(&key, session);
                    output.emitted.push(row.clone());
                    session.written = Some(row);
                }
            }
            self.sessions.insert(key, after);
        }
        output
    }

    /// Whether the session can still be touched: it is open, or closed so lately that the allowed
    /// lateness keeps it.
    fn is_kept(&self, session: &Session, before: EventTime) -> bool {
        let closes = session.last().plus_ms(self.gap_ms);
        closes > before || self.lateness_ms > 0 && closes.plus_ms(self.gap_ms + self.lateness_ms) > before
    }

    /// Merges a component into one session, unless it has nothing new or the new came too late.
    fn judge<'a>(
        &self,
        component: Vec<Part<'a>>,
        before: EventTime,
        output: &mut Output<'a>,
    ) -> Vec<Session> {
        let last = component.iter().map(Part::last).max().expect("a component has a part");
        let closes = last.plus_ms(self.gap_ms);
        let on_time = closes > before;
        let corrects = self.lateness_ms > 0 && closes.plus_ms(self.lateness_ms) > before;
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for part in component {
            match part {
                Part::Known(session) => known.push(session),
                Part::New(record) => new.push(record),
            }
        }
        let verdict = if on_time || corrects { Verdict::Counted } else { Verdict::Expired };
        output.judged.extend(new.iter().map(|record| (*record, verdict)));
        if new.is_empty() || verdict == Verdict::Expired {
            return known;
        }
        let mut merged = Session { records: new.into_iter().cloned().collect(), written: None };
        for session in known {
            output.retracted.extend(session.written);
            merged.records.extend(session.records);
        }
        vec![merged]
    }

    fn row(&self, key: &Key, session: &Session) -> SessionMetrics {
        let start_time = session.first();
        let end_time = match self.session_end {
            SessionEnd::LastEvent => session.last(),
            SessionEnd::WindowEnd => session.last().plus_ms(self.gap_ms),
        };
        let devices = session.records.iter().map(|record| record.device.as_str());
        SessionMetrics {
            session_id: key.0.clone(),
            user_id: key.1.clone(),
            start_time,
            end_time,
            duration: u64::try_from(end_time.since_ms(start_time)).expect("it ends after it starts"),
            page_count: session.records.len() as u64,
            device_category: devices.max().expect("a session has an event").to_owned(),
        }
    }
}

/// Groups parts that are at most the gap apart, directly or over others.
fn components(mut parts: Vec<Part<'_>>, gap_ms: i64) -> Vec<Vec<Part<'_>>> {
    parts.sort_by_key(Part::first);
    let mut components: Vec<Vec<Part<'_>>> = Vec::new();
    let mut reaches = EventTime::MIN;
    for part in parts {
        let first = part.first();
        let last = part.last();
        match components.last_mut() {
            Some(component) if first.since_ms(reaches) <= gap_ms => {
                component.push(part);
                reaches = reaches.max(last);
            }
            _ => {
                components.push(vec![part]);
                reaches = last;
            }
        }
    }
    components
}

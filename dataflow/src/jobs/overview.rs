//! `SessionOverview`: a summary of closed sessions, derived from the rows of `SessionTracker`.
//!
//! A window over the ends of sessions is final when no session that ends in it can be open any more:
//! a gap after the window's end.

use std::rc::Rc;

use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::row::{SessionMetrics, SessionWindowMetrics};
use tidegate_model::{DeviceCategory, EventTime, MetricRow, Schema, Tumbling, names};
use timely::dataflow::operators::vec::{Filter, Map};

use crate::epochs::Change;
use crate::job::{Building, Common, Job, definition};
use crate::settings::{JobSettings, SessionEnd};
use crate::snapshot::{SumRow, Windows, device_of};
use crate::view::{Summed, Windowed, summed_view};

/// The job.
#[derive(Clone, Debug)]
pub struct SessionOverview {
    windows: Tumbling,
    gap_ms: i64,
    common: Common,
    session_end: SessionEnd,
}

impl SessionOverview {
    /// The job under `settings`.
    pub fn new(settings: &JobSettings) -> Self {
        Self {
            windows: Tumbling::new(settings.session_window_ms),
            gap_ms: settings.session_gap_ms,
            common: Common::of(settings),
            session_end: settings.session_end,
        }
    }

    /// How long after a window's end a session that ends in it may still be open.
    fn open_ms(&self) -> i64 {
        match self.session_end {
            SessionEnd::LastEvent => self.gap_ms,
            SessionEnd::WindowEnd => 0,
        }
    }
}

impl Job for SessionOverview {
    fn name(&self) -> &'static str {
        names::SESSION_OVERVIEW
    }

    fn schema(&self) -> &'static Schema {
        &SessionWindowMetrics::SCHEMA
    }

    fn fields(&self) -> Fields {
        Fields::NONE
    }

    fn reads_events(&self) -> bool {
        false
    }

    fn definition(&self) -> Definition {
        definition(
            &self.common,
            &[
                ("session_window_ms", self.windows.size_ms().to_string()),
                ("session_gap_ms", self.gap_ms.to_string()),
                ("session_end", format!("{:?}", self.session_end)),
            ],
        )
    }

    fn closed_at(&self, time: EventTime) -> EventTime {
        let session_end = match self.session_end {
            SessionEnd::LastEvent => time,
            SessionEnd::WindowEnd => time.plus_ms(self.gap_ms),
        };
        self.windows.window_of(session_end).end.plus_ms(self.open_ms())
    }

    fn build(&self, graph: &mut Building<'_, '_>) {
        let sessions = graph.sessions.clone().expect("SessionTracker is registered before this job");
        let windows = self.windows;
        let begun = graph.start_of(self.name());
        let is_ours = move |(session, epoch, _): &Change<Rc<SessionMetrics>>| {
            *epoch >= begun.epoch.0 && windows.window_of(session.end_time).start > begun.after
        };
        let changes = sessions.filter(is_ours).map(move |(session, epoch, diff)| {
            let start = windows.window_of(session.end_time).start.as_millis();
            let of = |value: u64| i64::try_from(value).expect("below 2^63") * diff as i64;
            let bounce = u64::from(session.page_count == 1);
            let sums = (diff as i64, of(bounce), of(session.duration), of(session.page_count));
            let device = DeviceCategory::from_name(&session.device_category);
            ((start, device.expect("SessionTracker writes the names")), epoch, sums)
        });
        summed_view(self.name(), changes, self, graph);
    }
}

/// Start of the window, and the device category.
type Key = (i64, DeviceCategory);
/// Sessions, bounces, milliseconds, pages.
type Sums = (i64, i64, i64, i64);

impl Windowed for SessionOverview {
    type Key = Key;
    type Value = Sums;
    type Row = SessionWindowMetrics;

    const PROVISIONAL: bool = false;

    fn final_at(&self, (start, _): &Key) -> EventTime {
        let window = self.windows.starting_at(EventTime::from_millis(*start));
        window.end.plus_ms(self.open_ms())
    }

    fn grace_ms(&self) -> i64 {
        // A closed session is corrected for so long after it could last be open.
        if self.common.lateness_ms > 0 { self.gap_ms + self.common.lateness_ms } else { 0 }
    }

    fn row(&self, (start, device): &Key, sums: &Sums) -> SessionWindowMetrics {
        let (sessions, bounces, duration_ms, pages) = *sums;
        let window = self.windows.starting_at(EventTime::from_millis(*start));
        SessionWindowMetrics {
            window_start: window.start,
            window_end: window.end,
            device_category: device.as_str().to_owned(),
            sessions: sessions.unsigned_abs(),
            bounces: bounces.unsigned_abs(),
            avg_duration: duration_ms as f64 / sessions as f64,
            avg_page_count: pages as f64 / sessions as f64,
        }
    }
}

impl Summed for SessionOverview {
    fn sum_row((start_ms, device): &Key, sums: &Sums) -> SumRow {
        let (sessions, bounces, duration_ms, pages) = *sums;
        let sums = [sessions, bounces, duration_ms, pages];
        SumRow { start_ms: *start_ms, label: *device as u64, sums }
    }

    fn sum_of(row: &SumRow) -> (Key, Sums) {
        let [sessions, bounces, duration_ms, pages] = row.sums;
        let device = device_of(row.label);
        ((row.start_ms, device), (sessions, bounces, duration_ms, pages))
    }

    fn sums_in(windows: &Windows) -> &Vec<SumRow> {
        &windows.overview
    }

    fn sums_in_mut(windows: &mut Windows) -> &mut Vec<SumRow> {
        &mut windows.overview
    }
}

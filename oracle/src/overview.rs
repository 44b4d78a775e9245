//! `SessionOverview`: tumbling windows over the rows of closed sessions, by their `end_time`.

use std::collections::BTreeMap;

use tidegate_dataflow::settings::{JobSettings, SessionEnd};
use tidegate_model::EventTime;
use tidegate_model::row::{Op, SessionMetrics, SessionWindowMetrics};
use tidegate_model::window::{Tumbling, Window};

use crate::record::{OutRow, changes};

/// Every session row that holds, and the table that follows from them.
pub(super) struct SessionOverview {
    windows: Tumbling,
    /// A window is final so long after its end: no session that ends in it can be open by then.
    final_after_ms: i64,
    /// A row of a session changes no later than so long after the end of its window.
    horizon_ms: i64,
    /// Its windows begin after this.
    pub(super) after: EventTime,
    sessions: Vec<SessionMetrics>,
    table: BTreeMap<(Window, String), OutRow>,
}

impl SessionOverview {
    pub(super) fn new(jobs: &JobSettings) -> Self {
        let final_after_ms = match jobs.session_end {
            SessionEnd::LastEvent => jobs.session_gap_ms,
            SessionEnd::WindowEnd => 0,
        };
        let horizon_ms = match jobs.allowed_lateness_ms {
            0 => final_after_ms,
            lateness_ms => 2 * jobs.session_gap_ms + lateness_ms,
        };
        Self {
            windows: Tumbling::new(jobs.session_window_ms),
            final_after_ms,
            horizon_ms,
            after: EventTime::MIN,
            sessions: Vec::new(),
            table: BTreeMap::new(),
        }
    }

    pub(super) fn epoch(
        &mut self,
        before: EventTime,
        close_to: EventTime,
        retracted: &[SessionMetrics],
        emitted: &[SessionMetrics],
    ) -> Vec<OutRow> {
        let is_ours = |row: &&SessionMetrics| self.windows.window_of(row.end_time).start > self.after;
        let retracted: Vec<_> = retracted.iter().filter(is_ours).collect();
        let emitted: Vec<_> = emitted.iter().filter(is_ours).collect();
        // This oracle frees nothing. That a system may do so at the horizon is shown here.
        for row in retracted.iter().chain(&emitted) {
            let end = self.windows.window_of(row.end_time).end;
            assert!(end.plus_ms(self.horizon_ms) > before, "{row:?} changes beyond the horizon of {before}");
        }
        for row in retracted {
            let at = self.sessions.iter().position(|session| session == row);
            self.sessions.swap_remove(at.expect("only a row that was written is retracted"));
        }
        self.sessions.extend(emitted.into_iter().cloned());

        let mut groups: BTreeMap<(Window, String), Vec<&SessionMetrics>> = BTreeMap::new();
        for session in &self.sessions {
            let window = self.windows.window_of(session.end_time);
            if window.end.plus_ms(self.final_after_ms) <= close_to {
                groups.entry((window, session.device_category.clone())).or_default().push(session);
            }
        }
        let table = groups.into_iter().map(|(key, sessions)| {
            let row = OutRow::new(Op::Final, &summary(key.0, &key.1, &sessions));
            (key, row)
        });
        let table = table.collect();
        let rows = changes(&self.table, &table);
        self.table = table;
        rows
    }
}

fn summary(window: Window, device: &str, sessions: &[&SessionMetrics]) -> SessionWindowMetrics {
    let mean = |of: fn(&SessionMetrics) -> u64| {
        sessions.iter().map(|session| of(session)).sum::<u64>() as f64 / sessions.len() as f64
    };
    SessionWindowMetrics {
        window_start: window.start,
        window_end: window.end,
        device_category: device.to_owned(),
        sessions: sessions.len() as u64,
        bounces: sessions.iter().filter(|session| session.page_count == 1).count() as u64,
        avg_duration: mean(|session| session.duration),
        avg_page_count: mean(|session| session.page_count),
    }
}

//! What an epoch brought, in the words of a scenario file.

use serde::de::DeserializeOwned;
use tidegate_model::names;
use tidegate_model::row::{
    EventMetrics, MetricRow, PerformanceMetrics, SessionMetrics, SessionWindowMetrics,
};

use super::words::show_instant as at;
use crate::support::record::{Dropped, OutRow};

/// `row session_metrics final s1 u1 …`
pub(super) fn row(row: &OutRow) -> String {
    format!("row {} {} {}", row.table, row.op.as_str(), fields(row))
}

/// `provisional event_metrics 12:00:00 …`
pub(super) fn provisional(row: &OutRow) -> String {
    format!("provisional {} {}", row.table, fields(row))
}

/// `dropped EventAggregator p0 #3 expired`
pub(super) fn dropped(dropped: &Dropped) -> String {
    let Dropped { job, partition, offset, reason } = dropped;
    format!("dropped {job} p{partition} #{offset} {}", reason.as_str())
}

/// The table that shows what a job counted.
pub(super) fn table_of(job: &str) -> Option<&'static str> {
    match job {
        names::EVENT_AGGREGATOR => Some(EventMetrics::SCHEMA.table),
        names::SESSION_TRACKER => Some(SessionMetrics::SCHEMA.table),
        names::PERFORMANCE_TRACKER => Some(PerformanceMetrics::SCHEMA.table),
        _ => None,
    }
}

fn fields(row: &OutRow) -> String {
    if row.table == EventMetrics::SCHEMA.table {
        let EventMetrics { window_start, event_type, event_count, user_count, .. } = parse(row);
        format!("{} {event_type} count={event_count} users={user_count}", at(window_start))
    } else if row.table == SessionMetrics::SCHEMA.table {
        let session: SessionMetrics = parse(row);
        let SessionMetrics { session_id, user_id, duration, page_count, device_category, .. } = &session;
        let (start, end) = (at(session.start_time), at(session.end_time));
        format!(
            "{session_id} {user_id} {start} {end} duration={duration} pages={page_count} {device_category}"
        )
    } else if row.table == PerformanceMetrics::SCHEMA.table {
        let PerformanceMetrics { window_start, device_category, avg_load_time, p95_load_time, .. } =
            parse(row);
        format!("{} {device_category} avg={avg_load_time} p95={p95_load_time}", at(window_start))
    } else {
        let window: SessionWindowMetrics = parse(row);
        let SessionWindowMetrics { device_category, sessions, bounces, avg_duration, .. } = &window;
        let (start, pages) = (at(window.window_start), window.avg_page_count);
        format!(
            "{start} {device_category} sessions={sessions} bounces={bounces} \
             avg_duration={avg_duration} avg_pages={pages}"
        )
    }
}

fn parse<R: DeserializeOwned>(row: &OutRow) -> R {
    serde_json::from_str(&row.json).unwrap_or_else(|why| panic!("{}: {why}: {}", row.table, row.json))
}

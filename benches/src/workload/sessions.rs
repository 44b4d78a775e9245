//! Rows of sessions, each another one, as many as are wanted.

use tidegate_model::row::SessionMetrics;
use tidegate_model::{DeviceCategory, EventTime};

/// The row of a session.
pub(crate) fn session(number: usize) -> SessionMetrics {
    let start = 1_600_000_000_000 + i64::try_from(number).expect("a few millions");
    SessionMetrics {
        session_id: format!("session-{number:012}"),
        user_id: format!("user-{:09}", number / 3),
        start_time: EventTime::from_millis(start),
        end_time: EventTime::from_millis(start + 95_000),
        duration: 95_000,
        page_count: 4,
        device_category: DeviceCategory::ALL[number % DeviceCategory::ALL.len()].to_string(),
    }
}

//! What decides rows and time: plain data, with the defaults of contract section 3.

use serde::{Deserialize, Serialize};

/// What decides the rows of the jobs. Processes of one dataflow tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSettings {
    /// Size of the windows of `event_metrics`.
    pub event_window_ms: i64,
    /// Size of the windows of `performance_metrics`.
    pub performance_window_ms: i64,
    /// Size of the windows of `session_window_metrics`.
    pub session_window_ms: i64,
    /// Events of a session are at most so far apart.
    pub session_gap_ms: i64,
    /// How long after its end a window or session may still be corrected.
    pub allowed_lateness_ms: i64,
    /// The event types that `EventAggregator` counts.
    pub allowed_event_types: Vec<String>,
    /// What a session's `end_time` is.
    pub session_end: SessionEnd,
    /// What an event's time is.
    pub event_time: EventClock,
    /// An event time may be so far ahead of the append time; beyond it, the event is of the future.
    pub future_tolerance_ms: i64,
}

/// What an event's time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventClock {
    /// Its own timestamp: event time.
    #[default]
    Timestamp,
    /// When the log received it: processing time.
    Append,
}

/// What a session's `end_time` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The time of its last event.
    #[default]
    LastEvent,
    /// The end of its window in the old stack: the gap later.
    WindowEnd,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            event_window_ms: 60_000,
            performance_window_ms: 300_000,
            session_window_ms: 300_000,
            session_gap_ms: 1_800_000,
            allowed_lateness_ms: 0,
            allowed_event_types: ["page_view", "click", "conversion", "add_to_cart"]
                .map(str::to_owned)
                .to_vec(),
            session_end: SessionEnd::default(),
            event_time: EventClock::default(),
            future_tolerance_ms: 60_000,
        }
    }
}

/// What moves the frontier. These may change from run to run: their results are journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSettings {
    /// How far the frontier stays behind the largest event time; 0 in processing time.
    pub bound_ms: i64,
    /// A partition that is at its end and silent for so long does not hold the frontier back.
    pub idle_timeout_ms: i64,
    /// No partition is read so far ahead of the frontier while another has a backlog.
    pub lead_max_ms: i64,
    /// While nothing arrives, the frontier is journaled no more often than this.
    pub quiet_journal_ms: i64,
}

impl Default for TimeSettings {
    fn default() -> Self {
        Self { bound_ms: 10_000, idle_timeout_ms: 5_000, lead_max_ms: 600_000, quiet_journal_ms: 1_000 }
    }
}

//! Names that the outside sees (contract sections 2 and 3).

/// Provisional rows of open windows.
pub const LIVE_METRICS: &str = "live_metrics";
/// Records that no window counts, as they came.
pub const DROPPED_EVENTS: &str = "dropped_events";

/// The job that counts events and users.
pub const EVENT_AGGREGATOR: &str = "EventAggregator";
/// The job that finds sessions.
pub const SESSION_TRACKER: &str = "SessionTracker";
/// The job that summarises closed sessions.
pub const SESSION_OVERVIEW: &str = "SessionOverview";
/// The job that measures load times.
pub const PERFORMANCE_TRACKER: &str = "PerformanceTracker";

/// The event type that sessions and load times are made of.
pub const PAGE_VIEW: &str = "page_view";

//! What can be chosen among, and the words for it.

use tidegate_dataflow::settings::SessionEnd;

/// What the time of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMode {
    /// The event's own `timestamp`.
    Event,
    /// The log's clock when the event was appended.
    Processing,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What cannot go on.
    Error,
    /// What someone should look at.
    Warn,
    /// What happens once in a while.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Where a new deployment starts to read a topic that already has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupMode {
    /// With the oldest one kept.
    Earliest,
    /// With the next one.
    Latest,
}

/// What the lines of imported files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// Each file's first lines tell.
    Auto,
    /// One event as JSON on each line.
    Json,
    /// Common or Combined Log Format.
    AccessLog,
}

/// The words for [`SessionEnd`].
pub(in crate::config) const SESSION_ENDS: &[(&str, SessionEnd)] =
    &[("last_event", SessionEnd::LastEvent), ("window_end", SessionEnd::WindowEnd)];
/// The words for [`TimeMode`].
pub(in crate::config) const TIME_MODES: &[(&str, TimeMode)] =
    &[("event_time", TimeMode::Event), ("processing_time", TimeMode::Processing)];
/// The words for [`LogLevel`].
pub(in crate::config) const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
/// The words for [`StartupMode`].
pub(in crate::config) const STARTUP_MODES: &[(&str, StartupMode)] =
    &[("earliest-offset", StartupMode::Earliest), ("latest-offset", StartupMode::Latest)];
/// The words for [`InputFormat`].
pub(in crate::config) const INPUT_FORMATS: &[(&str, InputFormat)] =
    &[("auto", InputFormat::Auto), ("json", InputFormat::Json), ("access-log", InputFormat::AccessLog)];

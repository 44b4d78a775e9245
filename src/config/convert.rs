//! What other crates take, made from the configuration.

use std::time::Duration;

use tidegate_dataflow::settings::{EventClock, JobSettings, TimeSettings};

use super::{Config, TimeMode};

impl Config {
    /// What decides the rows.
    pub fn job_settings(&self) -> JobSettings {
        JobSettings {
            event_window_ms: self.event_window_ms,
            performance_window_ms: self.performance_window_ms,
            session_window_ms: self.session_window_ms,
            session_gap_ms: self.session_gap_ms,
            allowed_lateness_ms: self.allowed_lateness_ms,
            allowed_event_types: self.allowed_event_types.clone(),
            session_end: self.session_end,
            event_time: match self.time_mode {
                TimeMode::Event => EventClock::Timestamp,
                TimeMode::Processing => EventClock::Append,
            },
            future_tolerance_ms: self.future_tolerance_ms,
        }
    }

    /// What decides the rows of an import: always event time.
    pub fn import_job_settings(&self) -> JobSettings {
        JobSettings { event_time: EventClock::Timestamp, ..self.job_settings() }
    }

    /// What moves the frontier of live traffic.
    pub fn time_settings(&self) -> TimeSettings {
        TimeSettings {
            bound_ms: match self.time_mode {
                TimeMode::Event => self.watermark_bound_ms,
                TimeMode::Processing => 0,
            },
            idle_timeout_ms: self.idle_timeout_ms,
            lead_max_ms: self.lead_max_ms,
            quiet_journal_ms: self.quiet_journal_ms,
        }
    }

    /// What moves the frontier of an import: always event time, with the bound of its own.
    pub fn import_time_settings(&self) -> TimeSettings {
        TimeSettings { bound_ms: self.import_max_disorder_ms, ..self.time_settings() }
    }

    /// What one peer of any listener may hold.
    pub fn http_limits(&self) -> tidegate_server::Limits {
        tidegate_server::Limits {
            header_timeout: duration(self.http_header_timeout_ms),
            header_bytes_max: size(self.http_header_bytes_max),
            connections_max: size(self.http_connections_max),
            write_timeout: duration(self.http_write_timeout_ms),
        }
    }

    /// The number of worker threads.
    pub fn worker_threads(&self) -> usize {
        usize::try_from(self.workers).expect("the table allows 256 at most")
    }
}

/// A setting that is a duration; the table allows no negative one.
pub(crate) fn duration(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// A setting that is a size or a number of something in memory.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

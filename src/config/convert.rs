//! What other crates take, made from the configuration.

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

    /// The number of worker threads.
    pub fn worker_threads(&self) -> usize {
        usize::try_from(self.workers).expect("the table allows 256 at most")
    }
}

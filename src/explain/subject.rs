//! What can be explained, and the rules by which its rows were made.
//!
//! The rules come from the definition that the newest binding carries, and not from the configuration: they
//! are those that the rows follow, whatever the command line says.

use std::fmt::Debug;
use std::str::FromStr;

use tidegate_dataflow::settings::{EventClock, SessionEnd};
use tidegate_model::binding::Definition;
use tidegate_model::{EventTime, Schema, Tumbling, Window, names};

/// A table, and the job that makes its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Events and users by type.
    Events,
    /// Load times by device category.
    Performance,
    /// Sessions.
    Sessions,
    /// Closed sessions by device category.
    SessionWindows,
}

impl Subject {
    const ALL: [Self; 4] = [Self::Events, Self::Performance, Self::SessionWindows, Self::Sessions];

    /// The job, as the ledger calls it.
    pub(crate) const fn job(self) -> &'static str {
        match self {
            Self::Events => names::EVENT_AGGREGATOR,
            Self::Performance => names::PERFORMANCE_TRACKER,
            Self::Sessions => names::SESSION_TRACKER,
            Self::SessionWindows => names::SESSION_OVERVIEW,
        }
    }

    /// The table.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Events => "event_metrics",
            Self::Performance => "performance_metrics",
            Self::Sessions => "session_metrics",
            Self::SessionWindows => "session_window_metrics",
        }
    }

    /// The column that `--key` speaks of.
    pub(crate) const fn key_column(self) -> &'static str {
        match self {
            Self::Events => "event_type",
            Self::Performance | Self::SessionWindows => "device_category",
            Self::Sessions => "session_id",
        }
    }

    /// The columns of its table.
    pub(crate) fn schema(self) -> &'static Schema {
        Schema::of_table(self.table()).expect("every subject has a table")
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = |subject: &Self| [subject.table(), subject.job()].contains(&name);
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let all = Self::ALL.map(|subject| format!("{} ({})", subject.table(), subject.job()));
            format!("there is no such job; there are {}", all.join(", "))
        })
    }
}

/// What decides the rows of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The windows; sessions have none.
    pub(crate) windows: Option<Tumbling>,
    /// 0 where there are no sessions.
    pub(crate) gap_ms: i64,
    pub(crate) lateness_ms: i64,
    pub(crate) tolerance_ms: i64,
    pub(crate) event_time: EventClock,
    pub(crate) session_end: SessionEnd,
    /// The types of events that are counted; empty where the type does not matter.
    pub(crate) types: Vec<String>,
}

/// The definition does not say what a definition of the job says: it is damaged, or of a later version.
#[derive(Debug, thiserror::Error)]
#[error(
    "the definition of {job} in the newest binding has {setting} = {value:?}, which this version cannot read"
)]
pub(crate) struct UnknownRule {
    job: &'static str,
    setting: &'static str,
    value: Option<String>,
}

impl Rules {
    /// Reads the definition of the subject's job.
    pub(crate) fn read(subject: Subject, definition: &Definition) -> Result<Self, UnknownRule> {
        let text = |setting: &'static str| definition.settings.get(setting).cloned();
        let unknown =
            |setting: &'static str| UnknownRule { job: subject.job(), setting, value: text(setting) };
        let number = |setting: &'static str| {
            text(setting).and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| unknown(setting))
        };
        let size = |setting: &'static str| {
            let size = number(setting)?;
            if size > 0 { Ok(Some(Tumbling::new(size))) } else { Err(unknown(setting)) }
        };
        let sessions = matches!(subject, Subject::Sessions | Subject::SessionWindows);
        Ok(Self {
            windows: match subject {
                Subject::Events => size("event_window_ms")?,
                Subject::Performance => size("performance_window_ms")?,
                Subject::SessionWindows => size("session_window_ms")?,
                Subject::Sessions => None,
            },
            gap_ms: if sessions { number("session_gap_ms")? } else { 0 },
            lateness_ms: number("allowed_lateness_ms")?,
            tolerance_ms: number("future_tolerance_ms")?,
            event_time: one_of(text("event_time"), [EventClock::Timestamp, EventClock::Append])
                .ok_or_else(|| unknown("event_time"))?,
            session_end: if sessions {
                one_of(text("session_end"), [SessionEnd::LastEvent, SessionEnd::WindowEnd])
                    .ok_or_else(|| unknown("session_end"))?
            } else {
                SessionEnd::default()
            },
            types: match subject {
                Subject::Events => text("allowed_event_types")
                    .and_then(|list| serde_json::from_str(&list).ok())
                    .ok_or_else(|| unknown("allowed_event_types"))?,
                _ => Vec::new(),
            },
        })
    }

    /// The window that the instant falls into.
    pub(crate) fn window_of(&self, instant: EventTime) -> Option<Window> {
        self.windows.map(|windows| windows.window_of(instant))
    }

    /// Whether an event at `time` may count in what the instant falls into.
    pub(crate) fn is_near(&self, instant: EventTime, time: EventTime) -> bool {
        self.window_of(instant).is_none_or(|window| window.start <= time && time < window.end)
    }

    /// The frontier at which a window's row is final, or that of a session whose last event was at `end`.
    pub(crate) fn final_at(&self, end: EventTime) -> EventTime {
        match (self.windows, self.session_end) {
            // A session that ends in the window may be open for a gap after it.
            (Some(_), SessionEnd::LastEvent) | (None, _) => end.plus_ms(self.gap_ms),
            (Some(_), SessionEnd::WindowEnd) => end,
        }
    }

    /// The frontier from which on nothing corrects the row any more.
    pub(crate) fn settled_at(&self, end: EventTime) -> EventTime {
        let grace_ms = if self.lateness_ms == 0 { 0 } else { self.gap_ms + self.lateness_ms };
        self.final_at(end).plus_ms(grace_ms)
    }

    /// The last event of a session, from the `end_time` of its row.
    pub(crate) fn last_event(&self, end_time: EventTime) -> EventTime {
        match self.session_end {
            SessionEnd::LastEvent => end_time,
            SessionEnd::WindowEnd => end_time.minus_ms(self.gap_ms),
        }
    }
}

/// The value whose name, as definitions write it, is `text`.
fn one_of<T: Copy + Debug>(text: Option<String>, values: [T; 2]) -> Option<T> {
    let text = text?;
    values.into_iter().find(|value| format!("{value:?}") == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_dataflow::job::definitions;
    use tidegate_dataflow::settings::JobSettings;

    /// The definitions are written elsewhere; should a name change there, this notices.
    #[test]
    fn the_definition_of_every_job_is_understood() {
        let settings = JobSettings { allowed_lateness_ms: 5, ..JobSettings::default() };
        for (subject, size, gap) in [
            (Subject::Events, Some(60_000), 0),
            (Subject::Performance, Some(300_000), 0),
            (Subject::SessionWindows, Some(300_000), 1_800_000),
            (Subject::Sessions, None, 1_800_000),
        ] {
            let rules = Rules::read(subject, &definitions(&settings)[subject.job()]).expect("it is read");
            assert_eq!((rules.windows.map(Tumbling::size_ms), rules.gap_ms), (size, gap), "{subject:?}");
            assert_eq!((rules.lateness_ms, rules.tolerance_ms), (5, 60_000), "{subject:?}");
        }
        let empty = Definition { settings: [].into() };
        let error = Rules::read(Subject::Events, &empty).expect_err("nothing is said").to_string();
        assert!(error.contains("EventAggregator") && error.contains("event_window_ms = None"), "{error}");
    }

    #[test]
    fn a_row_is_final_and_settled_where_its_job_says_so() {
        let rules = |subject: Subject, lateness_ms, session_end| {
            let settings = JobSettings {
                session_gap_ms: 10,
                allowed_lateness_ms: lateness_ms,
                session_end,
                ..JobSettings::default()
            };
            Rules::read(subject, &definitions(&settings)[subject.job()]).expect("it is read")
        };
        let (last, window) = (SessionEnd::LastEvent, SessionEnd::WindowEnd);
        for (subject, lateness, session_end, final_at, settled_at) in [
            (Subject::Events, 0, last, 100, 100),
            (Subject::Events, 5, last, 100, 105),
            (Subject::Sessions, 0, last, 110, 110),
            (Subject::Sessions, 5, last, 110, 125),
            (Subject::SessionWindows, 0, last, 110, 110),
            (Subject::SessionWindows, 5, last, 110, 125),
            (Subject::SessionWindows, 5, window, 100, 115),
        ] {
            let rules = rules(subject, lateness, session_end);
            let end = EventTime::from_millis(100);
            let found = (rules.final_at(end).as_millis(), rules.settled_at(end).as_millis());
            assert_eq!(found, (final_at, settled_at), "{subject:?} {lateness} {session_end:?}");
        }
    }

    #[test]
    fn a_job_has_two_names() {
        assert_eq!("event_metrics".parse(), Ok(Subject::Events));
        assert_eq!("SessionTracker".parse(), Ok(Subject::Sessions));
        let error = "clicks".parse::<Subject>().expect_err("there is none");
        assert!(error.contains("performance_metrics (PerformanceTracker)"), "{error}");
    }
}

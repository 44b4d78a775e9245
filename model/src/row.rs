//! Rows of the metric tables (contract sections 2 and 4), and the schema from which their topic, their
//! table, their keys and their routes follow.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::time::EventTime;

/// The type of a column, in terms that every store can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// An instant in milliseconds: `DateTime64(3)`; an RFC 3339 string in JSON.
    Instant,
    /// A string.
    Text,
    /// A number from 0 to 2^64 − 1.
    UInt,
    /// A 64-bit floating point number.
    Float,
}

/// A column of a metric table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, the same in JSON and in the tables.
    pub name: &'static str,
    /// The type.
    pub kind: ColumnType,
}

const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind }
}

/// What there is to know about the rows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The table; the topic has the same name unless it is configured otherwise.
    pub table: &'static str,
    /// The job that makes the rows.
    pub job: &'static str,
    /// The columns, in the order in which JSON and tables show them.
    pub columns: &'static [Column],
    /// The columns that name a row: no two rows of a table agree in all of them.
    pub key: &'static [&'static str],
    /// How the cache holds its windows; `None` when it does not.
    pub cache: Option<CacheView>,
}

/// How the rows of a table are cached: a hash for each window, with a field for each label and column,
/// such as `page_view.count` (contract sections 5 and 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheView {
    /// The word in the names of keys: `metrics:<kind>:{window_start_ms}`.
    pub kind: &'static str,
    /// The word in the routes of the API: `/metrics/<route>/windows`.
    pub route: &'static str,
    /// The column whose value is the first half of a field's name.
    pub label: &'static str,
    /// The columns that are cached, each with the second half of the field's name.
    pub fields: &'static [(&'static str, &'static str)],
    /// Whether windows have provisional values while they are open.
    pub live: bool,
}

impl Schema {
    /// Every metric table.
    pub const ALL: [&'static Self; 4] = [
        &EventMetrics::SCHEMA,
        &SessionMetrics::SCHEMA,
        &PerformanceMetrics::SCHEMA,
        &SessionWindowMetrics::SCHEMA,
    ];

    /// The schema of the table of that name.
    pub fn of_table(table: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|schema| schema.table == table)
    }
}

/// A row of a metric table.
pub trait MetricRow: Clone + fmt::Debug + Serialize + DeserializeOwned + Send + 'static {
    /// Its table and columns.
    const SCHEMA: Schema;

    /// The job's key, which is the key of the row's message in the log: all rows of a key lie in one
    /// partition, in order.
    fn message_key(&self) -> String;
}

/// What a row in the log does to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Takes the row of this key away.
    Retract,
    /// The first row of this key.
    Final,
    /// Replaces the row of this key.
    Correct,
}

impl Op {
    /// The value of the header `op`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retract => "retract",
            Self::Final => "final",
            Self::Correct => "correct",
        }
    }

    /// Reads the header `op`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Retract, Self::Final, Self::Correct].into_iter().find(|op| op.as_str() == text)
    }
}

/// Events and users of one type in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetrics {
    /// Start of the window.
    pub window_start: EventTime,
    /// End of the window, exclusive.
    pub window_end: EventTime,
    /// The type of the events.
    pub event_type: String,
    /// Number of events.
    pub event_count: u64,
    /// Number of distinct users.
    pub user_count: u64,
}

impl MetricRow for EventMetrics {
    const SCHEMA: Schema = Schema {
        table: "event_metrics",
        job: names::EVENT_AGGREGATOR,
        columns: &[
            column("window_start", ColumnType::Instant),
            column("window_end", ColumnType::Instant),
            column("event_type", ColumnType::Text),
            column("event_count", ColumnType::UInt),
            column("user_count", ColumnType::UInt),
        ],
        key: &["window_start", "event_type", "window_end"],
        cache: Some(CacheView {
            kind: "event",
            route: "event",
            label: "event_type",
            fields: &[("event_count", "count"), ("user_count", "users")],
            live: true,
        }),
    };

    fn message_key(&self) -> String {
        self.event_type.clone()
    }
}

/// One session of one user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionMetrics {
    /// The session's name, as the client chose it.
    pub session_id: String,
    /// The user.
    pub user_id: String,
    /// Time of the first event.
    pub start_time: EventTime,
    /// Time of the last event (or the end of Flink's window, where the deployment says so).
    pub end_time: EventTime,
    /// `end_time − start_time`, in milliseconds.
    pub duration: u64,
    /// Number of page views.
    pub page_count: u64,
    /// The device category, the largest by name of those seen.
    pub device_category: String,
}

impl MetricRow for SessionMetrics {
    const SCHEMA: Schema = Schema {
        table: "session_metrics",
        job: names::SESSION_TRACKER,
        columns: &[
            column("session_id", ColumnType::Text),
            column("user_id", ColumnType::Text),
            column("start_time", ColumnType::Instant),
            column("end_time", ColumnType::Instant),
            column("duration", ColumnType::UInt),
            column("page_count", ColumnType::UInt),
            column("device_category", ColumnType::Text),
        ],
        key: &["start_time", "session_id", "user_id"],
        cache: None,
    };

    fn message_key(&self) -> String {
        format!("{}|{}", self.session_id, self.user_id)
    }
}

/// Load times of one device category in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceMetrics {
    /// Start of the window.
    pub window_start: EventTime,
    /// End of the window, exclusive.
    pub window_end: EventTime,
    /// The device category.
    pub device_category: String,
    /// Mean load time, in milliseconds.
    pub avg_load_time: f64,
    /// 95th percentile of the load times, in milliseconds, interpolated between ranks.
    pub p95_load_time: f64,
}

impl MetricRow for PerformanceMetrics {
    const SCHEMA: Schema = Schema {
        table: "performance_metrics",
        job: names::PERFORMANCE_TRACKER,
        columns: &[
            column("window_start", ColumnType::Instant),
            column("window_end", ColumnType::Instant),
            column("device_category", ColumnType::Text),
            column("avg_load_time", ColumnType::Float),
            column("p95_load_time", ColumnType::Float),
        ],
        key: &["window_start", "device_category", "window_end"],
        cache: Some(CacheView {
            kind: "perf",
            route: "performance",
            label: "device_category",
            fields: &[("avg_load_time", "avg_load_time"), ("p95_load_time", "p95_load_time")],
            live: true,
        }),
    };

    fn message_key(&self) -> String {
        self.device_category.clone()
    }
}

/// Closed sessions of one device category whose end falls into one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionWindowMetrics {
    /// Start of the window.
    pub window_start: EventTime,
    /// End of the window, exclusive.
    pub window_end: EventTime,
    /// The device category.
    pub device_category: String,
    /// Number of sessions.
    pub sessions: u64,
    /// Number of sessions with a single page.
    pub bounces: u64,
    /// Mean duration, in milliseconds.
    pub avg_duration: f64,
    /// Mean number of pages.
    pub avg_page_count: f64,
}

impl MetricRow for SessionWindowMetrics {
    const SCHEMA: Schema = Schema {
        table: "session_window_metrics",
        job: names::SESSION_OVERVIEW,
        columns: &[
            column("window_start", ColumnType::Instant),
            column("window_end", ColumnType::Instant),
            column("device_category", ColumnType::Text),
            column("sessions", ColumnType::UInt),
            column("bounces", ColumnType::UInt),
            column("avg_duration", ColumnType::Float),
            column("avg_page_count", ColumnType::Float),
        ],
        key: &["window_start", "device_category", "window_end"],
        cache: Some(CacheView {
            kind: "session",
            route: "session",
            label: "device_category",
            fields: &[
                ("sessions", "sessions"),
                ("bounces", "bounces"),
                ("avg_duration", "avg_duration"),
                ("avg_page_count", "avg_page_count"),
            ],
            live: false,
        }),
    };

    fn message_key(&self) -> String {
        self.device_category.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The storage service of the old stack builds its INSERT from the keys of the object.
    #[test]
    fn the_json_of_a_row_has_exactly_the_columns_in_order() {
        let t = EventTime::from_millis(0);
        let rows = [
            (
                &EventMetrics::SCHEMA,
                serde_json::to_string(&EventMetrics {
                    window_start: t,
                    window_end: t,
                    event_type: "click".into(),
                    event_count: 2,
                    user_count: 1,
                }),
            ),
            (
                &SessionMetrics::SCHEMA,
                serde_json::to_string(&SessionMetrics {
                    session_id: "s".into(),
                    user_id: "u".into(),
                    start_time: t,
                    end_time: t,
                    duration: 0,
                    page_count: 1,
                    device_category: "Bot".into(),
                }),
            ),
            (
                &PerformanceMetrics::SCHEMA,
                serde_json::to_string(&PerformanceMetrics {
                    window_start: t,
                    window_end: t,
                    device_category: "Bot".into(),
                    avg_load_time: 1.5,
                    p95_load_time: 2.0,
                }),
            ),
            (
                &SessionWindowMetrics::SCHEMA,
                serde_json::to_string(&SessionWindowMetrics {
                    window_start: t,
                    window_end: t,
                    device_category: "Bot".into(),
                    sessions: 1,
                    bounces: 1,
                    avg_duration: 0.0,
                    avg_page_count: 1.0,
                }),
            ),
        ];
        for (schema, json) in rows {
            let json = json.expect("a row serialises");
            let mut from = 0;
            for column in schema.columns {
                let name = format!("\"{}\":", column.name);
                let at = json[from..].find(&name).unwrap_or_else(|| panic!("{name} in {json}"));
                from += at;
            }
            let object: serde_json::Map<_, _> = serde_json::from_str(&json).expect("an object");
            assert_eq!(object.len(), schema.columns.len(), "{json}");
            assert!(schema.key.iter().all(|key| object.contains_key(*key)), "{json}");
            let cached = schema.cache.iter().flat_map(|view| view.fields.iter().map(|(column, _)| *column));
            let labels = schema.cache.iter().map(|view| view.label);
            assert!(cached.chain(labels).all(|column| object.contains_key(column)), "{json}");
        }
    }
}

//! What a sink reads, and its named limits.

use std::sync::Arc;

use tidegate_model::Schema;

use crate::batch::Table;

/// A topic and the table that it is stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The name of the topic.
    pub name: Arc<str>,
    /// The table.
    pub table: Table,
}

/// What a sink reads, and its named limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The sink's name towards the log, which keeps rows until every sink has stored them.
    pub name: String,
    /// The topics, each with its table.
    pub topics: Vec<Topic>,
    /// A step reads so many rows of a topic at most (`STORAGE_BATCH_SIZE`).
    pub rows_per_topic_max: usize,
    /// A batch holds so many bytes of rows at most, but always one row.
    pub batch_bytes_max: usize,
    /// Rows whose window or session ended so long before the newest row of their table began are
    /// forgotten; nothing is when there is no such setting.
    pub retention_ms: Option<i64>,
    /// Old rows are looked for no more often than this.
    pub retention_every_ms: i64,
    /// A step forgets so many rows at most; when there are more, the next step goes on with them.
    pub retention_rows_max: usize,
    /// Go on behind rows that the log has removed before they were stored. The gap is noted in the
    /// store. Without this such a gap is an error, except where nothing was ever stored of the partition: a new
    /// store begins with what there is.
    pub accept_gap: bool,
}

impl Default for Config {
    /// Every metric table and `dropped_events`, from the topics of the same names. (`live_metrics` holds
    /// provisional rows, which are not stored.)
    fn default() -> Self {
        let metrics = Schema::ALL.map(Table::Metrics);
        let tables = metrics.into_iter().chain([Table::Dropped]);
        Self {
            name: "metric-store".to_owned(),
            topics: tables.map(|table| Topic { name: table.name().into(), table }).collect(),
            rows_per_topic_max: 10_000,
            batch_bytes_max: 16 * 1024 * 1024,
            retention_ms: None,
            retention_every_ms: 60_000,
            retention_rows_max: 10_000,
            accept_gap: false,
        }
    }
}

impl Config {
    /// Reads the rows of `table` from `topic` instead of the topic of the table's name.
    #[must_use]
    pub fn with_topic(mut self, table: &str, topic: &str) -> Self {
        for entry in self.topics.iter_mut().filter(|entry| entry.table.name() == table) {
            entry.name = topic.into();
        }
        self
    }
}

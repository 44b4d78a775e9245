//! What a cache sink reads, and its named limits.

use std::sync::Arc;

use tidegate_model::{Schema, names};

/// A topic of final rows that are cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedTopic {
    /// The name of the topic.
    pub name: Arc<str>,
    /// The schema of its rows, which says how they are cached.
    pub schema: &'static Schema,
}

/// The topic of provisional rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTopic {
    /// Its name.
    pub name: Arc<str>,
    /// The jobs whose rows are cached, by the name that the header `job` has, each with its schema.
    pub jobs: Vec<(Arc<str>, &'static Schema)>,
}

/// What a cache sink reads, and its named limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// The sink's name towards the log, which keeps rows until every sink that needs them has them.
    pub name: String,
    /// The topics of final rows.
    pub topics: Vec<CachedTopic>,
    /// The topic of provisional rows.
    pub live: LiveTopic,
    /// How many windows of a kind the cache keeps, and a seed has (`WINDOW_RETENTION_COUNT`).
    pub windows_kept: usize,
    /// A step reads so many rows of a topic at most, or one of each of its partitions.
    pub rows_per_topic_max: usize,
    /// A batch holds so many bytes of rows at most, but always one row; batches of so many are not held back.
    pub batch_bytes_max: usize,
    /// The log is told no more often than this what it may remove: each time costs a write.
    pub acknowledge_every_ms: i64,
}

impl Default for CacheConfig {
    /// Every table that is cached, from the topics of the same names, and `live_metrics`.
    fn default() -> Self {
        let cached = Schema::ALL.into_iter().filter(|schema| schema.cache.is_some());
        let live = Schema::ALL.into_iter().filter(|schema| schema.cache.is_some_and(|view| view.live));
        Self {
            name: "cache".to_owned(),
            topics: cached.map(|schema| CachedTopic { name: schema.table.into(), schema }).collect(),
            live: LiveTopic {
                name: names::LIVE_METRICS.into(),
                jobs: live.map(|schema| (Arc::from(schema.job), schema)).collect(),
            },
            windows_kept: 120,
            rows_per_topic_max: 10_000,
            batch_bytes_max: 16 * 1024 * 1024,
            acknowledge_every_ms: 1_000,
        }
    }
}

impl CacheConfig {
    /// Reads the rows of `table` from `topic` instead of the topic of the table's name.
    #[must_use]
    pub fn with_topic(mut self, table: &str, topic: &str) -> Self {
        for entry in self.topics.iter_mut().filter(|entry| entry.schema.table == table) {
            entry.name = topic.into();
        }
        self
    }

    /// The names of the topics that are read, that of provisional rows included.
    pub fn topic_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().map(|topic| &topic.name).chain([&self.live.name])
    }
}

//! What a runner is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::{Schema, names};

use crate::snapshot::SnapshotLimits;

/// The configuration of a runner.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Number of worker threads. The rows do not depend on it.
    pub workers: usize,
    /// What decides rows.
    pub jobs: JobSettings,
    /// What moves the frontier.
    pub time: TimeSettings,
    /// How long a live epoch lasts, in milliseconds.
    pub tick_ms: i64,
    /// An epoch that is not complete so long after its tick ends the run, in milliseconds.
    pub epoch_timeout_ms: i64,
    /// Bytes of compact rows that one worker may have in flight, uncommitted epochs included.
    pub in_flight_bytes_max: usize,
    /// Epochs that may wait for their commit before live epochs get longer.
    pub uncommitted_epochs_max: usize,
    /// Provisional rows an epoch, at most.
    pub provisional_rows_max: usize,
    /// No provisional rows while the frontier is further than this behind the clock, in milliseconds.
    pub provisional_lag_max_ms: i64,
    /// When snapshots are made, where there is a store for them.
    pub snapshots: SnapshotLimits,
    /// The names of the topics.
    pub topics: Topics,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            jobs: JobSettings::default(),
            time: TimeSettings::default(),
            tick_ms: 100,
            epoch_timeout_ms: 30_000,
            in_flight_bytes_max: 64 << 20,
            uncommitted_epochs_max: 64,
            provisional_rows_max: 10_000,
            provisional_lag_max_ms: 60_000,
            snapshots: SnapshotLimits::default(),
            topics: Topics::default(),
        }
    }
}

/// The names of the topics of rows.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Table to topic.
    pub rows: BTreeMap<String, Arc<str>>,
    /// Provisional rows.
    pub live: Arc<str>,
    /// Records that no window counts.
    pub dropped: Arc<str>,
}

impl Default for Topics {
    fn default() -> Self {
        let rows = Schema::ALL.map(|schema| (schema.table.to_owned(), Arc::from(schema.table)));
        Self { rows: rows.into(), live: names::LIVE_METRICS.into(), dropped: names::DROPPED_EVENTS.into() }
    }
}

//! What the sinks did, for Prometheus; the names of the old storage service stand beside ours.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tidegate_server::metrics::latency_histogram;
use tidegate_sinks::Progress;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The counters of the metric sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkMetrics {
    rows: Family<Outcome, Counter>,
    expired: Counter,
    step_duration: Histogram,
    errors: Counter,
    old: OldNames,
}

/// The old storage service's names, with the meaning that they had there.
#[derive(Clone, Debug)]
struct OldNames {
    batches: Counter,
    records: Counter,
    errors: Counter,
    commits: Counter,
    retries: Counter,
    batch_size: Histogram,
    insert_latency: Histogram,
    consume_cycle: Histogram,
    batch_target: Gauge,
}

impl SinkMetrics {
    /// Registers everything. `batch_rows` is the largest batch.
    pub(crate) fn register(registry: &mut Registry, batch_rows: u64) -> Self {
        let sizes = || Histogram::new(exponential_buckets(1.0, 4.0, 9));
        let metrics = Self {
            rows: Family::default(),
            expired: Counter::default(),
            step_duration: latency_histogram(),
            errors: Counter::default(),
            old: OldNames {
                batches: Counter::default(),
                records: Counter::default(),
                errors: Counter::default(),
                commits: Counter::default(),
                retries: Counter::default(),
                batch_size: sizes(),
                insert_latency: latency_histogram(),
                consume_cycle: latency_histogram(),
                batch_target: Gauge::default(),
            },
        };
        let (own, old) = (&metrics, &metrics.old);
        registry.register(
            "tidegate_sink_rows",
            "Rows of the log, by what the metric store did with them",
            own.rows.clone(),
        );
        registry.register(
            "tidegate_sink_expired_rows",
            "Rows forgotten by store.retention",
            own.expired.clone(),
        );
        registry.register(
            "tidegate_sink_step_duration_seconds",
            "Time to read and store what one step takes",
            own.step_duration.clone(),
        );
        registry.register(
            "tidegate_sink_errors",
            "Steps of the sink that failed and were tried again",
            own.errors.clone(),
        );
        registry.register("storage_batches", "Steps that stored rows", old.batches.clone());
        registry.register("storage_records", "Rows stored", old.records.clone());
        registry.register("storage_errors", "Steps that failed", old.errors.clone());
        registry.register("storage_commits", "Positions stored with their rows", old.commits.clone());
        registry.register("storage_retries", "Steps taken again after a failure", old.retries.clone());
        registry.register("storage_batch_size", "Rows stored by a step", old.batch_size.clone());
        registry.register(
            "storage_insert_latency_seconds",
            "Time of a step that stored rows",
            old.insert_latency.clone(),
        );
        registry.register("storage_consume_cycle_seconds", "Time of every step", old.consume_cycle.clone());
        registry.register("storage_adaptive_batch_target", "store.batch_rows", old.batch_target.clone());
        old.batch_target.set(i64::try_from(batch_rows).unwrap_or(i64::MAX));
        metrics
    }

    /// A step succeeded.
    pub(crate) fn stepped(&self, progress: &Progress, took: Duration) {
        let applied = &progress.applied;
        for (outcome, rows) in [
            ("put", applied.put),
            ("removed", applied.removed),
            ("repeated", applied.repeated),
            ("stale", applied.stale),
            ("unreadable", applied.unreadable),
        ] {
            self.rows.get_or_create(&Outcome { outcome }).inc_by(rows);
        }
        self.expired.inc_by(progress.expired);
        self.step_duration.observe(took.as_secs_f64());
        self.old.consume_cycle.observe(took.as_secs_f64());
        let rows = applied.rows();
        if rows > 0 {
            self.old.batches.inc();
            self.old.commits.inc();
            self.old.records.inc_by(rows);
            self.old.batch_size.observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
            self.old.insert_latency.observe(took.as_secs_f64());
        }
    }

    /// A step failed; the next one tries again.
    pub(crate) fn failed(&self) {
        self.errors.inc();
        self.old.errors.inc();
        self.old.retries.inc();
    }
}

//! What the sinks did, for Prometheus; the names of the old storage service stand beside ours.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tidegate_cache::KindSize;
use tidegate_server::metrics::latency_histogram;
use tidegate_sinks::{CacheProgress, CacheTotals, Progress};

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Held {
    kind: &'static str,
    values: &'static str,
}

/// The counters of the cache sink, under the names of the old cache service where it had one.
#[derive(Clone, Debug)]
pub(crate) struct CacheSinkMetrics {
    windows: Family<Held, Gauge>,
    rows: Family<Outcome, Counter>,
    gaps: Counter,
    live_skipped: Counter,
    unreadable: Counter,
    seeds: Counter,
    records: Counter,
    errors: Counter,
    latency: Histogram,
    commits: Counter,
    pending: Gauge,
}

impl CacheSinkMetrics {
    /// Registers everything.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            windows: Family::default(),
            rows: Family::default(),
            gaps: Counter::default(),
            live_skipped: Counter::default(),
            unreadable: Counter::default(),
            seeds: Counter::default(),
            records: Counter::default(),
            errors: Counter::default(),
            latency: latency_histogram(),
            commits: Counter::default(),
            pending: Gauge::default(),
        };
        let own = &metrics;
        registry.register("tidegate_cache_windows", "Windows in the cache", own.windows.clone());
        registry.register("tidegate_cache_rows", "Rows that the cache took in or left out", own.rows.clone());
        registry.register(
            "tidegate_cache_gaps",
            "Ranges of final rows that neither log nor metric store had any more",
            own.gaps.clone(),
        );
        registry.register(
            "tidegate_cache_live_rows_skipped",
            "Provisional rows that were gone from the log before they were read",
            own.live_skipped.clone(),
        );
        registry.register(
            "tidegate_cache_unreadable_rows",
            "Rows that do not fit their table",
            own.unreadable.clone(),
        );
        registry.register(
            "tidegate_cache_seeds",
            "Times that the cache began from the metric store",
            own.seeds.clone(),
        );
        registry.register("cache_kafka_records", "Rows of the log that the cache read", own.records.clone());
        registry.register(
            "cache_redis_batch_errors",
            "Steps of the cache sink that failed",
            own.errors.clone(),
        );
        registry.register(
            "cache_redis_batch_latency_seconds",
            "Time of a step that took rows in",
            own.latency.clone(),
        );
        registry.register(
            "cache_kafka_commit_batches",
            "Times that the log was told what is cached",
            own.commits.clone(),
        );
        registry.register(
            "cache_kafka_pending_messages",
            "Cached rows of which the log was not told yet",
            own.pending.clone(),
        );
        metrics
    }

    /// A step succeeded.
    pub(crate) fn stepped(
        &self,
        progress: &CacheProgress,
        totals: &CacheTotals,
        sizes: &[KindSize],
        took: Duration,
    ) {
        if progress.rows > 0 {
            self.latency.observe(took.as_secs_f64());
        }
        self.records.inc_by(progress.rows);
        self.unreadable.inc_by(progress.unreadable);
        self.seeds.inc_by(progress.seeded);
        self.commits.inc_by(totals.acknowledgements.saturating_sub(self.commits.get()));
        let applied = &totals.applied;
        for (outcome, rows) in [
            ("put", applied.put),
            ("removed", applied.removed),
            ("repeated", applied.repeated),
            ("stale", applied.stale),
            ("old", applied.old),
            ("refused", applied.refused),
        ] {
            let counter = self.rows.get_or_create(&Outcome { outcome });
            counter.inc_by(rows.saturating_sub(counter.get()));
        }
        self.gaps.inc_by(totals.gaps.saturating_sub(self.gaps.get()));
        self.live_skipped.inc_by(totals.live_skipped.saturating_sub(self.live_skipped.get()));
        self.pending.set(i64::try_from(totals.unacknowledged).unwrap_or(i64::MAX));
        for size in sizes {
            for (values, windows) in [("final", size.windows), ("provisional", size.live_windows)] {
                let held = Held { kind: size.kind, values };
                self.windows.get_or_create(&held).set(i64::try_from(windows).unwrap_or(i64::MAX));
            }
        }
    }

    /// A step failed; the next one tries again.
    pub(crate) fn failed(&self) {
        self.errors.inc();
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "halves, quarters and counts are exact")]
mod tests {
    use super::*;

    /// The values of the series whose names begin like this, as Prometheus reads them.
    fn read<const N: usize>(registry: &Registry, series: [&str; N]) -> [f64; N] {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, registry).expect("a string takes everything");
        series.map(|name| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
        })
    }

    #[test]
    fn a_step_without_rows_is_a_cycle_and_no_batch() {
        let mut registry = Registry::default();
        let metrics = SinkMetrics::register(&mut registry, 500);
        let mut with_rows = Progress { expired: 7, ..Progress::default() };
        let applied = &mut with_rows.applied;
        (applied.put, applied.removed, applied.repeated) = (5, 1, 2);
        (applied.stale, applied.unreadable) = (3, 4);
        metrics.stepped(&with_rows, Duration::from_millis(250));
        metrics.stepped(&Progress::default(), Duration::from_millis(500));
        metrics.failed();
        let rows = ["put", "removed", "repeated", "stale", "unreadable"]
            .map(|outcome| format!("tidegate_sink_rows_total{{outcome=\"{outcome}\"}}"));
        assert_eq!(read(&registry, rows.each_ref().map(String::as_str)), [5.0, 1.0, 2.0, 3.0, 4.0]);
        let own = ["tidegate_sink_expired_rows_total", "tidegate_sink_errors_total"];
        assert_eq!(read(&registry, own), [7.0, 1.0]);
        let counts = ["storage_batches_total", "storage_commits_total", "storage_records_total"];
        assert_eq!(read(&registry, counts), [1.0, 1.0, 15.0]);
        assert_eq!(read(&registry, ["storage_errors_total", "storage_retries_total"]), [1.0, 1.0]);
        assert_eq!(read(&registry, ["storage_batch_size_sum", "storage_batch_size_count"]), [15.0, 1.0]);
        let times = [
            "storage_insert_latency_seconds_sum",
            "storage_consume_cycle_seconds_sum",
            "storage_consume_cycle_seconds_count",
            "tidegate_sink_step_duration_seconds_sum",
        ];
        assert_eq!(read(&registry, times), [0.25, 0.75, 2.0, 0.75]);
        assert_eq!(read(&registry, ["storage_adaptive_batch_target"]), [500.0]);
    }

    #[test]
    fn totals_of_the_cache_sink_are_not_added_up_again() {
        let mut registry = Registry::default();
        let metrics = CacheSinkMetrics::register(&mut registry);
        let progress = CacheProgress { rows: 3, unreadable: 1, seeded: 1, ..CacheProgress::default() };
        let totals = |acknowledgements, unacknowledged| CacheTotals {
            acknowledgements,
            unacknowledged,
            gaps: 2,
            live_skipped: 5,
            applied: tidegate_cache::Applied { put: 7, refused: acknowledgements, ..Default::default() },
            ..CacheTotals::default()
        };
        let size = |windows, live_windows| KindSize { kind: "event", windows, live_windows };
        metrics.stepped(&progress, &totals(2, 9), &[size(4, 1)], Duration::from_millis(250));
        metrics.stepped(&CacheProgress::default(), &totals(3, 0), &[size(3, 2)], Duration::from_millis(500));
        metrics.failed();
        let series = [
            "cache_kafka_records_total",
            "cache_kafka_commit_batches_total",
            "cache_kafka_pending_messages",
            "cache_redis_batch_errors_total",
            "cache_redis_batch_latency_seconds_sum",
            "tidegate_cache_unreadable_rows_total",
            "tidegate_cache_seeds_total",
        ];
        assert_eq!(read(&registry, series), [3.0, 3.0, 0.0, 1.0, 0.25, 1.0, 1.0]);
        let rows = ["put", "refused", "old"]
            .map(|outcome| format!("tidegate_cache_rows_total{{outcome=\"{outcome}\"}}"));
        assert_eq!(read(&registry, rows.each_ref().map(String::as_str)), [7.0, 3.0, 0.0]);
        let lost = ["tidegate_cache_gaps_total", "tidegate_cache_live_rows_skipped_total"];
        assert_eq!(read(&registry, lost), [2.0, 5.0]);
        let held = ["final", "provisional"]
            .map(|of| format!("tidegate_cache_windows{{kind=\"event\",values=\"{of}\"}}"));
        assert_eq!(read(&registry, held.each_ref().map(String::as_str)), [3.0, 2.0]);
    }
}

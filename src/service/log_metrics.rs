//! What the embedded log says of itself to Prometheus.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tidegate_log::embedded::LogWatch;
use tidegate_server::metrics::latency_histogram;

/// Registers the metrics of the log, and has its writer tell of every group.
pub(crate) fn register(registry: &mut Registry, log: &LogWatch) {
    let group_events = Histogram::new(exponential_buckets(1.0, 2.0, 15));
    let group_duration = latency_histogram();
    registry.register(
        "tidegate_log_group_events",
        "Events that became durable together, with one sync of each partition",
        group_events.clone(),
    );
    registry.register(
        "tidegate_log_group_duration_seconds",
        "Time to write and sync a group",
        group_duration.clone(),
    );
    log.observe(Arc::new(move |group, duration| {
        group_events.observe(f64::from(u32::try_from(group.events).unwrap_or(u32::MAX)));
        group_duration.observe(duration.as_secs_f64());
    }));
    registry.register_collector(Box::new(Fill(log.clone())));
}

struct Fill(LogWatch);

impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fill")
    }
}

impl Collector for Fill {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let fill = self.0.fill();
        let gauges = [
            (
                "tidegate_log_queue_bytes",
                "Bytes of appends that wait for the writer",
                fill.queued_bytes as u64,
            ),
            ("tidegate_log_queue_limit_bytes", "log.queue_bytes_max", fill.queue_bytes_max as u64),
            ("tidegate_log_size_bytes", "Bytes of all segments of the log", fill.used_bytes),
            ("tidegate_log_size_limit_bytes", "log.total_bytes_max", fill.total_bytes_max),
            (
                "tidegate_log_refusing",
                "1 while the log refuses appends: /v1/readyz says why",
                u64::from(self.0.refusing().is_some()),
            ),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

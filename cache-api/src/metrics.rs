//! What the API counts, beside requests.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of `/live`.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveMetrics {
    pub(crate) readers: Gauge,
    pub(crate) refused: Counter,
    pub(crate) dropped: Counter,
    pub(crate) changes: Counter,
    pub(crate) resyncs: Counter,
}

impl LiveMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("tidegate_live_readers", "Readers of /live", metrics.readers.clone());
        registry.register(
            "tidegate_live_readers_refused",
            "Readers turned away because api.live_readers_max were there",
            metrics.refused.clone(),
        );
        registry.register(
            "tidegate_live_readers_dropped",
            "Readers dropped because they fell behind by more than api.live_backlog_max changes",
            metrics.dropped.clone(),
        );
        registry.register(
            "tidegate_live_changes",
            "Changes of windows that readers of /live were offered",
            metrics.changes.clone(),
        );
        registry.register(
            "tidegate_live_resyncs",
            "Times that every reader of /live was sent a snapshot anew, because changes were missed",
            metrics.resyncs.clone(),
        );
        metrics
    }
}

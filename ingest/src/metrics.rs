//! What is counted and measured of events on their way into the log.
//!
//! The names that the old service had are beside ours, with its meaning: see [`old_http`] too.

mod old_http;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_log::AppendError;
use tidegate_server::metrics::latency_histogram;
use tokio::sync::Semaphore;

pub(crate) use self::old_http::OldHttpMetrics;
use crate::refusal::Refusal;

/// Where a fault can be, as a label; the contract's fields and the objects around them. Everything in
/// `/properties` is one label, and the whole body is `body`.
const FIELDS: [&str; 19] = [
    "/event",
    "/event/id",
    "/event/type",
    "/user",
    "/user/id",
    "/device",
    "/device/user_agent",
    "/device/screen_width",
    "/device/screen_height",
    "/context",
    "/context/url",
    "/context/referrer",
    "/context/ip_address",
    "/context/session_id",
    "/properties",
    "/metrics",
    "/metrics/load_time",
    "/metrics/interaction_time",
    "/timestamp",
];

/// The upper ends of the buckets that Python's client has where none are given, in seconds.
const PYTHON_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Field {
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The metrics of events.
#[derive(Clone, Debug)]
pub(crate) struct IngestMetrics {
    accepted: Counter,
    faults: Family<Field, Counter>,
    appends_failed: Family<Reason, Counter>,
    append_duration: Histogram,
    old_requests: Counter,
    old_latency: Histogram,
    old_errors: Counter,
}

impl IngestMetrics {
    /// Registers them; `room` has a permit for every event that may be under way.
    pub(crate) fn register(registry: &mut Registry, room: &Arc<Semaphore>) -> Self {
        let metrics = Self {
            accepted: Counter::default(),
            faults: Family::default(),
            appends_failed: Family::default(),
            append_duration: latency_histogram(),
            old_requests: Counter::default(),
            old_latency: Histogram::new(PYTHON_BUCKETS),
            old_errors: Counter::default(),
        };
        // What can happen is there from the start, with 0.
        for field in FIELDS.into_iter().chain(["body", "other"]) {
            drop(metrics.faults.get_or_create(&Field { field }));
        }
        for reason in REASONS {
            drop(metrics.appends_failed.get_or_create(&Reason { reason }));
        }
        registry.register(
            "tidegate_ingest_events_accepted",
            "Events that are durable in the log",
            metrics.accepted.clone(),
        );
        registry.register(
            "tidegate_ingest_faults",
            "Faults of bodies that were refused, by field",
            metrics.faults.clone(),
        );
        registry.register(
            "tidegate_ingest_appends_failed",
            "Events that the log did not take or may not have taken, by reason",
            metrics.appends_failed.clone(),
        );
        registry.register(
            "tidegate_ingest_append_duration_seconds",
            "Time until the log has answered an append",
            metrics.append_duration.clone(),
        );
        registry.register(
            "ingestion_requests",
            "Valid events handed to the log (name of the old service)",
            metrics.old_requests.clone(),
        );
        registry.register(
            "ingestion_request_latency_seconds",
            "Time until the log has answered, for valid events (name of the old service)",
            metrics.old_latency.clone(),
        );
        registry.register(
            "kafka_producer_errors",
            "Events that could not be handed on (name of the old service)",
            metrics.old_errors.clone(),
        );
        let max = room.available_permits();
        registry.register_collector(Box::new(InFlight { room: Arc::clone(room), max }));
        metrics
    }

    /// Counts an append that the log has answered.
    pub(crate) fn appended<T>(&self, took: Duration, result: &Result<T, AppendError>) {
        let seconds = took.as_secs_f64();
        self.append_duration.observe(seconds);
        self.old_latency.observe(seconds);
        self.old_requests.inc();
        match result {
            Ok(_) => {
                self.accepted.inc();
            }
            Err(error) => {
                self.old_errors.inc();
                self.appends_failed.get_or_create(&Reason { reason: reason_of(error) }).inc();
            }
        }
    }

    /// Counts what was wrong with a body. Other refusals are in the metrics of HTTP requests, and
    /// appends count themselves.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        match refusal {
            Refusal::NotJson { .. } => self.fault("body"),
            Refusal::Faults(faults) => faults.iter().for_each(|fault| self.fault(label(&fault.pointer))),
            Refusal::TooManyInFlight
            | Refusal::ContentType(_)
            | Refusal::ContentEncoding(_)
            | Refusal::BodyTooLarge
            | Refusal::BodyTooSlow
            | Refusal::BodyBroken
            | Refusal::Append(_) => {}
        }
    }

    fn fault(&self, field: &'static str) {
        self.faults.get_or_create(&Field { field }).inc();
    }
}

/// The label of a pointer. Names that clients make up are not labels.
fn label(pointer: &str) -> &'static str {
    let known = |field: &&str| {
        let rest = pointer.strip_prefix(field);
        rest == Some("") || *field == "/properties" && rest.is_some_and(|rest| rest.starts_with('/'))
    };
    match pointer {
        "" => "body",
        _ => FIELDS.into_iter().find(known).unwrap_or("other"),
    }
}

const REASONS: [&str; 9] = [
    "queue_full",
    "too_large",
    "log_full",
    "disk_full",
    "storage",
    "indefinite",
    "unknown_partition",
    "closed",
    "other",
];

fn reason_of(error: &AppendError) -> &'static str {
    match error {
        AppendError::QueueFull { .. } => "queue_full",
        AppendError::TooLarge { .. } => "too_large",
        AppendError::LogFull { .. } => "log_full",
        AppendError::DiskFull { .. } => "disk_full",
        AppendError::Storage { .. } => "storage",
        AppendError::Indefinite { .. } => "indefinite",
        AppendError::UnknownPartition { .. } => "unknown_partition",
        AppendError::Closed => "closed",
        _ => "other",
    }
}

/// Events under way, against their limit; read off when somebody asks.
#[derive(Debug)]
struct InFlight {
    room: Arc<Semaphore>,
    max: usize,
}

impl Collector for InFlight {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let in_flight = self.max.saturating_sub(self.room.available_permits());
        for (name, help, value) in [
            ("tidegate_ingest_in_flight", "Events under way", in_flight),
            (
                "tidegate_ingest_in_flight_max",
                "Events that may be under way (ingest.in_flight_max)",
                self.max,
            ),
        ] {
            let gauge = ConstGauge::new(value as u64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_makes_up_is_no_label() {
        for (pointer, expected) in [
            ("", "body"),
            ("/event", "/event"),
            ("/event/id", "/event/id"),
            ("/properties", "/properties"),
            ("/properties/made/up", "/properties"),
            ("/propertiesx", "other"),
            ("/event/made_up", "other"),
        ] {
            assert_eq!(label(pointer), expected, "{pointer}");
        }
    }
}

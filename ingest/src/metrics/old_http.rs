//! The metrics of requests by the names that the old service's instrumentation gave them.
//!
//! As there, statuses are grouped (`2xx`), a request that no route knows is not counted, and neither are
//! `/metrics` and the pages of the documentation.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_server::metrics::method_label;

use crate::track;

/// The routes that are counted.
const HANDLERS: [&str; 3] = [track::PATH, "/v1/healthz", "/v1/readyz"];

/// The upper ends of the buckets, in seconds; the old dashboards ask for these.
const BUCKETS: [f64; 3] = [0.1, 0.5, 1.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    handler: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    handler: &'static str,
    method: &'static str,
}

/// Counts and measures requests by the old names.
#[derive(Clone, Debug)]
pub(crate) struct OldHttpMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
}

impl OldHttpMetrics {
    /// Registers `http_requests_total` and `http_request_duration_seconds`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        registry.register(
            "http_requests",
            "Requests by method, status class and handler (name of the old service)",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time until the head of the answer (name of the old service)",
            metrics.durations.clone(),
        );
        metrics
    }

    /// Measures the routes of `router`.
    pub(crate) fn instrument(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), measure))
    }
}

async fn measure(State(metrics): State<OldHttpMetrics>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let handler =
        matched.and_then(|path| HANDLERS.into_iter().find(|handler| *handler == path.trim_end_matches('/')));
    let Some(handler) = handler else {
        return next.run(request).await;
    };
    let (began, method) = (Instant::now(), method_label(request.method()));
    let response = next.run(request).await;
    metrics.durations.get_or_create(&Asked { handler, method }).observe(began.elapsed().as_secs_f64());
    let status = class(response.status().as_u16());
    metrics.requests.get_or_create(&Answered { handler, method, status }).inc();
    response
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

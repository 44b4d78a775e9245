//! Metrics of HTTP requests, and the page that Prometheus scrapes.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::problem::Problem;

/// The upper ends of the buckets of latencies, in seconds.
pub const LATENCY_BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The route of a request that no route knows: a label must not be made by whoever calls.
const NO_ROUTE: &str = "none";

/// A histogram of latencies in seconds.
pub fn latency_histogram() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: String,
    method: &'static str,
}

/// Counts requests and measures how long their answers take.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

impl HttpMetrics {
    /// Registers `tidegate_http_requests_total`, `tidegate_http_request_duration_seconds` and
    /// `tidegate_http_requests_in_flight`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(latency_histogram),
            in_flight: Gauge::default(),
        };
        registry.register(
            "tidegate_http_requests",
            "Requests answered, by route, method and status",
            metrics.requests.clone(),
        );
        registry.register(
            "tidegate_http_request_duration_seconds",
            "Time from the head of a request to the head of its answer",
            metrics.durations.clone(),
        );
        registry.register(
            "tidegate_http_requests_in_flight",
            "Requests that wait for the head of their answer",
            metrics.in_flight.clone(),
        );
        metrics
    }

    /// Measures every route of `router`, and what no route knows.
    pub fn instrument(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), measure))
    }
}

async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| NO_ROUTE.to_owned(), |route| route.as_str().to_owned());
    let method = method_label(request.method());
    let in_flight = InFlight::enter(metrics.in_flight.clone());
    let response = next.run(request).await;
    drop(in_flight);
    let asked = Asked { route, method };
    metrics.durations.get_or_create(&asked).observe(began.elapsed().as_secs_f64());
    let answered = Answered { route: asked.route, method, status: response.status().as_u16() };
    metrics.requests.get_or_create(&answered).inc();
    response
}

/// Counts a request for as long as it lives: a client that goes away drops it half-way.
struct InFlight(Gauge);

impl InFlight {
    fn enter(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The method as a label; whatever else a client makes up is one label.
pub fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

/// `GET /metrics`: what `registry` holds, in the text format of `OpenMetrics`.
pub fn exposition(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(async move || page(&registry)))
}

fn page(registry: &Registry) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            let detail = format!("the metrics cannot be written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error", detail).into_response()
        }
    }
}

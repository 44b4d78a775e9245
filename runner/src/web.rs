//! Port 8081: what a run says of itself over HTTP. docs/operations.md describes every member.
//!
//! Everything here is read off the [`Status`]; nothing that is asked for here costs a worker anything.

mod ledger;
mod status;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tidegate_server::problem::{method_not_allowed, not_found};
use tidegate_server::{Problem, ProblemFault};

use crate::status::{NotReady, Status, not_ready};

/// How long whoever finds us not ready should wait before the next try.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Further reasons why the process is not ready, from parts that a run knows nothing of.
pub type FurtherReasons = Arc<dyn Fn() -> Vec<NotReady> + Send + Sync>;

/// What the routes show.
#[derive(Clone)]
struct Shown {
    status: Arc<Status>,
    version: &'static str,
    further: FurtherReasons,
}

/// The routes of port 8081. `version` is that of the program.
pub fn router(status: Arc<Status>, version: &'static str, further: FurtherReasons) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/v1/status", get(show_status))
        .route("/v1/ledger", get(show_ledger))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Shown { status, version, further })
}

/// An answer that holds for this moment only.
fn fresh(body: impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn index(State(shown): State<Shown>) -> Response {
    fresh(json!({
        "program": "tidegate",
        "version": shown.version,
        "routes": {
            "/v1/status": "how the dataflow is: frontier, partitions, workers, commits",
            "/v1/ledger": "what became of every event",
            "/healthz": "whether the process answers",
            "/readyz": "whether it is recovered and commits; otherwise why not",
        },
    }))
}

async fn show_status(State(shown): State<Shown>) -> Response {
    let progress = shown.status.progress();
    fresh(status::Document::new(&progress, shown.status.now(), shown.version))
}

async fn show_ledger(State(shown): State<Shown>) -> Response {
    fresh(ledger::Document::new(&shown.status.progress()))
}

async fn healthz() -> Response {
    fresh(json!({"status": "ok"}))
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let mut reasons = not_ready(&shown.status.progress());
    reasons.extend((shown.further)());
    let Some(first) = reasons.first() else { return fresh(json!({"status": "ready"})) };
    let detail = match reasons.len() {
        1 => first.detail.clone(),
        count => format!("{} (and {} more)", first.detail, count - 1),
    };
    let fault = |reason: NotReady| ProblemFault { pointer: reason.pointer.to_owned(), detail: reason.detail };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not Ready", detail)
        .with_faults(reasons.into_iter().map(fault).collect())
        .retry_after(RETRY_AFTER)
        .into_response()
}

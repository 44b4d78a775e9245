//! The answers that are read once: health, windows, overviews.

mod answer;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tidegate_cache::{Ask, CacheReader, CachedWindow, ReadError};
use tidegate_model::row::CacheView;
use tidegate_server::Problem;

use crate::api::Shared;
use crate::config::Config;

pub(crate) use answer::{EPOCH, FRONTIER, instant};

/// The cache does not answer.
pub(crate) fn unreachable(error: &ReadError, config: &Config) -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Cache Unreachable", error.to_string());
    problem.retry_after(config.retry_after)
}

/// A short answer that nobody keeps.
fn now(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// `GET /healthz`.
pub(crate) async fn health<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
) -> Result<Response, Problem> {
    shared.cache.ping().await.map_err(|error| unreachable(&error, &shared.config))?;
    // The name is the old service's, whichever cache it is.
    Ok(now(serde_json::json!({ "status": "ok", "redis": true })))
}

/// `GET /readyz`.
pub(crate) async fn ready<R: CacheReader>(State(shared): State<Arc<Shared<R>>>) -> Result<Response, Problem> {
    let ready = shared.cache.ready().await.map_err(|error| unreachable(&error, &shared.config))?;
    if ready {
        return Ok(now(serde_json::json!({ "status": "ready" })));
    }
    let detail = "the cache sink has not caught up with the log yet";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not Ready", detail)
        .retry_after(shared.config.retry_after))
}

/// An object with one entry for each kind.
type ByRoute<T> = BTreeMap<String, T>;

/// A list of windows, as the contract has it.
#[derive(Serialize)]
struct Windows<T> {
    windows: Vec<T>,
}

/// A window, or `{}` where there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Latest {
    Window(Arc<CachedWindow>),
    None {},
}

impl Latest {
    fn of(mut windows: Vec<Arc<CachedWindow>>) -> Self {
        windows.pop().map_or(Self::None {}, Self::Window)
    }
}

/// `GET /metrics/overview`: the newest closed window of each kind that is live.
pub(crate) async fn overview<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asks: Vec<Ask> = shared.live_views().map(|view| Ask::Newest { kind: view.kind, limit: 1 }).collect();
    let answer = shared.cache.read(&asks).await.map_err(|error| unreachable(&error, &shared.config))?;
    let names = shared.live_views().map(|view| format!("{}_latest", view.route));
    let latest: ByRoute<Latest> = names.zip(answer.windows.into_iter().map(Latest::of)).collect();
    Ok(answer::answer(&headers, answer.as_of, &latest))
}

/// `GET /metrics/<route>/latest`: the newest closed window.
pub(crate) async fn latest<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
    headers: HeaderMap,
    view: &CacheView,
) -> Result<Response, Problem> {
    let ask = Ask::Newest { kind: view.kind, limit: 1 };
    let mut answer = shared.cache.read(&[ask]).await.map_err(|error| unreachable(&error, &shared.config))?;
    let latest = Latest::of(answer.windows.pop().unwrap_or_default());
    Ok(answer::answer(&headers, answer.as_of, &latest))
}

/// `GET /metrics/<route>/windows?limit=N`: the newest closed windows, newest first.
pub(crate) async fn windows<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    view: &CacheView,
) -> Result<Response, Problem> {
    let Config { windows_max, windows_default, .. } = shared.config;
    let limit = query::limit(query.as_deref(), windows_max)?.unwrap_or(windows_default);
    let ask = Ask::Newest { kind: view.kind, limit };
    let mut answer = shared.cache.read(&[ask]).await.map_err(|error| unreachable(&error, &shared.config))?;
    let windows = Windows { windows: answer.windows.pop().unwrap_or_default() };
    Ok(answer::answer(&headers, answer.as_of, &windows))
}

/// `GET /live/overview`: the open windows of every kind that is live.
pub(crate) async fn live_overview<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = shared.cache.read(&live_asks(&shared)).await;
    let answer = answer.map_err(|error| unreachable(&error, &shared.config))?;
    Ok(answer::answer(&headers, answer.as_of, &open_windows(&shared, &answer.windows)))
}

/// The questions that [`open_windows`] is the answer of.
pub(crate) fn live_asks<R>(shared: &Shared<R>) -> Vec<Ask> {
    shared.live_views().map(|view| Ask::Live { kind: view.kind }).collect()
}

/// The open windows of every kind, newest first, each with its end.
pub(crate) fn open_windows<R>(shared: &Shared<R>, windows: &[Vec<Arc<CachedWindow>>]) -> impl Serialize {
    let open =
        |windows: &Vec<Arc<CachedWindow>>| Windows { windows: windows.iter().map(OpenWindow::new).collect() };
    let names = shared.live_views().map(|view| view.route.to_owned());
    names.zip(windows.iter().map(open)).collect::<ByRoute<_>>()
}

/// An open window.
#[derive(Serialize)]
struct OpenWindow {
    window_end: i64,
    #[serde(flatten)]
    window: Arc<CachedWindow>,
}

impl OpenWindow {
    fn new(window: &Arc<CachedWindow>) -> Self {
        Self { window_end: window.window.end.as_millis(), window: Arc::clone(window) }
    }
}

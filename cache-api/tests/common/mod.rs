//! A cache in memory behind the API on a real socket, and clients of it.
#![allow(dead_code, reason = "every test crate uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tidegate_cache::{Batch, CacheWriter as _, Effect, LastRow, MemoryCache, Number, Row};
use tidegate_cache_api::{CacheApi, Config};
use tidegate_model::row::{CacheView, EventMetrics, MetricRow, PerformanceMetrics, SessionWindowMetrics};
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId, Window};
use tidegate_server::{Limits, Listener, serve};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Stands at the beginning of ids of events.
pub(crate) const BOOT: &str = "00000000000000b0";

pub(crate) const NOW: EventTime = EventTime::from_millis(1_431_857_100_000);

/// The API at work.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) cache: MemoryCache,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    followed: JoinHandle<()>,
    offset: u64,
}

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("text"))
    }
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_with(config, MemoryCache::new(tidegate_cache::Config::default()), Limits::default()).await
    }

    pub(crate) async fn start_with(config: Config, cache: MemoryCache, limits: Limits) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, "--api-listen").await.expect("a port is free");
        let (address, shutdown) = (listener.address(), CancellationToken::new());
        let mut registry = Registry::default();
        let api = CacheApi::new(config, cache.clone(), 0xb0, &mut registry, shutdown.clone());
        let followed = tokio::spawn(api.follow());
        let served = tokio::spawn(serve(listener, api.router(Arc::new(registry)), limits, shutdown.clone()));
        Self { address, cache, shutdown, served, followed, offset: 0 }
    }

    /// Applies rows.
    pub(crate) fn apply(&mut self, rows: Vec<Row>) {
        let from = self.offset;
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| {
                self.offset += 1;
                Row { offset: Offset(self.offset - 1), ..row }
            })
            .collect();
        let last = rows.last().map(|row| LastRow { offset: row.offset, epoch: row.epoch });
        let range = Offset(from)..Offset(self.offset);
        let batch = Batch { topic: "rows".into(), partition: PartitionId(0), range, last, rows };
        self.cache.apply(&batch, NOW).expect("it follows the one before");
    }

    pub(crate) fn set_as_of(&mut self, epoch: u64, frontier: EventTime) {
        let as_of = AsOf { epoch: Epoch(epoch), frontier };
        let at = self.cache.positions().expect("it answers");
        self.cache.set_as_of(Some(as_of), &at).expect("it stands there");
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.open(method, path, headers).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the body ends");
        let body = body.expect("the body is whole").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> axum::http::Response<hyper_util_body::Incoming> {
        let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answered = tokio::time::timeout(PATIENCE, client.request(request)).await;
        answered.expect("it is answered").expect("it is answered in HTTP")
    }

    /// Reads `/live`.
    pub(crate) async fn follow(&self, headers: &[(&str, &str)]) -> Events {
        let response = self.open(Method::GET, "/live", headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers().clone();
        Events { headers, body: response.into_body(), buffer: String::new() }
    }

    /// Waits until `/metrics` shows the line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let wait = async {
            while !self.get("/metrics").await.text().lines().any(|found| found == line) {
                tokio::task::yield_now().await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, wait).await;
        let page = self.get("/metrics").await;
        assert!(shown.is_ok(), "{line} never shows in\n{}", page.text());
    }

    /// Ends it as a process does.
    pub(crate) async fn shut_down(self) {
        self.shutdown.cancel();
        for task in [self.served, self.followed] {
            tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("it does not panic");
        }
    }
}

mod hyper_util_body {
    //! The type of a body that the client reads; its crate is one that the client brings along.

    pub(crate) type Incoming = <hyper_util::client::legacy::ResponseFuture as FutureOf>::Body;

    pub(crate) trait FutureOf {
        type Body;
    }

    impl<F, B, E> FutureOf for F
    where
        F: Future<Output = Result<axum::http::Response<B>, E>>,
    {
        type Body = B;
    }
}

/// Events of `/live`, one by one.
pub(crate) struct Events {
    pub(crate) headers: HeaderMap,
    body: hyper_util_body::Incoming,
    buffer: String,
}

/// An event as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Events {
    /// The next block: the lines up to an empty one. `None` when the stream has ended, well or not.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes");
            let data = frame?.ok()?.into_data().expect("no trailers are sent");
            self.buffer.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }

    /// The next comment.
    pub(crate) async fn comment(&mut self) -> String {
        loop {
            let block = self.block().await.expect("the stream goes on");
            if let Some(comment) = block.strip_prefix(':') {
                return comment.trim().to_owned();
            }
        }
    }

    /// The next event, `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.map(str::to_owned)
            };
            if let Some(name) = field("event") {
                let data = field("data").expect("an event has data");
                let data = serde_json::from_str(&data).expect("data is JSON");
                let id = field("id").expect("an event has an id");
                return Some(Event { id, name, data });
            }
        }
    }

    /// The next event of that name; others are passed.
    pub(crate) async fn next_of(&mut self, name: &str) -> Event {
        loop {
            let next = self.next().await.expect("the stream goes on");
            if next.name == name {
                return next;
            }
        }
    }

    /// Waits for the stream to end, and says how many events came before.
    pub(crate) async fn count_to_end(&mut self) -> usize {
        let mut count = 0;
        while self.next().await.is_some() {
            count += 1;
        }
        count
    }
}

/// A batch of one row.
pub(crate) fn one(offset: u64, row: Row) -> Batch {
    let rows = vec![Row { offset: Offset(offset), ..row }];
    let range = Offset(offset)..Offset(offset + 1);
    Batch { topic: "rows".into(), partition: PartitionId(0), range, last: None, rows }
}

pub(crate) fn view<R: MetricRow>() -> &'static CacheView {
    const { R::SCHEMA.cache.as_ref().expect("rows of this type are cached") }
}

pub(crate) fn window(minute: i64) -> Window {
    let start = EventTime::from_millis(minute * 60_000);
    Window { start, end: start.plus_ms(60_000) }
}

fn row(view: &'static CacheView, epoch: u64, minute: i64, label: &str, values: &[Number]) -> Row {
    Row {
        offset: Offset::ZERO,
        epoch: Epoch(epoch),
        view,
        window: window(minute),
        label: label.into(),
        provisional: false,
        effect: Effect::Put(values.into()),
    }
}

/// A final row of events.
pub(crate) fn events(epoch: u64, minute: i64, label: &str, count: u64) -> Row {
    row(view::<EventMetrics>(), epoch, minute, label, &[Number::UInt(count), Number::UInt(1)])
}

/// A provisional one.
pub(crate) fn open_events(epoch: u64, minute: i64, label: &str, count: u64) -> Row {
    Row { provisional: true, ..events(epoch, minute, label, count) }
}

pub(crate) fn performance(epoch: u64, minute: i64, label: &str, avg: f64, p95: f64) -> Row {
    row(view::<PerformanceMetrics>(), epoch, minute, label, &[Number::Float(avg), Number::Float(p95)])
}

pub(crate) fn sessions(epoch: u64, minute: i64, label: &str, sessions: u64) -> Row {
    let values = [Number::UInt(sessions), Number::UInt(1), Number::Float(1500.5), Number::Float(2.0)];
    row(view::<SessionWindowMetrics>(), epoch, minute, label, &values)
}

//! The listeners at work, each with its routes; and the order in which they stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tidegate_cache::CacheReader;
#[cfg(feature = "redis")]
use tidegate_cache::redis::RedisReader;
use tidegate_cache_api::CacheApi;
use tidegate_ingest::{Ingest, ids};
use tidegate_log::EventAppender;
use tidegate_log::embedded::LogWatch;
use tidegate_runner::clock::SystemClock;
use tidegate_runner::{Clock as _, Status, metrics, web};
use tidegate_server::{Listener, exposition, problem, serve};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listeners::Listeners;
use super::{Registries, readiness};
use crate::assembly::{self, Appender, Cache, Log, Pipeline};
use crate::config::{Config, duration, size};
use crate::exit::CommandError;

/// Every listener at work.
pub(super) struct Servers<A> {
    ingest: Option<Ingest<A>>,
    intake: JoinSet<()>,
    others: JoinSet<()>,
    stop_intake: CancellationToken,
    stop_others: CancellationToken,
}

impl Servers<Appender> {
    /// Starts serving.
    pub(super) fn start(
        runtime: &Runtime,
        config: &Config,
        listeners: Listeners,
        registries: Registries,
        log: Option<&Log>,
        pipeline: &Pipeline,
        cache: &Cache,
    ) -> Result<Self, CommandError> {
        let mut registries = registries.with_process();
        let (stop_intake, stop_others) = (CancellationToken::new(), CancellationToken::new());
        let (mut intake, mut others) = (JoinSet::new(), JoinSet::new());
        let limits = config.http_limits();
        let mut serve_other = |listener: Option<Listener>, router: Router| {
            if let Some(listener) = listener {
                others.spawn_on(serve(listener, router, limits, stop_others.clone()), runtime.handle());
            }
        };
        let status = pipeline.running().map(|running| Arc::clone(running.status()));
        let mut ingest = None;
        if let Some(listener) = listeners.ingest {
            let log = log.expect("whoever takes events in has a log");
            let own = tracking(config, log, status.clone(), &mut registries.ingest)?;
            let router = own.router(Arc::new(registries.ingest));
            intake.spawn_on(serve(listener, router, limits, stop_intake.clone()), runtime.handle());
            ingest = Some(own);
        }
        if let Some(status) = status {
            metrics::register(&mut registries.dataflow, Arc::clone(&status), env!("CARGO_PKG_VERSION"));
            let watch = log.and_then(Log::watch);
            let refusing = move || watch.as_ref().and_then(LogWatch::refusing);
            let further = Arc::new(move || readiness::of_log(refusing()).into_iter().collect());
            serve_other(listeners.dataflow, web::router(status, env!("CARGO_PKG_VERSION"), further));
            serve_other(listeners.metrics, plain(exposition(Arc::new(registries.dataflow))));
        }
        let health = Router::new().route("/healthz", get(async || r#"{"status":"ok"}"#));
        serve_other(listeners.sinks, plain(exposition(Arc::new(registries.sinks)).merge(health.clone())));
        serve_other(listeners.health, plain(health));
        if listeners.api.is_some() {
            let (registry, stop) = (registries.api, stop_others.clone());
            let (router, follow) = match cache.clone() {
                Cache::InProcess(cache) => api(config, cache, registry, stop),
                #[cfg(feature = "redis")]
                Cache::Redis(redis) => api(config, RedisReader::new(*redis), registry, stop),
            };
            serve_other(listeners.api, router);
            others.spawn_on(follow, runtime.handle());
        }
        Ok(Self { ingest, intake, others, stop_intake, stop_others })
    }
}

impl<A: EventAppender> Servers<A> {
    /// Takes no event any more; answers those that are under way, for `patience` at most.
    pub(super) async fn stop_intake(&mut self, patience: Duration) {
        self.stop_intake.cancel();
        let answered = async {
            while self.intake.join_next().await.is_some() {}
            if let Some(ingest) = &self.ingest {
                ingest.drained().await;
            }
        };
        if tokio::time::timeout(patience, answered).await.is_err() {
            tracing::warn!("some clients did not read their answer in time");
        }
        // What was cut off is in the log or is not; its client was told neither.
        self.intake.shutdown().await;
    }

    /// Ends the others, and whatever is still open after `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        self.stop_others.cancel();
        let ended = async { while self.others.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::debug!("some readers were cut off");
        }
        self.others.shutdown().await;
    }
}

/// What takes events in. Where the dataflow is in another process, its state is that one's business.
fn tracking(
    config: &Config,
    log: &Log,
    status: Option<Arc<Status>>,
    registry: &mut Registry,
) -> Result<Ingest<Appender>, CommandError> {
    let own = tidegate_ingest::Config {
        body_bytes_max: size(config.ingest_body_bytes_max),
        body_timeout: duration(config.ingest_body_timeout_ms),
        in_flight_max: size(config.ingest_in_flight_max),
        retry_after: duration(config.ingest_retry_after_ms),
        origins: config.ingest_cors_origins.clone(),
    };
    let watch = log.watch();
    let ready = move || {
        let refusing = watch.as_ref().and_then(LogWatch::refusing);
        let progress = status.as_ref().map(|status| status.progress());
        readiness::for_senders(progress.as_ref(), refusing.as_ref()).map_or(Ok(()), Err)
    };
    let parts = tidegate_ingest::Parts {
        appender: log.appender()?,
        clock: Arc::new(|| SystemClock.now()),
        ids: ids::system(),
        ready: Arc::new(ready),
    };
    Ok(Ingest::new(own, parts, registry))
}

/// The routes of a cache, and the task that passes its changes on.
fn api<R: CacheReader>(
    config: &Config,
    cache: R,
    mut registry: Registry,
    stop: CancellationToken,
) -> (Router, BoxFuture<'static, ()>) {
    let api = CacheApi::new(api_config(config), cache, assembly::random(), &mut registry, stop);
    (api.router(Arc::new(registry)), api.follow().boxed())
}

fn api_config(config: &Config) -> tidegate_cache_api::Config {
    tidegate_cache_api::Config {
        origins: config.api_cors_origins.clone(),
        live_readers_max: size(config.api_live_readers_max),
        live_backlog_max: size(config.api_live_backlog_max),
        live_replay_max: size(config.api_live_replay_max),
        ..tidegate_cache_api::Config::default()
    }
}

/// Routes that nobody but a machine asks for.
fn plain(router: Router) -> Router {
    router.fallback(problem::not_found).method_not_allowed_fallback(problem::method_not_allowed)
}

//! The parts put together: routes, the task that follows the cache, metrics.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, Method, header};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tidegate_cache::CacheReader;
use tidegate_model::Schema;
use tidegate_model::row::CacheView;
use tidegate_server::{HttpMetrics, cors, exposition, problem};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::config::Config;
use crate::live::{self, Live};
use crate::routes::{self, EPOCH, FRONTIER};
use crate::told::Told;

/// What every route and reader shares.
#[derive(Debug)]
pub(crate) struct Shared<R> {
    pub(crate) cache: Told<R>,
    pub(crate) views: Vec<&'static CacheView>,
    pub(crate) config: Config,
    pub(crate) live: Live,
    pub(crate) shutdown: CancellationToken,
}

impl<R> Shared<R> {
    /// The kinds that have provisional values.
    pub(crate) fn live_views(&self) -> impl Iterator<Item = &'static CacheView> {
        self.views.iter().copied().filter(|view| view.live)
    }
}

/// The API of a cache.
#[derive(Clone, Debug)]
pub struct CacheApi<R> {
    shared: Arc<Shared<R>>,
    http: HttpMetrics,
}

impl<R: CacheReader> CacheApi<R> {
    /// The API of `cache`, with the metrics of requests and of `/live` in `registry`. `boot` is a number
    /// that no earlier process had: ids of events on `/live` begin with it. `shutdown` ends the streams.
    ///
    /// [`CacheApi::follow`] must run beside whoever serves [`CacheApi::router`].
    pub fn new(
        config: Config,
        cache: R,
        boot: u64,
        registry: &mut Registry,
        shutdown: CancellationToken,
    ) -> Self {
        let live = Live::new(boot, &config, registry);
        let views = Schema::ALL.into_iter().filter_map(|schema| schema.cache.as_ref()).collect();
        let http = HttpMetrics::register(registry);
        let cache = Told::new(cache);
        Self { shared: Arc::new(Shared { cache, views, config, live, shutdown }), http }
    }

    /// Every route; `/metrics` shows `registry`.
    pub fn router(&self, registry: Arc<Registry>) -> Router {
        let shared = Arc::clone(&self.shared);
        let mut router: Router<Arc<Shared<R>>> = Router::new()
            .route("/healthz", get(routes::health))
            .route("/readyz", get(routes::ready))
            .route("/metrics/overview", get(routes::overview))
            .route("/live/overview", get(routes::live_overview))
            .route("/live", get(live::follow_over_http));
        for view in self.shared.views.iter().copied() {
            let latest = format!("/metrics/{}/latest", view.route);
            let windows = format!("/metrics/{}/windows", view.route);
            router = router
                .route(&latest, get(async move |shared, headers| routes::latest(shared, headers, view).await))
                .route(
                    &windows,
                    get(async move |shared, query, headers| {
                        routes::windows(shared, query, headers, view).await
                    }),
                );
        }
        let exposed: Vec<HeaderName> = vec![FRONTIER, EPOCH, header::ETAG];
        let cors = cors(&self.shared.config.origins, vec![Method::GET, Method::HEAD], exposed);
        let router = router
            .with_state(shared)
            .merge(exposition(registry))
            .fallback(problem::not_found)
            .method_not_allowed_fallback(problem::method_not_allowed)
            .layer(CompressionLayer::new())
            .layer(cors);
        self.http.instrument(router)
    }

    /// Passes the changes of the cache on to the readers of `/live`, until shutdown.
    pub fn follow(&self) -> impl Future<Output = ()> + Send + use<R> {
        let shared = Arc::clone(&self.shared);
        async move { live::follow_cache(&shared).await }
    }
}

//! The service put together: what it is made of, and its routes.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, header};
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use tidegate_log::EventAppender;
use tidegate_model::EventTime;
use tidegate_server::{HttpMetrics, Origins, cors, exposition, problem};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::config::Config;
use crate::health::{self, LogHealth};
use crate::metrics::{IngestMetrics, OldHttpMetrics};
use crate::{answer, pages, track};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> EventTime + Send + Sync>;

/// Makes the id of an event that has none; is told what time it is.
pub type Ids = Arc<dyn Fn(EventTime) -> Uuid + Send + Sync>;

/// Whether the rest of the process is ready for events, and otherwise why not.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What ingest needs from outside.
#[derive(Clone)]
pub struct Parts<A> {
    /// Where events go.
    pub appender: A,
    /// When an event occurred that does not say so.
    pub clock: Clock,
    /// Ids for events without one; [`crate::ids::system`] unless a test wants to know them.
    pub ids: Ids,
    /// What `/v1/readyz` asks besides the log.
    pub ready: Ready,
}

impl<A: fmt::Debug> fmt::Debug for Parts<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("appender", &self.appender).finish_non_exhaustive()
    }
}

/// The service. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Ingest<A> {
    shared: Arc<Shared<A>>,
    http: HttpMetrics,
    old_http: OldHttpMetrics,
}

/// What the handlers of all requests share.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) config: Config,
    pub(crate) parts: Parts<A>,
    pub(crate) metrics: IngestMetrics,
    pub(crate) health: LogHealth,
    /// A permit for every event that may be under way.
    pub(crate) room: Arc<Semaphore>,
    /// Appends whose client has gone.
    pub(crate) orphans: TaskTracker,
}

impl<A: EventAppender> Ingest<A> {
    /// Builds the service and registers its metrics. `registry` is that of one listener: the metrics of
    /// HTTP requests have the same names on each.
    pub fn new(config: Config, parts: Parts<A>, registry: &mut Registry) -> Self {
        let room = Arc::new(Semaphore::new(config.in_flight_max.min(Semaphore::MAX_PERMITS)));
        let metrics = IngestMetrics::register(registry, &room);
        let http = HttpMetrics::register(registry);
        let old_http = OldHttpMetrics::register(registry);
        let (health, orphans) = (LogHealth::default(), TaskTracker::new());
        let shared = Arc::new(Shared { config, parts, metrics, health, room, orphans });
        Self { shared, http, old_http }
    }

    /// Every route. `registry` is what `/metrics` shows; it comes late, because others may register
    /// theirs after [`Ingest::new`].
    pub fn router(&self, registry: Arc<Registry>) -> Router {
        let routes = Router::new()
            .route(track::PATH, post(track::track::<A>))
            .route(track::PATH_WITH_SLASH, post(track::track::<A>))
            .route("/v1/healthz", get(health::alive))
            .route("/v1/readyz", get(health::ready::<A>))
            .with_state(Arc::clone(&self.shared))
            .merge(pages::routes())
            .merge(exposition(registry))
            .fallback(problem::not_found)
            .method_not_allowed_fallback(problem::method_not_allowed)
            .layer(CatchPanicLayer::custom(answer::panicked));
        // Without origins a preflight is a method that no route takes, and the answer costs nothing.
        let routes = match &self.shared.config.origins {
            Origins::None => routes,
            origins => {
                routes.layer(cors(origins, vec![Method::GET, Method::POST], vec![header::RETRY_AFTER]))
            }
        };
        self.http.instrument(self.old_http.instrument(routes))
    }

    /// Waits until the log has answered every append whose client has gone. To be awaited after the
    /// listener has ended and before the log is closed.
    pub async fn drained(&self) {
        self.shared.orphans.close();
        self.shared.orphans.wait().await;
    }
}

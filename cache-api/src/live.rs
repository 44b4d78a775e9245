//! `GET /live`: changes as server-sent events.
//!
//! One task follows the cache ([`follow_cache`]) and puts each change, serialised once, into a [`Ring`].
//! A reader is no more than a place in the ring ([`reader::LiveReader`]): it takes what is behind its
//! place when its connection has room, and whoever is too far behind is dropped. So a slow reader costs
//! nobody anything.

mod frame;
mod reader;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use prometheus_client::registry::Registry;
use tidegate_cache::{CacheReader, Update, UpdateError, UpdateKind, Updates};
use tidegate_model::AsOf;
use tidegate_server::Problem;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::api::Shared;
use crate::config::Config;
use crate::metrics::LiveMetrics;
use crate::routes::unreachable;
use frame::Ids;
use reader::{LiveReader, Seat};
use ring::{Event, Ring};

/// How long to wait before subscribing to a cache again that did not answer.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(500);

/// The header in which a browser says what it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the readers of `/live` share.
#[derive(Debug)]
pub(crate) struct Live {
    ids: Ids,
    ring: Arc<Ring>,
    seats: Arc<Semaphore>,
    metrics: LiveMetrics,
}

impl Live {
    pub(crate) fn new(boot: u64, config: &Config, registry: &mut Registry) -> Self {
        // Whoever comes back and has the longest way to go may fall behind as well as any other.
        let capacity = config.live_replay_max + config.live_backlog_max;
        Self {
            ids: Ids::new(boot),
            ring: Arc::new(Ring::new(capacity)),
            seats: Arc::new(Semaphore::new(config.live_readers_max)),
            metrics: LiveMetrics::register(registry),
        }
    }
}

/// Answers a reader: what it missed since its `Last-Event-ID`, or a snapshot, and then every change.
pub(crate) async fn follow_over_http<R: CacheReader>(
    State(shared): State<Arc<Shared<R>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // A cache that does not answer is told at once, and not in the midst of a stream.
    shared.cache.ping().await.map_err(|error| unreachable(&error, &shared.config))?;
    let Ok(permit) = Arc::clone(&shared.live.seats).try_acquire_owned() else {
        shared.live.metrics.refused.inc();
        let detail = format!(
            "{} readers are there, as many as may be (api.live_readers_max); come again later",
            shared.config.live_readers_max
        );
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Too Many Readers", detail);
        return Err(problem.retry_after(shared.config.retry_after));
    };
    let seat = Seat::take(permit, shared.live.metrics.clone());
    let reader = LiveReader::new(shared, seat, last_seen(&headers));
    let frames = stream::unfold(reader, async |mut reader| Some((reader.next().await?, reader)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that gather what they pass on would hold it back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

fn last_seen(headers: &HeaderMap) -> Option<&str> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()
}

/// Puts the changes of the cache into the ring, until shutdown.
pub(crate) async fn follow_cache<R: CacheReader>(shared: &Shared<R>) {
    let follow = async {
        loop {
            // Why there is none is told by the cache.
            if let Ok(updates) = shared.cache.subscribe().await {
                Follower::new(shared).follow(updates).await;
            }
            tokio::time::sleep(SUBSCRIBE_PAUSE).await;
        }
    };
    tokio::select! {
        () = shared.shutdown.cancelled() => {}
        () = follow => {}
    }
}

/// One subscription.
struct Follower<'a> {
    live: &'a Live,
    frontier_every: Duration,
    /// The newest frontier that readers were not told of, and the update that brought it.
    untold: Option<(u64, AsOf)>,
    /// When they may be told.
    tell_at: Instant,
}

impl<'a> Follower<'a> {
    fn new<R>(shared: &'a Shared<R>) -> Self {
        let frontier_every = shared.config.frontier_every;
        Self { live: &shared.live, frontier_every, untold: None, tell_at: Instant::now() }
    }

    /// Ends when the subscription does.
    async fn follow(mut self, mut updates: impl Updates) {
        // Nobody knows what was changed before.
        self.resync();
        loop {
            let next = tokio::select! {
                next = updates.next() => next,
                () = sleep_until(self.tell_at), if self.untold.is_some() => {
                    self.tell();
                    continue;
                }
            };
            match next {
                Ok(update) => self.take(update),
                Err(UpdateError::Missed) => {
                    self.live.metrics.resyncs.inc();
                    tracing::warn!("changes came faster than they were passed on; readers begin anew");
                    self.resync();
                }
                Err(UpdateError::Closed) => return,
            }
        }
    }

    fn resync(&mut self) {
        // The snapshot says the frontier, too.
        self.untold = None;
        self.live.ring.push(0, |_| Event::Resync);
    }

    fn take(&mut self, Update { seq, kind }: Update) {
        match kind {
            UpdateKind::Changed(change) => {
                self.live.metrics.changes.inc();
                self.live.ring.push(seq, |id| Event::Frame(self.live.ids.frame(id, "change", &*change)));
            }
            UpdateKind::AsOf(as_of) => {
                self.untold = Some((seq, as_of));
                if Instant::now() >= self.tell_at {
                    self.tell();
                }
            }
        }
    }

    fn tell(&mut self) {
        let Some((seq, as_of)) = self.untold.take() else { return };
        self.tell_at = Instant::now() + self.frontier_every;
        self.live.ring.push(seq, |id| Event::Frame(self.live.ids.frontier(id, as_of)));
    }
}

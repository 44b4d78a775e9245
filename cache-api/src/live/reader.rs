//! One reader of `/live`: a place in the ring, and what it is sent next.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_cache::CacheReader;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::ring::{Event, Found};
use crate::api::Shared;
use crate::metrics::LiveMetrics;
use crate::routes::{live_asks, open_windows};

/// Tells a browser how long to wait before it comes back, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

/// A comment, for whoever closes connections on which nothing happens.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Why a reader is sent nothing more. Its connection is closed; a browser comes back by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndError {
    /// It does not read as fast as changes come.
    #[error("the reader fell behind by more than {0} changes")]
    Behind(u64),
    /// There is nothing to send.
    #[error("the cache does not answer")]
    Cache(#[from] tidegate_cache::ReadError),
}

/// One of the seats that there are.
#[derive(Debug)]
pub(super) struct Seat {
    metrics: LiveMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    pub(super) fn take(permit: OwnedSemaphorePermit, metrics: LiveMetrics) -> Self {
        metrics.readers.inc();
        Self { metrics, _permit: permit }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.readers.dec();
    }
}

/// One reader.
#[derive(Debug)]
pub(super) struct LiveReader<R> {
    shared: Arc<Shared<R>>,
    seat: Seat,
    next: watch::Receiver<u64>,
    /// The number of the event that it is sent next.
    place: u64,
    /// It began before this event: what it missed until then does not count as falling behind.
    began_at: u64,
    /// Events about updates up to this one are in its snapshot.
    in_snapshot: u64,
    wants_snapshot: bool,
    /// What it is sent before anything else.
    greeting: Option<&'static str>,
    ended: bool,
}

impl<R: CacheReader> LiveReader<R> {
    /// A reader that saw the event `last_seen` last.
    pub(super) fn new(shared: Arc<Shared<R>>, seat: Seat, last_seen: Option<&str>) -> Self {
        let ring = &shared.live.ring;
        let next = ring.next();
        let seen = last_seen.and_then(|id| shared.live.ids.parse(id));
        let missed_from = seen.and_then(|seen| seen.checked_add(1));
        let missed_from = missed_from.filter(|from| {
            let missed = next.checked_sub(*from).and_then(|missed| usize::try_from(missed).ok());
            let in_reach = missed.is_some_and(|missed| missed <= shared.config.live_replay_max);
            in_reach && ring.look(*from).0 != Found::Gone
        });
        Self {
            next: ring.subscribe(),
            seat,
            place: missed_from.unwrap_or(next),
            began_at: next,
            in_snapshot: 0,
            wants_snapshot: missed_from.is_none(),
            greeting: Some(RETRY),
            ended: false,
            shared,
        }
    }

    /// What it is sent next; `None` when the server shuts down. After an error there is nothing more.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, EndError>> {
        if self.ended || self.shared.shutdown.is_cancelled() {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(Ok(Bytes::from_static(greeting.as_bytes())));
        }
        let next = self.next_event().await?;
        if let Err(error) = &next {
            self.ended = true;
            tracing::debug!(%error, "a reader of /live is let go");
        }
        Some(next)
    }

    async fn next_event(&mut self) -> Option<Result<Bytes, EndError>> {
        loop {
            if self.wants_snapshot {
                return Some(self.snapshot().await);
            }
            // Marked as seen before looking, so that what comes in between wakes the reader.
            self.next.borrow_and_update();
            let (found, next) = self.shared.live.ring.look(self.place);
            if let Err(error) = self.check_lag(&found, next) {
                self.seat.metrics.dropped.inc();
                return Some(Err(error));
            }
            match found {
                Found::Event(update, event) => {
                    self.place += 1;
                    match event {
                        Event::Resync => self.wants_snapshot = true,
                        Event::Frame(_) if update <= self.in_snapshot => {}
                        Event::Frame(frame) => return Some(Ok(frame)),
                    }
                }
                Found::End | Found::Gone => {
                    if let Some(comment) = self.wait().await? {
                        return Some(Ok(comment));
                    }
                }
            }
        }
    }

    fn check_lag(&self, found: &Found, next: u64) -> Result<(), EndError> {
        let backlog_max = self.shared.config.live_backlog_max as u64;
        let is_behind = self.lag(next) > backlog_max || *found == Found::Gone;
        if is_behind { Err(EndError::Behind(backlog_max)) } else { Ok(()) }
    }

    /// Waits for an event. When none comes, there is a comment to send; `None` at shutdown.
    async fn wait(&mut self) -> Option<Option<Bytes>> {
        tokio::select! {
            () = self.shared.shutdown.cancelled() => None,
            // The sender lives as long as the ring.
            _ = self.next.changed() => Some(None),
            () = tokio::time::sleep(self.shared.config.keep_alive_every) => {
                Some(Some(Bytes::from_static(KEEP_ALIVE)))
            }
        }
    }

    /// The open windows, and what they are as of.
    async fn snapshot(&mut self) -> Result<Bytes, EndError> {
        let Shared { live, cache, .. } = &*self.shared;
        // The place is taken before the cache is read: nothing can come in between.
        self.place = live.ring.next();
        let answer = cache.read(&live_asks(&self.shared)).await?;
        self.began_at = self.place;
        self.in_snapshot = answer.seq;
        self.wants_snapshot = false;
        let seen = self.place - 1;
        let mut frames =
            live.ids.frame(seen, "snapshot", &open_windows(&self.shared, &answer.windows)).to_vec();
        if let Some(as_of) = answer.as_of {
            frames.extend_from_slice(&live.ids.frontier(seen, as_of));
        }
        Ok(frames.into())
    }
}

impl<R> LiveReader<R> {
    /// How many events it is behind, those aside that it missed before it came.
    fn lag(&self, next: u64) -> u64 {
        next.saturating_sub(self.place.max(self.began_at))
    }
}

impl<R> Drop for LiveReader<R> {
    /// A reader that does not read at all is not asked for the next event; its connection is closed by the
    /// listener's limit, and that is what it looks like here.
    fn drop(&mut self) {
        let lag = self.lag(self.shared.live.ring.next());
        if !self.ended && lag > self.shared.config.live_backlog_max as u64 {
            self.seat.metrics.dropped.inc();
        }
    }
}

//! The sinks as they are stepped in this process, with those who look on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_cache::{CacheWriter, KindSize, WriteError};
use tidegate_log::RowReader;
use tidegate_log::event::Wake;
use tidegate_model::{Epoch, EventTime};
use tidegate_runner::{Clock as _, Observer, clock::SystemClock};
use tidegate_sinks::{CacheSink, CacheSinkError, MetricStore, SeedSource, Sink, SinkError, StoreError};

use super::cache::Cache;
use super::sink_thread::Steps;
use crate::exit::Exit;
use crate::service::{CacheSinkMetrics, SinkMetrics};

/// How old the size of a cache may be that a metric says: to ask a server is a step's time.
const SIZES_AGE_MAX: Duration = Duration::from_secs(1);

/// Who looks on while a pipeline runs.
pub(crate) struct Watchers {
    /// Is told of commits.
    pub(crate) observer: Box<dyn Observer>,
    /// Whether rows go to the metric store.
    pub(crate) is_stored: bool,
    /// Whether it goes on behind rows that are gone from the log before it had them.
    pub(crate) accepts_gap: bool,
    /// Counts what it takes.
    pub(crate) store: Option<SinkMetrics>,
    /// The cache, where this process fills it.
    pub(crate) cache: Option<WatchedCache>,
}

/// A cache, and those who are told of it.
pub(crate) struct WatchedCache {
    /// The cache.
    pub(crate) cache: Cache,
    /// Counts what it takes.
    pub(crate) metrics: CacheSinkMetrics,
    /// Is told up to which epoch everything can be read, and when.
    pub(crate) readable: Arc<dyn Fn(Epoch, EventTime) + Send + Sync>,
}

impl Watchers {
    /// Nobody, and no cache: rows go to the metric store.
    pub(crate) fn none() -> Self {
        Self { observer: Box::new(()), is_stored: true, accepts_gap: false, store: None, cache: None }
    }
}

/// The sink of the metric store.
pub(super) struct StoreSteps<S> {
    pub(super) sink: Sink<Box<dyn RowReader>, S>,
    pub(super) metrics: Option<SinkMetrics>,
    /// How long rows are gathered for one insert.
    pub(super) gathers: Duration,
    /// A step that stores so many may have left others.
    pub(super) rows_max: u64,
    /// Whether the last step may have left others.
    pub(super) is_behind: bool,
}

impl<S: MetricStore + 'static> Steps for StoreSteps<S> {
    type Error = SinkError;

    const NAME: &'static str = "the metric store";

    fn gathers(&self) -> Duration {
        self.gathers
    }

    fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn on_commit(&mut self, wake: Wake) {
        self.sink.on_commit(wake);
    }

    fn step(&mut self, now: EventTime) -> Result<bool, SinkError> {
        let began = Instant::now();
        let stepped = self.sink.step(now);
        if let Some(metrics) = &self.metrics {
            match &stepped {
                Ok(progress) => metrics.stepped(progress, began.elapsed()),
                Err(_) => metrics.failed(),
            }
        }
        stepped.map(|progress| {
            if let Some(row) = &progress.applied.first_unreadable {
                tracing::warn!(
                    rows = progress.applied.unreadable,
                    first = %row,
                    "the metric store goes on without rows: see unreadable_rows"
                );
            }
            if progress.adopted > 0 {
                tracing::warn!(
                    partitions = progress.adopted,
                    "the log is another one than before, and all its rows are newer: they are stored from its beginning, \
                     beside the old ones"
                );
            }
            self.is_behind = self.gathers.is_zero() || progress.applied.rows() >= self.rows_max;
            progress.caught_up
        })
    }

    fn exit_of(error: &SinkError) -> Option<Exit> {
        match error {
            SinkError::Store(StoreError::Fenced { .. }) => Some(Exit::Fenced),
            SinkError::Store(StoreError::Refused { .. }) => Some(Exit::Refused),
            _ => None,
        }
    }
}

/// The sink of the cache.
pub(super) struct CacheSteps<C> {
    sink: CacheSink<Box<dyn RowReader>, C, Box<dyn SeedSource>>,
    watched: WatchedCache,
    /// How large the cache was, and when it was asked.
    sizes: (Option<Instant>, Vec<KindSize>),
}

impl<C: CacheWriter> CacheSteps<C> {
    pub(super) fn new(
        sink: CacheSink<Box<dyn RowReader>, C, Box<dyn SeedSource>>,
        watched: WatchedCache,
    ) -> Self {
        Self { sink, watched, sizes: (None, Vec::new()) }
    }

    fn sizes(&mut self) -> &[KindSize] {
        if self.sizes.0.is_none_or(|at| at.elapsed() >= SIZES_AGE_MAX) {
            // A cache that does not say how large it is fails the next step, which tells why.
            self.sizes = (Some(Instant::now()), self.sink.cache().sizes().unwrap_or_default());
        }
        &self.sizes.1
    }
}

impl<C: CacheWriter + 'static> Steps for CacheSteps<C> {
    type Error = CacheSinkError;

    const NAME: &'static str = "the cache";

    fn on_commit(&mut self, wake: Wake) {
        self.sink.on_commit(wake);
    }

    fn step(&mut self, now: EventTime) -> Result<bool, CacheSinkError> {
        let began = Instant::now();
        let stepped = self.sink.step(now);
        let took = began.elapsed();
        match &stepped {
            Ok(progress) => {
                if let Some(row) = &progress.first_unreadable {
                    tracing::warn!(rows = progress.unreadable, first = %row, "the cache goes on without rows");
                }
                for gap in &progress.gaps {
                    tracing::warn!(
                        ?gap,
                        "the log does not have rows that the cache needs; their windows are gone"
                    );
                }
                if progress.adopted > 0 {
                    tracing::warn!(
                        partitions = progress.adopted,
                        "the log is another one than before, and all its rows are newer: they are cached from its beginning, \
                         beside the old ones"
                    );
                }
                if let Some(as_of) = progress.as_of {
                    (self.watched.readable)(as_of.epoch, SystemClock.now());
                }
                let sizes = self.sizes().to_vec();
                self.watched.metrics.stepped(progress, self.sink.totals(), &sizes, took);
            }
            Err(_) => self.watched.metrics.failed(),
        }
        stepped.map(|progress| progress.caught_up)
    }

    fn exit_of(error: &CacheSinkError) -> Option<Exit> {
        match error {
            CacheSinkError::Cache(WriteError::Unfit { .. }) => Some(Exit::Refused),
            CacheSinkError::Cache(WriteError::Fenced { .. }) => Some(Exit::Fenced),
            _ => None,
        }
    }
}

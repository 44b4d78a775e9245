//! How fresh answers are: from an event's append to its value in the cache, and from the moment a window
//! closed to its row in the cache.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_model::{Epoch, EventTime};
use tidegate_server::metrics::latency_histogram;

/// Epochs that were committed and are not readable yet, at most; while the cache is further behind, the
/// oldest are not measured.
const PENDING_MAX: usize = 4_096;

/// Epochs that [`Freshness::recent`] looks at: those of the last ten seconds or so.
const NEWEST_MAX: usize = 100;

/// A committed epoch that is not readable yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) epoch: Epoch,
    /// When the oldest of its events was appended; `None` without events.
    pub(crate) oldest_append: Option<EventTime>,
    /// When its frontier was decided, if that closed a window.
    pub(crate) closed_at: Option<EventTime>,
}

/// Measures both ways.
#[derive(Debug)]
pub(crate) struct Freshness {
    visible: Histogram,
    readable: Histogram,
    pending: Mutex<VecDeque<Committed>>,
    newest: Mutex<VecDeque<i64>>,
}

/// The newest times from append to cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    /// The median.
    pub(crate) p50: Duration,
    /// The 99th percentile.
    pub(crate) p99: Duration,
}

impl Freshness {
    /// Registers `tidegate_visible_latency_seconds` and `tidegate_readable_latency_seconds`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let freshness = Self {
            visible: latency_histogram(),
            readable: latency_histogram(),
            pending: Mutex::default(),
            newest: Mutex::default(),
        };
        registry.register(
            "tidegate_visible_latency_seconds",
            "From the append of the oldest event of an epoch, just before its 202, to the epoch in the cache",
            freshness.visible.clone(),
        );
        registry.register(
            "tidegate_readable_latency_seconds",
            "From the tick whose frontier closed windows to their rows in the cache",
            freshness.readable.clone(),
        );
        freshness
    }

    /// An epoch was committed.
    pub(crate) fn committed(&self, epoch: Committed) {
        if epoch.oldest_append.is_none() && epoch.closed_at.is_none() {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() == PENDING_MAX {
            pending.pop_front();
        }
        pending.push_back(epoch);
    }

    /// Everything up to `epoch` can be read from the cache.
    pub(crate) fn readable(&self, epoch: Epoch, now: EventTime) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = pending.front().copied().filter(|oldest| oldest.epoch <= epoch) {
            pending.pop_front();
            if let Some(appended) = oldest.oldest_append {
                let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
                if newest.len() == NEWEST_MAX {
                    newest.pop_front();
                }
                newest.push_back(now.since_ms(appended).max(0));
            }
            for (since, histogram) in
                [(oldest.oldest_append, &self.visible), (oldest.closed_at, &self.readable)]
            {
                if let Some(since) = since {
                    histogram.observe(seconds(now.since_ms(since)));
                }
            }
        }
    }

    /// Over the newest epochs; `None` before the first.
    pub(crate) fn recent(&self) -> Option<Recent> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<i64> = newest.iter().copied().collect();
        drop(newest);
        sorted.sort_unstable();
        let rank = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().checked_sub(1)?));
        let at = |share| rank(share).map(|ms| Duration::from_millis(ms.unsigned_abs()));
        at(50).zip(at(99)).map(|(p50, p99)| Recent { p50, p99 })
    }
}

/// A clock that was set back in between shows as no time at all.
fn seconds(ms: i64) -> f64 {
    u32::try_from(ms.max(0)).map_or(f64::from(u32::MAX), f64::from) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Count and sum of a histogram, as Prometheus reads them.
    fn read(registry: &Registry, name: &str) -> (u64, f64) {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, registry).expect("a string takes everything");
        let value = |suffix: &str| {
            let name = format!("{name}_{suffix} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&name));
            line.expect("it is registered").parse::<f64>().expect("a number")
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
        (value("count") as u64, value("sum"))
    }

    #[test]
    fn an_epoch_is_measured_once_when_it_is_readable() {
        let mut registry = Registry::default();
        let freshness = Freshness::register(&mut registry);
        let at = |ms| EventTime::from_millis(ms);
        let epoch = |epoch, oldest, closed: Option<i64>| Committed {
            epoch: Epoch(epoch),
            oldest_append: Some(at(oldest)),
            closed_at: closed.map(at),
        };
        freshness.committed(epoch(1, 100, None));
        freshness.committed(epoch(2, 200, Some(250)));
        freshness.committed(Committed { epoch: Epoch(3), oldest_append: None, closed_at: None });
        freshness.committed(epoch(4, 300, None));
        assert_eq!(freshness.recent(), None);
        freshness.readable(Epoch(3), at(350));
        freshness.readable(Epoch(3), at(999));
        let (visible, readable) = ("tidegate_visible_latency_seconds", "tidegate_readable_latency_seconds");
        assert_eq!(read(&registry, visible), (2, 0.4));
        assert_eq!(read(&registry, readable), (1, 0.1));
        let recent = freshness.recent().expect("two epochs were measured");
        assert_eq!((recent.p50.as_millis(), recent.p99.as_millis()), (250, 250));
        // A clock that was set back shows no time at all.
        freshness.readable(Epoch(9), at(100));
        assert_eq!(read(&registry, visible), (3, 0.4));
    }
}

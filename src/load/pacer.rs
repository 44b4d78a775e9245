//! A thread that says when requests are due.
//!
//! The runtime's timers are a millisecond coarse, as long as many an answer takes; a thread that parks is twenty
//! times finer. It knows nothing of answers, so no answer can delay what is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{LoadStats, Rate};

/// The thread rests so long between two looks at the clock, at least and at most.
const REST_MIN: Duration = Duration::from_micros(100);
const REST_MAX: Duration = Duration::from_millis(10);

/// What is due: a permit for each request, and how many there were in all.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) permits: Semaphore,
    released: AtomicU64,
}

impl Due {
    pub(super) fn new() -> Self {
        Self { permits: Semaphore::new(0), released: AtomicU64::new(0) }
    }

    /// How many requests have become due. It is at least the number of permits, but for those that end a run.
    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::SeqCst)
    }

    fn release(&self, due: u64) {
        let before = self.released.swap(due, Ordering::SeqCst);
        self.permits.add_permits(usize::try_from(due - before).unwrap_or(usize::MAX));
    }
}

/// Releases requests from `started` on, `total` of them or until `stop`; then one permit more for each of
/// `connections`, which finds nothing left and ends.
pub(super) fn start(
    due: Arc<Due>,
    stats: Arc<LoadStats>,
    rate: Rate,
    started: Instant,
    (total, connections): (Option<u64>, usize),
    stop: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let run = move || {
        while !stop.is_cancelled() && Some(due.released()) != total {
            let now = rate.due_before(started.elapsed()).expect("a rate that is paced says when");
            due.release(total.map_or(now, |total| total.min(now)));
            stats.is_due(due.released());
            let next = rate.due(due.released()).expect("a rate that is paced says when");
            let rest = next.saturating_sub(started.elapsed()).clamp(REST_MIN, REST_MAX);
            std::thread::park_timeout(rest);
        }
        due.permits.add_permits(connections);
    };
    std::thread::Builder::new().name("tidegate-load-pacer".to_owned()).spawn(run)
}

//! Looking at a running log from outside: whether it takes appends, how full it is, what it writes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::partition::Shared;
use super::queue::Queue;
use crate::event::AppendError;

/// How full the log is, each figure beside its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of appends that wait for the writer.
    pub queued_bytes: usize,
    /// `queue_bytes_max`.
    pub queue_bytes_max: usize,
    /// Bytes of all segments.
    pub used_bytes: u64,
    /// `total_bytes_max`.
    pub total_bytes_max: u64,
}

/// Appends that were written and synced together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Appends, refused ones included.
    pub appends: usize,
    /// Their events.
    pub events: usize,
    /// Bytes of the events.
    pub bytes: usize,
}

/// Is told of each group, and of how long it took to be durable, on the writing thread.
pub type GroupObserver = Arc<dyn Fn(Group, Duration) + Send + Sync>;

/// Looks at a running log. Cheap to clone; outlives the log.
#[derive(Clone)]
pub struct LogWatch {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) total_bytes_max: u64,
    pub(super) observer: Arc<OnceLock<GroupObserver>>,
}

impl LogWatch {
    /// Why the log refuses appends, while it does: no space, no room within its limits, or an error of the
    /// storage's. Heals by itself, also while nobody appends.
    pub fn refusing(&self) -> Option<AppendError> {
        self.shared.refusing()
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let (queued_bytes, queue_bytes_max) = self.queue.fill();
        Fill {
            queued_bytes,
            queue_bytes_max,
            used_bytes: self.shared.used_bytes.load(Ordering::Acquire),
            total_bytes_max: self.total_bytes_max,
        }
    }

    /// Has `observer` told of each group from now on. There is one; a second is not told anything.
    pub fn observe(&self, observer: GroupObserver) {
        // The first one stays.
        let _ = self.observer.set(observer);
    }
}

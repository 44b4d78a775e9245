//! What the threads of a run tell each other of snapshots.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tidegate_model::Epoch;
use tidegate_model::binding::Manifest;

/// One snapshot is made at a time: named by a tick, written, committed.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    under_way: AtomicBool,
    /// The newest epoch whose snapshot is written or given up.
    settled: AtomicU64,
    /// The last epoch of the run, when it is to have a snapshot and is known; 0 when not.
    last: AtomicU64,
    /// What is written and waits for a commit.
    written: Mutex<Option<Manifest>>,
    /// Objects that nothing names any more.
    surplus: Mutex<Vec<String>>,
}

impl Shared {
    /// Whether one is being made.
    pub(crate) fn under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// A tick names `epoch`; before it is sent.
    pub(crate) fn begin(&self, epoch: Epoch, is_last: bool) {
        self.under_way.store(true, Ordering::Release);
        if is_last {
            self.last.store(epoch.0, Ordering::Release);
        }
    }

    /// The snapshot of `epoch` was written, or given up.
    pub(crate) fn settle(&self, epoch: Epoch, written: Option<Manifest>) {
        match written {
            Some(manifest) => *self.lock() = Some(manifest),
            None => self.end(),
        }
        self.settled.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// Takes what waits for a commit.
    pub(crate) fn take_written(&self) -> Option<Manifest> {
        self.lock().take()
    }

    /// Nothing names these objects any more.
    pub(crate) fn give_surplus(&self, names: Vec<String>) {
        self.surplus.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// Takes one of the objects that nothing names any more.
    pub(crate) fn take_surplus(&self) -> Option<String> {
        self.surplus.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// The next one may be made.
    pub(crate) fn end(&self) {
        self.under_way.store(false, Ordering::Release);
    }

    /// The last epoch of the run, as long as its snapshot is neither written nor given up.
    pub(crate) fn last_unsettled(&self) -> Option<Epoch> {
        let last = self.last.load(Ordering::Acquire);
        (last > self.settled.load(Ordering::Acquire)).then_some(Epoch(last))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Manifest>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

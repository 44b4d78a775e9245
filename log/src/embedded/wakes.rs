//! Who wants to be told of a change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Wake;

/// The wake-up calls of all readers.
#[derive(Default)]
pub(super) struct Wakes {
    inner: Mutex<(u64, BTreeMap<u64, Wake>)>,
}

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakes").field("registered", &self.lock().1.len()).finish()
    }
}

/// Takes the wake-up call back when dropped.
#[derive(Debug)]
pub(super) struct Registration {
    wakes: Arc<Wakes>,
    id: u64,
}

impl Wakes {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Wake>)> {
        // No call is made under the lock, so nothing panics under it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call.
    pub(super) fn register(self: &Arc<Self>, wake: Wake) -> Registration {
        let mut inner = self.lock();
        let id = inner.0;
        inner.0 += 1;
        inner.1.insert(id, wake);
        drop(inner);
        Registration { wakes: Arc::clone(self), id }
    }

    /// Makes all calls.
    pub(super) fn wake(&self) {
        let calls: Vec<Wake> = self.lock().1.values().cloned().collect();
        for call in calls {
            call();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.wakes.lock().1.remove(&self.id);
    }
}

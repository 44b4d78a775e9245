//! Snapshots: the state that the workers have at the end of an epoch, and starting from it again.
//!
//! A tick names the epoch. Each operator that keeps something copies it when it has finished that epoch, and
//! before it takes in anything of a later one; so all the copies together are the state after the epoch, and
//! are a function of the bindings up to it. The workers stand still for it: so a copy is plain rows in a few large
//! vectors, and of sessions, of which there may be millions, it is shared until they
//! change. Whoever drives the graph takes it out, and has it encoded elsewhere.
//!
//! Only what cannot be derived is copied. A graph that starts from a snapshot finds the rest in its first
//! epoch, which reads nothing: the sums of the windows are said once, as after an epoch in which all of it
//! had come, and the gates see each window become final without anybody wanting its row.

mod format;
mod restored;
mod rows;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use tidegate_model::{DeviceCategory, Epoch};

use crate::jobs::SharedSessions;

pub use self::format::{FORMAT_VERSION, FormatError, decode, encode};
pub use self::restored::{Object, Restored};
pub use self::rows::{
    KeyRow, Keyed, LoadTimeRow, PartitionRow, RunRow, SessionRow, SumRow, UsersRow, Windows,
};

/// What one worker held at the end of an epoch.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// The epoch.
    pub epoch: Epoch,
    /// The worker's number.
    pub worker: usize,
    /// What belongs to users: it goes where its key group goes.
    pub keyed: Keyed,
    /// Sessions, which belong to users, too. They are not copied: what is here stays as it is when they change.
    pub(crate) sessions: SharedSessions,
    /// What belongs to windows and partitions: whoever starts from it reads all of it, and keeps its own.
    pub windows: Windows,
}

impl Captured {
    /// A capture of a worker that held nothing.
    pub fn new(epoch: Epoch, worker: usize) -> Self {
        Self { epoch, worker, ..Self::default() }
    }
}

/// The captures of one worker: each of its operators adds what it has, and what is whole comes out.
#[derive(Debug, Default)]
pub struct Captures {
    worker: usize,
    /// How many operators there are.
    operators: Cell<usize>,
    /// What is not whole yet, and how many operators have added to it.
    begun: RefCell<BTreeMap<Epoch, (usize, Captured)>>,
    whole: RefCell<VecDeque<Captured>>,
}

impl Captures {
    pub(crate) fn new(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }

    /// Takes the oldest capture out that is whole.
    pub fn pop(&self) -> Option<Captured> {
        self.whole.borrow_mut().pop_front()
    }

    /// Another operator adds to each capture.
    pub(crate) fn register(&self) {
        self.operators.set(self.operators.get() + 1);
    }

    /// An operator adds what it holds at the end of `epoch`; it does so once.
    pub(crate) fn add(&self, epoch: Epoch, copy: impl FnOnce(&mut Captured)) {
        let mut begun = self.begun.borrow_mut();
        let (added, captured) = begun.entry(epoch).or_insert_with(|| (0, Captured::new(epoch, self.worker)));
        copy(captured);
        *added += 1;
        if *added == self.operators.get() {
            let (_, captured) = begun.remove(&epoch).expect("just added to");
            self.whole.borrow_mut().push_back(captured);
        }
    }
}

/// The device category of a number, which decoding looked at.
pub(crate) fn device_of(number: u64) -> DeviceCategory {
    usize::try_from(number)
        .ok()
        .and_then(|number| DeviceCategory::ALL.get(number))
        .copied()
        .expect("decoding looked at it")
}

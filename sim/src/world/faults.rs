//! What goes wrong, and where: plans arm faults, I/O asks whether one has come.

use std::collections::{BTreeSet, VecDeque};

use tidegate_model::PartitionId;

use super::{ProcessId, State};

/// A kind of I/O that changes something, or on which something hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Taking the journal over and reading it.
    Recover,
    /// A commit of rows and bindings.
    Commit,
    /// A batch into the metric store.
    Store,
    /// A batch, a position or a seed into the cache.
    Cache,
    /// A sink tells the log how far it is.
    Acknowledge,
    /// An object of a snapshot is written.
    PutSnapshot,
    /// An object of a snapshot is read.
    GetSnapshot,
    /// An object of a snapshot is removed.
    RemoveSnapshot,
    /// Bindings that nobody needs are removed.
    Prune,
}

/// What happens at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The process is killed before the effect.
    CrashBefore,
    /// The process is killed after the effect.
    CrashAfter,
    /// It surely did not take place, and the caller is told so.
    Fails,
    /// The caller is told that it may have taken place; it did not.
    UnknownLost,
    /// The caller is told that it may have taken place; it did.
    UnknownKept,
}

/// A fault that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Where.
    pub site: Site,
    /// So many calls go well before.
    pub skip: u32,
    /// What happens.
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Debug, Default)]
pub struct Faults {
    armed: VecDeque<Armed>,
    /// Partitions at whose end nobody can look.
    pub blind: BTreeSet<PartitionId>,
    /// Partitions that cannot be read.
    pub unreadable: BTreeSet<PartitionId>,
    /// Partitions that are read a record at a time at most.
    pub slow: BTreeSet<PartitionId>,
    /// A fetch of events may be answered with less than there is, though not with nothing.
    pub short_reads: bool,
    /// Processes that were killed in the middle of an I/O.
    pub killed: BTreeSet<ProcessId>,
    /// How many faults came to pass.
    pub happened: u64,
}

impl Faults {
    /// Arms a fault.
    pub fn arm(&mut self, fault: Armed) {
        self.armed.push_back(fault);
    }

    /// Everything goes well from now on.
    pub fn heal(&mut self) {
        let killed = std::mem::take(&mut self.killed);
        let (happened, short_reads) = (self.happened, self.short_reads);
        *self = Self { short_reads, killed, happened, ..Self::default() };
    }
}

impl State {
    /// What happens to this I/O of `process`; `None` when it goes well.
    pub fn fault(&mut self, site: Site, process: ProcessId) -> Option<Effect> {
        let at = self.faults.armed.iter().position(|armed| armed.site == site)?;
        let armed = &mut self.faults.armed[at];
        if armed.skip > 0 {
            armed.skip -= 1;
            return None;
        }
        let effect = armed.effect;
        self.faults.armed.remove(at);
        self.faults.happened += 1;
        if matches!(effect, Effect::CrashBefore | Effect::CrashAfter) {
            self.faults.killed.insert(process);
        }
        self.note("fault", site as u64 * 8 + effect as u64);
        Some(effect)
    }
}

impl Effect {
    /// Whether the effect takes place.
    pub fn takes_place(self) -> bool {
        matches!(self, Self::CrashAfter | Self::UnknownKept)
    }

    /// Whether the caller is told that it surely did not.
    pub fn is_definite(self) -> bool {
        self == Self::Fails
    }
}

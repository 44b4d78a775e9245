//! Known bugs that can be planted, to show that the simulator finds them.
//!
//! Without the feature `planted`, which only the simulator asks for, [`is_planted`] is a constant and
//! every place that asks it compiles to what it does when nothing is planted.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// Rows become visible although their binding does not.
    RowsBeforeBinding = 1,
    /// In replay the frontier is computed again instead of read from the journal.
    FrontierRecomputed,
    /// Records of an epoch are judged one by one, in the order in which they arrive.
    JudgedInArrivalOrder,
    /// A partition counts as idle although nobody could look at its end.
    IdleWithoutALook,
    /// A replayed epoch ends one record early.
    OffsetOffByOne,
    /// A sink goes on from the position that it remembers after a write that failed.
    SinkTrustsItself,
    /// A recovered deployment counts its epochs from 1 again.
    EpochsRestartAtOne,
    /// A commit whose outcome is unknown is sent again.
    UnknownCommitRetried,
    /// Replayed epochs are committed again.
    ReplayEmits,
    /// The totals of the ledger begin at zero after a restart.
    LedgerForgotten,
    /// Records of the next epoch are judged by the frontier of the one before.
    EpochsMixed,
    /// The watermark of a partition without a record does not hold the frontier.
    EmptyPartitionIgnored,
    /// A job that begins anew begins at the frontier, although more than that was read.
    StartsAtFrontier,
    /// The state for a snapshot is copied when records of later epochs have been taken in.
    SnapshotAfterStash,
    /// A start takes the newest objects in the store for its snapshot, whatever the journal names.
    SnapshotFromListing,
    /// A job that begins anew behind a gap counts events of windows whose others are gone.
    GoneForgotten,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 16] = [
        Self::RowsBeforeBinding,
        Self::FrontierRecomputed,
        Self::JudgedInArrivalOrder,
        Self::IdleWithoutALook,
        Self::OffsetOffByOne,
        Self::SinkTrustsItself,
        Self::EpochsRestartAtOne,
        Self::UnknownCommitRetried,
        Self::ReplayEmits,
        Self::LedgerForgotten,
        Self::EpochsMixed,
        Self::EmptyPartitionIgnored,
        Self::StartsAtFrontier,
        Self::SnapshotAfterStash,
        Self::SnapshotFromListing,
        Self::GoneForgotten,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RowsBeforeBinding => "rows-before-binding",
            Self::FrontierRecomputed => "frontier-recomputed",
            Self::JudgedInArrivalOrder => "judged-in-arrival-order",
            Self::IdleWithoutALook => "idle-without-a-look",
            Self::OffsetOffByOne => "offset-off-by-one",
            Self::SinkTrustsItself => "sink-trusts-itself",
            Self::EpochsRestartAtOne => "epochs-restart-at-one",
            Self::UnknownCommitRetried => "unknown-commit-retried",
            Self::ReplayEmits => "replay-emits",
            Self::LedgerForgotten => "ledger-forgotten",
            Self::EpochsMixed => "epochs-mixed",
            Self::EmptyPartitionIgnored => "empty-partition-ignored",
            Self::StartsAtFrontier => "starts-at-frontier",
            Self::SnapshotAfterStash => "snapshot-after-stash",
            Self::SnapshotFromListing => "snapshot-from-listing",
            Self::GoneForgotten => "gone-forgotten",
        }
    }
}

#[cfg(feature = "planted")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a bug in this process, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }

    /// Whether the bug is planted.
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "planted")]
pub use switch::{is_planted, plant};

/// Whether the bug is planted: never, in this build.
#[cfg(not(feature = "planted"))]
pub const fn is_planted(_: Bug) -> bool {
    false
}

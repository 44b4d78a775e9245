//! Snapshots of a run: when they are made, how they are stored, and what a start makes of them.
//!
//! A snapshot shortens the next start and does nothing else: rows depend on bindings alone. It counts from the
//! commit of a binding that carries its [`Manifest`](tidegate_model::binding::Manifest). A start goes by what
//! the journal names and never by what lies in the store, so that neither half a snapshot nor one of a
//! process that was fenced can be taken for one.

mod kept;
mod load;
mod names;
mod probe;
mod shared;
mod store;
mod writing;

pub use self::load::{Unusable, load};
pub use self::store::{ObjectSnapshots, SnapshotStore, StoreError};
pub use self::writing::{Snapshotted, Snapshotting};

pub(crate) use self::kept::Kept;
pub(crate) use self::probe::Probe;
pub(crate) use self::shared::Shared;
pub(crate) use self::writing::{Part, PartsOf, Tells};

/// When snapshots are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// After so many records since the one before.
    pub records: u64,
    /// After so many milliseconds since the one before, if anything was bound.
    pub every_ms: i64,
    /// The bindings of so many epochs are kept that no start needs any more. An epoch is a tick.
    pub history_epochs: u64,
    /// So many milliseconds may the last binding of a run wait for its snapshot.
    pub last_wait_ms: i64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { records: 1_000_000, every_ms: 30_000, history_epochs: 6_000, last_wait_ms: 3_000 }
    }
}

//! The cache: the newest windows of every kind, for readers that want them within milliseconds.
//!
//! A sink writes it, synchronously ([`CacheWriter`]); readers ask it and follow its changes,
//! asynchronously ([`CacheReader`]). [`MemoryCache`] lies in this process, `redis` in a server of its own;
//! `conformance` is the suite that every implementation passes. What there is to cache follows from
//! [`CacheView`](tidegate_model::row::CacheView): no table is known here by name.
//!
//! The invariants: values and the position that they stand for change together or not at all; values
//! are absolute, so that writing twice changes nothing; final values and provisional ones never mix; and
//! whoever applies every [`Change`] in order to what was read before them has what the cache has.

pub mod batch;
pub mod change;
pub mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
pub mod read;
#[cfg(feature = "redis")]
pub mod redis;
pub mod window;
pub mod write;

pub use batch::{
    Applied, Batch, Effect, Gap, LastRow, Position, Positions, Row, Seed, SeededKind, SeededRow,
};
pub use change::{Change, Update, UpdateKind};
pub use config::Config;
pub use memory::MemoryCache;
pub use read::{Answer, Ask, CacheReader, ReadError, UpdateError, Updates};
pub use window::{CachedWindow, Number};
pub use write::{CacheWriter, KindSize, Standing, WriteError};

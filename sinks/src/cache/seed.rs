//! What a cache that knows nothing begins from.

use tidegate_cache::Seed;

use super::config::CachedTopic;
use crate::store::StoreError;

/// Gives an empty cache its first windows.
pub trait SeedSource: Send {
    /// The newest `windows_max` windows of each of `topics`, and the positions that they stand for, all of
    /// the same instant.
    ///
    /// # Errors
    /// When it cannot be read.
    fn seed(&mut self, topics: &[CachedTopic], windows_max: usize) -> Result<Seed, StoreError>;
}

impl<S: SeedSource + ?Sized> SeedSource for Box<S> {
    fn seed(&mut self, topics: &[CachedTopic], windows_max: usize) -> Result<Seed, StoreError> {
        (**self).seed(topics, windows_max)
    }
}

/// Nothing: the cache is filled from the log alone. It has no kinds, so that nothing is cleared for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSeed;

impl SeedSource for NoSeed {
    fn seed(&mut self, _topics: &[CachedTopic], _windows_max: usize) -> Result<Seed, StoreError> {
        Ok(Seed::default())
    }
}

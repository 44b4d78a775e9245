//! The cache in this process: one lock around a state.
//!
//! A reader holds the lock for as long as it takes to clone the pointers of the windows that it asked
//! for; a writer, for one batch. Nothing is awaited under it.

mod kind;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidegate_model::{AsOf, EventTime, Offset, PartitionId};
use tokio::sync::broadcast;

use crate::batch::{Applied, Batch, Gap, Positions, Seed};
use crate::change::Update;
use crate::config::Config;
use crate::read::{Answer, Ask, CacheReader, ReadError, UpdateError, Updates};
use crate::write::{CacheWriter, KindSize, WriteError};
use state::State;

/// The cache in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryCache {
    state: Arc<RwLock<State>>,
}

impl MemoryCache {
    /// An empty cache.
    pub fn new(config: Config) -> Self {
        Self { state: Arc::new(RwLock::new(State::new(config))) }
    }

    /// A cache of its own that holds the same now; nobody follows it. For backups, in tests.
    #[cfg(any(test, feature = "conformance"))]
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { state: Arc::new(RwLock::new(self.look().copy())) }
    }

    fn look(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("a writer that panics ends the process")
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("a writer that panics ends the process")
    }
}

impl CacheWriter for MemoryCache {
    fn positions(&mut self) -> Result<Positions, WriteError> {
        Ok(self.look().positions().clone())
    }

    fn seed(&mut self, seed: &Seed, now: EventTime) -> Result<(), WriteError> {
        self.change().seed(seed, now);
        Ok(())
    }

    fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError> {
        self.change().apply(batch, now)
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), WriteError> {
        self.change().skip(gap)
    }

    fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) -> Result<(), WriteError> {
        self.change().adopt(source, start);
        Ok(())
    }

    fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError> {
        self.change().set_as_of(as_of, at)
    }

    fn expire(&mut self, now: EventTime) -> Result<(), WriteError> {
        self.change().expire(now);
        Ok(())
    }

    fn sizes(&mut self) -> Result<Vec<KindSize>, WriteError> {
        Ok(self.look().sizes())
    }
}

impl CacheReader for MemoryCache {
    type Updates = MemoryUpdates;

    fn read(&self, asks: &[Ask]) -> impl Future<Output = Result<Answer, ReadError>> + Send {
        std::future::ready(Ok(self.look().answer(asks)))
    }

    fn ready(&self) -> impl Future<Output = Result<bool, ReadError>> + Send {
        std::future::ready(Ok(self.look().ready()))
    }

    fn ping(&self) -> impl Future<Output = Result<(), ReadError>> + Send {
        std::future::ready(Ok(()))
    }

    fn subscribe(&self) -> impl Future<Output = Result<MemoryUpdates, ReadError>> + Send {
        std::future::ready(Ok(MemoryUpdates(self.look().subscribe())))
    }
}

/// The updates of a [`MemoryCache`]. The [`Config::updates_max`] newest wait for a subscriber.
#[derive(Debug)]
pub struct MemoryUpdates(broadcast::Receiver<Update>);

impl Updates for MemoryUpdates {
    async fn next(&mut self) -> Result<Update, UpdateError> {
        self.0.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(_) => UpdateError::Missed,
            broadcast::error::RecvError::Closed => UpdateError::Closed,
        })
    }
}

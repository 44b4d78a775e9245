//! The reading side: what an API knows of a cache.

use std::sync::Arc;

use tidegate_model::AsOf;

use crate::change::Update;
use crate::window::CachedWindow;

/// Which windows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The newest windows of a kind, with their final values, newest first.
    Newest {
        /// The kind.
        kind: &'static str,
        /// At most so many.
        limit: usize,
    },
    /// The open windows of a kind, with their provisional values, newest first.
    Live {
        /// The kind.
        kind: &'static str,
    },
}

/// What a cache holds, at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Every row up to there is in; later ones may be. `None` before anything was said.
    pub as_of: Option<AsOf>,
    /// The number of the last [`Update`] that is in.
    pub seq: u64,
    /// For each question, in order, the windows.
    pub windows: Vec<Vec<Arc<CachedWindow>>>,
}

/// Why a cache gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It answers, and will not do it.
    #[error("the cache at {address} cannot be used: {reason}")]
    Refused {
        /// Where it is.
        address: String,
        /// What it said, and what to do about it.
        reason: String,
    },
    /// It cannot be reached.
    #[error("the cache at {address} does not answer: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What was said instead.
        reason: String,
    },
}

/// Why there is no next update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Updates were lost, because the subscriber was slow or the way to it was broken. What comes next
    /// is newer: read the cache again.
    #[error("updates were missed; what the cache holds must be read again")]
    Missed,
    /// There will never be one again.
    #[error("the cache is gone")]
    Closed,
}

/// The updates of a cache, in order.
pub trait Updates: Send + 'static {
    /// Waits for the next update. To drop the future loses nothing.
    ///
    /// # Errors
    /// See [`UpdateError`].
    fn next(&mut self) -> impl Future<Output = Result<Update, UpdateError>> + Send;
}

/// Reads a cache. Cheap to clone.
pub trait CacheReader: Clone + Send + Sync + 'static {
    /// What [`CacheReader::subscribe`] gives.
    type Updates: Updates;

    /// Answers the questions, all as of the same instant: the present, where open windows are among them. An answer
    /// about closed windows alone may lack what was written a moment ago, if the way to the cache has it say so later; it
    /// has everything that a subscriber of this reader was told.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn read(&self, asks: &[Ask]) -> impl Future<Output = Result<Answer, ReadError>> + Send;

    /// Whether whoever writes the cache has caught up with the log once. Until then the answers may be
    /// of long ago.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn ready(&self) -> impl Future<Output = Result<bool, ReadError>> + Send;

    /// Whether the cache answers at all.
    ///
    /// # Errors
    /// When it does not.
    fn ping(&self) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// The updates from now on: all those that a later answer has and an earlier one has not.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn subscribe(&self) -> impl Future<Output = Result<Self::Updates, ReadError>> + Send;
}

//! The writing side: what a sink knows of a cache.

use std::sync::Arc;

use tidegate_model::{AsOf, EventTime, Offset, PartitionId};

use crate::batch::{Applied, Batch, Gap, Positions, Seed};

/// Why a cache did not, or may not have, changed. The same call may be made again after any of these, where that
/// helps: values are absolute, and a batch that was applied after all is recognised by its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Surely not applied: rows before the batch are missing.
    #[error(
        "offsets {next} to {start} (exclusive) of partition {partition} of topic {topic} are not in the cache; \
         the batch must start at {next}"
    )]
    Gap {
        /// The topic.
        topic: Arc<str>,
        /// Its partition.
        partition: PartitionId,
        /// The cache's position.
        next: Offset,
        /// Where the batch starts.
        start: Offset,
    },
    /// Nothing was said: the cache is not where it was taken to be. It was restored from an old state, or
    /// emptied.
    #[error(
        "the cache stands at offset {actual} of partition {partition} of topic {topic}, and not at {expected} \
         where it was left: it was emptied, or restored from an old state"
    )]
    Moved {
        /// The topic.
        topic: Arc<str>,
        /// Its partition.
        partition: PartitionId,
        /// Where it was left.
        expected: Offset,
        /// Where it stands.
        actual: Offset,
    },
    /// Not applied: the cache answers, and will not do it. The position is where it was. Where the refusal came
    /// in the middle, because a key belongs to something else, values may be there that it does not stand for yet.
    #[error("the cache at {address} cannot be used: {reason}")]
    Refused {
        /// Where it is.
        address: String,
        /// What it said, and what to do about it.
        reason: String,
    },
    /// Surely not applied, and never will be there: what answers can be no cache. To try again does not help.
    #[error("the cache at {address} cannot be used: {reason}")]
    Unfit {
        /// Where it is.
        address: String,
        /// What it is, and what to use instead.
        reason: String,
    },
    /// Surely not applied: another writer has taken over. To try again does not help.
    #[error(
        "the cache at {address} is written by another sink, which took over (generation {by}) from this one \
         (generation {generation}): run one of them only; two deployments on one Redis need a redis.prefix each"
    )]
    Fenced {
        /// Where it is.
        address: String,
        /// This writer's generation.
        generation: u64,
        /// The other one's.
        by: u64,
    },
    /// May have been applied: the cache cannot be reached.
    #[error("the cache at {address} does not answer: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What was said instead.
        reason: String,
    },
}

/// What a cache may say that it is, when everything that was handed to it is in.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// As of what; `None`: no row exists yet.
    pub as_of: Option<AsOf>,
    /// The positions that it says so of.
    pub at: &'a Positions,
}

/// How much a cache holds of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindSize {
    /// The kind.
    pub kind: &'static str,
    /// Windows with final values.
    pub windows: usize,
    /// Windows with provisional values.
    pub live_windows: usize,
}

/// Writes a cache. One sink does, on a thread of its own; a cache that others can reach as well holds to it, and
/// fences the one before when another one begins.
///
/// - A row is applied only if its epoch is not older than the one stored beside its label in its window.
/// - The newest [`Config::windows_kept`](crate::Config::windows_kept) windows of a kind are kept. What
///   made room once does not come back: a correction of it changes nothing.
/// - A window goes when the last label does, and when nothing was written to it for
///   [`Config::hash_ttl_ms`](crate::Config::hash_ttl_ms).
/// - Provisional values go when the final row of their window and label arrives, when the frontier passes
///   their window, and two windows' time after the last one was written.
/// - Whatever changes what a reader sees is published as [`Change`](crate::Change)s, one for each window.
pub trait CacheWriter: Send {
    /// The positions, as the cache holds them; none before the first batch or seed.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn positions(&mut self) -> Result<Positions, WriteError>;

    /// Begins from `seed`: its kinds, and the positions of their topics, take the place of what there was.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn seed(&mut self, seed: &Seed, now: EventTime) -> Result<(), WriteError>;

    /// Applies the rows of `batch` and moves the position to the end of its range, both or neither. Rows
    /// below the position are left out, so that a batch may be repeated, and may overlap with earlier
    /// ones.
    ///
    /// # Errors
    /// When the batch does not begin at or below the position, or the cache cannot be reached.
    fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError>;

    /// Moves the position past rows that are gone. The windows of a kind whose final rows are missing are
    /// forgotten, and do not come back: nobody knows which of them are right.
    ///
    /// # Errors
    /// When the gap does not begin at or below the position, or the cache cannot be reached.
    fn skip(&mut self, gap: &Gap) -> Result<(), WriteError>;

    /// Goes on in another log, whose rows are all newer: moves the position of a partition back to its beginning.
    /// Windows stay.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) -> Result<(), WriteError>;

    /// Says that every row up to `as_of` is in a cache that stands at `at`, and that it is ready. `None`: no
    /// row exists yet. A cache that stands elsewhere says nothing: otherwise one that was restored from an
    /// old state would pass for new until the next row comes.
    ///
    /// # Errors
    /// When the cache stands elsewhere, or cannot be reached.
    fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError>;

    /// Removes what is too old at `now`; a cache that does so by itself has nothing to do.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn expire(&mut self, now: EventTime) -> Result<(), WriteError>;

    /// What a sink's step ends with: [`apply`](Self::apply)s `batches`, lets what is too old
    /// [`expire`](Self::expire) and [says](Self::set_as_of) where it stands, in this order. A cache that is
    /// somewhere else does it in one exchange.
    ///
    /// # Errors
    /// One of theirs. It speaks of one of these requests: those before it were carried out, and those after it may have
    /// been. Only what the cache stands at was not said then, because a batch is missing.
    fn advance(
        &mut self,
        batches: &[Batch],
        standing: Option<Standing<'_>>,
        now: EventTime,
    ) -> Result<Vec<Applied>, WriteError> {
        let applied = batches.iter().map(|batch| self.apply(batch, now)).collect::<Result<_, _>>()?;
        self.expire(now)?;
        if let Some(Standing { as_of, at }) = standing {
            self.set_as_of(as_of, at)?;
        }
        Ok(applied)
    }

    /// How much there is of every kind that was written to.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    fn sizes(&mut self) -> Result<Vec<KindSize>, WriteError>;
}

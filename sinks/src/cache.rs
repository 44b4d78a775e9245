//! The cache sink: final and provisional rows of the log into a [`CacheWriter`], one step at a time.
//!
//! A cache that has no positions begins from what the metric store holds ([`SeedSource`]); from there the
//! sink reads on in the log. It knows no thread and no clock; whoever drives it hands over the time.
//! The invariant: the cache is said to be as of a binding only when every row up to that binding is in.

mod config;
mod error;
mod partition;
mod progress;
mod project;
mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use tidegate_cache::{Applied, Batch, CacheWriter, Positions, Standing};
use tidegate_log::RowReader;
use tidegate_log::event::Wake;
use tidegate_model::{AsOf, EventTime, Offset, PartitionId};

pub use config::{CacheConfig, CachedTopic, LiveTopic};
pub use error::CacheSinkError;
pub use progress::{CacheProgress, CacheTotals};
pub use seed::{NoSeed, SeedSource};

pub(crate) use project::{Projection, WINDOW_END, WINDOW_START};

/// A partition of a topic of rows.
type TopicPartition = (Arc<str>, PartitionId);

/// Brings a cache up to date with the log.
#[derive(Debug)]
pub struct CacheSink<R, C, S> {
    reader: R,
    cache: C,
    seeds: S,
    config: CacheConfig,
    /// What is read, in order.
    sources: Arc<[Source]>,
    /// The cache's positions; unknown at first and after every error of the cache's.
    positions: Option<Positions>,
    pending: Pending,
    /// Where reading goes on: at the position, or after it where the log has offsets without rows.
    read_from: BTreeMap<TopicPartition, Offset>,
    /// Partitions whose position was compared with what the log holds there.
    compared: BTreeSet<TopicPartition>,
    /// Topics that were seeded in this step. What that seed did not have, another one would not have either, and it
    /// would take back what was passed since.
    seeded: BTreeSet<Arc<str>>,
    /// What the log was as of when the step began. Provisional rows of windows before its frontier are over.
    as_of: Option<AsOf>,
    /// What the log was told, and when it was last told something.
    acknowledged: BTreeMap<TopicPartition, Offset>,
    acknowledged_at: Option<EventTime>,
    totals: CacheTotals,
}

/// What was read and is not in the cache yet. A step ends with nothing of it.
#[derive(Debug, Default)]
struct Pending {
    batches: Vec<Batch>,
    /// Rows that the batches stand for, and their bytes in the log.
    rows: u64,
    bytes: usize,
    /// Provisional ones among them, of windows that have closed: they are not handed on.
    over: u64,
}

/// Whose rows a topic has, and where the cache finds what it needs in them.
#[derive(Debug)]
enum Source {
    Final(CachedTopic, Projection),
    Live(Arc<str>, Vec<(Arc<str>, Projection)>),
}

impl Source {
    fn name(&self) -> &Arc<str> {
        match self {
            Self::Final(topic, _) => &topic.name,
            Self::Live(name, _) => name,
        }
    }

    /// Final rows come first: a provisional value that is behind them is known to be over.
    fn all(config: &CacheConfig) -> Arc<[Self]> {
        let topics = config.topics.iter().cloned();
        let topics = topics.map(|topic| {
            let projection = Projection::new(topic.schema);
            Self::Final(topic, projection)
        });
        let jobs = config.live.jobs.iter().map(|(job, schema)| (Arc::clone(job), Projection::new(schema)));
        let live = Self::Live(Arc::clone(&config.live.name), jobs.collect());
        topics.chain([live]).collect()
    }
}

impl<R: RowReader, C: CacheWriter, S: SeedSource> CacheSink<R, C, S> {
    /// A sink that has read nothing yet; nothing is touched before the first step. Every schema of
    /// `config` says how its rows are cached.
    pub fn new(reader: R, cache: C, seeds: S, config: CacheConfig) -> Self {
        Self {
            sources: Source::all(&config),
            reader,
            cache,
            seeds,
            config,
            positions: None,
            pending: Pending::default(),
            read_from: BTreeMap::new(),
            compared: BTreeSet::new(),
            seeded: BTreeSet::new(),
            as_of: None,
            acknowledged: BTreeMap::new(),
            acknowledged_at: None,
            totals: CacheTotals::default(),
        }
    }

    /// Takes in up to [`CacheConfig::rows_per_topic_max`] rows of every topic, and removes what is too old
    /// at `now`.
    ///
    /// # Errors
    /// Every error leaves the sink and the cache such that the next step goes on correctly. An error of
    /// the cache's or the seed's ends the step. One of the log's leaves out that partition; the step goes
    /// on with the others and returns the first error.
    pub fn step(&mut self, now: EventTime) -> Result<CacheProgress, CacheSinkError> {
        let stepped = self.step_once(now);
        if let Err(error) = &stepped {
            self.totals.errors += 1;
            if error.is_of_the_cache() {
                // What is in the cache is known again when it has been asked.
                self.positions = None;
                self.pending = Pending::default();
                self.read_from.clear();
                self.compared.clear();
            }
        }
        stepped
    }

    fn step_once(&mut self, now: EventTime) -> Result<CacheProgress, CacheSinkError> {
        // Asked before anything is read: every row up to there is seen by what follows.
        self.as_of = self.reader.as_of().map_err(|error| {
            // Another log may be there when this one answers again.
            self.compared.clear();
            CacheSinkError::AsOf(error)
        })?;
        let mut progress = CacheProgress { caught_up: true, complete: true, ..CacheProgress::default() };
        let mut failed = None;
        self.seeded.clear();
        self.begin(now, &mut progress)?;
        for source in Arc::clone(&self.sources).iter() {
            self.step_topic(source, now, &mut progress, &mut failed)?;
        }
        let is_complete = progress.complete && failed.is_none();
        self.advance(is_complete, now, &mut progress)?;
        progress.as_of = self.as_of.filter(|_| is_complete);
        if let Err(error) = self.acknowledge_if_due(now) {
            failed.get_or_insert(error);
        }
        match failed {
            None => Ok(progress),
            Some(error) => Err(error),
        }
    }

    /// Asks the cache for its positions, and seeds it if it knows of no topic of
    /// final rows.
    fn begin(&mut self, now: EventTime, progress: &mut CacheProgress) -> Result<(), CacheSinkError> {
        if self.positions.is_some() {
            return Ok(());
        }
        let positions = self.cache.positions()?;
        let is_known = |topic: &CachedTopic| positions.keys().any(|(known, _)| *known == topic.name);
        if self.config.topics.iter().any(is_known) {
            self.positions = Some(positions);
            return Ok(());
        }
        let topics = self.config.topics.clone();
        self.seed(&topics, now, progress)
    }

    /// Begins anew with what the metric store holds of `topics`.
    fn seed(
        &mut self,
        topics: &[CachedTopic],
        now: EventTime,
        progress: &mut CacheProgress,
    ) -> Result<(), CacheSinkError> {
        let seed = self.seeds.seed(topics, self.config.windows_kept).map_err(CacheSinkError::Seed)?;
        self.cache.seed(&seed, now)?;
        self.positions = Some(self.cache.positions()?);
        let is_seeded = |name: &Arc<str>| topics.iter().any(|topic| topic.name == *name);
        self.read_from.retain(|(read, _), _| !is_seeded(read));
        // Its positions are those of the store now.
        self.compared.retain(|(compared, _)| !is_seeded(compared));
        self.seeded.extend(topics.iter().map(|topic| Arc::clone(&topic.name)));
        self.totals.seeds += 1;
        progress.seeded += 1;
        Ok(())
    }

    fn step_topic(
        &mut self,
        source: &Source,
        now: EventTime,
        progress: &mut CacheProgress,
        failed: &mut Option<CacheSinkError>,
    ) -> Result<(), CacheSinkError> {
        let topic = source.name();
        let partitions = match self.reader.partitions(topic) {
            Ok(partitions) => partitions,
            Err(error) => {
                // Another log may be there when this one answers again.
                self.compared.clear();
                let topic = Arc::clone(topic);
                failed.get_or_insert(CacheSinkError::Partitions { topic, source: error });
                return Ok(());
            }
        };
        // A part each, so that no partition waits for another.
        let rows_max = (self.config.rows_per_topic_max / partitions.len().max(1)).max(1);
        for partition in partitions {
            match self.step_partition(source, partition, rows_max, now, progress) {
                Ok(()) => {}
                Err(error) if error.is_of_the_cache() => return Err(error),
                Err(error) => {
                    if matches!(error, CacheSinkError::Read { .. }) {
                        // Another log may be there when this one answers again, in the other partitions, too.
                        self.compared.clear();
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    /// Has the cache take in what was read, and say what it is as of if everything up to there was.
    fn advance(
        &mut self,
        is_complete: bool,
        now: EventTime,
        progress: &mut CacheProgress,
    ) -> Result<(), CacheSinkError> {
        let at = self.positions.as_ref().expect("a step begins by asking the cache");
        let standing = is_complete.then_some(Standing { as_of: self.as_of, at });
        let pending = mem::take(&mut self.pending);
        let mut applied = Applied { old: pending.over, ..Applied::default() };
        for of_batch in self.cache.advance(&pending.batches, standing, now)? {
            applied.add(&of_batch);
        }
        let batches = pending.batches.len() as u64;
        progress.applied.add(&applied);
        progress.rows += pending.rows;
        progress.batches += batches;
        progress.caught_up &= batches == 0;
        self.totals.applied.add(&applied);
        self.totals.rows += pending.rows;
        self.totals.batches += batches;
        self.totals.unacknowledged += pending.rows;
        Ok(())
    }

    /// What was done since the sink was made, failed steps included. Rows that were handed over when the cache failed
    /// are not counted, although some of them may be in.
    pub fn totals(&self) -> &CacheTotals {
        &self.totals
    }

    /// Has `wake` called after every commit to the log, until the sink is dropped.
    pub fn on_commit(&mut self, wake: Wake) {
        self.reader.on_commit(wake);
    }

    /// The cache, to look at.
    pub fn cache(&mut self) -> &mut C {
        &mut self.cache
    }

    /// The parts; a sink made of them anew goes on where this one was.
    pub fn into_parts(self) -> (R, C, S) {
        (self.reader, self.cache, self.seeds)
    }
}

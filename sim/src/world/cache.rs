//! The cache: a server of its own, that may be restored from an old state.

use std::sync::Arc;

use tidegate_cache::{
    Applied, Batch, CacheWriter, Config, Gap, KindSize, MemoryCache, Number, Positions, Seed, SeededRow,
    Standing, WriteError,
};
use tidegate_model::{AsOf, EventTime, Offset, PartitionId, Schema, Window};
use tidegate_sinks::batch::Value;

use super::faults::{Effect, Site};
use super::store::TableRow;
use super::{ProcessId, World};

/// A cache without anything in it. Windows go when there are more than some, and never by age: a clock
/// that jumps would take them.
pub fn empty() -> MemoryCache {
    MemoryCache::new(Config { hash_ttl_ms: i64::MAX / 4, ..Config::default() })
}

/// The cache, as one process sees it.
pub struct SimCache {
    /// The world.
    pub world: Arc<World>,
    /// Whose connection it is.
    pub process: ProcessId,
}

impl SimCache {
    fn change<T>(
        &self,
        change: impl FnOnce(&mut MemoryCache) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::Cache, self.process);
        let changed = if fault.is_none_or(Effect::takes_place) {
            let changed = change(&mut state.cache)?;
            state.note("cache", 0);
            Some(changed)
        } else {
            None
        };
        match (fault, changed) {
            (None, Some(changed)) => Ok(changed),
            _ => Err(WriteError::Unreachable { address: "simulated".into(), reason: "simulated".into() }),
        }
    }
}

impl CacheWriter for SimCache {
    fn positions(&mut self) -> Result<Positions, WriteError> {
        self.world.lock().cache.positions()
    }

    fn seed(&mut self, seed: &Seed, now: EventTime) -> Result<(), WriteError> {
        self.change(|cache| cache.seed(seed, now))
    }

    fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError> {
        self.change(|cache| cache.apply(batch, now))
    }

    fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) -> Result<(), WriteError> {
        self.change(|cache| cache.adopt(source, start))
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), WriteError> {
        self.change(|cache| cache.skip(gap))
    }

    fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError> {
        self.change(|cache| cache.set_as_of(as_of, at))
    }

    fn expire(&mut self, now: EventTime) -> Result<(), WriteError> {
        self.world.lock().cache.expire(now)
    }

    /// As a server does that is sent everything at once: what follows a failure is carried out all the same.
    fn advance(
        &mut self,
        batches: &[Batch],
        standing: Option<Standing<'_>>,
        now: EventTime,
    ) -> Result<Vec<Applied>, WriteError> {
        let applied: Vec<_> = batches.iter().map(|batch| self.apply(batch, now)).collect();
        let expired = self.expire(now);
        let said = standing.map_or(Ok(()), |standing| self.set_as_of(standing.as_of, standing.at));
        let applied = applied.into_iter().collect::<Result<_, _>>()?;
        expired.and(said).map(|()| applied)
    }

    fn sizes(&mut self) -> Result<Vec<KindSize>, WriteError> {
        self.world.lock().cache.sizes()
    }
}

/// A row of a table as a seed holds it.
pub fn seeded(schema: &Schema, row: &TableRow) -> SeededRow {
    let view = schema.cache.as_ref().expect("only tables that are cached are asked for");
    let value = |name: &str| {
        let at = schema.columns.iter().position(|column| column.name == name);
        &row.values[at.expect("what is cached is a column")]
    };
    let instant = |name| match value(name) {
        Value::Instant(instant) => *instant,
        other => unreachable!("{other:?} bounds no window"),
    };
    let Value::Text(label) = value(view.label) else { unreachable!("labels are text") };
    let number = |name: &str| match value(name) {
        Value::UInt(number) => Number::UInt(*number),
        Value::Float(number) => Number::Float(*number),
        other => unreachable!("{other:?} is no number"),
    };
    SeededRow {
        window: Window { start: instant("window_start"), end: instant("window_end") },
        label: label.clone(),
        epoch: row.epoch,
        values: view.fields.iter().map(|(name, _)| number(name)).collect(),
    }
}

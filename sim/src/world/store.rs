//! The metric store: tables, and positions that change with them or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_cache::{LastRow as CacheLastRow, Position as CachePosition, Seed, SeededKind};
use tidegate_model::{Epoch, Offset, Schema};
use tidegate_sinks::batch::{Batch, Content, Dropped, Table, Value};
use tidegate_sinks::cache::{CachedTopic, SeedSource};
use tidegate_sinks::store::{
    Applied, Expiry, Gap, LastRow, MetricStore, NewLog, Position, Positions, StoreError, TopicPartition,
};

use super::faults::{Effect, Site};
use super::{ProcessId, World};

/// The values of a row, as text: floats cannot be compared otherwise.
pub type Values = Vec<String>;

/// A row of a table, with its version.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// Its values, in the order of the columns.
    pub values: Box<[Value]>,
    /// The epoch that made it.
    pub epoch: Epoch,
    /// Where it lay in the log.
    pub offset: Offset,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Table and key to row.
    pub rows: BTreeMap<(&'static str, Values), TableRow>,
    /// Dropped records: job, partition and offset, to the reason.
    pub dropped: BTreeMap<(String, u32, u64), String>,
    /// Rows that did not fit their tables.
    pub unreadable: u64,
    positions: Positions,
}

/// A value as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Instant(instant) => instant.as_millis().to_string(),
        Value::Text(text) => text.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => format!("{:016x}", number.to_bits()),
    }
}

/// The key of a row, as text.
pub fn key(schema: &Schema, values: &[Value]) -> Values {
    let column = |name: &&str| schema.columns.iter().position(|column| column.name == *name);
    let columns = schema.key.iter().map(|name| column(name).expect("a key is made of columns"));
    columns.map(|at| text(&values[at])).collect()
}

/// The store, as one process sees it.
pub struct SimStore {
    /// The world.
    pub world: Arc<World>,
    /// Whose connection it is.
    pub process: ProcessId,
}

impl Tables {
    fn position(&self, source: &TopicPartition) -> Position {
        self.positions.get(source).copied().unwrap_or_default()
    }

    fn before(&self, source: &TopicPartition, start: Offset) -> Result<Position, StoreError> {
        let position = self.position(source);
        if start > position.next {
            let (topic, partition, next) = (Arc::clone(&source.0), source.1, position.next);
            return Err(StoreError::Gap { topic, partition, next, start });
        }
        Ok(position)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let source = (Arc::clone(&batch.topic), batch.partition);
        let position = self.before(&source, batch.range.start)?;
        let repeated = batch.rows.partition_point(|row| row.offset < position.next);
        let mut applied = Applied { repeated: repeated as u64, ..Applied::default() };
        if batch.range.end <= position.next {
            return Ok(applied);
        }
        let mut last = position.last;
        for row in &batch.rows[repeated..] {
            last = Some(LastRow { offset: row.offset, epoch: row.epoch });
            match (&row.content, batch.table) {
                (Content::Put(values), Table::Metrics(schema)) => {
                    let place = (schema.table, key(schema, values));
                    let newest = self
                        .rows
                        .get(&place)
                        .is_none_or(|old| (old.epoch, old.offset) <= (row.epoch, row.offset));
                    if newest {
                        let row = TableRow { values: values.clone(), epoch: row.epoch, offset: row.offset };
                        self.rows.insert(place, row);
                        applied.put += 1;
                    } else {
                        applied.stale += 1;
                    }
                }
                (Content::Remove(key), Table::Metrics(schema)) => {
                    let place = (schema.table, key.iter().map(text).collect::<Values>());
                    let older = |old: &TableRow| (old.epoch, old.offset) <= (row.epoch, row.offset);
                    if self.rows.get(&place).is_some_and(older) {
                        self.rows.remove(&place);
                    }
                    applied.removed += 1;
                }
                (Content::Dropped(Dropped { reason, job, partition, offset, .. }), _) => {
                    self.dropped.insert((job.to_string(), partition.0, offset.0), reason.to_string());
                    applied.put += 1;
                }
                (Content::Unreadable(_), _) => {
                    self.unreadable += 1;
                    applied.unreadable += 1;
                }
                (other, table) => unreachable!("{other:?} is no row of {}", table.name()),
            }
        }
        self.positions.insert(source, Position { next: batch.range.end, last });
        Ok(applied)
    }
}

impl MetricStore for SimStore {
    fn positions(&mut self) -> Result<Positions, StoreError> {
        Ok(self.world.lock().tables.positions.clone())
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::Store, self.process);
        let mut applied = Applied::default();
        if fault.is_none_or(Effect::takes_place) {
            applied = state.tables.apply(batch)?;
            state.note("store", batch.range.end.0);
        }
        let (path, reason) = ("the store".to_owned(), "simulated".to_owned());
        match fault {
            None => Ok(applied),
            Some(effect) if effect.is_definite() => Err(StoreError::Storage { path, reason }),
            Some(_) => Err(StoreError::Indefinite { path, reason }),
        }
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError> {
        let mut state = self.world.lock();
        let source = (Arc::clone(&gap.topic), gap.partition);
        let position = state.tables.before(&source, gap.missing.start)?;
        if gap.missing.end > position.next {
            state.tables.positions.insert(source, Position { next: gap.missing.end, last: None });
        }
        Ok(())
    }

    fn adopt(&mut self, log: &NewLog) -> Result<(), StoreError> {
        let source = (Arc::clone(&log.topic), log.partition);
        self.world.lock().tables.positions.insert(source, Position { next: log.start, last: None });
        Ok(())
    }

    fn expire(&mut self, _: Expiry) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl SeedSource for SimStore {
    fn seed(&mut self, topics: &[CachedTopic], windows_max: usize) -> Result<Seed, StoreError> {
        let state = self.world.lock();
        let kinds = topics.iter().filter_map(|topic| {
            let view = topic.schema.cache.as_ref()?;
            let mut rows: Vec<_> = state
                .tables
                .rows
                .iter()
                .filter(|((table, _), _)| *table == topic.schema.table)
                .map(|(_, row)| super::cache::seeded(topic.schema, row))
                .collect();
            let starts: std::collections::BTreeSet<_> = rows.iter().map(|row| row.window.start).collect();
            let left_out = starts.iter().rev().nth(windows_max).copied();
            rows.retain(|row| left_out.is_none_or(|left_out| row.window.start > left_out));
            let positions = state.tables.positions.iter().filter(|((name, _), _)| *name == topic.name);
            let positions = positions.map(|((_, partition), position)| {
                let last = position.last.map(|last| CacheLastRow { offset: last.offset, epoch: last.epoch });
                (*partition, CachePosition { next: position.next, last })
            });
            let positions = positions.collect();
            Some(SeededKind { view, topic: Arc::clone(&topic.name), positions, left_out, rows })
        });
        Ok(Seed { kinds: kinds.collect() })
    }
}

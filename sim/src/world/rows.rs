//! The topics of rows, with Kafka's semantics: a transaction's rows lie in several partitions, a control
//! record takes an offset in each of them, and retention moves the low watermark.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_dataflow::hash::HashKey;
use tidegate_log::event::Wake;
use tidegate_log::{ReadError, RowReader, RowRecord, RowRef};
use tidegate_model::{AsOf, Binding, Generation, Offset, PartitionId};

use super::faults::{Effect, Site};
use super::{ProcessId, World};

/// A sink by its name, and whether it reads a topic.
pub type Reads<'a> = (&'a str, &'a dyn Fn(&str) -> bool);

/// Partitions of every topic of rows.
pub const ROW_PARTITIONS: u32 = 2;

/// A row as it lies in a topic.
#[derive(Clone, Debug)]
pub struct CommittedRow {
    /// The row.
    pub row: RowRecord,
    /// Its headers as a reader gets them.
    pub headers: Vec<(String, String)>,
    /// The process that committed it.
    pub generation: Generation,
}

/// A partition of a topic of rows.
#[derive(Clone, Debug, Default)]
pub struct RowPartition {
    /// The oldest offset that retention has left.
    pub start: u64,
    /// What lies at each offset; `None` where a control record does.
    pub slots: Vec<Option<CommittedRow>>,
    /// How far each sink is.
    pub acknowledged: BTreeMap<String, Offset>,
}

/// The topics of rows, by name and partition.
#[derive(Clone, Debug, Default)]
pub struct Topics(pub BTreeMap<(Arc<str>, PartitionId), RowPartition>);

impl Topics {
    /// Appends the rows of one transaction, and its control records.
    pub fn append(&mut self, rows: &[RowRecord], generation: Generation) {
        let mut touched: Vec<(Arc<str>, PartitionId)> = Vec::new();
        for row in rows {
            let place = (Arc::clone(&row.topic), partition_of(&row.key));
            let headers = row.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let committed = CommittedRow { row: row.clone(), headers: headers.collect(), generation };
            self.0.entry(place.clone()).or_default().slots.push(Some(committed));
            if !touched.contains(&place) {
                touched.push(place);
            }
        }
        for place in touched {
            self.0.entry(place).or_default().slots.push(None);
        }
    }

    /// Every row ever committed, retention or not, in order within each partition.
    pub fn rows(&self) -> impl Iterator<Item = &RowRecord> {
        self.0.values().flat_map(|partition| &partition.slots).flatten().map(|committed| &committed.row)
    }

    /// Removes what every one of `sinks` has acknowledged.
    pub fn retain(&mut self, sinks: &[Reads<'_>]) {
        for ((topic, _), partition) in &mut self.0 {
            let needed = sinks.iter().filter(|(_, reads)| reads(topic));
            let acknowledged =
                needed.map(|(sink, _)| partition.acknowledged.get(*sink).copied().unwrap_or(Offset::ZERO));
            let removable = acknowledged.min().unwrap_or(Offset(partition.slots.len() as u64));
            partition.start = partition.start.max(removable.0);
        }
    }
}

fn partition_of(key: &[u8]) -> PartitionId {
    let hash = HashKey(3, 5).hash(&String::from_utf8_lossy(key));
    PartitionId(u32::try_from(hash % u64::from(ROW_PARTITIONS)).expect("small"))
}

/// Reads rows, for a sink.
pub struct SimRows {
    /// The world.
    pub world: Arc<World>,
    /// Whose reader it is.
    pub process: ProcessId,
    wake: Option<Wake>,
}

impl SimRows {
    /// A reader of `process`.
    pub fn new(world: &Arc<World>, process: ProcessId) -> Self {
        Self { world: Arc::clone(world), process, wake: None }
    }
}

fn away(what: &str) -> ReadError {
    ReadError::Storage { path: what.to_owned(), reason: "the simulated broker is away".to_owned() }
}

impl RowReader for SimRows {
    fn partitions(&mut self, _topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        Ok((0..ROW_PARTITIONS).map(PartitionId).collect())
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        Ok(self.world.lock().bindings.last().map(Binding::as_of))
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        if partition.0 >= ROW_PARTITIONS {
            return Err(ReadError::UnknownPartition(partition));
        }
        let state = self.world.lock();
        let empty = RowPartition::default();
        let log = state.topics.0.get(&(topic.into(), partition)).unwrap_or(&empty);
        let available = Offset(log.start)..Offset(log.slots.len() as u64);
        if from < available.start || from > available.end {
            return Err(ReadError::OutOfRange { partition, asked: from, available });
        }
        let (mut at, mut shown) = (from, 0);
        while at < available.end && shown < max_rows {
            let slot = &log.slots[usize::try_from(at.0).expect("it fits in memory")];
            if let Some(committed) = slot {
                let RowRecord { key, value, epoch, op, .. } = &committed.row;
                visit(RowRef {
                    offset: at,
                    key,
                    value,
                    epoch: *epoch,
                    op: *op,
                    generation: committed.generation,
                    headers: &committed.headers,
                });
                shown += 1;
            }
            at = at.plus(1);
        }
        Ok(at)
    }

    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::Acknowledge, self.process);
        if fault.is_none_or(Effect::takes_place) {
            let log = state.topics.0.entry((topic.into(), partition)).or_default();
            let acknowledged = log.acknowledged.entry(sink.to_owned()).or_default();
            *acknowledged = offset.max(*acknowledged);
        }
        fault.map_or(Ok(()), |_| Err(away(topic)))
    }

    fn on_commit(&mut self, wake: Wake) {
        self.world.lock().on_commit.add(&wake);
        self.wake = Some(wake);
    }
}

//! The topic of events: partitions with a low watermark, a high watermark, and records behind it that
//! are not replicated yet and may vanish with their leader.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt as _;
use tidegate_log::event::Wake;
use tidegate_log::{EventReader, ReadError, RecordRef};
use tidegate_model::{EventTime, Offset, PartitionId};
use tidegate_oracle::record::TestRecord;

use super::{State, World};

/// A record as it lies in the log, and what the one who sent it meant.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it means, for the oracle.
    pub record: TestRecord,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// A partition of events.
#[derive(Clone, Debug, Default)]
pub struct EventPartition {
    /// The oldest offset that retention has left.
    pub start: u64,
    /// Every record ever appended and not lost; the index is the offset.
    pub records: Vec<Stored>,
    /// The high watermark: records below it are on all replicas, acknowledged and visible.
    pub high: u64,
    /// Successful looks at its end: what was seen, and when last.
    pub looks: BTreeMap<Offset, EventTime>,
}

impl State {
    /// Appends a record. It is visible once it is replicated.
    pub fn append(&mut self, partition: PartitionId, mut record: TestRecord, value: Vec<u8>) {
        self.append_time = self.append_time.max(self.now);
        let log = &mut self.events[partition.0 as usize];
        record.offset = Offset(log.records.len() as u64);
        record.append_time = self.append_time;
        log.records.push(Stored { record, value });
    }

    /// All replicas have everything: it is acknowledged.
    pub fn replicate(&mut self, partition: PartitionId) {
        let log = &mut self.events[partition.0 as usize];
        log.high = log.records.len() as u64;
        self.on_append.ring();
    }

    /// A replica that did not have the newest records becomes the leader: they are gone. Nobody was told
    /// that they were there.
    pub fn lose_unreplicated(&mut self, partition: PartitionId) {
        let log = &mut self.events[partition.0 as usize];
        log.records.truncate(usize::try_from(log.high).expect("it fits in memory"));
    }

    /// Some of the events of a partition are gone, whoever may need them; that is accepted.
    pub fn lose_events(&mut self, partition: PartitionId, quarters: u8) {
        let log = &mut self.events[partition.0 as usize];
        log.start += (log.high - log.start) * u64::from(quarters.min(4)) / 4;
        self.accepts_gap = true;
        self.faults.happened += 1;
    }

    /// The records of `partition` in a range of offsets, as they were meant.
    pub fn records(&self, partition: PartitionId, range: Range<Offset>) -> impl Iterator<Item = &TestRecord> {
        let index = |offset: Offset| usize::try_from(offset.0).expect("it fits in memory");
        self.events[partition.0 as usize].records[index(range.start)..index(range.end)]
            .iter()
            .map(|stored| &stored.record)
    }
}

/// Reads events, for one worker.
pub struct SimEvents {
    world: Arc<World>,
    wake: Option<Wake>,
}

impl SimEvents {
    /// A reader of `world`.
    pub fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), wake: None }
    }

    fn unknown(partition: PartitionId, state: &State) -> Result<(), ReadError> {
        if partition.0 as usize >= state.events.len() {
            return Err(ReadError::UnknownPartition(partition));
        }
        Ok(())
    }
}

fn away(what: &str) -> ReadError {
    ReadError::Storage { path: what.to_owned(), reason: "the simulated broker is away".to_owned() }
}

impl EventReader for SimEvents {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        let partitions = self.world.lock().events.len();
        Ok((0..u32::try_from(partitions).expect("few")).map(PartitionId).collect())
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        let mut state = self.world.lock();
        Self::unknown(partition, &state)?;
        if state.faults.blind.contains(&partition) {
            return Err(away("the end of a partition"));
        }
        let now = state.now;
        let log = &mut state.events[partition.0 as usize];
        let looked = log.looks.entry(Offset(log.high)).or_insert(now);
        *looked = now.max(*looked);
        Ok(Offset(log.start)..Offset(log.high))
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let mut state = self.world.lock();
        Self::unknown(partition, &state)?;
        if state.faults.unreadable.contains(&partition) {
            return Err(away("a partition"));
        }
        let most = if state.faults.slow.contains(&partition) {
            1
        } else if state.faults.short_reads {
            state.rng.random_range(1..40)
        } else {
            usize::MAX
        };
        let log = &state.events[partition.0 as usize];
        let available = Offset(log.start)..Offset(log.high);
        if from < available.start || from > available.end {
            return Err(ReadError::OutOfRange { partition, asked: from, available });
        }
        let (mut shown, mut bytes) = (from, 0);
        for stored in state.records_of(partition, from..available.end).take(most) {
            if bytes >= max_bytes && shown > from {
                break;
            }
            bytes += stored.value.len();
            let append_time: EventTime = stored.record.append_time;
            visit(RecordRef { offset: shown, append_time, value: &stored.value });
            shown = shown.plus(1);
        }
        Ok(shown)
    }

    fn on_append(&mut self, wake: Wake) {
        self.world.lock().on_append.add(&wake);
        self.wake = Some(wake);
    }
}

impl State {
    fn records_of(&self, partition: PartitionId, range: Range<Offset>) -> impl Iterator<Item = &Stored> {
        let index = |offset: Offset| usize::try_from(offset.0).expect("it fits in memory");
        self.events[partition.0 as usize].records[index(range.start)..index(range.end)].iter()
    }
}

/// Reads a log that nobody writes and nothing happens to.
pub struct StillEvents(pub Arc<Vec<EventPartition>>);

impl EventReader for StillEvents {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        Ok((0..u32::try_from(self.0.len()).expect("few")).map(PartitionId).collect())
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        Ok(Offset::ZERO..Offset(self.0[partition.0 as usize].high))
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        _max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let log = &self.0[partition.0 as usize];
        let index = |offset: u64| usize::try_from(offset).expect("it fits in memory");
        let mut at = from;
        for stored in &log.records[index(from.0)..index(log.high)] {
            let append_time = stored.record.append_time;
            visit(RecordRef { offset: at, append_time, value: &stored.value });
            at = at.plus(1);
        }
        Ok(at)
    }

    fn on_append(&mut self, _: Wake) {}
}

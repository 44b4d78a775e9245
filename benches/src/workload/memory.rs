//! A log in memory whose records are decoded already: what the jobs are fed with where only they are measured.
//!
//! The two names of an event lie in one text, in the order in which they are read, as they would in the
//! buffer that a decoder has just read.

use std::collections::BTreeMap;

use tidegate_dataflow::batch::Decoded;
use tidegate_log::partitioner::partition_of;
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId};

use super::Workload;

/// A log in memory, divided as the embedded log divides it.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    /// The partitions; the number of each is its place.
    pub partitions: Vec<MemoryPartition>,
    /// After every so many events, the end of each partition and the latest arrival.
    pub cuts: Vec<(BTreeMap<PartitionId, Offset>, EventTime)>,
}

/// A partition.
#[derive(Clone, Debug, Default)]
pub struct MemoryPartition {
    /// Its events; the offset of each is its place.
    pub events: Vec<MemoryEvent>,
    names: String,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub struct MemoryEvent {
    /// When it was appended.
    pub append_time: EventTime,
    /// Event time.
    pub time: EventTime,
    /// The load time.
    pub load_time: Option<u32>,
    event_type: &'static str,
    names: usize,
    user_len: u32,
    session_len: u32,
    device: DeviceCategory,
}

impl MemoryPartition {
    /// An event as a decoder hands it over.
    pub fn decoded(&self, event: &MemoryEvent) -> Decoded<'_> {
        let session = event.names + event.user_len as usize;
        Decoded {
            time: event.time,
            event_type: event.event_type,
            user_id: &self.names[event.names..session],
            session_id: &self.names[session..session + event.session_len as usize],
            device: event.device,
            load_time: event.load_time.map(i64::from),
        }
    }
}

impl MemoryLog {
    /// The first `count` events of a workload, in `partitions` partitions, cut after every `cut` events.
    pub fn new(workload: Workload, count: usize, partitions: u32, cut: usize) -> Self {
        let mut log =
            Self { partitions: vec![MemoryPartition::default(); partitions as usize], cuts: Vec::new() };
        let mut now = EventTime::MIN;
        for (happening, at) in workload.take(count).zip(1..) {
            let (user, session) = (happening.act.user_id(), happening.act.session_id());
            let partition = &mut log.partitions[partition_of(user.as_bytes(), partitions).0 as usize];
            let length = |name: &str| u32::try_from(name.len()).expect("names are short");
            partition.events.push(MemoryEvent {
                append_time: happening.arrival,
                time: happening.time,
                load_time: happening.act.load_time_ms(),
                event_type: happening.act.event_type(),
                names: partition.names.len(),
                user_len: length(&user),
                session_len: length(&session),
                device: happening.act.agent().1,
            });
            partition.names.push_str(&user);
            partition.names.push_str(&session);
            now = happening.arrival;
            if at % cut == 0 || at == count {
                let ends = log.ends();
                log.cuts.push((ends, now));
            }
        }
        debug_assert!(log.cuts.last().is_none_or(|(_, last)| *last == now));
        log
    }

    /// Every event, partition by partition.
    pub fn events(&self) -> impl Iterator<Item = Decoded<'_>> {
        self.partitions.iter().flat_map(|own| own.events.iter().map(|event| own.decoded(event)))
    }

    /// How many events there are.
    pub fn count(&self) -> usize {
        self.partitions.iter().map(|partition| partition.events.len()).sum()
    }

    /// How many bytes they take in memory.
    pub fn bytes(&self) -> usize {
        let of = |own: &MemoryPartition| own.names.len() + own.events.len() * size_of::<MemoryEvent>();
        self.partitions.iter().map(of).sum()
    }

    fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        let ids = (0..).map(PartitionId);
        ids.zip(&self.partitions).map(|(id, own)| (id, Offset(own.events.len() as u64))).collect()
    }
}

//! The simulated log passes the suite that the real one passes.

use std::sync::Arc;

use sim::world::events::SimEvents;
use sim::world::journal::SimJournal;
use sim::world::rows::SimRows;
use sim::world::{ProcessId, World};
use tidegate_dataflow::hash::HashKey;
use tidegate_log::conformance::{Subject, run_all};
use tidegate_log::{AppendError, Appended, EventAppender, NewEvent};
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId};
use tidegate_oracle::record::TestRecord;

const PARTITIONS: u32 = 2;

fn world() -> Arc<World> {
    World::new(1, EventTime::from_millis(1_772_452_807_000), PARTITIONS)
}

struct Deployment(Arc<World>);

/// Appends like a producer that waits for all replicas.
#[derive(Clone)]
struct Appender(Arc<World>);

impl EventAppender for Appender {
    fn partition_of(&self, user_id: &str) -> PartitionId {
        let hash = HashKey(1, 2).hash(user_id) % u64::from(PARTITIONS);
        PartitionId(u32::try_from(hash).expect("small"))
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        if let Some(event) = events.iter().find(|event| event.partition.0 >= PARTITIONS) {
            return Err(AppendError::UnknownPartition { partition: event.partition, partitions: PARTITIONS });
        }
        let mut state = self.0.lock();
        let append = |event: NewEvent| {
            let partition = event.partition;
            let offset = Offset(state.events[partition.0 as usize].records.len() as u64);
            state.append(partition, meaningless(partition), event.value);
            state.replicate(partition);
            Appended { partition, offset }
        };
        Ok(events.into_iter().map(append).collect())
    }
}

/// The suite's values are no events.
fn meaningless(partition: PartitionId) -> TestRecord {
    TestRecord {
        partition,
        offset: Offset::ZERO,
        append_time: EventTime::MIN,
        time: EventTime::MIN,
        event_type: String::new(),
        user_id: String::new(),
        session_id: String::new(),
        device: DeviceCategory::ALL[0],
        load_time: None,
        undecodable: true,
    }
}

impl Subject for Deployment {
    type Appender = Appender;
    type Reader = SimEvents;
    type Journal = SimJournal;
    type Rows = SimRows;

    fn appender(&self) -> Appender {
        Appender(Arc::clone(&self.0))
    }

    fn reader(&self) -> SimEvents {
        SimEvents::new(&self.0)
    }

    fn journal(&self) -> SimJournal {
        SimJournal::new(Arc::clone(&self.0), ProcessId(1))
    }

    fn rows(&self) -> SimRows {
        SimRows::new(&self.0, ProcessId(1))
    }
}

#[test]
fn the_simulated_log_conforms() {
    run_all(|| Deployment(world()));
}

//! The simulated log and store pass the suites that the real ones pass.

use std::sync::Arc;

use sim::world::events::SimEvents;
use sim::world::journal::SimJournal;
use sim::world::rows::SimRows;
use sim::world::store::{SimStore, text};
use sim::world::{ProcessId, World};
use tidegate_dataflow::hash::HashKey;
use tidegate_log::conformance::{Subject, run_all};
use tidegate_log::{AppendError, Appended, EventAppender, NewEvent};
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId, Schema};
use tidegate_oracle::record::TestRecord;
use tidegate_sinks::store::conformance::{Harness, check_all};

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

struct Tables(Arc<World>);

impl Harness for Tables {
    type Store = SimStore;

    fn open(&mut self) -> SimStore {
        SimStore { world: Arc::clone(&self.0), process: ProcessId(1) }
    }

    fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let state = self.0.lock();
        let schema = Schema::of_table(table).expect("the suite's own rows only");
        let at = |name: &&str| schema.columns.iter().position(|column| column.name == *name);
        let columns: Vec<usize> = columns.iter().map(|name| at(name).expect("a column")).collect();
        let rows = state.tables.rows.iter().filter(|((of, _), _)| *of == table);
        rows.map(|(_, row)| columns.iter().map(|at| text(&row.values[*at])).collect()).collect()
    }
}

#[test]
fn the_simulated_store_conforms() {
    check_all(|| Tables(world()));
}

//! The real graph on real worker threads, driven by hand: one deployment whose log lies in memory.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tidegate_dataflow::batch::{Decoded, Position};
use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::feed::{Feed, Intake};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::open::OpenState;
use tidegate_dataflow::report::{self, DropReason, EpochResult};
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_dataflow::snapshot::{Captured, Object, Restored, decode, encode};
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, Epoch, EventTime, Generation, Ledger, Offset, PartitionId, Schema};

use timely::CommunicationConfig::{Process, ProcessBinary};

use super::record::{Dropped, OutRow, Reason, TestRecord, complete, ends};
use super::system::{EpochOutcome, System, SystemFactory};

#[derive(Debug, Default)]
struct MemPartition {
    records: Vec<TestRecord>,
    looks_fail: bool,
}

#[derive(Debug, Default)]
struct MemLog {
    partitions: BTreeMap<PartitionId, MemPartition>,
    /// When given, the records of an epoch are read in an order derived from it.
    shuffle: Option<u64>,
}

type SharedLog = Arc<Mutex<MemLog>>;

/// Reads the log in memory.
struct MemFeed(SharedLog);

impl Feed for MemFeed {
    fn partitions(&mut self) -> Vec<PartitionId> {
        self.0.lock().expect("no panic").partitions.keys().copied().collect()
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        until: Option<Offset>,
        _bytes: usize,
        intake: &mut dyn Intake,
    ) -> Offset {
        let log = self.0.lock().expect("no panic");
        let records = &log.partitions[&partition].records;
        let end = until.map_or(records.len(), |until| records.len().min(index(until)));
        // Small reads: an epoch is put together from several. Shuffled ones are read at once.
        let end = if log.shuffle.is_some() { end } else { end.min(index(from) + 7) };
        let mut order: Vec<&TestRecord> = records[index(from)..end].iter().collect();
        if let Some(seed) = log.shuffle {
            order.sort_by_key(|record| HashKey(seed, 1).hash(&record.offset.to_string()));
        }
        for record in order {
            if record.undecodable {
                intake.undecodable(record.offset, record.append_time);
                continue;
            }
            let decoded = Decoded {
                time: record.time,
                event_type: &record.event_type,
                user_id: &record.user_id,
                session_id: &record.session_id,
                device: record.device,
                load_time: record.load_time,
            };
            intake.event(record.offset, record.append_time, &decoded);
        }
        Offset(end as u64)
    }

    fn look(&mut self, partition: PartitionId) -> Option<Offset> {
        let log = self.0.lock().expect("no panic");
        let partition = &log.partitions[&partition];
        (!partition.looks_fail).then_some(Offset(partition.records.len() as u64))
    }
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset.0).expect("small")
}

/// A deployment driven by hand. Between the epochs that it shows there is always one in which nothing is
/// read: it is replayed from the state before, changes nothing, and lets the next one be planned late.
pub struct HandDriven {
    log: SharedLog,
    ticks: Option<mpsc::Sender<Tick>>,
    results: mpsc::Receiver<EpochResult>,
    captured: mpsc::Receiver<Captured>,
    workers: Option<JoinHandle<()>>,
    worker_count: usize,
    state: TimeState,
    /// The epoch that is open.
    epoch: Epoch,
    paused: BTreeMap<PartitionId, Offset>,
    finishing: bool,
    ledger: Ledger,
    bindings: Vec<Binding>,
    /// What the jobs hold open after the last epoch, by the name of the job.
    pub open: OpenState,
}

impl HandDriven {
    /// Starts a deployment that is new.
    pub fn start(jobs: &JobSettings, time: &TimeSettings, workers: usize, partitions: u32) -> Self {
        Self::start_on(workers, Process, jobs, time, partitions, None)
    }

    /// The same on workers that exchange what `communication` says, from a snapshot where there is one, and with
    /// what a binding says of time at its epoch.
    fn start_on(
        workers: usize,
        communication: fn(usize) -> timely::CommunicationConfig,
        jobs: &JobSettings,
        time: &TimeSettings,
        partitions: u32,
        snapshot: Option<(Restored, TimeState)>,
    ) -> Self {
        let (restored, state) = snapshot
            .map_or((None, TimeState::default()), |(restored, state)| (Some(Arc::new(restored)), state));
        let first = restored.as_ref().map_or(Epoch(0), |restored| restored.epoch());
        let log = SharedLog::default();
        for partition in 0..partitions {
            log.lock().expect("no panic").partitions.insert(PartitionId(partition), MemPartition::default());
        }
        let config = GraphConfig {
            jobs: jobs.clone(),
            time: *time,
            hash_key: HashKey(11, 7),
            first,
            start: state.partitions.iter().map(|(id, state)| (*id, state.end)).collect(),
            restored,
            starts: BTreeMap::new(),
            provisional_rows_max: 1_000,
            provisional_lag_max_ms: 60_000,
        };
        let (ticks, ticked) = mpsc::channel::<Tick>();
        let (completed, results) = mpsc::channel();
        let (capture, captured) = mpsc::channel();
        let ends = Mutex::new(Some((ticked, completed)));
        let feed_log = Arc::clone(&log);
        #[expect(clippy::disallowed_methods, reason = "a test assembles its own threads")]
        let worker_threads = std::thread::spawn(move || {
            let threads = timely::Config {
                communication: communication(workers),
                worker: timely::WorkerConfig::default(),
            };
            timely::execute(threads, move |worker| {
                let throttle = Throttle {
                    released: Arc::new(AtomicU64::new(u64::MAX)),
                    in_flight_bytes_max: 1 << 30,
                    in_flight_bytes: Arc::default(),
                };
                let feed = Box::new(MemFeed(Arc::clone(&feed_log)));
                let capture = capture.clone();
                let Graph { mut ticks, results, captures, .. } = build(worker, &config, throttle, feed);
                let ends = (worker.index() == 0).then(|| ends.lock().expect("no panic").take()).flatten();
                while worker.has_dataflows() {
                    while let Some(captured) = captures.pop() {
                        // The test may have ended.
                        let _ = capture.send(captured);
                    }
                    if let Some((ticked, completed)) = &ends {
                        match ticked.try_recv() {
                            Ok(tick) => ticks.as_mut().expect("worker 0 has them").send(&tick),
                            Err(mpsc::TryRecvError::Disconnected) => ticks = None,
                            Err(mpsc::TryRecvError::Empty) => {}
                        }
                        while let Some(result) = results.pop() {
                            // The test may have ended.
                            let _ = completed.send(result);
                        }
                    } else {
                        ticks = None;
                    }
                    worker.step_or_park(Some(std::time::Duration::from_micros(200)));
                }
            })
            .expect("threads start");
        });
        Self {
            log,
            ticks: Some(ticks),
            results,
            captured,
            workers: Some(worker_threads),
            worker_count: workers,
            state,
            epoch: first,
            paused: BTreeMap::new(),
            finishing: false,
            ledger: complete(Ledger::default()),
            bindings: Vec::new(),
            open: OpenState::default(),
        }
    }

    /// Has it recover from these.
    fn replayed(mut self, records: &[TestRecord], bindings: &[Binding]) -> Self {
        self.append_all(records);
        self.replay(bindings);
        self
    }

    /// The records of the log from one state to the next are one epoch's.
    fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        let log = self.log.lock().expect("no panic");
        let end = |(id, partition): (&PartitionId, &MemPartition)| {
            (*id, self.paused.get(id).copied().unwrap_or(Offset(partition.records.len() as u64)))
        };
        log.partitions.iter().map(end).collect()
    }

    /// Reads up to `ends` as one epoch.
    fn epoch_up_to(
        &mut self,
        ends: BTreeMap<PartitionId, Offset>,
        now: EventTime,
        close: Close,
        snapshot: bool,
    ) -> EpochResult {
        let (idle, full) = (self.epoch, self.epoch.next());
        let journaled =
            Journaled { close_to: self.state.frontier, partitions: self.state.partitions.clone() };
        self.send(Tick {
            ends: idle,
            now: self.state.now,
            close: Close::Journaled(journaled),
            next: Some(Plan { epoch: full, reading: Reading::UpTo(ends) }),
            snapshot: false,
        });
        let before: BTreeMap<_, _> =
            self.state.partitions.iter().map(|(id, state)| (*id, state.end)).collect();
        self.send(Tick {
            ends: full,
            now,
            close,
            next: Some(Plan { epoch: full.next(), reading: Reading::UpTo(before) }),
            snapshot,
        });
        self.epoch = full.next();
        let nothing = self.results.recv().expect("the workers run");
        assert!(nothing.rows.is_empty() && !nothing.commit, "an epoch without records: {nothing:?}");
        let result = self.results.recv().expect("the workers run");
        self.open.clone_from(&result.open);
        self.state =
            TimeState { now: result.now, frontier: result.close_to, partitions: result.partitions.clone() };
        result
    }

    fn append_all(&mut self, records: &[TestRecord]) {
        for record in records {
            self.append(record.clone());
        }
    }

    /// Replays bound epochs.
    fn replay(&mut self, bindings: &[Binding]) {
        for binding in bindings {
            self.replay_one(binding, false);
        }
    }

    fn replay_one(&mut self, binding: &Binding, snapshot: bool) {
        let journaled = Journaled { close_to: binding.close_to, partitions: binding.partitions.clone() };
        let close = Close::Journaled(journaled);
        let result = self.epoch_up_to(ends(binding), binding.now, close, snapshot);
        assert!(result.rows.is_empty() && !result.commit, "replay says nothing: {result:?}");
        self.ledger.merge(&result.ledger);
        assert_eq!(self.ledger, complete(binding.ledger.clone()), "replay counts what was counted");
        self.bindings.push(binding.clone());
    }

    /// Replays bound epochs and makes a snapshot at the end of the last one.
    fn snapshot(&mut self, bindings: &[Binding], without: Option<Part>) -> (Restored, TimeState) {
        let (last, before) = bindings.split_last().expect("there is one");
        self.replay(before);
        self.replay_one(last, true);
        let written = self.captured.iter().take(self.worker_count).map(encode);
        let read = written.map(|bytes| decode(&bytes).expect("it is as it was written"));
        let mut objects: Vec<_> = read.collect();
        if let Some(part) = without {
            for object in &mut objects {
                part.remove(object);
            }
        }
        let epoch = objects[0].epoch;
        assert!(objects.iter().all(|object| object.epoch == epoch), "of one epoch");
        (Restored::new(epoch, objects), self.state.clone())
    }

    fn send(&self, tick: Tick) {
        self.ticks.as_ref().expect("not stopped").send(tick).expect("the workers run");
    }
}

impl System for HandDriven {
    fn append(&mut self, record: TestRecord) {
        let mut log = self.log.lock().expect("no panic");
        log.partitions.get_mut(&record.partition).expect("the partition exists").records.push(record);
    }

    fn add_partition(&mut self, partition: PartitionId) {
        self.log.lock().expect("no panic").partitions.insert(partition, MemPartition::default());
    }

    fn fail_looks(&mut self, partition: PartitionId, failing: bool) {
        let mut log = self.log.lock().expect("no panic");
        log.partitions.get_mut(&partition).expect("it exists").looks_fail = failing;
    }

    fn pause(&mut self, partition: PartitionId, paused: bool) {
        if paused {
            let end = self.state.partitions.get(&partition).map_or(Offset::ZERO, |state| state.end);
            self.paused.insert(partition, end);
        } else {
            self.paused.remove(&partition);
        }
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn permute_within_epoch(&mut self, seed: u64) {
        self.log.lock().expect("no panic").shuffle = Some(seed);
    }

    fn tick(&mut self, now: EventTime) -> EpochOutcome {
        let close =
            if std::mem::take(&mut self.finishing) { Close::DecideAndCloseAll } else { Close::Decide };
        let ends = self.ends();
        let result = self.epoch_up_to(ends, now, close, false);
        self.ledger.merge(&result.ledger);
        if result.commit {
            self.bindings.push(Binding {
                version: BINDING_VERSION,
                epoch: result.epoch,
                generation: Generation(1),
                definitions: BTreeMap::new(),
                now: result.now,
                close_to: result.close_to,
                partitions: result.partitions,
                ledger: self.ledger.clone(),
                starts: BTreeMap::new(),
                origin: None,
                snapshot: None,
                gap: None,
                last_records: BTreeMap::new(),
            });
        }
        EpochOutcome {
            epoch: result.epoch,
            journaled: result.commit,
            frontier: result.close_to,
            rows: result.rows.into_iter().map(row).collect(),
            provisional: result.provisional.into_iter().map(row).collect(),
            dropped: result.dropped.into_iter().map(dropped).collect(),
            ledger: self.ledger.clone(),
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        self.bindings.clone()
    }
}

fn row(row: report::OutRow) -> OutRow {
    let schema = Schema::of_table(&row.table).expect("a table of ours");
    OutRow { table: schema.table, key: row.key, json: row.value, op: row.op }
}

fn dropped(dropped: report::Dropped) -> Dropped {
    let reason = match dropped.reason {
        DropReason::Expired => Reason::Expired,
        DropReason::Future => Reason::Future,
        DropReason::Rejected => Reason::Rejected,
    };
    let Position { partition, offset } = dropped.at;
    Dropped { job: dropped.job, partition, offset, reason }
}

/// Starts the real graph on workers that take everything that they exchange to bytes and back, as timely's
/// flag `-z` has it, and as workers in several processes do.
pub struct SerialisingFactory;

impl SystemFactory for SerialisingFactory {
    fn name(&self) -> &'static str {
        "graph, serialising"
    }

    fn start(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Box<dyn System> {
        Box::new(HandDriven::start_on(workers, ProcessBinary, jobs, time, partitions, None))
    }

    fn replay(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
        records: &[TestRecord],
        bindings: &[Binding],
    ) -> Box<dyn System> {
        let system = HandDriven::start_on(workers, ProcessBinary, jobs, time, partitions, None);
        Box::new(system.replayed(records, bindings))
    }
}

/// Starts the real graph.
pub struct GraphFactory;

impl SystemFactory for GraphFactory {
    fn name(&self) -> &'static str {
        "graph"
    }

    fn start(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Box<dyn System> {
        Box::new(HandDriven::start(jobs, time, workers, partitions))
    }

    fn replay(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
        records: &[TestRecord],
        bindings: &[Binding],
    ) -> Box<dyn System> {
        Box::new(HandDriven::start(jobs, time, workers, partitions).replayed(records, bindings))
    }
}

/// A part of a snapshot.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Users,
    Sessions,
    EventSums,
    OverviewSums,
    LoadTimes,
    Partitions,
}

impl Part {
    pub const ALL: [Self; 6] =
        [Self::Users, Self::Sessions, Self::EventSums, Self::OverviewSums, Self::LoadTimes, Self::Partitions];

    fn remove(self, object: &mut Object) {
        match self {
            Self::Users => object.groups.iter_mut().for_each(|group| group.users.clear()),
            Self::Sessions => object.groups.iter_mut().for_each(|group| group.keys.clear()),
            Self::EventSums => object.windows.events.clear(),
            Self::OverviewSums => object.windows.overview.clear(),
            Self::LoadTimes => object.windows.runs.clear(),
            Self::Partitions => object.windows.partitions.clear(),
        }
    }
}

/// Starts the real graph; a recovery is by a snapshot that another number of workers made, and by what was
/// bound after it.
pub struct SnapshotFactory {
    /// What the snapshot lacks.
    pub without: Option<Part>,
}

impl SystemFactory for SnapshotFactory {
    fn name(&self) -> &'static str {
        "graph, from a snapshot"
    }

    fn start(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Box<dyn System> {
        GraphFactory.start(jobs, time, workers, partitions)
    }

    fn replay(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
        records: &[TestRecord],
        bindings: &[Binding],
    ) -> Box<dyn System> {
        if bindings.is_empty() {
            return GraphFactory.replay(jobs, time, workers, partitions, records, bindings);
        }
        // Mostly there is something to replay; sometimes the snapshot is of the last epoch.
        let (before, after) = bindings.split_at(bindings.len() - bindings.len() / 3);
        let before_workers = [3, 1, 2, 4][workers % 4];
        let mut maker = HandDriven::start(jobs, time, before_workers, partitions);
        maker.append_all(records);
        let snapshot = maker.snapshot(before, self.without);
        let mut system = HandDriven::start_on(workers, Process, jobs, time, partitions, Some(snapshot));
        system.append_all(records);
        system.ledger = maker.ledger.clone();
        system.bindings = before.to_vec();
        system.replay(after);
        Box::new(system)
    }
}

impl Drop for HandDriven {
    fn drop(&mut self) {
        let last = Tick {
            ends: self.epoch,
            now: self.state.now,
            close: Close::Journaled(Journaled {
                close_to: self.state.frontier,
                partitions: self.state.partitions.clone(),
            }),
            next: None,
            snapshot: false,
        };
        if let Some(ticks) = self.ticks.take() {
            let _ = ticks.send(last);
        }
        if let Some(workers) = self.workers.take() {
            let ended = workers.join();
            if !std::thread::panicking() {
                ended.expect("the workers end in order");
            }
        }
    }
}

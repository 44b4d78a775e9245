//! The real graph on real worker threads, driven by hand: one deployment whose log lies in memory.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tidegate_dataflow::batch::Decoded;
use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::feed::{Feed, Intake};
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_dataflow::source::Throttle;
use tidegate_dataflow::{Graph, GraphConfig, build};
use tidegate_model::{DeviceCategory, Epoch, EventTime, Offset, PartitionId};

/// A record in the log in memory.
#[derive(Clone, Debug)]
pub struct MemRecord {
    pub append_time: EventTime,
    pub time: EventTime,
    pub event_type: String,
    pub user_id: String,
    pub session_id: String,
    pub device: DeviceCategory,
    pub load_time: Option<i64>,
    pub undecodable: bool,
}

#[derive(Debug, Default)]
struct MemPartition {
    records: Vec<MemRecord>,
    looks_fail: bool,
}

type MemLog = Arc<Mutex<BTreeMap<PartitionId, MemPartition>>>;

/// Reads the log in memory.
struct MemFeed(MemLog);

impl Feed for MemFeed {
    fn partitions(&mut self) -> Vec<PartitionId> {
        self.0.lock().expect("no panic").keys().copied().collect()
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
        let records = &log[&partition].records;
        let end = until.map_or(records.len(), |until| records.len().min(index(until)));
        // Small reads: an epoch is put together from several.
        let end = end.min(index(from) + 7);
        for offset in index(from)..end {
            let record = &records[offset];
            let at = Offset(offset as u64);
            if record.undecodable {
                intake.undecodable(at);
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
            intake.event(at, record.append_time, &decoded);
        }
        Offset(end as u64)
    }

    fn look(&mut self, partition: PartitionId) -> Option<Offset> {
        let log = self.0.lock().expect("no panic");
        let partition = &log[&partition];
        (!partition.looks_fail).then_some(Offset(partition.records.len() as u64))
    }
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset.0).expect("small")
}

/// A deployment driven by hand. Between the epochs that it shows there is always one in which nothing is
/// read: it is replayed from the state before, changes nothing, and lets the next one be planned late.
pub struct HandDriven {
    log: MemLog,
    ticks: Option<mpsc::Sender<Tick>>,
    results: mpsc::Receiver<EpochResult>,
    workers: Option<JoinHandle<()>>,
    state: TimeState,
    /// The epoch that is open.
    epoch: Epoch,
    paused: BTreeMap<PartitionId, Offset>,
}

impl HandDriven {
    pub fn start(jobs: &JobSettings, time: &TimeSettings, workers: usize, partitions: u32) -> Self {
        let log: MemLog = Arc::default();
        for partition in 0..partitions {
            log.lock().expect("no panic").insert(PartitionId(partition), MemPartition::default());
        }
        let config = GraphConfig {
            jobs: jobs.clone(),
            time: *time,
            hash_key: HashKey(11, 7),
            first: Epoch(0),
            start: BTreeMap::new(),
            provisional_rows_max: 1_000,
            provisional_lag_max_ms: i64::MAX,
        };
        let (ticks, ticked) = mpsc::channel::<Tick>();
        let (complete, results) = mpsc::channel();
        let ends = Mutex::new(Some((ticked, complete)));
        let feed_log = Arc::clone(&log);
        let workers = std::thread::spawn(move || {
            timely::execute(timely::Config::process(workers), move |worker| {
                let throttle =
                    Throttle { released: Arc::new(AtomicU64::new(u64::MAX)), in_flight_bytes_max: 1 << 30 };
                let feed = Box::new(MemFeed(Arc::clone(&feed_log)));
                let Graph { mut ticks, results, .. } = build(worker, &config, throttle, feed);
                let ends = (worker.index() == 0).then(|| ends.lock().expect("no panic").take()).flatten();
                while worker.has_dataflows() {
                    if let Some((ticked, complete)) = &ends {
                        match ticked.try_recv() {
                            Ok(tick) => ticks.as_mut().expect("worker 0 has them").send(&tick),
                            Err(mpsc::TryRecvError::Disconnected) => ticks = None,
                            Err(mpsc::TryRecvError::Empty) => {}
                        }
                        while let Some(result) = results.pop() {
                            // The test may have ended.
                            let _ = complete.send(result);
                        }
                    } else {
                        ticks = None;
                    }
                    worker.step_or_park(Some(std::time::Duration::from_micros(200)));
                }
            })
            .expect("threads start");
        });
        let mut this = Self {
            log,
            ticks: Some(ticks),
            results,
            workers: Some(workers),
            state: TimeState::default(),
            epoch: Epoch(0),
            paused: BTreeMap::new(),
        };
        // Nothing is read before the first tick.
        this.epoch = Epoch(0);
        this
    }

    pub fn append(&mut self, partition: PartitionId, record: MemRecord) -> Offset {
        let mut log = self.log.lock().expect("no panic");
        let records = &mut log.get_mut(&partition).expect("the partition exists").records;
        records.push(record);
        Offset(records.len() as u64 - 1)
    }

    pub fn add_partition(&mut self, partition: PartitionId) {
        self.log.lock().expect("no panic").insert(partition, MemPartition::default());
    }

    pub fn fail_looks(&mut self, partition: PartitionId, failing: bool) {
        self.log.lock().expect("no panic").get_mut(&partition).expect("it exists").looks_fail = failing;
    }

    /// A paused partition is read no further than it is now.
    pub fn pause(&mut self, partition: PartitionId, paused: bool) {
        if paused {
            let end = self.state.partitions.get(&partition).map_or(Offset::ZERO, |state| state.end);
            self.paused.insert(partition, end);
        } else {
            self.paused.remove(&partition);
        }
    }

    /// The records of the log from one state to the next are one epoch's.
    fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        let log = self.log.lock().expect("no panic");
        let end = |(id, partition): (&PartitionId, &MemPartition)| {
            (*id, self.paused.get(id).copied().unwrap_or(Offset(partition.records.len() as u64)))
        };
        log.iter().map(end).collect()
    }

    /// Reads everything readable as one epoch, which ends at `now`.
    pub fn epoch(&mut self, now: EventTime, close: Close) -> EpochResult {
        let ends = self.ends();
        self.epoch_up_to(ends, now, close)
    }

    /// Reads up to `ends` as one epoch.
    pub fn epoch_up_to(
        &mut self,
        ends: BTreeMap<PartitionId, Offset>,
        now: EventTime,
        close: Close,
    ) -> EpochResult {
        let (idle, full) = (self.epoch, self.epoch.next());
        let journaled =
            Journaled { close_to: self.state.frontier, partitions: self.state.partitions.clone() };
        self.send(Tick {
            ends: idle,
            now: self.state.now,
            close: Close::Journaled(journaled),
            next: Some(Plan { epoch: full, reading: Reading::UpTo(ends) }),
        });
        let before: BTreeMap<_, _> =
            self.state.partitions.iter().map(|(id, state)| (*id, state.end)).collect();
        self.send(Tick {
            ends: full,
            now,
            close,
            next: Some(Plan { epoch: full.next(), reading: Reading::UpTo(before) }),
        });
        self.epoch = full.next();
        let nothing = self.results.recv().expect("the workers run");
        assert!(nothing.rows.is_empty() && !nothing.commit, "an epoch without records: {nothing:?}");
        let result = self.results.recv().expect("the workers run");
        self.state = TimeState {
            now: result.now,
            frontier: result.close_to,
            partitions: result.partitions.clone(),
        };
        result
    }

    fn send(&self, tick: Tick) {
        self.ticks.as_ref().expect("not stopped").send(tick).expect("the workers run");
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

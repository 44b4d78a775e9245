//! What the tests over the real embedded log share: a deployment whose clock a test moves, and faults.

// Every test binary compiles this folder and uses its own part of it.
#![allow(dead_code, unreachable_pub)]

pub mod exposition;
pub mod faults;
pub mod http;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate_dataflow::settings::JobSettings;
use tidegate_log::embedded::{EmbeddedLog, Options};
use tidegate_log::{EventAppender as _, NewEvent, RowReader as _};
use tidegate_model::{EventTime, Offset, PartitionId};
use tidegate_runner::observer::{CommitFacts, EpochFacts};
use tidegate_runner::{
    Accept, Clock, Entropy, Observer, Parts, RunnerConfig, Running, Script, SnapshotLimits, SnapshotStore,
    recover, start,
};

use self::faults::{Faults, FaultyJournal, FaultyReader};

pub const NOON_MS: i64 = 1_600_000_200_000;

/// A clock that a test moves.
#[derive(Clone)]
pub struct Hand(pub Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> EventTime {
        EventTime::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Fixed;

impl Entropy for Fixed {
    fn secret(&mut self) -> (u64, u64) {
        (5, 6)
    }
}

/// Keeps what it is told of commits.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<EpochFacts>>>);

impl Told {
    pub fn epochs(&self) -> Vec<EpochFacts> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Observer for Told {
    fn committed(&mut self, commit: &CommitFacts<'_>) {
        assert!(commit.epochs.iter().all(|epoch| epoch.now <= commit.committed_at), "{commit:?}");
        self.0.lock().expect("no panic").extend_from_slice(commit.epochs);
    }
}

pub struct Deployment {
    pub log: EmbeddedLog,
    pub running: Running,
    pub clock: Hand,
    pub told: Told,
}

pub fn open(dir: &Path, workers: usize, clock_ms: i64) -> Deployment {
    open_with(dir, workers, clock_ms, Script::Live, &Faults::default())
}

pub fn open_with(dir: &Path, workers: usize, clock_ms: i64, script: Script, faults: &Faults) -> Deployment {
    open_with_snapshots(dir, workers, clock_ms, script, faults, None)
}

pub fn open_with_snapshots(
    dir: &Path,
    workers: usize,
    clock_ms: i64,
    script: Script,
    faults: &Faults,
    snapshots: Option<Arc<dyn SnapshotStore>>,
) -> Deployment {
    // Only at the end of a run; and that one may take as long as it wants.
    let limits =
        SnapshotLimits { records: u64::MAX, every_ms: i64::MAX, history_epochs: 0, last_wait_ms: i64::MAX };
    open_with_limits(dir, workers, clock_ms, script, faults, (snapshots, limits))
}

pub fn open_with_limits(
    dir: &Path,
    workers: usize,
    clock_ms: i64,
    script: Script,
    faults: &Faults,
    (snapshots, limits): (Option<Arc<dyn SnapshotStore>>, SnapshotLimits),
) -> Deployment {
    let clock = Hand(Arc::new(AtomicI64::new(clock_ms)));
    let log_clock = clock.clone();
    let options = Options { partitions: 3, ..Options::default() };
    let files = Arc::new(tidegate_log::embedded::files::Disk::default());
    let log = EmbeddedLog::open_with(dir, options, files, Arc::new(move || log_clock.now())).expect("opens");
    let mut journal = log.journal();
    let jobs = JobSettings { session_gap_ms: 30_000, ..JobSettings::default() };
    let recovery = recover(
        &mut journal,
        &jobs,
        Accept::default(),
        &mut log.reader(),
        snapshots.as_deref(),
        &clock,
        &mut Fixed,
    )
    .expect("recovers");
    let told = Told::default();
    let parts = Parts {
        // The hand moves the clock faster than any worker works.
        config: RunnerConfig {
            epoch_timeout_ms: i64::MAX,
            workers,
            jobs,
            tick_ms: 0,
            snapshots: limits,
            ..RunnerConfig::default()
        },
        recovery,
        journal: FaultyJournal::new(journal, faults),
        open_reader: || FaultyReader::new(log.reader(), faults),
        script,
        clock: Arc::new(clock.clone()) as Arc<dyn Clock>,
        snapshots,
        observer: Box::new(told.clone()),
    };
    let running = start(parts).expect("starts");
    Deployment { log, running, clock, told }
}

impl Deployment {
    pub fn append(&self, user: &str, time_ms: i64) {
        self.append_all([(user.to_owned(), time_ms)]);
    }

    /// Page views of these users at these times, in one append.
    pub fn append_all(&self, views: impl IntoIterator<Item = (String, i64)>) {
        let appender = self.log.appender();
        let event = |(user, time_ms): (String, i64)| {
            let value = format!(
                r#"{{"event":{{"id":"00000000-0000-4000-8000-000000000000","type":"page_view"}},"user":{{"id":"{user}"}},
                "device":{{"user_agent":"Mobile","screen_width":1,"screen_height":1}},
                "context":{{"url":"http://a.example/","session_id":"s"}},"properties":{{}},
                "metrics":{{"load_time":{}}},"timestamp":{time_ms}}}"#,
                time_ms % 1000
            );
            NewEvent { partition: appender.partition_of(&user), key: user, value: value.into() }
        };
        appender.append_blocking(views.into_iter().map(event).collect()).expect("appends");
    }

    /// Moves the clock until `done`; fails when that takes too long.
    pub fn until(&self, what: &str, step_ms: i64, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !done(self) {
            assert!(!self.running.is_over(), "the run ended before {what}");
            assert!(
                Instant::now() < deadline,
                "{what} took too long: {:?}",
                self.running.status().progress()
            );
            self.clock.0.fetch_add(step_ms, Ordering::SeqCst);
            std::thread::yield_now();
        }
    }

    pub fn accepted(&self) -> u64 {
        let progress = self.running.status().progress();
        assert!(progress.ledger.adds_up(), "{:?}", progress.ledger);
        progress.ledger.jobs.get("SessionTracker").map_or(0, |counts| counts.accepted)
    }

    pub fn frontier_ms(&self) -> i64 {
        self.running.status().progress().frontier.as_millis()
    }

    pub fn stop(self) -> Vec<String> {
        self.running.stop();
        self.running.join().expect("ends in order");
        rows(&self.log)
    }
}

/// All rows of the log: topic, op, JSON; provisional ones left aside.
pub fn rows(log: &EmbeddedLog) -> Vec<String> {
    let mut reader = log.row_reader().expect("opens");
    let mut rows = Vec::new();
    for topic in [
        "event_metrics",
        "session_metrics",
        "performance_metrics",
        "session_window_metrics",
        "dropped_events",
    ] {
        let mut from = Offset::ZERO;
        loop {
            let next = reader
                .read(topic, PartitionId(0), from, 1_000, &mut |row| {
                    let value = String::from_utf8_lossy(row.value).into_owned();
                    rows.push(format!("{topic} {} {value}", row.op.as_str()));
                })
                .expect("reads");
            if next == from {
                break;
            }
            from = next;
        }
    }
    rows
}

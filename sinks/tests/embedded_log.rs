//! The sink on the log that it runs on in one process.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tidegate_log::embedded::files::Disk;
use tidegate_log::embedded::{EmbeddedLog, Needed, NeededRows, Options};
use tidegate_log::{Commit, Journal, RowRecord};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, Epoch, EventTime, Ledger, Op};
use tidegate_sinks::{Config, Sink, SinkError};

use common::{EVENTS, Place, event_json};

const NOW: EventTime = EventTime::from_millis(0);

/// A log whose clock the test sets.
struct Process {
    log: EmbeddedLog,
    clock: Arc<AtomicI64>,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let clock = Arc::new(AtomicI64::new(1_431_857_100_000));
        let clock_of_log = Arc::clone(&clock);
        let options = Options { retention_ms: Some(1_000), ..Options::default() };
        let read_clock = Arc::new(move || EventTime::from_millis(clock_of_log.load(Ordering::Relaxed)));
        let log = EmbeddedLog::open_with(directory, options, Arc::new(Disk::default()), read_clock)
            .expect("the log opens");
        Self { log, clock }
    }

    /// Commits rows of `event_metrics`, and a dropped record, as one epoch.
    fn commit(&self, epoch: u64, rows: &[(Op, i64, u64)]) {
        let mut journal = self.log.journal();
        let generation = journal.recover().expect("the journal is readable").generation;
        let binding = Binding {
            version: BINDING_VERSION,
            epoch: Epoch(epoch),
            generation,
            definitions: BTreeMap::new(),
            now: NOW,
            close_to: NOW,
            partitions: BTreeMap::new(),
            ledger: Ledger::default(),
            starts: BTreeMap::new(),
            origin: None,
            snapshot: None,
            gap: None,
            last_records: BTreeMap::new(),
        };
        let record = |topic: &str, op, value: Vec<u8>, headers| RowRecord {
            topic: topic.into(),
            key: b"click".to_vec(),
            value,
            epoch: Epoch(epoch),
            op,
            headers,
        };
        let metrics = rows.iter().map(|(op, minute, count)| {
            record(EVENTS, *op, event_json(*minute, "click", *count).into_bytes(), Vec::new())
        });
        let headers = [("reason", "rejected"), ("job", "j"), ("partition", "2"), ("offset", "9")];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        let dropped = record("dropped_events", Op::Final, b"\xff".to_vec(), headers);
        let rows = metrics.chain([dropped]).collect();
        journal.commit(&Commit { bindings: vec![binding], rows }).expect("the commit succeeds");
    }

    /// Has the log remove every row that it may.
    fn remove_old_rows(&self) -> u64 {
        self.clock.fetch_add(10_000, Ordering::Relaxed);
        let config = Config::default();
        let rows = NeededRows { sinks: vec![config.name], keep_ms: None };
        let topics = config.topics.iter().map(|topic| (topic.name.to_string(), rows.clone()));
        let needed = Needed { rows: topics.collect(), ..Needed::default() };
        self.log.retain(&needed).expect("retention works").rows
    }

    fn sink(&self, place: &Place) -> Sink<impl tidegate_log::RowReader + use<>, tidegate_sinks::SqliteStore> {
        Sink::new(self.log.row_reader().expect("the journal opens"), place.store(), Config::default())
    }

    fn run(&self, place: &Place) -> Result<(), SinkError> {
        let mut sink = self.sink(place);
        while !sink.step(NOW)?.caught_up {}
        Ok(())
    }
}

fn counts(place: &Place) -> Vec<Vec<String>> {
    common::dump(&place.file(), "SELECT window_start, event_count FROM event_metrics")
}

#[test]
fn committed_rows_are_stored_once_over_restarts_and_retention() {
    let (directory, place) = (Place::new(), Place::new());
    let process = Process::start(directory.directory());
    process.run(&place).expect("an empty log is no error");
    process.commit(1_000, &[(Op::Final, 0, 1), (Op::Final, 1, 2)]);
    assert_eq!(process.remove_old_rows(), 0, "the sink has not stored them");
    process.run(&place).expect("the sink runs");
    process.commit(1_001, &[(Op::Correct, 0, 5), (Op::Retract, 1, 2), (Op::Final, 2, 3)]);
    process.run(&place).expect("the sink runs");
    let expected = [["1970-01-01 00:00:00.000", "5"], ["1970-01-01 00:02:00.000", "3"]];
    assert_eq!(counts(&place), expected);
    assert_eq!(place.dump("dropped_events")[0][..5], ["rejected", "j", "2", "9", "[ff]"]);
    let before = place.dump_all();
    assert_eq!(process.remove_old_rows(), 7, "everything is stored");
    process.run(&place).expect("there is nothing to compare with, and nothing to read");
    drop(process);

    let process = Process::start(directory.directory());
    process.run(&place).expect("the sink runs");
    assert_eq!(place.dump_all(), before);
    process.commit(1_002, &[(Op::Final, 3, 4)]);
    process.run(&place).expect("the sink runs");
    assert_eq!(counts(&place).len(), 3);

    let new = Place::new();
    process.run(&new).expect("a new store begins with what there is");
    assert_eq!(counts(&new).len(), 1);
    assert!(!new.dump("sink_gaps").is_empty(), "what it cannot have is noted");
}

#[test]
fn a_new_log_under_an_old_store_begins_anew_and_the_old_rows_stay() {
    let (directory, place) = (Place::new(), Place::new());
    let process = Process::start(directory.directory());
    process.commit(1_000, &[(Op::Final, 0, 1)]);
    process.run(&place).expect("the sink runs");

    let other_directory = Place::new();
    let other = Process::start(other_directory.directory());
    other.run(&place).expect("it is empty, which says nothing");
    other.commit(2_000, &[(Op::Final, 1, 7), (Op::Final, 2, 7)]);
    other.run(&place).expect("all its rows are newer");
    let minutes = ["00", "01", "02"].map(|minute| format!("1970-01-01 00:{minute}:00.000"));
    let [first, second, third] = minutes.each_ref().map(String::as_str);
    assert_eq!(counts(&place), [[first, "1"], [second, "7"], [third, "7"]]);
    let error = process.run(&place).expect_err("the old one is back");
    assert!(matches!(error, SinkError::LogReplaced { .. }), "{error}");
}

#[test]
fn a_sink_is_woken_by_commits() {
    let (directory, place) = (Place::new(), Place::new());
    let process = Process::start(directory.directory());
    let mut sink = process.sink(&place);
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    sink.on_commit(Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    process.commit(1_000, &[(Op::Final, 0, 1)]);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

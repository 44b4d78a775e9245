//! Limits and full disks: errors to the caller that heal.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidegate_model::{EventTime, Offset, PartitionId};

use super::options;
use crate::conformance::{binding, event, journal, read_from};
use crate::embedded::events::{Events, Step};
use crate::embedded::files::memory::{Fail, MemoryFiles};
use crate::embedded::files::{Disk, Files as _};
use crate::embedded::reader::EmbeddedReader;
use crate::embedded::{EmbeddedAppender, EmbeddedLog, Needed, NeededRows, Options, Receipt};
use crate::event::{AppendError, EventReader, NewEvent, ReadError};
use crate::journal::{Commit, Journal};
use crate::rows::RowReader;

const P0: PartitionId = PartitionId(0);

struct Bench {
    files: MemoryFiles,
    events: Events,
    appender: EmbeddedAppender,
}

fn bench(options: &Options) -> Bench {
    let files = MemoryFiles::default();
    let clock = Arc::new(|| EventTime::from_millis(7));
    let events = Events::open(Arc::new(files.clone()), clock, Path::new("data"), options);
    let events = events.expect("it opens");
    let appender = EmbeddedAppender { queue: Arc::clone(&events.queue) };
    Bench { files, events, appender }
}

impl Bench {
    fn submit(&self, bytes: usize) -> Result<Receipt, AppendError> {
        self.appender.submit(vec![NewEvent { partition: P0, key: String::new(), value: vec![b'x'; bytes] }])
    }

    fn append(&mut self, bytes: usize) -> Result<Offset, AppendError> {
        let receipt = self.submit(bytes)?;
        assert_eq!(self.events.driver.step(), Step::Wrote);
        Ok(receipt.wait()?[0].offset)
    }
}

#[test]
fn a_full_queue_refuses_until_the_writer_has_caught_up() {
    let options = Options { queue_bytes_max: 1_000, append_bytes_max: 600, ..options(1) };
    let mut bench = bench(&options);
    let first = bench.submit(600).expect("there is room");
    match bench.submit(500).err() {
        Some(AppendError::QueueFull { queued_bytes: 600, limit_bytes: 1_000, setting }) => {
            assert_eq!(setting, "queue_bytes_max");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.events.driver.step(), Step::Wrote);
    first.wait().expect("it is stored");
    assert_eq!(bench.append(500).expect("there is room again"), Offset(1));
}

#[test]
fn an_append_that_is_too_large_is_refused_by_name() {
    let options = Options { append_bytes_max: 600, ..options(1) };
    match bench(&options).submit(601).err() {
        Some(AppendError::TooLarge { bytes: 601, limit_bytes: 600, setting }) => {
            assert_eq!(setting, "append_bytes_max");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn appends_that_wait_are_written_with_one_sync() {
    let mut bench = bench(&options(1));
    bench.append(10).expect("the segment exists now");
    bench.files.fail(Fail::Only(u64::MAX), ErrorKind::Other);
    let receipts: Vec<_> = (0..100).map(|_| bench.submit(10).expect("there is room")).collect();
    assert_eq!(bench.events.driver.step(), Step::Wrote);
    assert_eq!(bench.files.operations(), 2, "a write and a sync");
    for receipt in receipts {
        receipt.wait().expect("it is stored");
    }
}

#[test]
fn nothing_is_seen_before_it_is_synced() {
    let mut bench = bench(&options(1));
    bench.append(10).expect("the segment exists now");
    let mut reader = EmbeddedReader::new(Arc::clone(&bench.events.shared));
    assert_eq!(reader.read(P0, Offset(0), 1_000, &mut |_| ()).expect("a read"), Offset(1));
    // The write succeeds, the sync fails, and so does all that would take the write back.
    bench.files.fail(Fail::From(1), ErrorKind::Other);
    let error = bench.append(10).expect_err("the sync fails");
    assert!(!error.is_definite(), "{error}");
    let end = reader.read(P0, Offset(0), 1_000, &mut |_| ()).expect("what is durable can be read");
    assert_eq!(end, Offset(1));
    // A look at the end must not take this for silence.
    assert!(matches!(reader.bounds(P0), Err(ReadError::Storage { .. })));
    let later = bench.append(10).expect_err("it still fails");
    assert!(later.is_definite(), "what was not written is surely not there: {later}");
    bench.files.heal();
    assert_eq!(bench.events.driver.step(), Step::Idle { needs_repair: false });
    assert_eq!(reader.bounds(P0).expect("it has healed"), Offset(0)..Offset(1));
    assert_eq!(bench.append(10).expect("it has healed"), Offset(1));
}

#[test]
fn a_full_disk_is_an_error_to_the_caller_and_heals() {
    let mut bench = bench(&options(1));
    bench.append(10).expect("there is room");
    for operation in 0..2 {
        bench.files.fail(Fail::Only(operation), ErrorKind::StorageFull);
        match bench.append(10) {
            Err(AppendError::DiskFull { path }) => assert!(path.ends_with(".segment"), "{path}"),
            other => panic!("{other:?}"),
        }
        bench.files.heal();
        assert_eq!(bench.append(10).expect("there is room again"), Offset(1 + operation));
    }
}

#[test]
fn a_log_that_refuses_says_so_until_the_disk_has_healed_without_an_append() {
    let mut bench = bench(&options(1));
    bench.append(10).expect("there is room");
    assert!(bench.events.shared.refusing().is_none());
    bench.files.fail(Fail::From(0), ErrorKind::StorageFull);
    bench.append(10).expect_err("the disk is full");
    let refusing = |bench: &Bench| bench.events.shared.refusing().map(|error| error.to_string());
    assert!(refusing(&bench).is_some(), "it says nothing");
    assert_eq!(bench.events.driver.step(), Step::Idle { needs_repair: true });
    assert!(refusing(&bench).is_some(), "a full disk heals by itself");
    bench.files.heal();
    assert_eq!(bench.events.driver.step(), Step::Idle { needs_repair: false });
    assert_eq!(refusing(&bench), None);
    assert_eq!(bench.files.list(Path::new("data")).expect("a directory"), ["format"], "the probe is gone");
    assert_eq!(bench.append(10).expect("there is room again"), Offset(1));
}

#[test]
fn a_log_that_is_full_says_so_until_there_is_room() {
    let mut bench = bench(&Options { total_bytes_max: 100_000, ..options(1) });
    while bench.append(10_000).is_ok() {}
    assert!(matches!(bench.events.shared.refusing(), Some(AppendError::LogFull { .. })));
    assert_eq!(bench.events.driver.step(), Step::Idle { needs_repair: true });
    let used = bench.events.shared.used_bytes.swap(0, std::sync::atomic::Ordering::AcqRel);
    assert!(used > 80_000, "{used}");
    assert_eq!(bench.events.driver.step(), Step::Idle { needs_repair: false });
    assert!(bench.events.shared.refusing().is_none());
}

#[test]
fn a_closed_log_refuses_and_still_writes_what_waits() {
    let dir = TempDir::new().expect("a temporary directory");
    let log = super::open(dir.path(), 1);
    let appender = log.appender();
    let waiting = appender.submit(vec![event(0, "a")]).expect("there is room");
    log.close();
    waiting.wait().expect("it was written before the end");
    let refused = appender.submit(vec![event(0, "b")]);
    assert!(matches!(refused, Err(AppendError::Closed)));
    let log = super::open(dir.path(), 1);
    assert_eq!(read_from(&mut log.reader(), P0, Offset(0), 100), [(Offset(0), "a".to_owned())]);
}

#[test]
fn a_full_log_refuses_until_retention_finds_something_to_remove() {
    let dir = TempDir::new().expect("a temporary directory");
    let options =
        Options { segment_bytes_max: 4_096, total_bytes_max: 20_000, retention_ms: Some(0), ..options(1) };
    let log = EmbeddedLog::open(dir.path(), options.clone()).expect("it opens");
    let appender = log.appender();
    let value = "x".repeat(1_000);
    let mut stored = 0;
    let error = loop {
        match appender.append_blocking(vec![event(0, &value)]) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    match error {
        AppendError::LogFull { used_bytes, limit_bytes: 20_000, setting: "total_bytes_max" } => {
            assert!(used_bytes <= 20_000, "{used_bytes}");
        }
        other => panic!("{other}"),
    }
    let nothing = log.retain(&Needed::default()).expect("it looks");
    assert_eq!(nothing.segments, 0, "all of it is needed");
    assert!(appender.append_blocking(vec![event(0, &value)]).is_err());
    let events_from = BTreeMap::from([(P0, Offset(stored))]);
    let needed = Needed { events_from, ..Needed::default() };
    let retained = log.retain(&needed).expect("it removes");
    assert!(retained.segments > 0 && retained.bytes > 0);
    appender.append_blocking(vec![event(0, &value)]).expect("there is room again");
    let mut reader = log.reader();
    let bounds = reader.bounds(P0).expect("bounds");
    assert!(bounds.start > Offset(0));
    let gone = reader.read(P0, Offset(0), 1, &mut |_| panic!("it is gone"));
    assert!(matches!(gone, Err(ReadError::OutOfRange { .. })), "{gone:?}");
    drop((log, reader));
    let log = EmbeddedLog::open(dir.path(), options).expect("it opens again");
    assert_eq!(log.reader().bounds(P0).expect("bounds"), bounds);
}

#[test]
fn rows_go_when_they_are_old_and_every_sink_has_them() {
    let dir = TempDir::new().expect("a temporary directory");
    let now = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || EventTime::from_millis(clock.load(std::sync::atomic::Ordering::Relaxed)));
    let options = Options { retention_ms: Some(100), ..options(1) };
    let log =
        EmbeddedLog::open_with(dir.path(), options, Arc::new(Disk::default()), clock).expect("it opens");
    let (mut writer, mut rows) = (log.journal(), log.row_reader().expect("it opens"));
    let generation = writer.recover().expect("it recovers").generation;
    for epoch in 1..=3 {
        let commit = Commit {
            bindings: vec![binding(epoch, generation)],
            rows: vec![journal::row(epoch, "a"), journal::row(epoch, "b")],
        };
        now.fetch_add(50, std::sync::atomic::Ordering::Relaxed);
        writer.commit(&commit).expect("it commits");
    }
    let topic = "event_metrics";
    let retain = |at: i64, sinks: &[&str]| {
        now.store(at, std::sync::atomic::Ordering::Relaxed);
        let sinks = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        let rows = BTreeMap::from([(topic.to_owned(), NeededRows { sinks, keep_ms: None })]);
        log.retain(&Needed { rows, ..Needed::default() }).expect("it looks").rows
    };
    now.store(10_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(log.retain(&Needed::default()).expect("it looks").rows, 0, "nobody says who needs them");
    assert_eq!(retain(10_000, &["tables"]), 0, "nothing is acknowledged");
    rows.acknowledge("tables", topic, P0, Offset(5)).expect("it is noted");
    assert_eq!(retain(10_000, &["tables", "cache"]), 0, "the other sink has nothing yet");
    assert_eq!(retain(201, &["tables"]), 4, "the youngest epoch is kept, and what follows");
    assert_eq!(retain(10_000, &["tables"]), 1, "one more is acknowledged");
    let gone = rows.read(topic, P0, Offset(4), 10, &mut |_| panic!("it is gone"));
    match gone {
        Err(ReadError::OutOfRange { available, .. }) => assert_eq!(available, Offset(5)..Offset(6)),
        other => panic!("{other:?}"),
    }
    let next = rows.read(topic, P0, Offset(5), 10, &mut |_| ()).expect("it is kept");
    assert_eq!(next, Offset(6));
    rows.acknowledge("tables", topic, P0, Offset(6)).expect("it is noted");
    assert_eq!(retain(10_000, &["tables"]), 1);
    let next = rows.read(topic, P0, Offset(6), 10, &mut |_| ()).expect("the end can be read from");
    assert_eq!(next, Offset(6));
    let commit = Commit { bindings: vec![binding(4, generation)], rows: vec![journal::row(4, "c")] };
    writer.commit(&commit).expect("it commits");
    let next = rows.read(topic, P0, Offset(6), 10, &mut |_| ()).expect("offsets are not used again");
    assert_eq!(next, Offset(7));
}

/// What a topic keeps is its own matter: who reads it, and for how long, also when nothing else ever goes.
#[test]
fn topics_are_kept_each_for_its_own_readers_and_time() {
    let dir = TempDir::new().expect("a temporary directory");
    let now = Arc::new(std::sync::atomic::AtomicI64::new(1_000));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || EventTime::from_millis(clock.load(std::sync::atomic::Ordering::Relaxed)));
    let log =
        EmbeddedLog::open_with(dir.path(), options(1), Arc::new(Disk::default()), clock).expect("it opens");
    let (mut writer, mut rows) = (log.journal(), log.row_reader().expect("it opens"));
    let generation = writer.recover().expect("it recovers").generation;
    let row = |topic: &str, epoch| crate::RowRecord { topic: topic.into(), ..journal::row(epoch, "a") };
    // More than one transaction removes.
    let live = || (0..5_000).map(|_| row("live_metrics", 1));
    let bindings = vec![binding(1, generation)];
    let commit = Commit { bindings, rows: live().chain([row("event_metrics", 1)]).collect() };
    writer.commit(&commit).expect("it commits");
    now.store(2_000, std::sync::atomic::Ordering::Relaxed);
    let commit = Commit { bindings: vec![binding(2, generation)], rows: vec![row("live_metrics", 2)] };
    writer.commit(&commit).expect("it commits");

    let needed = |sinks: &[&str], keep_ms| {
        let sinks: Vec<String> = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        let tables = NeededRows { sinks: vec!["tables".to_owned()], keep_ms: None };
        let live = NeededRows { sinks, keep_ms };
        let rows = [("event_metrics".to_owned(), tables), ("live_metrics".to_owned(), live)];
        Needed { rows: rows.into(), ..Needed::default() }
    };
    let retain = |at: i64, needed: Needed| {
        now.store(at, std::sync::atomic::Ordering::Relaxed);
        log.retain(&needed).expect("it looks").rows
    };
    for topic in ["event_metrics", "live_metrics"] {
        rows.acknowledge("tables", topic, P0, Offset(1)).expect("it is noted");
    }
    assert_eq!(retain(9_000, needed(&["cache"], Some(100))), 0, "the cache has acknowledged nothing");
    rows.acknowledge("cache", "live_metrics", P0, Offset(5_001)).expect("it is noted");
    assert_eq!(retain(9_000, needed(&["cache"], None)), 0, "no age is set");
    assert_eq!(retain(1_100, needed(&["cache"], Some(100))), 0, "not old enough");
    assert_eq!(retain(1_101, needed(&["cache"], Some(100))), 5_000, "the first epoch is");
    assert_eq!(retain(9_000, needed(&[], Some(0))), 1, "nobody reads it");
    let next = rows.read("event_metrics", P0, Offset(0), 10, &mut |_| ()).expect("it is kept");
    assert_eq!(next, Offset(1));
}

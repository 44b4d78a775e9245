//! The embedded metric store on a real file.

mod common;

use rusqlite::Connection;
use tidegate_model::row::{Column, ColumnType, Op, Schema};
use tidegate_sinks::sqlite::SqliteConfig;
use tidegate_sinks::store::conformance;
use tidegate_sinks::{Config, MetricStore, OpenError, Sink, SinkError, SqliteStore, StoreError, Table};

use common::{EVENTS, MemoryLog, Place, event_json};
use tidegate_model::EventTime;

const NOW: EventTime = EventTime::from_millis(0);

#[test]
fn it_conforms() {
    conformance::check_all(Place::new);
}

/// A file that an earlier version wrote must be understood for ever, so the layout of version 1 is
/// held here word by word. A change of it is a new version.
#[test]
fn the_layout_of_version_1_is_the_documented_one() {
    let place = Place::new();
    drop(place.store());
    let rows = common::dump(&place.file(), "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
    let found: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let golden = include_str!("data/metrics-v1.sql");
    assert_eq!(format!("{};\n", found.join(";\n")), golden);
    assert_eq!(common::dump(&place.file(), "PRAGMA application_id"), [["1415858036"]]);
    assert_eq!(common::dump(&place.file(), "PRAGMA user_version"), [["1"]]);
    assert_eq!(common::dump(&place.file(), "PRAGMA journal_mode"), [["wal"]]);
}

#[test]
fn a_file_of_version_1_with_rows_is_opened_and_written_on() {
    let place = Place::new();
    let connection = Connection::open(place.file()).expect("a new file");
    connection.execute_batch(include_str!("data/metrics-v1.sql")).expect("the layout");
    connection.execute_batch(include_str!("data/metrics-v1-rows.sql")).expect("its rows");
    drop(connection);
    let log = MemoryLog::default();
    for count in 1..=3 {
        log.push(EVENTS, 0, 1_431_857_100_000 + count, Op::Correct, event_json(0, "click", count));
    }
    let mut sink = Sink::new(log, place.store(), Config::default());
    let progress = sink.step(NOW).expect("a step");
    assert_eq!(progress.applied.put, 1, "two of the three were stored by the earlier version");
    let counts = common::dump(&place.file(), "SELECT event_type, event_count FROM event_metrics");
    assert_eq!(counts, [["click", "3"], ["page_view", "7"]]);
}

#[test]
fn another_version_and_another_programs_file_are_refused_by_name() {
    let place = Place::new();
    drop(place.store());
    Connection::open(place.file()).expect("opens").pragma_update(None, "user_version", 2).expect("set");
    let error = SqliteStore::open(&place.file()).expect_err("it is newer");
    assert!(matches!(error, OpenError::NewerFormat { found: 2, supported: 1, .. }), "{error}");

    let place = Place::new();
    Connection::open(place.file()).expect("opens").execute_batch("CREATE TABLE mine(a)").expect("made");
    let error = SqliteStore::open(&place.file()).expect_err("it is somebody else's");
    assert!(error.to_string().contains("an SQLite file of another program"), "{error}");
    assert_eq!(common::dump(&place.file(), "PRAGMA journal_mode"), [["delete"]], "it is left as it was");

    let place = Place::new();
    std::fs::write(place.file(), "a text that is longer than the header of SQLite".repeat(99))
        .expect("written");
    let error = SqliteStore::open(&place.file()).expect_err("it is no database");
    assert!(matches!(error, OpenError::NotAMetricStore { .. }), "{error}");
}

#[test]
fn a_table_with_other_columns_is_refused() {
    let place = Place::new();
    drop(place.store());
    let connection = Connection::open(place.file()).expect("opens");
    connection.execute_batch("ALTER TABLE event_metrics RENAME user_count TO users").expect("renamed");
    let error = SqliteStore::open(&place.file()).expect_err("a column is missing").to_string();
    assert!(error.contains("table event_metrics of "), "{error}");
    assert!(error.contains("event_count, users, version"), "{error}");
}

/// A new job brings a schema and nothing else.
#[test]
fn the_table_of_a_new_job_needs_no_code() {
    static SCHEMA: Schema = Schema {
        table: "order",
        job: "Orders",
        columns: &[
            Column { name: "group", kind: ColumnType::Text },
            Column { name: "at", kind: ColumnType::Instant },
            Column { name: "sum", kind: ColumnType::Float },
        ],
        key: &["at", "group"],
        cache: None,
    };
    let place = Place::new();
    let config = SqliteConfig::default();
    let store = SqliteStore::open_with(&place.file(), &[&SCHEMA], config).expect("the store opens");
    let log = MemoryLog::default();
    for (op, sum) in [(Op::Final, 1), (Op::Correct, 2)] {
        let json = format!(r#"{{"group":"a","at":"2015-05-17T10:00:00.000Z","sum":{sum}}}"#);
        log.push("order", 0, 5, op, json);
    }
    let topics = vec![tidegate_sinks::sink::Topic { name: "order".into(), table: Table::Metrics(&SCHEMA) }];
    let mut sink = Sink::new(log.clone(), store, Config { topics, ..Config::default() });
    sink.step(NOW).expect("a step");
    assert_eq!(place.dump("\"order\""), [["a", "2015-05-17 10:00:00.000", "2.0", "5", "0", "1"]]);
    log.push("order", 0, 6, Op::Retract, r#"{"group":"a","at":"2015-05-17T10:00:00.000Z"}"#);
    sink.step(NOW).expect("a step");
    assert!(place.dump("\"order\"").is_empty());
}

/// SQLite reports the limit of pages as it reports a disk without space.
#[test]
fn a_full_disk_is_an_error_that_changes_nothing_and_heals() {
    let place = Place::new();
    let log = MemoryLog::default();
    for minute in 0..5_000 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    let store = place.store();
    let pages: u32 =
        store.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a number");
    let limit = |store: &SqliteStore, pages: u32| {
        store
            .connection()
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .expect("set");
    };
    limit(&store, pages + 2);
    let mut sink = Sink::new(log.clone(), store, Config::default());
    for _ in 0..2 {
        let error = sink.step(NOW).expect_err("there is no room");
        let SinkError::Store(StoreError::DiskFull { path }) = &error else { panic!("{error}") };
        assert!(path.ends_with("metrics.db"), "{path}");
        assert!(error.is_definite());
        assert!(place.dump(EVENTS).is_empty());
        assert!(place.dump("sink_positions").is_empty());
        assert_eq!(log.acknowledged(EVENTS, 0), None);
    }
    limit(sink.store(), 1_000_000);
    assert_eq!(sink.step(NOW).expect("there is room again").applied.put, 5_000);
    assert_eq!(log.acknowledged(EVENTS, 0), Some(5_000));
}

#[test]
fn dropped_and_unreadable_rows_are_limited_to_the_newest() {
    let place = Place::new();
    let config = SqliteConfig { dropped_rows_max: 3, unreadable_rows_max: 2, ..SqliteConfig::default() };
    let store = SqliteStore::open_with(&place.file(), &Schema::ALL, config).expect("the store opens");
    let log = MemoryLog::default();
    for record in 0..10 {
        let headers = [("reason", "expired"), ("job", "j"), ("partition", "0"), ("offset", "1")];
        log.push_with_headers("dropped_events", 0, 5, Op::Final, record.to_string(), &headers);
        log.push(EVENTS, 0, 5, Op::Final, record.to_string());
    }
    let mut sink = Sink::new(log, store, Config { rows_per_topic_max: 4, ..Config::default() });
    while !sink.step(NOW).expect("a step").caught_up {}
    assert_eq!(common::dump(&place.file(), "SELECT record FROM dropped_events"), [["7"], ["8"], ["9"]]);
    assert_eq!(common::dump(&place.file(), "SELECT record FROM unreadable_rows"), [["8"], ["9"]]);
    let counted = common::dump(&place.file(), "SELECT topic, unreadable FROM sink_positions");
    assert_eq!(counted, [["dropped_events", "0"], ["event_metrics", "10"]]);
}

/// The file as a crash leaves it: whatever part of the write-ahead log has reached the disk, the rows
/// and the positions in it belong together, and going on from there ends where an undisturbed run ends.
#[test]
fn from_every_image_of_a_crash_the_sink_gets_to_the_same_rows() {
    let log = MemoryLog::default();
    for minute in 0..40 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute % 7, "click", minute.cast_unsigned()));
        if minute % 5 == 4 {
            log.push(EVENTS, 0, 5, Op::Retract, event_json(minute % 7, "click", 0));
        }
    }
    let config = Config { rows_per_topic_max: 5, ..Config::default() };
    let place = Place::new();
    let mut sink = Sink::new(log.clone(), place.store(), config.clone());
    while !sink.step(NOW).expect("a step").caught_up {}
    let expected = place.dump_all();

    let wal = std::fs::read(place.directory().join("metrics.db-wal")).expect("the log is still there");
    let database = std::fs::read(place.file()).expect("the file");
    for cut in (0..wal.len()).step_by(1_500).chain([wal.len()]) {
        let crashed = Place::new();
        std::fs::write(crashed.file(), &database).expect("written");
        std::fs::write(crashed.directory().join("metrics.db-wal"), &wal[..cut]).expect("written");
        let mut sink = Sink::new(log.clone(), crashed.store(), config.clone());
        while !sink.step(NOW).expect("a step").caught_up {}
        assert_eq!(crashed.dump_all(), expected, "cut at {cut} of {} bytes", wal.len());
    }
}

#[test]
fn a_store_is_opened_twice_only_one_after_the_other_or_waits() {
    let place = Place::new();
    let config = SqliteConfig { busy_timeout_ms: 0, ..SqliteConfig::default() };
    let mut store = SqliteStore::open_with(&place.file(), &Schema::ALL, config).expect("the store opens");
    let other = Connection::open(place.file()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("takes the lock");
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    assert!(store.positions().expect("reading needs no lock").is_empty());
    let mut sink = Sink::new(log, store, Config::default());
    let error = sink.step(NOW).expect_err("the lock is taken");
    assert!(error.is_definite(), "{error}");
    other.execute_batch("ROLLBACK").expect("gives the lock back");
    assert_eq!(sink.step(NOW).expect("the lock is free").applied.put, 1);
}

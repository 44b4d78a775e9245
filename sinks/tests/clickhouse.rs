//! The metric store on a real ClickHouse.
#![cfg(feature = "clickhouse")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_model::EventTime;
use tidegate_model::row::Op;
use tidegate_services::clickhouse::Address;
use tidegate_services::{ClickHouse, clickhouse, test_clickhouse, tools};
use tidegate_sinks::clickhouse::{Misfit, UnfitTable};
use tidegate_sinks::store::conformance::{self, Harness};
use tidegate_sinks::{ClickHouseConfig, ClickHouseOpenError, ClickHouseStore, Config, Sink, SinkError};

use common::proxy::{Proxy, Way};
use common::{EVENTS, MemoryLog, event_json};

const NOW: EventTime = EventTime::from_millis(0);

/// A database of our own on a server.
struct Database {
    address: Address,
    name: String,
}

impl Database {
    fn new(address: &Address) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { address: address.clone(), name: format!("sinks_{}_{count}", std::process::id()) }
    }

    fn config(&self) -> ClickHouseConfig {
        let url = format!("http://{}", self.address.http_address());
        ClickHouseConfig { url, database: self.name.clone(), ..ClickHouseConfig::default() }
    }

    fn store(&self) -> ClickHouseStore {
        ClickHouseStore::open(self.config()).expect("the store opens")
    }

    /// `$` stands for the name of the database.
    fn query(&self, sql: &str) -> String {
        let sql = sql.replace('$', &self.name);
        self.address.query(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Minute, type, count and version of the rows that a plain SELECT shows.
    fn events(&self) -> Vec<String> {
        let rows = self.query(
            "SELECT toUnixTimestamp(window_start) DIV 60, event_type, event_count, version \
             FROM $.event_metrics ORDER BY ALL",
        );
        rows.lines().map(|line| line.replace('\t', " ")).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone.
        let _ = self.address.query(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

impl Harness for Database {
    type Store = ClickHouseStore;

    fn open(&mut self) -> ClickHouseStore {
        self.store()
    }

    fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        let columns = columns.join(", ");
        let rows = self.query(&format!("SELECT {columns} FROM $.{table} FORMAT JSONCompactStringsEachRow"));
        rows.lines().map(|row| serde_json::from_str(row).expect("strings")).collect()
    }
}

/// A server of the test's own, to be killed; `None` where it cannot be had.
fn own_server() -> Option<(tempfile::TempDir, ClickHouse)> {
    if let Err(missing) = clickhouse::fetch() {
        tools::left_out(&format!("{missing:#}"));
        return None;
    }
    let dir = tempfile::tempdir().expect("there is room");
    let server = ClickHouse::start(dir.path()).expect("it starts");
    Some((dir, server))
}

fn run(sink: &mut Sink<MemoryLog, ClickHouseStore>) {
    while !sink.step(NOW).expect("a step").caught_up {}
}

/// What `minute` shows for `count` in the epoch.
fn shown(minute: i64, count: u64, epoch: u64) -> String {
    format!("{minute} click {count} {epoch}")
}

#[test]
fn it_conforms() {
    let Ok(address) = test_clickhouse() else { return };
    conformance::check_all(|| Database::new(&address));
}

/// Small pieces and one key in a statement: the result is the same.
#[test]
fn it_conforms_in_small_pieces() {
    struct Small(Database);
    impl Harness for Small {
        type Store = ClickHouseStore;
        fn open(&mut self) -> ClickHouseStore {
            let config = ClickHouseConfig { insert_rows_max: 1, keys_bytes_max: 0, ..self.0.config() };
            ClickHouseStore::open(config).expect("the store opens")
        }
        fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
            self.0.select(table, columns)
        }
    }
    let Ok(address) = test_clickhouse() else { return };
    conformance::check_all(|| Small(Database::new(&address)));
}

#[test]
fn an_insert_repeated_with_moved_boundaries_does_not_double() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    for minute in 0..20 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    for minute in [3, 4] {
        log.push(EVENTS, 0, 6, Op::Correct, event_json(minute, "click", 2));
    }
    log.push(EVENTS, 0, 6, Op::Retract, event_json(5, "click", 0));
    let mut expected: Vec<String> = Vec::new();
    for minute in (0..20).filter(|minute| *minute != 5) {
        let (count, epoch) = if [3, 4].contains(&minute) { (2, 6) } else { (1, 5) };
        expected.push(shown(minute, count, epoch));
    }
    expected.sort_by_key(|row| row.split(' ').next().expect("a minute").parse::<u32>().expect("a number"));
    for rows_per_topic_max in [7, 10_000, 3, 3, 5, 10_000, 10_000] {
        // Positions were lost, and so was a part of the rows.
        let config = Config { rows_per_topic_max, ..Config::default() };
        run(&mut Sink::new(log.clone(), database.store(), config));
        assert_eq!(database.events(), expected, "{rows_per_topic_max} rows at once");
        database.query("TRUNCATE TABLE $.sink_positions");
        database.query("DELETE FROM $.event_metrics WHERE log_offset > 11");
    }
}

/// Only positions are lost: the rows are there, some of them replaced or retracted since.
#[test]
fn a_log_that_is_stored_again_from_its_beginning_changes_nothing() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    for (epoch, op) in [(0, Op::Final), (0, Op::Correct), (0, Op::Retract), (0, Op::Final)] {
        for minute in 0..5 {
            log.push(EVENTS, 0, epoch, op, event_json(minute, "click", 1));
        }
    }
    let expected: Vec<String> = (0..5).map(|minute| shown(minute, 1, 0)).collect();
    for rows_per_topic_max in [20, 20, 4, 4, 1] {
        let config = Config { rows_per_topic_max, ..Config::default() };
        run(&mut Sink::new(log.clone(), database.store(), config));
        assert_eq!(database.events(), expected, "{rows_per_topic_max} rows at once");
        database.query("TRUNCATE TABLE $.sink_positions");
    }
}

#[test]
fn a_truncated_table_is_neither_filled_again_nor_are_rows_left_out() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    log.push(EVENTS, 0, 5, Op::Final, event_json(1, "click", 1));
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    run(&mut sink);
    database.query("TRUNCATE TABLE $.event_metrics");
    log.push(EVENTS, 0, 6, Op::Final, event_json(2, "click", 1));
    run(&mut sink);
    assert_eq!(database.events(), [shown(2, 1, 6)]);
    // The same for a process that is started anew.
    database.query("TRUNCATE TABLE $.event_metrics");
    log.push(EVENTS, 0, 7, Op::Final, event_json(3, "click", 1));
    run(&mut Sink::new(log.clone(), database.store(), Config::default()));
    assert_eq!(database.events(), [shown(3, 1, 7)]);
    // With the positions gone too, everything is written anew.
    database.query("TRUNCATE TABLE $.event_metrics");
    database.query("TRUNCATE TABLE $.sink_positions");
    run(&mut Sink::new(log.clone(), database.store(), Config::default()));
    assert_eq!(database.events(), [shown(0, 1, 5), shown(1, 1, 5), shown(2, 1, 6), shown(3, 1, 7)]);
    // Another log is recognised by the epoch of the row there.
    let other = MemoryLog::default();
    for minute in 0..9 {
        other.push(EVENTS, 0, 9, Op::Final, event_json(minute, "click", 1));
    }
    let mut sink = Sink::new(other, database.store(), Config::default());
    let error = sink.step(NOW).expect_err("it is another log");
    assert!(matches!(error, SinkError::LogReplaced { .. }), "{error}");
}

#[test]
fn rows_of_the_old_storage_service_are_corrected_and_say_nothing_of_positions() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    drop(database.store());
    let insert = "INSERT INTO $.event_metrics (window_start, window_end, event_type, event_count, user_count) \
                  VALUES ('1970-01-01 00:00:00.000', '1970-01-01 00:01:00.000', 'click', 1, 1)";
    database.query(insert);
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(7, "click", 1));
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 2));
    run(&mut Sink::new(log, database.store(), Config::default()));
    assert_eq!(database.events(), [shown(0, 2, 5), shown(7, 1, 5)]);
}

/// The table as the old stack made it, with a window twice, becomes one that holds rows.
#[test]
fn a_table_of_the_old_stack_is_refused_with_statements_that_make_it_fit() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    database.query("CREATE DATABASE $");
    database.query(
        "CREATE TABLE $.event_metrics (window_start DateTime64(3), window_end DateTime64(3), \
         event_type String, event_count UInt64, user_count UInt64) \
         ENGINE = MergeTree ORDER BY (window_start, event_type)",
    );
    for minute in [0, 1, 1] {
        database.query(&format!(
            "INSERT INTO $.event_metrics VALUES \
             ('1970-01-01 00:0{minute}:00.000', '1970-01-01 00:0{}:00.000', 'click', 3, 1)",
            minute + 1
        ));
    }
    let Err(ClickHouseOpenError::Unfit(unfit)) = ClickHouseStore::open(database.config()) else {
        panic!("it is no table to hold rows");
    };
    assert!(matches!(&unfit.misfit, Misfit::Engine { found, .. } if found == "MergeTree"), "{unfit}");
    let UnfitTable { url, table, statements, .. } = &*unfit;
    let told = unfit.to_string();
    assert!(told.contains(url) && told.contains(table) && told.contains(&statements[1]), "{told}");
    for statement in statements {
        database.query(statement);
    }
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(2, "click", 1));
    run(&mut Sink::new(log, database.store(), Config::default()));
    assert_eq!(database.events(), [shown(0, 3, 0), shown(1, 3, 0), shown(2, 1, 5)]);
    assert_eq!(database.query("SELECT count() FROM $.event_metrics_before_tidegate"), "3\n");
}

#[test]
fn a_table_that_does_not_know_repeated_inserts_is_refused_with_one_statement() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    drop(database.store());
    database.query("ALTER TABLE $.event_metrics RESET SETTING non_replicated_deduplication_window");
    let Err(ClickHouseOpenError::Unfit(unfit)) = ClickHouseStore::open(database.config()) else {
        panic!("it does not know repeated inserts");
    };
    assert_eq!(unfit.misfit, Misfit::Deduplication);
    let [statement] = &unfit.statements[..] else { panic!("{unfit}") };
    database.query(statement);
    drop(database.store());
}

#[test]
fn a_table_that_is_gone_is_named_with_what_to_do() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    run(&mut sink);
    database.query("DROP TABLE $.event_metrics SYNC");
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let error = sink.step(NOW).expect_err("there is no table");
    assert!(error.is_definite(), "{error}");
    let told = error.to_string();
    let table =
        format!("table {}.event_metrics of ClickHouse http://{}", database.name, address.http_address());
    assert!(told.contains(&table) && told.ends_with("; restart, and the table is made"), "{told}");
}

/// The connection breaks at every piece of every request and of every answer in turn. Whatever is lost, the
/// tables end as they do undisturbed, and never show a window twice.
#[test]
fn wherever_the_connection_breaks_the_rows_are_the_same() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let proxy = Proxy::new(address.http_address());
    let config = ClickHouseConfig { url: format!("http://{}", proxy.address), ..database.config() };
    let log = MemoryLog::default();
    for (op, epoch, minutes) in [(Op::Final, 5, 0..4), (Op::Correct, 6, 0..2), (Op::Retract, 6, 2..3)] {
        for minute in minutes {
            log.push(EVENTS, 0, epoch, op, event_json(minute, "click", epoch));
            // In the middle of a batch: what follows is stored as well.
            if minute == 1 {
                log.push(EVENTS, 0, epoch, Op::Final, "no row");
            }
        }
    }
    let open = || {
        let store = ClickHouseStore::open(config.clone()).expect("the store opens");
        Sink::new(log.clone(), store, Config { rows_per_topic_max: 5, ..Config::default() })
    };
    let state = || {
        let tables = ["event_metrics", "unreadable_rows", "sink_positions FINAL"];
        tables.map(|table| database.query(&format!("SELECT * FROM $.{table} ORDER BY ALL")))
    };
    run(&mut open());
    let expected = state();
    assert_eq!(database.events(), [shown(0, 6, 6), shown(1, 6, 6), shown(3, 5, 5)]);
    let (mut definite, mut indefinite) = (0, 0);
    for way in [Way::There, Way::Back] {
        for n in 0.. {
            for table in ["event_metrics", "unreadable_rows", "sink_positions"] {
                database.query(&format!("TRUNCATE TABLE $.{table}"));
            }
            let mut sink = open();
            proxy.lose(way, n);
            for attempt in 0.. {
                assert!(attempt < 100, "{way:?} {n}: it never ends");
                match sink.step(NOW) {
                    Ok(progress) if progress.caught_up => break,
                    Ok(_) => {}
                    Err(error) if error.is_definite() => definite += 1,
                    Err(_) => indefinite += 1,
                }
                let keys = database.query(
                    "SELECT count(), uniqExact(window_start, event_type, window_end) FROM $.event_metrics",
                );
                let (count, keys) = keys.trim().split_once('\t').expect("two numbers");
                assert_eq!(count, keys, "{way:?} {n}: a plain SELECT shows a window twice");
            }
            assert_eq!(state(), expected, "{way:?} {n}");
            if !proxy.has_lost() {
                assert!(n > 10, "{way:?}: {n} pieces are not all");
                break;
            }
        }
    }
    assert!(definite > 0 && indefinite > 0, "{definite} and {indefinite}");
}

#[test]
fn rows_are_stored_once_across_a_kill_of_the_server() {
    let Some((_dir, mut server)) = own_server() else { return };
    let database = Database::new(server.address());
    let log = MemoryLog::default();
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    let mut expected = Vec::new();
    for round in 0..3_u64 {
        log.push(EVENTS, 0, 5 + round, Op::Final, event_json(round.cast_signed(), "click", round));
        expected.push(shown(round.cast_signed(), round, 5 + round));
        run(&mut sink);
        server.kill();
        log.push(EVENTS, 0, 5 + round, Op::Final, event_json(10 + round.cast_signed(), "click", round));
        let error = sink.step(NOW).expect_err("nobody listens");
        assert!(error.is_definite(), "{error}");
        assert!(error.to_string().ends_with("storing goes on by itself when it answers"), "{error}");
        server.restart().expect("it starts again");
        run(&mut sink);
    }
    for round in 0..3_u64 {
        expected.push(shown(10 + round.cast_signed(), round, 5 + round));
    }
    assert_eq!(database.events(), expected);
    // A process that is started anew has nothing to do.
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    log.take_reads();
    run(&mut sink);
    assert_eq!(sink.totals().rows(), 0);
    assert_eq!(log.acknowledged(EVENTS, 0), Some(6));
    drop(sink);
}

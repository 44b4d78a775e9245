//! The metric store on a real ClickHouse.
#![cfg(feature = "clickhouse")]

mod common;

use tidegate_model::row::Op;
use tidegate_services::{ClickHouse, clickhouse, test_clickhouse, tools};
use tidegate_sinks::store::conformance::{self, Harness};
use tidegate_sinks::{ClickHouseConfig, ClickHouseStore, Config, MetricStore as _, Sink, SinkError, Table};

use common::database::{Database, NOW, run, shown};
use common::proxy::{Proxy, Way};
use common::{EVENTS, MemoryLog, event_json};

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

/// The statements that an error tells.
fn statements(told: &str) -> Vec<&str> {
    let (_, statements) = told.split_once("and run\n\n").expect("it has some");
    statements.trim_end().trim_end_matches(';').split(";\n\n").collect()
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
            ClickHouseStore::new(config).expect("there is room")
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
    for epoch in 1..9 {
        other.push(EVENTS, 0, epoch, Op::Final, event_json(0, "click", 1));
    }
    let mut sink = Sink::new(other, database.store(), Config::default());
    let error = sink.step(NOW).expect_err("it is another log");
    assert!(matches!(error, SinkError::LogReplaced { .. }), "{error}");
}

/// Kafka was wiped and ClickHouse was not. Nobody has to do anything: old rows stay, new ones come, whatever the
/// offsets, and dropped records and rows that do not fit of both logs are kept.
#[test]
fn a_new_log_is_stored_beside_the_rows_of_the_old_one() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log_of = |epoch: u64, minutes: std::ops::Range<i64>| {
        let log = MemoryLog::default();
        for minute in minutes {
            log.push(EVENTS, 0, epoch, Op::Final, event_json(minute, "click", epoch));
        }
        log.push(EVENTS, 0, epoch, Op::Final, "no row".to_owned());
        log
    };
    run(&mut Sink::new(log_of(5, 0..9), database.store(), Config::default()));
    let next = log_of(6, 8..12);
    run(&mut Sink::new(next.clone(), database.store(), Config::default()));
    let old = (0..8).map(|minute| shown(minute, 5, 5));
    let mut expected: Vec<String> = old.chain((8..12).map(|minute| shown(minute, 6, 6))).collect();
    assert_eq!(database.events(), expected);
    // Going on, also where only the rows are there and not the position, and over the offsets of the old log.
    for (minute, positions) in [(12, 1), (13, 1), (14, 0), (15, 1), (16, 1), (17, 1)] {
        next.push(EVENTS, 0, 7, Op::Final, event_json(minute, "click", 1));
        if positions == 0 {
            next.push(EVENTS, 0, 7, Op::Final, "no row".to_owned());
        }
        run(&mut Sink::new(next.clone(), database.store(), Config::default()));
        expected.push(shown(minute, 1, 7));
        assert_eq!(database.events(), expected);
    }
    let unreadable = "SELECT log_offset, version FROM $.unreadable_rows ORDER BY version, log_offset";
    assert_eq!(database.query(unreadable).trim(), "9\t5\n4\t6\n8\t7");
    let counted = "SELECT unreadable FROM $.sink_positions FINAL ORDER BY since_version DESC LIMIT 1";
    assert_eq!(database.query(counted).trim(), "3");
}

#[test]
fn rows_of_the_old_storage_service_are_corrected_and_say_nothing_of_positions() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    database.prepare();
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
    let told = database.refusal();
    let table =
        format!("table {}.event_metrics of ClickHouse http://{}", database.name, address.http_address());
    assert!(told.contains(&table) && told.contains("its engine is MergeTree, expected "), "{told}");
    for statement in statements(&told) {
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
    database.prepare();
    database.query("ALTER TABLE $.event_metrics RESET SETTING non_replicated_deduplication_window");
    let told = database.refusal();
    assert!(told.contains("non_replicated_deduplication_window is not set"), "{told}");
    let [statement] = statements(&told)[..] else { panic!("{told}") };
    database.query(statement);
    database.prepare();
}

#[test]
fn a_table_that_is_gone_is_named_and_made_again() {
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
    assert!(told.contains(&table) && told.ends_with("; it is made before the next step"), "{told}");
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5)]);
    // Another one is in its place when the store looks again.
    let like = "CREATE TABLE $.old AS $.event_metrics ENGINE = MergeTree ORDER BY window_start";
    for statement in [like, "DROP TABLE $.event_metrics SYNC"] {
        database.query(statement);
    }
    log.push(EVENTS, 0, 5, Op::Final, event_json(1, "click", 1));
    assert!(!sink.step(NOW).expect_err("there is no table").is_final());
    database.query("RENAME TABLE $.old TO $.event_metrics");
    let error = sink.step(NOW).expect_err("the table does not fit");
    assert!(error.is_final() && error.to_string().contains("its engine is MergeTree, expected "), "{error}");
}

/// Without the topic the table of dropped events is neither made nor looked at.
#[test]
fn a_table_that_no_topic_needs_is_left_alone() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let mut topics = Config::default().topics;
    topics.retain(|topic| topic.table != Table::Dropped);
    let open = || {
        let store = ClickHouseStore::with_topics(database.config(), topics.clone());
        store.expect("there is room").positions().expect("the store opens");
    };
    open();
    assert_eq!(database.query("EXISTS $.dropped_events"), "0\n");
    database.query("CREATE TABLE $.dropped_events (somebody UInt8) ENGINE = MergeTree ORDER BY somebody");
    open();
}

/// It is sent again before it arrives, or afterwards, or while the server carries it out.
#[test]
fn an_insert_that_nobody_waits_for_any_more_is_stored_once_when_it_arrives() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let proxy = Proxy::new(address.http_address());
    let url = format!("http://{}", proxy.address);
    let config = ClickHouseConfig { url, timeout_ms: 2_000, ..database.config() };
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let store = ClickHouseStore::new(config).expect("there is room");
    let mut sink = Sink::new(log.clone(), store, Config::default());
    run(&mut sink);
    for (minute, is_first_again) in [(1, true), (2, false)] {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
        proxy.hold("60event_metrics%60");
        let error = sink.step(NOW).expect_err("no answer comes");
        assert!(!error.is_definite() && error.to_string().contains("no answer within 2000 ms"), "{error}");
        if is_first_again {
            run(&mut sink);
        }
        proxy.let_go();
        for attempt in 0.. {
            assert!(attempt < 1_000, "it never ends");
            if sink.step(NOW).is_ok_and(|progress| progress.caught_up) {
                break;
            }
        }
    }
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5), shown(1, 1, 5), shown(2, 1, 5)]);
    // What is sent after it is of a further generation each time, by which it would be refused.
    let generations = "SELECT groupArray(generation), uniqExact(process) FROM \
                       (SELECT * FROM $.sink_generations ORDER BY generation)";
    assert_eq!(database.query(generations), "[1,2,3]\t1\n");
}

/// However large, it is there whole or not at all.
#[test]
fn an_insert_is_one_part() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    database.prepare();
    database.query("SYSTEM STOP MERGES $.event_metrics");
    let log = MemoryLog::default();
    for minute in 0..70_000 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    let config = Config { rows_per_topic_max: 100_000, ..Config::default() };
    run(&mut Sink::new(log, database.store(), config));
    let parts = "SELECT rows FROM system.parts WHERE active AND database = '$' AND table = 'event_metrics'";
    assert_eq!(database.query(parts), "70000\n");
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
        let store = ClickHouseStore::new(config.clone()).expect("there is room");
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

//! Rows that a real ClickHouse refuses.
#![cfg(feature = "clickhouse")]

mod common;

use tidegate_model::row::Op;
use tidegate_services::test_clickhouse;
use tidegate_sinks::{ClickHouseConfig, ClickHouseStore, Config, Sink};

use common::database::{Database, NOW, run, shown};
use common::proxy::{Proxy, Way};
use common::{EVENTS, MemoryLog, event_json};

const DROPPED: &str = "dropped_events";

/// Tables that somebody has given constraints.
fn constrained(database: &Database) {
    database.prepare();
    database.query("ALTER TABLE $.event_metrics ADD CONSTRAINT no_13 CHECK event_count != 13");
    database.query("ALTER TABLE $.dropped_events ADD CONSTRAINT no_13 CHECK offset != 13");
}

/// Hundreds of rows; of every hundredth minute, and of the last, the count is 13.
fn fill(log: &MemoryLog, minutes: i64) {
    for minute in 0..minutes {
        let is_bad = minute % 100 == 7 || minute == minutes - 1;
        let count = if is_bad { 13 } else { 1 };
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", count));
    }
}

#[test]
fn rows_that_the_server_refuses_are_put_aside_and_the_others_stored() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    constrained(&database);
    let log = MemoryLog::default();
    fill(&log, 400);
    for offset in ["12", "13", "14"] {
        let headers =
            [("reason", "expired"), ("job", "EventAggregator"), ("partition", "2"), ("offset", offset)];
        log.push_with_headers(DROPPED, 0, 5, Op::Final, "the record", &headers);
    }
    let expected: Vec<String> = (0..399).filter(|m| m % 100 != 7).map(|m| shown(m, 1, 5)).collect();
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    let progress = sink.step(NOW).expect("nothing stops it");
    assert_eq!((progress.applied.put, progress.applied.unreadable), (395 + 2, 5 + 1));
    let first = progress.applied.first_unreadable.expect("there are some").to_string();
    assert!(
        first.starts_with("row 7 of partition 0 of topic event_metrics does not fit its table: "),
        "{first}"
    );
    assert!(first.contains("the server refuses it: Code: 469.") && first.contains("no_13"), "{first}");
    run(&mut sink);
    // Nothing changes when all of it is stored again, in other pieces, by another process.
    for rows_per_topic_max in [400, 90, 399] {
        assert_eq!(database.events(), expected);
        let kept = database.query("SELECT topic, log_offset, op FROM $.unreadable_rows ORDER BY ALL");
        let rows = "dropped_events\t1\tfinal\nevent_metrics\t7\tfinal\nevent_metrics\t107\tfinal\n\
                    event_metrics\t207\tfinal\nevent_metrics\t307\tfinal\nevent_metrics\t399\tfinal\n";
        assert_eq!(kept, rows);
        let position =
            "SELECT next_offset, unreadable FROM $.sink_positions FINAL WHERE topic = 'event_metrics'";
        assert_eq!(database.query(position), "400\t5\n");
        database.query("TRUNCATE TABLE $.sink_positions");
        database.query("DELETE FROM $.event_metrics WHERE log_offset > 150");
        let config = Config { rows_per_topic_max, ..Config::default() };
        run(&mut Sink::new(log.clone(), database.store(), config));
    }
    let record =
        database.query("SELECT record FROM $.unreadable_rows WHERE log_offset IN (1, 107) ORDER BY ALL");
    let (dropped, row) = record.split_once('\n').expect("two rows");
    assert_eq!(dropped, "the record");
    let row: serde_json::Value = serde_json::from_str(row).expect("an object");
    let (start, count) = (&row["window_start"], &row["event_count"]);
    assert_eq!((start.as_str(), count.as_u64()), (Some("1970-01-01 01:47:00.000"), Some(13)));
}

#[test]
fn a_correction_that_the_server_refuses_leaves_the_row_as_it_was() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    constrained(&database);
    let log = MemoryLog::default();
    fill(&log, 3);
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5), shown(1, 1, 5)]);
    log.push(EVENTS, 0, 6, Op::Correct, event_json(1, "click", 13));
    log.push(EVENTS, 0, 6, Op::Correct, event_json(2, "click", 2));
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5), shown(1, 1, 5), shown(2, 2, 6)]);
    let kept = database.query("SELECT log_offset, op FROM $.unreadable_rows ORDER BY ALL");
    assert_eq!(kept, "2\tfinal\n3\tcorrect\n");
    log.push(EVENTS, 0, 7, Op::Correct, event_json(1, "click", 3));
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5), shown(1, 3, 7), shown(2, 2, 6)]);
    // What lies between the row and the refused one counts: a retraction, and another correction.
    log.push(EVENTS, 0, 8, Op::Retract, event_json(1, "click", 0));
    log.push(EVENTS, 0, 8, Op::Correct, event_json(2, "click", 5));
    log.push(EVENTS, 0, 8, Op::Correct, event_json(2, "click", 13));
    log.push(EVENTS, 0, 8, Op::Correct, event_json(1, "click", 13));
    run(&mut sink);
    assert_eq!(database.events(), [shown(0, 1, 5), shown(2, 5, 8)]);
    let table = "SELECT count(), sum(unreadable) FROM $.sink_positions FINAL";
    assert_eq!(database.query(table), "1\t4\n");
}

#[test]
fn a_table_that_refuses_every_row_is_named_and_rows_wait() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    database.prepare();
    database.query("ALTER TABLE $.event_metrics ADD CONSTRAINT none CHECK event_count > 9");
    let log = MemoryLog::default();
    fill(&log, 50);
    let config = ClickHouseConfig { refused_rows_max: 3, ..database.config() };
    let store = ClickHouseStore::new(config).expect("there is room");
    let mut sink = Sink::new(log, store, Config::default());
    for _ in 0..2 {
        let told = sink.step(NOW).expect_err("it is the table").to_string();
        let reason =
            "the server refuses more than 3 rows of one insert, so the table is more likely to be wrong";
        assert!(told.contains(reason) && told.contains("none"), "{told}");
        assert_eq!(database.query("SELECT count() FROM $.unreadable_rows"), "3\n");
    }
    database.query("ALTER TABLE $.event_metrics DROP CONSTRAINT none");
    run(&mut sink);
    assert_eq!(database.query("SELECT count(), uniqExact(log_offset) FROM $.event_metrics"), "50\t50\n");
}

/// Of many corrections that wait, the rows that they are to replace are there until the table is mended.
#[test]
fn what_waiting_corrections_are_to_replace_can_be_read_meanwhile() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    database.prepare();
    let log = MemoryLog::default();
    for minute in 0..20 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    let config = ClickHouseConfig { refused_rows_max: 2, ..database.config() };
    let store = ClickHouseStore::new(config).expect("there is room");
    let mut sink = Sink::new(log.clone(), store, Config::default());
    run(&mut sink);
    database.query("ALTER TABLE $.event_metrics ADD CONSTRAINT none CHECK event_count < 9");
    for minute in 0..20 {
        log.push(EVENTS, 0, 6, Op::Correct, event_json(minute, "click", 10));
    }
    for _ in 0..2 {
        sink.step(NOW).expect_err("it is the table");
        assert_eq!(database.events(), (0..20).map(|minute| shown(minute, 1, 5)).collect::<Vec<_>>());
    }
    database.query("ALTER TABLE $.event_metrics DROP CONSTRAINT none");
    run(&mut sink);
    assert_eq!(database.events(), (0..20).map(|minute| shown(minute, 10, 6)).collect::<Vec<_>>());
}

/// The connection breaks at every piece in turn while bad rows are looked for, and the process ends with it.
#[test]
fn wherever_it_ends_every_row_is_stored_or_put_aside_once() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    constrained(&database);
    let proxy = Proxy::new(address.http_address());
    let config = ClickHouseConfig { url: format!("http://{}", proxy.address), ..database.config() };
    let state = || {
        [
            "SELECT log_offset FROM $.event_metrics ORDER BY ALL",
            "SELECT log_offset FROM $.unreadable_rows ORDER BY ALL",
            "SELECT next_offset, last_offset, unreadable FROM $.sink_positions FINAL",
        ]
        .map(|sql| database.query(sql).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for way in [Way::There, Way::Back] {
        for n in 0.. {
            for table in ["event_metrics", "unreadable_rows", "sink_positions"] {
                database.query(&format!("TRUNCATE TABLE $.{table}"));
            }
            let log = MemoryLog::default();
            for (minute, count) in (0..).zip([1, 13, 1]) {
                log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", count));
                log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "view", 1));
            }
            proxy.lose(way, n);
            for attempt in 0.. {
                assert!(attempt < 20, "{way:?} {n}: it never ends");
                let store = ClickHouseStore::new(config.clone()).expect("there is room");
                let mut sink = Sink::new(log.clone(), store, Config::default());
                // A process that fails is started anew; one that does not goes on until there is no more.
                let stepped = std::iter::repeat_with(|| sink.step(NOW));
                if stepped.take(3).all(|stepped| stepped.is_ok()) {
                    break;
                }
            }
            // With the next row the position is written in any case.
            log.push(EVENTS, 0, 6, Op::Final, event_json(9, "click", 1));
            run(&mut Sink::new(log, database.store(), Config::default()));
            let expected = ["0 1 3 4 5 6", "2", "7 6 1"];
            assert_eq!(state(), expected, "{way:?} {n}");
            if !proxy.has_lost() {
                assert!(n > 20, "{way:?}: {n} pieces are not all");
                break;
            }
        }
    }
}

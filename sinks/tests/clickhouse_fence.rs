//! Two sinks into one database of a real ClickHouse.
#![cfg(feature = "clickhouse")]

mod common;

use tidegate_model::row::Op;
use tidegate_services::test_clickhouse;
use tidegate_sinks::{ClickHouseConfig, ClickHouseStore, Config, Sink, SinkError, StoreError};

use common::database::{Database, NOW, run, shown};
use common::proxy::Proxy;
use common::{EVENTS, MemoryLog, event_json};

/// Two sinks at once: the one that began last writes, and the first changes nothing more.
#[test]
fn a_sink_is_fenced_by_one_that_begins_later() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    let push = |minutes: std::ops::Range<i64>, epoch, op| {
        for minute in minutes {
            log.push(EVENTS, 0, epoch, op, event_json(minute, "click", epoch));
        }
    };
    let sink = |host: &str| {
        let config = ClickHouseConfig { host: host.to_owned(), ..database.config() };
        Sink::new(log.clone(), ClickHouseStore::new(config).expect("there is room"), Config::default())
    };
    push(0..3, 5, Op::Final);
    let (mut first, mut second) = (sink("host-a"), sink("host-b"));
    run(&mut first);
    push(1..2, 6, Op::Correct);
    run(&mut second);
    log.push(EVENTS, 0, 7, Op::Final, "no row");
    push(0..1, 7, Op::Correct);
    for _ in 0..2 {
        let error = first.step(NOW).expect_err("the second one began later");
        assert!(error.is_final() && error.is_definite(), "{error}");
        let told = error.to_string();
        assert!(told.contains(" on host-b, generation 2, since "), "{told}");
        assert!(told.contains(&format!("process {} ", std::process::id())), "{told}");
        let key = "window_start, event_type, window_end";
        let twice =
            database.query(&format!("SELECT {key} FROM $.event_metrics GROUP BY {key} HAVING count() > 1"));
        assert_eq!(twice, "");
        assert_eq!(database.query("SELECT count() FROM $.unreadable_rows"), "0\n");
    }
    run(&mut second);
    assert_eq!(database.events(), [shown(0, 7, 7), shown(1, 6, 6), shown(2, 5, 5)]);
    let positions = "SELECT next_offset, last_offset, last_version, unreadable FROM $.sink_positions FINAL";
    assert_eq!(database.query(positions), "6\t5\t7\t1\n");
    // Somebody empties the table: who wrote goes on.
    database.query("TRUNCATE TABLE $.sink_generations");
    push(3..4, 8, Op::Final);
    let error = second.step(NOW).expect_err("the insert is refused");
    assert!(!error.is_final(), "{error}");
    run(&mut second);
    assert_eq!(database.events().len(), 4);
}

/// What a sink sent before it was fenced arrives afterwards: an insert, a position, a delete.
#[test]
fn what_a_fenced_sink_sent_changes_nothing_when_it_arrives_late() {
    let Ok(address) = test_clickhouse() else { return };
    for statement in ["60event_metrics%60", "60sink_positions%60", "60unreadable_rows%60", "DELETE FROM"] {
        let database = Database::new(&address);
        let proxy = Proxy::new(address.http_address());
        let log = MemoryLog::default();
        log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 5));
        let config = ClickHouseConfig { url: format!("http://{}", proxy.address), ..database.config() };
        let store = ClickHouseStore::new(config).expect("there is room");
        let mut first = Sink::new(log.clone(), store, Config::default());
        run(&mut first);
        log.push(EVENTS, 0, 6, Op::Final, "no row");
        log.push(EVENTS, 0, 6, Op::Correct, event_json(0, "click", 6));
        proxy.hold(&if statement.contains('%') {
            format!("query=INSERT+INTO+%60{}%60.%{statement}", database.name)
        } else {
            statement.to_owned()
        });
        let late = std::thread::spawn(move || first.step(NOW).map_err(|error| (error.is_final(), error)));
        proxy.wait_until_it_holds();
        // Rows at the same offsets, and a newer one.
        let mut second = Sink::new(log.clone(), database.store(), Config::default());
        run(&mut second);
        log.push(EVENTS, 0, 7, Op::Correct, event_json(0, "click", 7));
        run(&mut second);
        proxy.let_go();
        let (is_final, error) = late.join().expect("it does not panic").expect_err("it is fenced");
        assert!(is_final, "{statement}: {error}");
        assert!(matches!(error, SinkError::Store(StoreError::Fenced { .. })), "{statement}: {error}");
        assert_eq!(database.events(), [shown(0, 7, 7)], "{statement}");
        assert_eq!(database.query("SELECT log_offset FROM $.unreadable_rows"), "1\n", "{statement}");
        let positions = "SELECT next_offset, unreadable FROM $.sink_positions FINAL";
        assert_eq!(database.query(positions), "4\t1\n", "{statement}");
    }
}

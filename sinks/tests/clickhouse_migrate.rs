//! A look at the server of an old stack, and its tables made fit.
#![cfg(feature = "clickhouse")]

mod common;

use std::ops::ControlFlow;

use tidegate_model::row::Op;
use tidegate_services::test_clickhouse;
use tidegate_sinks::clickhouse::{Inspection, MigrateError, Misfit, TableState, inspect, migrate};
use tidegate_sinks::sink::Topic;
use tidegate_sinks::{Config, Sink};

use common::database::{Database, NOW, run, shown};
use common::{EVENTS, MemoryLog, event_json};

/// The tables as the old stack made them, and one that is partitioned, filled with windows twice and thrice.
fn old_stack(database: &Database) {
    database.query("CREATE DATABASE $");
    for (table, columns, order) in [
        (
            "event_metrics",
            "window_start DateTime64(3), window_end DateTime64(3), event_type String, event_count UInt64, \
             user_count UInt64",
            "MergeTree() ORDER BY (window_start, event_type)",
        ),
        (
            "session_metrics",
            "session_id String, user_id String, start_time DateTime64(3), end_time DateTime64(3), \
             duration UInt64, page_count UInt64, device_category String",
            "MergeTree() ORDER BY (start_time, session_id)",
        ),
        (
            "performance_metrics",
            "window_start DateTime64(3), window_end DateTime64(3), device_category String, \
             avg_load_time Float64, p95_load_time Float64, inserted_at DateTime DEFAULT now()",
            "MergeTree() PARTITION BY toYYYYMMDD(window_start) ORDER BY (window_start, device_category) \
             TTL toDateTime(window_end) + INTERVAL 9000 DAY",
        ),
    ] {
        database.query(&format!("CREATE TABLE $.{table} ({columns}) ENGINE = {order}"));
    }
    let window = "toDateTime64('2026-01-01 00:00:00', 3) + number * 60 AS start, start + 60";
    for times in 1..=3 {
        let numbers = format!("FROM numbers({})", 90 / times);
        database.query(&format!("INSERT INTO $.event_metrics SELECT {window}, 'click', 3, 1 {numbers}"));
        database.query(&format!(
            "INSERT INTO $.session_metrics SELECT 's' || number, 'u', {window}, 60, 2, 'mobile' {numbers}"
        ));
        database.query(&format!(
            "INSERT INTO $.performance_metrics (* EXCEPT inserted_at) SELECT {window}, 'mobile', 1.5, 2.5 {numbers}"
        ));
    }
}

fn topics() -> Vec<Topic> {
    Config::default().topics
}

fn look(database: &Database) -> Inspection {
    inspect(&database.config(), &topics(), || NOW).expect("the server answers")
}

fn state<'a>(seen: &'a Inspection, table: &str) -> &'a TableState {
    &seen.tables.iter().find(|look| look.name == table).expect("it is looked at").state
}

/// Runs the first statements of a migration, and says how many there were and whether it came to its end.
fn migrate_some(database: &Database, statements: usize) -> Result<(usize, bool), MigrateError> {
    let mut ran = 0;
    let ended = migrate(&database.config(), &topics(), &mut |_| {
        if ran == statements {
            return ControlFlow::Break(());
        }
        ran += 1;
        ControlFlow::Continue(())
    })?;
    Ok((ran, ended.is_continue()))
}

#[test]
fn a_look_says_what_is_there_and_changes_nothing() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let empty = look(&database);
    assert!(!empty.has_database && empty.fits());
    assert!(empty.tables.iter().all(|table| table.state == TableState::Missing));
    assert!(empty.version.starts_with('2'), "{}", empty.version);
    assert_eq!(empty.is_final, Some(false));
    assert!(empty.clock.skew_ms() > 0, "our clock stands still at 1970");
    assert!(empty.rights.iter().all(|right| right.is_given == Some(true)), "{:?}", empty.rights);
    assert_eq!(database.query("SELECT count() FROM system.databases WHERE name = '$'"), "0\n");

    old_stack(&database);
    let seen = look(&database);
    assert!(seen.has_database && !seen.fits());
    let TableState::Unfit { misfit, statements, rows, drops_rows, notes } = state(&seen, "event_metrics")
    else {
        panic!("{seen:?}")
    };
    assert!(matches!(misfit, Misfit::Engine { found, .. } if found == "MergeTree"), "{misfit}");
    assert_eq!((*rows, *drops_rows, statements.len(), notes.len()), (165, 75, 4, 0));
    let TableState::Unfit { notes, .. } = state(&seen, "performance_metrics") else { panic!("{seen:?}") };
    assert_eq!(
        notes[..],
        [
            "columns that are not copied: inserted_at",
            "the partitions by toYYYYMMDD(window_start) are given up",
            "the TTL of 9000 days is not kept; store.retention sets one",
        ]
    );
    let performance = seen.tables.iter().find(|look| look.name == "performance_metrics");
    assert_eq!(performance.expect("it is there").ttl_days, Some(9000));
    assert_eq!(*state(&seen, "session_window_metrics"), TableState::Missing);
    assert_eq!(database.query("SELECT count() FROM system.tables WHERE database = '$'"), "3\n");
    assert!(database.refusal().contains("its engine is MergeTree"));
}

/// Interrupted before every statement of the first tables in turn, and run again.
#[test]
fn a_migration_that_is_interrupted_anywhere_ends_right_when_it_is_run_again() {
    let Ok(address) = test_clickhouse() else { return };
    for statements in 0..8 {
        let database = Database::new(&address);
        old_stack(&database);
        assert_eq!(migrate_some(&database, statements).expect("it begins"), (statements, false));
        migrate_some(&database, usize::MAX).expect("it goes on");
        check_migrated(&database);
    }
}

/// Three tables with every key once, and beside them what they were; a sink goes on with them.
fn check_migrated(database: &Database) {
    assert!(look(database).tables.iter().all(|table| table.state == TableState::Fits));
    for (table, key) in [
        ("event_metrics", "window_start, event_type, window_end"),
        ("session_metrics", "start_time, session_id, user_id"),
        ("performance_metrics", "window_start, device_category, window_end"),
    ] {
        let counts =
            database.query(&format!("SELECT count(), uniqExact({key}), max(version) FROM $.{table}"));
        assert_eq!(counts, "90\t90\t0\n", "{table}");
        assert_eq!(database.query(&format!("SELECT count() FROM $.{table}_before_tidegate")), "165\n");
    }
    assert_eq!(migrate_some(database, 0).expect("nothing is left to do"), (0, true));
}

/// Begins a migration, and ends it between the two changes of names of `event_metrics`.
fn change_one_name(database: &Database) {
    let mut last = String::new();
    let ended = migrate(&database.config(), &topics(), &mut |statement| {
        statement.sql.clone_into(&mut last);
        let is_change = statement.table == EVENTS && statement.sql.starts_with("RENAME");
        if is_change { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(ended.expect("it begins").is_break());
    let (first, _) = last.split_once(", ").expect("two names are changed");
    database.query(first);
}

/// The table is missing: nobody may make an empty one then.
#[test]
fn a_table_whose_names_are_being_changed_is_not_made_anew() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    old_stack(&database);
    change_one_name(&database);
    let told = database.refusal();
    assert!(told.ends_with("a migration was interrupted; run it again (tidegate migrate)"), "{told}");
    migrate_some(&database, usize::MAX).expect("it goes on");
    check_migrated(&database);
}

#[test]
fn a_migration_that_could_lose_rows_is_refused_and_says_what_to_do() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    old_stack(&database);
    let again = || migrate_some(&database, usize::MAX).expect_err("something is in the way");
    change_one_name(&database);
    // Somebody has inserted since the copy.
    database.query(
        "INSERT INTO $.event_metrics_before_tidegate VALUES ('2027-01-01 00:00:00', '2027-01-01 00:01:00', 'x', 1, 1)",
    );
    let error = again();
    assert!(matches!(error, MigrateError::Differs { rows: 90, copied: 90, keys: 91, .. }), "{error}");
    database.query("DELETE FROM $.event_metrics_before_tidegate WHERE event_type = 'x'");
    migrate_some(&database, usize::MAX).expect("it goes on");
    check_migrated(&database);
    // The table is gone, but not what was kept of it.
    database.query("DROP TABLE $.event_metrics SYNC");
    let error = again();
    let rename =
        format!("RENAME TABLE {0}.event_metrics_before_tidegate TO {0}.event_metrics", database.name);
    assert!(matches!(error, MigrateError::Gone { .. }) && error.to_string().contains(&rename), "{error}");
    // An old one is there once more, and what was kept has its name.
    database.query("CREATE TABLE $.event_metrics AS $.event_metrics_before_tidegate");
    let error = again();
    assert!(matches!(error, MigrateError::Kept { .. }), "{error}");
    database.query("RENAME TABLE $.event_metrics_before_tidegate TO $.older");
    migrate_some(&database, usize::MAX).expect("nothing is in the way");
}

#[test]
fn a_sink_that_still_writes_is_fenced_and_the_next_one_goes_on_with_the_old_rows() {
    let Ok(address) = test_clickhouse() else { return };
    let database = Database::new(&address);
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 5));
    let mut sink = Sink::new(log.clone(), database.store(), Config::default());
    run(&mut sink);
    database.query("ALTER TABLE $.event_metrics RESET SETTING non_replicated_deduplication_window");
    let (ran, is_over) = migrate_some(&database, usize::MAX).expect("it is one statement");
    assert_eq!((ran, is_over), (1, true));
    log.push(EVENTS, 0, 6, Op::Correct, event_json(0, "click", 6));
    let error = sink.step(NOW).expect_err("the migration took over");
    assert!(error.is_final(), "{error}");
    run(&mut Sink::new(log, database.store(), Config::default()));
    assert_eq!(database.events(), [shown(0, 6, 6)]);
}

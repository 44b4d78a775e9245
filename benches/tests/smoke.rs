//! Every suite, once, on a little data. They check what they compute; nothing here is about time.
#![allow(missing_docs)]

use tidegate_benches::{SUITES, Scale};

fn run(name: &str) {
    let suite = SUITES.iter().find(|suite| suite.name == name).expect("there is such a suite");
    let tables = (suite.run)(Scale::Smoke).expect("everything that it needs is there");
    assert!(!tables.is_empty());
    for table in tables {
        let text = table.to_string();
        assert!(text.contains(&table.title) && table.lines.iter().all(|line| text.contains(&line.name)));
        assert!(!table.ceilings.is_empty(), "a figure without a ceiling says little: {text}");
    }
}

#[test]
fn the_decoders_read_the_same() {
    run("decode");
}

#[test]
fn frames_come_back() {
    run("frames");
}

#[test]
fn the_graph_counts_what_plain_maps_count() {
    run("windows");
}

#[test]
fn everything_open_is_in_the_snapshot_and_back_after_it() {
    run("state");
}

#[test]
fn the_log_gives_back_what_was_appended() {
    run("log");
}

#[test]
fn every_row_is_committed_and_stored() {
    run("rows");
}

#[test]
fn every_event_that_is_acknowledged_is_in_the_ledger() {
    run("http");
}

#[test]
fn every_line_that_is_imported_is_in_a_window() {
    run("import");
}

#[test]
fn a_log_on_kafka_gives_back_what_was_appended_and_makes_rows_of_it() {
    if tidegate_services::test_kafka().is_ok() {
        run("kafka");
    }
}

#[test]
fn clickhouse_has_every_row_once() {
    if tidegate_services::test_kafka().is_ok() && tidegate_services::test_clickhouse().is_ok() {
        run("clickhouse");
    }
}

#[test]
fn every_window_can_be_read_wherever_it_is_served() {
    let all = [
        tidegate_services::test_kafka().is_ok(),
        tidegate_services::test_clickhouse().is_ok(),
        tidegate_services::test_redis().is_ok(),
    ];
    if all == [true; 3] {
        run("served");
    }
}

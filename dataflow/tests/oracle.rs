//! The oracle itself, against cases computed by hand.

mod support;

use support::oracle::{Oracle, OracleEpoch, OracleOutput};
use support::record::{Reason, TestRecord};
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::{DeviceCategory, Epoch, EventTime, Offset, PartitionId};

const GAP_MS: i64 = 30_000;

fn jobs(allowed_lateness_ms: i64) -> JobSettings {
    JobSettings { session_gap_ms: GAP_MS, allowed_lateness_ms, ..JobSettings::default() }
}

fn page_view(offset: u64, time_ms: i64) -> TestRecord {
    TestRecord {
        partition: PartitionId(0),
        offset: Offset(offset),
        append_time: EventTime::from_millis(1_000_000),
        time: EventTime::from_millis(time_ms),
        event_type: "page_view".to_owned(),
        user_id: "u".to_owned(),
        session_id: "s".to_owned(),
        device: DeviceCategory::Mobile,
        load_time: Some(100),
        undecodable: false,
    }
}

/// Runs epochs of `(close_to, records)` and returns what the last one brought.
fn last(jobs: &JobSettings, epochs: &[(i64, Vec<TestRecord>)]) -> OracleOutput {
    let mut oracle = Oracle::new(jobs, 60_000);
    let mut outputs = (1..).zip(epochs).map(|(epoch, (close_to, records))| {
        let close_to = EventTime::from_millis(*close_to);
        oracle.epoch(&OracleEpoch { epoch: Epoch(epoch), close_to, records: records.clone() })
    });
    let first = outputs.next().expect("an epoch");
    outputs.fold(first, |_, output| output)
}

/// The rows of one table as `op json`.
fn rows(output: &OracleOutput, table: &str) -> Vec<String> {
    let of_table = output.rows.iter().filter(|row| row.table == table);
    of_table.map(|row| format!("{} {}", row.op.as_str(), row.json)).collect()
}

#[test]
fn one_page_view_becomes_one_row_of_each_table() {
    let output = last(&jobs(0), &[(330_000, vec![page_view(0, 5_000)])]);
    let all: Vec<(&str, &str, &str)> =
        output.rows.iter().map(|row| (row.table, row.key.as_str(), row.json.as_str())).collect();
    assert_eq!(
        all,
        [
            (
                "event_metrics",
                "page_view",
                r#"{"window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z","event_type":"page_view","event_count":1,"user_count":1}"#
            ),
            (
                "performance_metrics",
                "Mobile",
                r#"{"window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:05:00.000Z","device_category":"Mobile","avg_load_time":100.0,"p95_load_time":100.0}"#
            ),
            (
                "session_metrics",
                "s|u",
                r#"{"session_id":"s","user_id":"u","start_time":"1970-01-01T00:00:05.000Z","end_time":"1970-01-01T00:00:05.000Z","duration":0,"page_count":1,"device_category":"Mobile"}"#
            ),
            (
                "session_window_metrics",
                "Mobile",
                r#"{"window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:05:00.000Z","device_category":"Mobile","sessions":1,"bounces":1,"avg_duration":0.0,"avg_page_count":1.0}"#
            ),
        ]
    );
    assert!(output.ledger.jobs.values().all(|counts| counts.accepted == 1 && counts.counted == 1));
}

#[test]
fn nothing_is_late_before_there_is_a_frontier() {
    let output = last(&jobs(0), &[(60_000, vec![page_view(0, -1_000_000), page_view(1, 5_000)])]);
    assert_eq!(output.dropped, []);
    assert_eq!(rows(&output, "event_metrics").len(), 2);
}

#[test]
fn a_record_on_the_frontier_is_judged_by_the_one_before() {
    let closed = (60_000, vec![page_view(0, 5_000)]);
    for (late_by_ms, drops) in [(0, 0), (1, 1)] {
        let late = page_view(1, 60_000 - late_by_ms);
        let output = last(&jobs(0), &[closed.clone(), (60_000, vec![late])]);
        let expired = output.dropped.iter().filter(|dropped| dropped.job == "EventAggregator");
        assert_eq!(expired.filter(|dropped| dropped.reason == Reason::Expired).count(), drops);
    }
}

#[test]
fn a_bridge_between_two_closed_sessions_corrects_one_and_retracts_the_other() {
    let apart = vec![page_view(0, 0), page_view(1, GAP_MS + 1)];
    let output = last(&jobs(100_000), &[(70_000, apart), (70_000, vec![page_view(2, GAP_MS)])]);
    let session = |start: &str, end: &str, duration: u32, pages: u32| {
        format!(
            r#"{{"session_id":"s","user_id":"u","start_time":"1970-01-01T00:00:{start}Z","end_time":"1970-01-01T00:00:{end}Z","duration":{duration},"page_count":{pages},"device_category":"Mobile"}}"#
        )
    };
    assert_eq!(
        rows(&output, "session_metrics"),
        [
            format!("correct {}", session("00.000", "30.001", 30_001, 3)),
            format!("retract {}", session("30.001", "30.001", 0, 1)),
        ]
    );
}

#[test]
fn percentiles_are_interpolated_between_ranks() {
    let views = (0..40).map(|n| TestRecord { load_time: Some(n * n), ..page_view(0, 0) }).collect();
    let output = last(&jobs(0), &[(300_000, views)]);
    // n = 40: rank 37.05, between 37² = 1369 and 38² = 1444; the mean is 39·40·79/6/40.
    let row = &rows(&output, "performance_metrics")[0];
    assert!(row.ends_with(r#""avg_load_time":513.5,"p95_load_time":1372.75}"#), "{row}");
}

#[test]
fn what_no_job_can_judge_is_dropped_once() {
    let records = vec![
        TestRecord { undecodable: true, ..page_view(0, 0) },
        page_view(1, 1_060_000),
        page_view(2, 1_060_001),
    ];
    let output = last(&jobs(0), &[(0, records)]);
    let dropped: Vec<_> = output
        .dropped
        .iter()
        .map(|dropped| (dropped.job.as_str(), dropped.offset.0, dropped.reason))
        .collect();
    assert_eq!(dropped, [("*", 0, Reason::Rejected), ("*", 2, Reason::Future)]);
    for counts in output.ledger.jobs.values() {
        assert_eq!((counts.accepted, counts.counted, counts.rejected, counts.future), (3, 1, 1, 1));
        assert!(counts.adds_up());
    }
}

use tidegate_log::RowRef;
use tidegate_model::row::{EventMetrics, MetricRow, Op, PerformanceMetrics};
use tidegate_model::{Epoch, EventTime, Generation, Offset, PartitionId};

use super::decode;
use crate::batch::{Content, Table, Value};

const EVENTS: Table = Table::Metrics(&EventMetrics::SCHEMA);
const PERFORMANCE: Table = Table::Metrics(&PerformanceMetrics::SCHEMA);

fn row(json: &[u8], op: Op) -> RowRef<'_> {
    RowRef {
        offset: Offset(7),
        key: b"click",
        value: json,
        epoch: Epoch(0),
        op,
        generation: Generation(0),
        headers: &[],
    }
}

fn content(table: Table, json: &str, op: Op) -> Content {
    decode(table, &row(json.as_bytes(), op)).content
}

fn reason(table: Table, json: &[u8], op: Op) -> String {
    match decode(table, &row(json, op)).content {
        Content::Unreadable(unreadable) => {
            assert_eq!(&*unreadable.record, json, "the row is kept as it came");
            unreadable.reason
        }
        other => panic!("{} was read as {other:?}", String::from_utf8_lossy(json)),
    }
}

#[test]
fn rows_of_the_old_job_are_read_in_flinks_form_of_instants_and_numbers() {
    let values = content(
        PERFORMANCE,
        r#"{"avg_load_time":120,"window_start":"2015-05-17 10:05:00","window_end":"2015-05-17 10:10:00.000Z",
            "device_category":"Bot","p95_load_time":1.5}"#,
        Op::Final,
    );
    let start = EventTime::parse("2015-05-17T10:05:00Z").expect("an instant");
    let expected = [
        Value::Instant(start),
        Value::Instant(start.plus_ms(300_000)),
        Value::Text("Bot".into()),
        Value::Float(120.0),
        Value::Float(1.5),
    ];
    assert_eq!(values, Content::Put(expected.into()));
}

#[test]
fn a_retraction_needs_its_key_only_and_gives_it_in_the_order_of_the_key() {
    let start = EventTime::from_millis(0);
    let key = [Value::Instant(start), Value::Text("click".into()), Value::Instant(start.plus_ms(60_000))];
    let bare = r#"{"window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z","event_type":"click"}"#;
    assert_eq!(content(EVENTS, bare, Op::Retract), Content::Remove(key.into()));
    assert_eq!(reason(EVENTS, bare.as_bytes(), Op::Correct), "column event_count is missing");
    assert_eq!(reason(EVENTS, b"{}", Op::Retract), "column window_start is missing");
}

#[test]
fn what_does_not_fit_names_the_column_and_the_value() {
    let with = |count: &str| {
        format!(
            r#"{{"window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z","event_type":"click","event_count":{count},"user_count":1}}"#
        )
    };
    let uint = "expected a whole number from 0 to 9223372036854775807";
    for (value, found) in [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("\"1\"", "\"1\""),
        ("true", "true"),
        ("null", "null"),
        ("[1,[2]]", "an array"),
        ("{\"a\":{}}", "an object"),
        ("9223372036854775808", "9223372036854775808"),
        ("18446744073709551616", "18446744073709552000"),
    ] {
        let expected = format!("column event_count is {found}, {uint}");
        assert_eq!(reason(EVENTS, with(value).as_bytes(), Op::Final), expected);
    }
    let twice = with("1,\"event_count\":2");
    assert_eq!(reason(EVENTS, twice.as_bytes(), Op::Final), "column event_count is there twice");
    let more = with("1,\"p99\":2");
    assert_eq!(reason(EVENTS, more.as_bytes(), Op::Final), "\"p99\" is no column of event_metrics");
}

#[test]
fn what_is_no_row_at_all_says_so() {
    for json in [&b""[..], b"[]", b"{", b"null", b"{} {}", b"\xff", b"{\"window_start\":\"\xff\"}"] {
        let reason = reason(EVENTS, json, Op::Final);
        assert!(reason.starts_with("no JSON object of a row: "), "{reason}");
    }
    let yesterday = reason(EVENTS, br#"{"window_start":"yesterday"}"#, Op::Final);
    assert_eq!(
        yesterday,
        "column window_start is \"yesterday\", expected an instant such as \"2015-05-17T10:05:03.000Z\""
    );
    let ancient = reason(EVENTS, br#"{"window_start":"-000044-03-15T00:00:00Z"}"#, Op::Final);
    assert!(ancient.starts_with("column window_start is \"-000044"), "{ancient}");
    let long = format!(r#"{{"window_start":"{}"}}"#, "é".repeat(1000));
    assert!(reason(EVENTS, long.as_bytes(), Op::Final).contains("… (2000 bytes), expected"));
}

#[test]
fn a_dropped_record_is_kept_with_its_headers() {
    let headers = |partition: &str| {
        [("reason", "expired"), ("job", "EventAggregator"), ("partition", partition), ("offset", "12")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let good = headers("3");
    let read = decode(Table::Dropped, &RowRef { headers: &good, ..row(b"\xff{", Op::Final) });
    let Content::Dropped(dropped) = read.content else { panic!("{read:?}") };
    assert_eq!((&*dropped.reason, &*dropped.job), ("expired", "EventAggregator"));
    assert_eq!((dropped.partition, dropped.offset), (PartitionId(3), Offset(12)));
    assert_eq!(&*dropped.record, b"\xff{");

    let bad = headers("4294967296");
    let read = decode(Table::Dropped, &RowRef { headers: &bad, ..row(b"", Op::Final) });
    let Content::Unreadable(unreadable) = read.content else { panic!("{read:?}") };
    let expected = "header partition is \"4294967296\", expected a whole number up to 4294967295";
    assert_eq!(unreadable.reason, expected);
    assert_eq!(reason(Table::Dropped, b"{}", Op::Final), "header partition is missing");
}

//! What rows do to tables.

use tidegate_model::row::{ColumnType, MetricRow, SessionMetrics, SessionWindowMetrics};
use tidegate_model::{EventTime, Offset, PartitionId, Schema};

use super::{Harness, apply, batch, batch_of, expect, put, remove, row};
use crate::batch::{Content, Dropped, Table, Unreadable, Value};
use crate::store::Applied;

pub(super) fn put_correct_retract(harness: &mut impl Harness) {
    let mut store = harness.open();
    apply(&mut store, &batch(0..2, vec![row(0, 5, put(0, "click", 1)), row(1, 5, put(0, "view", 2))]));
    expect(harness, &[("click", 1), ("view", 2)]);
    apply(&mut store, &batch(2..3, vec![row(2, 6, put(0, "click", 9))]));
    expect(harness, &[("click", 9), ("view", 2)]);
    let removed = apply(&mut store, &batch(3..4, vec![row(3, 7, remove(0, "view"))]));
    assert_eq!(removed, Applied { removed: 1, ..Applied::default() });
    expect(harness, &[("click", 9)]);
    apply(&mut store, &batch(4..5, vec![row(4, 8, remove(0, "never there"))]));
    expect(harness, &[("click", 9)]);
    apply(&mut store, &batch(5..6, vec![row(5, 9, put(0, "view", 3))]));
    expect(harness, &[("click", 9), ("view", 3)]);
}

pub(super) fn a_batch_is_applied_in_order(harness: &mut impl Harness) {
    let mut store = harness.open();
    let rows = vec![
        row(10, 5, put(0, "corrected", 1)),
        row(12, 5, put(0, "corrected", 2)),
        row(13, 5, put(0, "retracted", 1)),
        row(15, 6, remove(0, "retracted")),
        row(16, 6, put(0, "back", 1)),
        row(17, 6, remove(0, "back")),
        row(18, 6, put(0, "back", 2)),
    ];
    apply(&mut store, &batch(0..30, rows));
    expect(harness, &[("back", 2), ("corrected", 2)]);
}

pub(super) fn older_rows_change_nothing(harness: &mut impl Harness) {
    let mut store = harness.open();
    let events = Table::Metrics(Schema::of_table("event_metrics").expect("there is such a table"));
    let mut from_partition = |partition, offset, epoch, content| {
        let rows = vec![row(offset, epoch, content)];
        apply(&mut store, &batch_of(events, partition, 0..offset + 1, rows))
    };
    let stale = Applied { stale: 1, ..Applied::default() };
    from_partition(0, 20, 6, put(0, "click", 1));
    assert_eq!(from_partition(1, 30, 5, put(0, "click", 2)), stale, "an older epoch");
    assert_eq!(from_partition(2, 19, 6, put(0, "click", 3)), stale, "an older offset");
    from_partition(3, 40, 5, remove(0, "click"));
    expect(harness, &[("click", 1)]);
    from_partition(4, 20, 6, put(0, "click", 5));
    expect(harness, &[("click", 5)]);
    from_partition(5, 21, 6, put(0, "click", 6));
    from_partition(6, 3, 7, put(0, "click", 7));
    expect(harness, &[("click", 7)]);
    from_partition(7, 3, 7, remove(0, "click"));
    expect(harness, &[]);
}

/// A value of each type, other than that of another `seed`.
fn value(kind: ColumnType, seed: u64) -> Value {
    match kind {
        ColumnType::Instant => {
            let ms = i64::try_from(seed).expect("a small number");
            Value::Instant(EventTime::from_millis(1_431_857_103_007 + ms))
        }
        ColumnType::Text => Value::Text(format!("text {seed}").into()),
        ColumnType::UInt => Value::UInt(seed),
        ColumnType::Float => Value::Float(seed as f64 + 0.5),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Instant(instant) => instant.to_table_text(),
        Value::Text(text) => text.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
    }
}

pub(super) fn every_table_takes_its_rows(harness: &mut impl Harness) {
    let mut store = harness.open();
    for schema in Schema::ALL {
        let values: Box<[Value]> =
            schema.columns.iter().zip(0..).map(|(column, seed)| value(column.kind, seed)).collect();
        let table = Table::Metrics(schema);
        apply(&mut store, &batch_of(table, 2, 0..8, vec![row(7, 3, Content::Put(values.clone()))]));
        let columns: Vec<&str> = schema.columns.iter().map(|column| column.name).collect();
        let mut columns_and_version = columns.clone();
        columns_and_version.extend(["version", "log_partition", "log_offset"]);
        let mut expected: Vec<String> = values.iter().map(text).collect();
        expected.extend(["3", "2", "7"].map(str::to_owned));
        assert_eq!(harness.select(schema.table, &columns_and_version), [expected]);

        let key = schema.key.iter().map(|name| {
            let at = columns.iter().position(|column| column == name).expect("a key is made of columns");
            values[at].clone()
        });
        let removal = Content::Remove(key.collect());
        apply(&mut store, &batch_of(table, 2, 8..9, vec![row(8, 4, removal)]));
        assert!(harness.select(schema.table, &columns).is_empty(), "{}", schema.table);
    }
}

pub(super) fn values_come_back_as_they_went_in(harness: &mut impl Harness) {
    let mut store = harness.open();
    let instant = |text| EventTime::parse(text).expect("an instant");
    let session = |id: &str, start, end, duration| {
        let values = [
            Value::Text(id.into()),
            Value::Text("it's \"quoted\"; -- \u{1f30a}".into()),
            Value::Instant(instant(start)),
            Value::Instant(instant(end)),
            Value::UInt(duration),
            Value::UInt(0),
            Value::Text("".into()),
        ];
        Content::Put(values.into())
    };
    let sessions = Table::Metrics(&SessionMetrics::SCHEMA);
    let rows = vec![
        row(0, 1, session("a", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", i64::MAX as u64)),
        row(1, 1, session("b", "2016-02-29T12:00:00.5Z", "2199-01-01T00:00:00.01Z", 0)),
    ];
    apply(&mut store, &batch_of(sessions, 0, 0..2, rows));
    let columns = ["user_id", "start_time", "end_time", "duration", "device_category"];
    let mut found = harness.select("session_metrics", &columns);
    found.sort();
    let quoted = "it's \"quoted\"; -- \u{1f30a}";
    let first = [quoted, "1970-01-01 00:00:00.000", "1999-12-31 23:59:59.999", "9223372036854775807", ""];
    let second = [quoted, "2016-02-29 12:00:00.500", "2199-01-01 00:00:00.010", "0", ""];
    assert_eq!(found, [first, second]);

    let start = instant("2015-05-17T10:00:00Z");
    let averages = [f64::MIN_POSITIVE, 0.1 + 0.2];
    let values = [
        Value::Instant(start),
        Value::Instant(start),
        Value::Text("Bot".into()),
        Value::UInt(1),
        Value::UInt(1),
        Value::Float(averages[0]),
        Value::Float(averages[1]),
    ];
    let windows = Table::Metrics(&SessionWindowMetrics::SCHEMA);
    apply(&mut store, &batch_of(windows, 0, 0..1, vec![row(0, 1, Content::Put(values.into()))]));
    let found = harness.select("session_window_metrics", &["avg_duration", "avg_page_count"]);
    let read: Vec<f64> = found[0].iter().map(|text| text.parse().expect("a number")).collect();
    assert_eq!(read, averages, "to the last bit");
}

pub(super) fn dropped_records_are_kept(harness: &mut impl Harness) {
    let mut store = harness.open();
    let dropped = |offset, record: &[u8]| {
        Content::Dropped(Dropped {
            reason: "expired".into(),
            job: "EventAggregator".into(),
            partition: PartitionId(3),
            offset: Offset(offset),
            record: record.into(),
        })
    };
    let rows = vec![row(4, 7, dropped(11, b"{\"a\":1}")), row(5, 7, dropped(12, b"no json"))];
    let batch = batch_of(Table::Dropped, 1, 0..6, rows);
    assert_eq!(apply(&mut store, &batch).put, 2);
    apply(&mut store, &batch);
    let columns =
        ["reason", "job", "partition", "offset", "record", "version", "log_partition", "log_offset"];
    let mut found = harness.select("dropped_events", &columns);
    found.sort();
    assert_eq!(
        found,
        [
            ["expired", "EventAggregator", "3", "11", "{\"a\":1}", "7", "1", "4"],
            ["expired", "EventAggregator", "3", "12", "no json", "7", "1", "5"],
        ]
    );
}

pub(super) fn unreadable_rows_are_kept(harness: &mut impl Harness) {
    let mut store = harness.open();
    let unreadable = Content::Unreadable(Unreadable {
        op: "correct",
        reason: "column event_count is -1".to_owned(),
        record: b"{\"event_count\":-1}"[..].into(),
    });
    let rows = vec![row(0, 5, put(0, "click", 1)), row(1, 5, unreadable), row(2, 5, put(0, "view", 2))];
    let applied = apply(&mut store, &batch(0..3, rows));
    assert_eq!((applied.put, applied.unreadable), (2, 1));
    let first = applied.first_unreadable.expect("it is named").to_string();
    assert_eq!(
        first,
        "row 1 of partition 0 of topic event_metrics does not fit its table: column event_count is -1"
    );
    expect(harness, &[("click", 1), ("view", 2)]);
    let columns = ["topic", "op", "reason", "record", "version", "log_partition", "log_offset"];
    assert_eq!(
        harness.select("unreadable_rows", &columns),
        [["event_metrics", "correct", "column event_count is -1", "{\"event_count\":-1}", "5", "0", "1"]]
    );
}

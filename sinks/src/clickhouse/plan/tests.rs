use super::*;
use tidegate_model::row::{EventMetrics, MetricRow, Op};
use tidegate_model::{Epoch, EventTime, Offset};

use crate::batch::Value;

const SCHEMA: &Schema = &EventMetrics::SCHEMA;

fn values(key: &str) -> [Value; 5] {
    let start = EventTime::from_millis(0);
    let text = Value::Text(key.into());
    [Value::Instant(start), Value::Instant(start.plus_ms(1)), text, Value::UInt(1), Value::UInt(1)]
}

fn put(offset: u64, epoch: u64, key: &str) -> Row {
    Row {
        offset: Offset(offset),
        epoch: Epoch(epoch),
        op: Op::Final,
        content: Content::Put(values(key).into()),
    }
}

fn remove(offset: u64, epoch: u64, key: &str) -> Row {
    let [start, end, text, ..] = values(key);
    let content = Content::Remove([start, text, end].into());
    Row { offset: Offset(offset), epoch: Epoch(epoch), op: Op::Retract, content }
}

/// The rows that are there: key, epoch and offset.
fn check(name: &str, there: &[(&str, u64, u64)], rows: &[Row], delete: &[(&str, u64, u64)], insert: &[u64]) {
    let key = |text: &str| key_of_row(SCHEMA, &values(text));
    let mut existing = ByKey::new();
    for &(text, version, offset) in there {
        existing.entry(key(text)).or_default().push(Stamp { version, offset, partition: 0 });
    }
    let found = plan(PartitionId(0), rows, &keys(SCHEMA, rows), &existing);
    let delete = delete.iter().map(|(text, version, offset)| {
        (key(text), Stamp { version: *version, offset: *offset, partition: 0 })
    });
    assert_eq!(found.delete, delete.collect::<Vec<_>>(), "{name}");
    assert_eq!(found.insert.iter().map(|row| row.offset.0).collect::<Vec<_>>(), insert, "{name}");
    assert_eq!(found.applied.rows(), rows.len() as u64, "{name}");
}

#[test]
fn every_case_of_one_key_is_decided() {
    check("a new key", &[], &[put(0, 5, "a")], &[], &[0]);
    check("a correction", &[("a", 5, 0)], &[put(1, 6, "a")], &[("a", 5, 0)], &[1]);
    check("the row is there", &[("a", 5, 0)], &[put(0, 5, "a")], &[], &[]);
    check("an older row", &[("a", 6, 1)], &[put(0, 5, "a")], &[], &[]);
    check("a retraction", &[("a", 5, 0)], &[remove(1, 6, "a")], &[("a", 5, 0)], &[]);
    check("an older retraction", &[("a", 6, 1)], &[remove(0, 5, "a")], &[], &[]);
    check("a retraction of nothing", &[], &[remove(1, 6, "a")], &[], &[]);
    check("made and retracted", &[], &[put(0, 5, "a"), remove(1, 5, "a")], &[], &[]);
    check("retracted, made", &[("a", 4, 9)], &[remove(10, 5, "a"), put(11, 5, "a")], &[("a", 4, 9)], &[11]);
    check("corrected twice", &[("a", 4, 9)], &[put(10, 5, "a"), put(11, 5, "a")], &[("a", 4, 9)], &[11]);
    check("repeated with more", &[("a", 5, 0)], &[put(0, 5, "a"), put(1, 5, "b")], &[], &[1]);
    check("a later one is there", &[("a", 5, 2)], &[put(0, 5, "a"), put(2, 5, "a")], &[], &[]);
    check("the old service's", &[("a", 0, 0)], &[put(7, 5, "a")], &[("a", 0, 0)], &[7]);
}

#[test]
fn whatever_else_a_key_has_is_deleted() {
    let twice = [("a", 0, 0), ("a", 5, 0)];
    check("superseded", &twice, &[put(1, 6, "a")], &twice, &[1]);
    check("the newest is there", &twice, &[put(0, 5, "a")], &[("a", 0, 0)], &[]);
    check("an older row", &[("a", 6, 9), ("a", 5, 0)], &[put(0, 5, "a")], &[("a", 5, 0)], &[]);
    check("retracted", &twice, &[remove(1, 6, "a")], &twice, &[]);
}

#[test]
fn rows_are_inserted_in_the_order_of_the_log() {
    let rows = [put(0, 5, "a"), put(1, 5, "b"), put(2, 5, "a")];
    check("two keys", &[], &rows, &[], &[1, 2]);
}

#[test]
fn a_row_of_another_partition_at_the_same_offset_is_not_the_same_row() {
    let rows = [put(0, 5, "a")];
    let newest = Stamp { version: 5, offset: 0, partition: 3 };
    let existing = [(key_of_row(SCHEMA, &values("a")), vec![newest])];
    let found = plan(PartitionId(0), &rows, &keys(SCHEMA, &rows), &existing.into_iter().collect());
    assert_eq!((found.delete.len(), found.insert.len()), (1, 1));
}

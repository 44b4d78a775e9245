//! What every [`MetricStore`] must do, as a suite that each implementation runs in its tests.
//!
//! The functions panic where a store does not conform. [`check_all`] runs them, each on a new store.

mod durable;
mod rows;

use std::ops::Range;
use std::sync::Arc;

use tidegate_model::row::{EventMetrics, MetricRow, Op};
use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use super::{Applied, MetricStore, Positions};
use crate::batch::{Batch, Content, Row, Table, Value};

/// A place that holds one store, for as long as the harness lives.
pub trait Harness {
    /// The implementation.
    type Store: MetricStore;

    /// Opens the store that lies there; empty the first time. An earlier one was dropped, or forgotten
    /// as if its process had died.
    fn open(&mut self) -> Self::Store;

    /// What `SELECT column, … FROM table` shows a reader, each value as text: instants as
    /// `2015-05-17 10:05:03.007`, whole numbers without and other numbers with a fraction.
    fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>>;
}

/// Runs the whole suite; `new` makes a new, empty place.
pub fn check_all<H: Harness>(mut new: impl FnMut() -> H) {
    rows::put_correct_retract(&mut new());
    rows::a_batch_is_applied_in_order(&mut new());
    rows::older_rows_change_nothing(&mut new());
    rows::every_table_takes_its_rows(&mut new());
    rows::values_come_back_as_they_went_in(&mut new());
    rows::dropped_records_are_kept(&mut new());
    rows::unreadable_rows_are_kept(&mut new());
    durable::positions_begin_empty_and_survive(&mut new());
    durable::repeated_and_overlapping_batches_change_nothing(&mut new());
    durable::a_batch_beyond_the_position_is_refused(&mut new());
    durable::a_range_without_rows_moves_the_position(&mut new());
    durable::a_skipped_gap_is_passed(&mut new());
    durable::a_new_log_begins_anew_and_rows_stay(&mut new());
    durable::rows_of_a_new_log_are_no_repetitions(&mut new());
    durable::partitions_and_topics_are_independent(&mut new());
    durable::expiry_takes_what_is_old_and_no_more_than_allowed(&mut new());
}

/// A row of `event_metrics` for the window that starts at `minute`.
fn events(minute: i64, event_type: &str, count: u64) -> Box<[Value]> {
    let start = EventTime::from_millis(minute * 60_000);
    let values = [
        Value::Instant(start),
        Value::Instant(start.plus_ms(60_000)),
        Value::Text(event_type.into()),
        Value::UInt(count),
        Value::UInt(1),
    ];
    values.into()
}

fn put(minute: i64, event_type: &str, count: u64) -> Content {
    Content::Put(events(minute, event_type, count))
}

fn remove(minute: i64, event_type: &str) -> Content {
    let [start, end, event_type, ..] = &*events(minute, event_type, 0) else { unreachable!() };
    Content::Remove([start.clone(), event_type.clone(), end.clone()].into())
}

fn row(offset: u64, epoch: u64, content: Content) -> Row {
    let op = if matches!(content, Content::Remove(_)) { Op::Retract } else { Op::Final };
    Row { offset: Offset(offset), epoch: Epoch(epoch), op, content }
}

/// A batch of `event_metrics`, from partition 0 of the topic of that name.
fn batch(range: Range<u64>, rows: Vec<Row>) -> Batch {
    batch_of(Table::Metrics(&EventMetrics::SCHEMA), 0, range, rows)
}

fn batch_of(table: Table, partition: u32, range: Range<u64>, rows: Vec<Row>) -> Batch {
    let topic: Arc<str> = table.name().into();
    let range = Offset(range.start)..Offset(range.end);
    Batch { table, topic, partition: PartitionId(partition), range, rows }
}

fn apply(store: &mut impl MetricStore, batch: &Batch) -> Applied {
    let applied = store.apply(batch).unwrap_or_else(|error| panic!("{batch:?} is applied: {error}"));
    assert_eq!(applied.rows(), batch.rows.len() as u64, "every row is accounted for: {applied:?}");
    applied
}

fn positions(store: &mut impl MetricStore) -> Positions {
    store.positions().expect("the store is readable")
}

/// The next offset of a partition of `event_metrics`.
fn next_of(store: &mut impl MetricStore, partition: u32) -> u64 {
    let source = (Arc::from("event_metrics"), PartitionId(partition));
    positions(store).get(&source).copied().unwrap_or_default().next.0
}

/// Type and count of the rows of `event_metrics`, sorted.
fn counts(harness: &mut impl Harness) -> Vec<(String, String)> {
    let rows = harness.select("event_metrics", &["event_type", "event_count"]);
    let pairs = rows.into_iter().map(|row| {
        let [event_type, count] = row.try_into().expect("two columns were asked for");
        (event_type, count)
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

fn expect(harness: &mut impl Harness, expected: &[(&str, u64)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(event_type, count)| ((*event_type).to_owned(), count.to_string())).collect();
    assert_eq!(counts(harness), expected, "rows of event_metrics");
}

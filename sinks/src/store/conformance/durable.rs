//! What lasts, and what repeating does.

use tidegate_model::row::{EventMetrics, MetricRow, SessionMetrics};
use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use super::{Harness, apply, batch, batch_of, expect, next_of, positions, put, remove, row};
use crate::batch::Table;
use crate::store::{
    Applied, Expiry, Gap, LastRow, MetricStore, NewLog, Position, StoreError, TopicPartition,
};

const EVENTS: Table = Table::Metrics(&EventMetrics::SCHEMA);

pub(super) fn positions_begin_empty_and_survive(harness: &mut impl Harness) {
    let mut store = harness.open();
    assert!(positions(&mut store).is_empty());
    apply(&mut store, &batch(0..9, vec![row(4, 5, put(0, "click", 1))]));
    let before = positions(&mut store);
    let position = before[&("event_metrics".into(), PartitionId(0))];
    assert_eq!(position.next, Offset(9));
    assert_eq!(position.last, Some(LastRow { offset: Offset(4), epoch: Epoch(5) }));
    drop(store);
    let mut store = harness.open();
    assert_eq!(positions(&mut store), before);
    expect(harness, &[("click", 1)]);
}

pub(super) fn repeated_and_overlapping_batches_change_nothing(harness: &mut impl Harness) {
    let mut store = harness.open();
    let rows = [
        row(0, 5, put(0, "gone", 1)),
        row(1, 5, put(0, "click", 1)),
        row(2, 6, put(0, "click", 2)),
        row(3, 6, remove(0, "gone")),
        row(4, 7, put(0, "view", 1)),
    ];
    let part =
        |range: std::ops::Range<usize>| batch(range.start as u64..range.end as u64, rows[range].to_vec());
    apply(&mut store, &part(0..4));
    for repeated in [part(0..4), part(0..2), part(1..3), part(0..1), part(4..4)] {
        let applied = apply(&mut store, &repeated);
        let repeated = Applied { repeated: repeated.rows.len() as u64, ..Applied::default() };
        assert_eq!(applied, repeated);
        expect(harness, &[("click", 2)]);
        assert_eq!(next_of(&mut store, 0), 4, "the position does not move back");
    }
    let applied = apply(&mut store, &part(2..5));
    assert_eq!(applied, Applied { put: 1, repeated: 2, ..Applied::default() });
    expect(harness, &[("click", 2), ("view", 1)]);
    assert_eq!(next_of(&mut store, 0), 5);
}

pub(super) fn a_batch_beyond_the_position_is_refused(harness: &mut impl Harness) {
    let mut store = harness.open();
    apply(&mut store, &batch(0..2, vec![row(0, 5, put(0, "click", 1))]));
    let beyond = batch(3..4, vec![row(3, 5, put(0, "view", 1))]);
    let error = store.apply(&beyond).expect_err("offset 2 was never stored");
    assert!(error.is_definite(), "{error}");
    let StoreError::Gap { next, start, .. } = error else { panic!("{error}") };
    assert_eq!((next, start), (Offset(2), Offset(3)));
    expect(harness, &[("click", 1)]);
    assert_eq!(next_of(&mut store, 0), 2);
}

pub(super) fn a_range_without_rows_moves_the_position(harness: &mut impl Harness) {
    let mut store = harness.open();
    apply(&mut store, &batch(0..2, vec![row(0, 5, put(0, "click", 1))]));
    apply(&mut store, &batch(2..7, vec![]));
    let position = positions(&mut store)[&("event_metrics".into(), PartitionId(0))];
    assert_eq!(position.next, Offset(7));
    assert_eq!(position.last.map(|last| last.offset), Some(Offset(0)), "the last row is still the last");
}

pub(super) fn a_skipped_gap_is_passed(harness: &mut impl Harness) {
    let mut store = harness.open();
    let gap = |missing| Gap { topic: "event_metrics".into(), partition: PartitionId(0), missing };
    apply(&mut store, &batch(0..2, vec![row(0, 5, put(0, "click", 1))]));
    store.skip(&gap(Offset(2)..Offset(6))).expect("the gap begins at the position");
    store.skip(&gap(Offset(2)..Offset(6))).expect("it may be repeated");
    store.skip(&gap(Offset(8)..Offset(9))).expect_err("offsets 6 and 7 would be lost");
    assert_eq!(next_of(&mut store, 0), 6);
    apply(&mut store, &batch(6..7, vec![row(6, 5, put(0, "view", 1))]));
    expect(harness, &[("click", 1), ("view", 1)]);
}

pub(super) fn partitions_and_topics_are_independent(harness: &mut impl Harness) {
    let mut store = harness.open();
    apply(&mut store, &batch_of(EVENTS, 0, 0..5, vec![row(0, 5, put(0, "click", 1))]));
    apply(&mut store, &batch_of(EVENTS, 1, 0..3, vec![row(0, 5, put(0, "view", 1))]));
    apply(&mut store, &batch_of(Table::Metrics(&SessionMetrics::SCHEMA), 0, 0..1, vec![]));
    let found: Vec<(String, u32, u64)> = positions(&mut store)
        .into_iter()
        .map(|((topic, partition), position)| (topic.to_string(), partition.0, position.next.0))
        .collect();
    let expected = [("event_metrics", 0, 5), ("event_metrics", 1, 3), ("session_metrics", 0, 1)];
    assert_eq!(found, expected.map(|(topic, partition, next)| (topic.to_owned(), partition, next)));
    expect(harness, &[("click", 1), ("view", 1)]);
}

pub(super) fn expiry_takes_what_is_old_and_no_more_than_allowed(harness: &mut impl Harness) {
    let mut store = harness.open();
    let rows = (0..10).map(|minute| row(minute, 5, put(minute.cast_signed(), &format!("t{minute}"), minute)));
    apply(&mut store, &batch(0..10, rows.collect()));
    let all: Vec<(String, u64)> = (0..10).map(|minute| (format!("t{minute}"), minute)).collect();
    let from = |minute: usize| -> Vec<(&str, u64)> {
        all[minute..].iter().map(|(event_type, count)| (event_type.as_str(), *count)).collect()
    };
    // The newest row begins at minute 9. Four minutes before it is the end of the window of minute 4.
    let mut expiry = Expiry { keep_ms: 240_000, now: EventTime::from_millis(0), rows_max: 3 };
    let removed = store.expire(expiry).expect("the store is writable");
    assert_eq!(removed, 0, "by the clock, nothing has even ended");
    expect(harness, &from(0));
    expiry.now = EventTime::from_millis(100 * 60_000);
    let removed = store.expire(expiry).expect("the store is writable");
    if removed == 0 {
        // This store forgets by itself, at a time of its own.
        return;
    }
    assert_eq!(removed, 3, "no more than allowed");
    assert_eq!(super::counts(harness).len(), 7);
    assert_eq!(store.expire(expiry).expect("the store is writable"), 1);
    expect(harness, &from(4));
    assert_eq!(store.expire(expiry).expect("the store is writable"), 0);
    assert_eq!(next_of(&mut store, 0), 10, "positions do not depend on it");
}

/// The position goes back, and survives although the old one was larger; rows of the old log are neither removed nor
/// taken for rows of the new one.
pub(super) fn a_new_log_begins_anew_and_rows_stay(harness: &mut impl Harness) {
    let mut store = harness.open();
    apply(&mut store, &batch(0..9, vec![row(0, 5, put(0, "a", 1)), row(8, 5, put(1, "b", 1))]));
    let source: TopicPartition = ("event_metrics".into(), PartitionId(0));
    let (topic, partition) = source.clone();
    let log = NewLog { topic, partition, start: Offset(2), since: Epoch(9) };
    for _ in 0..2 {
        store.adopt(&log).expect("the store is writable");
        drop(store);
        store = harness.open();
        assert_eq!(positions(&mut store)[&source], Position { next: Offset(2), last: None });
    }
    apply(&mut store, &batch(2..4, vec![row(2, 9, put(1, "b", 7)), row(3, 9, put(2, "c", 7))]));
    drop(store);
    store = harness.open();
    let last = Some(LastRow { offset: Offset(3), epoch: Epoch(9) });
    assert_eq!(positions(&mut store)[&source], Position { next: Offset(4), last });
    let applied = apply(&mut store, &batch(4..9, vec![row(8, 9, put(3, "d", 7))]));
    assert_eq!((applied.put, applied.repeated), (1, 0), "another row lay at that offset of the old log");
    expect(harness, &[("a", 1), ("b", 7), ("c", 7), ("d", 7)]);
}

/// Rows of both logs lie at the same offsets, and the second one does not pass for a repetition of the first.
pub(super) fn rows_of_a_new_log_are_no_repetitions(harness: &mut impl Harness) {
    let mut store = harness.open();
    let (topic, partition) = ("event_metrics".into(), PartitionId(0));
    let log = NewLog { topic, partition, start: Offset(0), since: Epoch(9) };
    apply(&mut store, &batch(0..2, vec![row(0, 5, put(0, "a", 1)), row(1, 5, put(1, "b", 1))]));
    store.adopt(&log).expect("the store is writable");
    let applied = apply(&mut store, &batch(0..2, vec![row(0, 9, put(0, "a", 7)), row(1, 9, put(2, "c", 7))]));
    assert_eq!((applied.put, applied.repeated), (2, 0));
    expect(harness, &[("a", 7), ("b", 1), ("c", 7)]);
}

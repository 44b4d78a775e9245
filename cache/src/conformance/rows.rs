//! What final rows do.

use std::sync::Arc;

use tidegate_model::{Epoch, Offset, PartitionId};

use super::{
    NOW, PARTITION, Subject, TOPIC, apply, apply_at, ask, batch, counts, events, live, next, performance,
    positions, provisional, retraction, row, sessions, settled, small, window, words,
};
use crate::batch::{
    Applied, Batch, Effect, Gap, LastRow, Position, Positions, Row, Seed, SeededKind, SeededRow,
};
use crate::config::Config;
use crate::read::Ask;
use crate::window::Number;
use crate::write::{CacheWriter, WriteError};

/// Rows set the fields of their label, corrections replace them, retractions take them away, and the
/// window with the last one.
pub async fn put_correct_retract(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    assert_eq!(settled(&reader).await, [""; 0]);
    let applied =
        apply(&mut cache, vec![row(1, 5, "click", 2), row(1, 5, "page_view", 7), row(1, 6, "click", 1)]);
    assert_eq!(applied, Applied { put: 3, ..Applied::default() });
    assert_eq!(settled(&reader).await, ["6: click.count=1", "5: click.count=2 page_view.count=7"]);
    apply(&mut cache, vec![row(2, 5, "click", 3), retraction(2, 5, "page_view")]);
    assert_eq!(settled(&reader).await, ["6: click.count=1", "5: click.count=3"]);
    let applied = apply(&mut cache, vec![retraction(3, 5, "click"), retraction(3, 5, "nothing")]);
    assert_eq!(applied, Applied { removed: 2, ..Applied::default() });
    assert_eq!(settled(&reader).await, ["6: click.count=1"]);
    apply(&mut cache, vec![row(4, 5, "click", 9)]);
    assert_eq!(settled(&reader).await, ["6: click.count=1", "5: click.count=9"]);
}

/// Of rows of one key in one batch the last one counts.
pub async fn a_batch_is_applied_in_order(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let rows = vec![
        row(1, 5, "a", 1),
        retraction(1, 5, "a"),
        row(1, 5, "a", 2),
        row(2, 5, "a", 3),
        row(1, 6, "b", 1),
        retraction(1, 6, "b"),
    ];
    apply(&mut cache, rows);
    assert_eq!(settled(&reader).await, ["5: a.count=3"]);
}

/// A row or retraction of an older epoch than the one stored changes nothing; one of the same epoch does.
pub async fn older_epochs_change_nothing(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(5, 5, "a", 5), row(3, 5, "b", 3)]);
    let applied = apply(&mut cache, vec![row(4, 5, "a", 4), retraction(4, 5, "a"), row(4, 5, "b", 4)]);
    assert_eq!(applied, Applied { stale: 2, put: 1, ..Applied::default() });
    assert_eq!(settled(&reader).await, ["5: a.count=5 b.count=4"]);
    apply(&mut cache, vec![row(5, 5, "a", 6), retraction(4, 5, "b")]);
    assert_eq!(settled(&reader).await, ["5: a.count=6"]);
}

/// The newest window comes first, whichever came last, and no more than were asked for.
pub async fn windows_are_newest_first_and_limited(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 7, "a", 7), row(1, 5, "a", 5), row(2, 6, "a", 6)]);
    for (limit, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (120, 3)] {
        let windows = ask(&reader, Ask::Newest { kind: events().kind, limit }).await;
        let all = ["7: a.count=7", "6: a.count=6", "5: a.count=5"];
        assert_eq!(counts(&windows), all[..expected], "limit {limit}");
    }
    let unknown = ask(&reader, Ask::Newest { kind: "unheard_of", limit: 5 }).await;
    assert_eq!(unknown, []);
}

/// The oldest window makes room, for good: what is left of it would look like the whole.
pub async fn a_window_that_made_room_does_not_come_back(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let old = (1..=4).map(|minute| row(1, minute, "a", 1)).collect();
    apply(&mut cache, old);
    let kept = ["4: a.count=1", "3: a.count=1", "2: a.count=1"];
    assert_eq!(settled(&reader).await, kept);
    let applied = apply(&mut cache, vec![row(2, 1, "a", 5), row(2, 0, "a", 1), retraction(2, 1, "a")]);
    assert_eq!(applied, Applied { old: 2, removed: 1, ..Applied::default() });
    assert_eq!(settled(&reader).await, kept);
    // Also when there would be room again.
    apply(&mut cache, vec![retraction(3, 4, "a")]);
    assert_eq!(apply(&mut cache, vec![row(3, 1, "a", 6)]).old, 1);
    assert_eq!(settled(&reader).await, ["3: a.count=1", "2: a.count=1"]);
    apply(&mut cache, vec![row(4, 2, "a", 7)]);
    assert_eq!(settled(&reader).await, ["3: a.count=1", "2: a.count=7"]);
    // Kinds have room of their own.
    let other = Row {
        view: sessions(),
        effect: Effect::Put([1, 2, 3, 4].map(Number::UInt).into()),
        ..row(4, 1, "Mobile", 0)
    };
    assert_eq!(apply(&mut cache, vec![other]).put, 1);
}

/// However the rows are cut into batches, and whichever of these are repeated, the result is the same.
pub async fn repeated_and_moved_batches_change_nothing<S: Subject>(fresh: &impl Fn(Config) -> S) {
    let rows = || {
        let mut rows: Vec<Row> = (1..=5).map(|minute| row(1, minute, "a", 1)).collect();
        rows.extend([retraction(2, 4, "a"), row(2, 2, "a", 9), row(2, 6, "b", 1), row(3, 4, "a", 4)]);
        rows.extend([provisional(3, 7, "a", 1), row(4, 7, "b", 2), row(4, 7, "a", 3)]);
        rows
    };
    let count = rows().len();
    let one = fresh(small());
    apply(&mut one.writer(), rows());
    let expected = (settled(&one.reader()).await, live(&one.reader()).await, positions(&mut one.writer()));
    for cut in 0..=count {
        let subject = fresh(small());
        let mut cache = subject.writer();
        let part = |from: usize, to: usize| {
            let all = batch(0, rows());
            let rows: Vec<Row> = all.rows[from..to].to_vec();
            let offset = |at: usize| Offset(u64::try_from(at).expect("a small number"));
            let last = rows.last().map(|row| LastRow { offset: row.offset, epoch: row.epoch });
            Batch { range: offset(from)..offset(to), rows, last, ..all }
        };
        let pieces = [(0, cut), (0, cut), (cut / 2, count), (0, count), (cut, cut)];
        for (from, to) in pieces {
            cache.apply(&part(from, to), NOW).expect("it begins at or below the position");
        }
        let found = (settled(&subject.reader()).await, live(&subject.reader()).await, positions(&mut cache));
        assert_eq!(found, expected, "cut at {cut}");
    }
}

/// What lies between the position and the batch would be lost.
pub async fn a_batch_beyond_the_position_is_refused(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 5, "a", 1)]);
    let beyond = batch(2, vec![row(2, 5, "a", 2)]);
    match cache.apply(&beyond, NOW) {
        Err(WriteError::Gap { next, start, .. }) => assert_eq!((next, start), (Offset(1), Offset(2))),
        other => panic!("{other:?}"),
    }
    assert_eq!(settled(&reader).await, ["5: a.count=1"]);
    // A range without a row of ours moves the position all the same.
    cache.apply(&Batch { range: Offset(1)..Offset(2), ..batch(1, vec![]) }, NOW).expect("it follows");
    cache.apply(&beyond, NOW).expect("it follows now");
    assert_eq!(settled(&reader).await, ["5: a.count=2"]);
}

/// The next writer finds the positions, by topic and partition, and the values that they stand for.
pub async fn a_restart_goes_on_from_the_positions(subject: &impl Subject) {
    let mut cache = subject.writer();
    assert_eq!(positions(&mut cache), Positions::new());
    apply(&mut cache, vec![row(7, 5, "a", 1), row(8, 5, "a", 2)]);
    let other = Batch { topic: "live_metrics".into(), partition: PartitionId(3), ..batch(0, vec![]) };
    cache.apply(&Batch { range: Offset(0)..Offset(9), ..other }, NOW).expect("it is applied");
    drop(cache);
    let mut cache = subject.writer();
    let last = Some(LastRow { offset: Offset(1), epoch: Epoch(8) });
    let expected = [
        ((Arc::from(TOPIC), PARTITION), Position { next: Offset(2), last }),
        ((Arc::from("live_metrics"), PartitionId(3)), Position { next: Offset(9), last: None }),
    ];
    assert_eq!(positions(&mut cache), Positions::from(expected));
    let again = batch(0, vec![row(7, 5, "a", 1), row(8, 5, "a", 2), row(9, 5, "a", 3)]);
    let applied = cache.apply(&again, NOW).expect("it is applied");
    assert_eq!(applied, Applied { repeated: 2, put: 1, ..Applied::default() });
    assert_eq!(settled(&subject.reader()).await, ["5: a.count=3"]);
}

/// The rows and positions of a seed take the place of those of its kinds and topics; versions and room
/// count as if the rows had come one by one.
pub async fn a_seed_takes_the_place_of_what_there_was(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 3, "a", 1), row(9, 8, "a", 1), provisional(9, 9, "a", 1)]);
    let other = Row {
        view: performance(),
        effect: Effect::Put([1.5, 2.5].map(Number::Float).into()),
        ..row(1, 5, "Mobile", 0)
    };
    apply(&mut cache, vec![other]);
    let seeded = |epoch, minute, label: &str, count| {
        let values = [Number::UInt(count), Number::UInt(count)].into();
        SeededRow { window: window(minute), label: label.into(), epoch: Epoch(epoch), values }
    };
    let rows = vec![seeded(4, 5, "a", 5), seeded(2, 5, "b", 6), seeded(5, 6, "a", 7), seeded(9, 9, "a", 8)];
    let position = Position { next: Offset(100), last: None };
    let elsewhere = Batch { topic: "live_metrics".into(), ..batch(0, vec![row(1, 3, "c", 1)]) };
    cache.apply(&elsewhere, NOW).expect("it is applied");
    let kind = SeededKind {
        view: events(),
        topic: TOPIC.into(),
        positions: [(PartitionId(1), position)].into(),
        left_out: Some(window(4).start),
        rows,
    };
    cache.seed(&Seed { kinds: vec![kind] }, NOW).expect("it is seeded");
    // One without kinds takes the place of nothing.
    cache.seed(&Seed::default(), NOW).expect("it is seeded");
    let expected = ["9: a.count=8", "6: a.count=7", "5: a.count=5 b.count=6"];
    assert_eq!(settled(&reader).await, expected);
    assert_eq!(live(&reader).await, [""; 0], "the window is closed");
    let perf = ask(&reader, Ask::Newest { kind: performance().kind, limit: 9 }).await;
    assert_eq!(words(&perf), ["5: Mobile.avg_load_time=1.5 Mobile.p95_load_time=2.5"]);
    let expected = [
        ((Arc::from(TOPIC), PartitionId(1)), position),
        (
            (Arc::from("live_metrics"), PARTITION),
            positions(&mut cache)[&(Arc::from("live_metrics"), PARTITION)],
        ),
    ];
    assert_eq!(positions(&mut cache), Positions::from(expected));
    let rows = vec![row(3, 5, "a", 1), row(3, 5, "b", 2), row(9, 4, "a", 1), row(9, 10, "a", 1)];
    let applied = apply(&mut cache, rows);
    assert_eq!(applied, Applied { stale: 1, put: 2, old: 1, ..Applied::default() });
    assert_eq!(settled(&reader).await, ["10: a.count=1", "9: a.count=8", "6: a.count=7"]);
}

/// Where final rows are missing nobody knows which windows are right, so those of the kind go, for good.
pub async fn a_gap_forgets_the_windows_of_its_kind(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 5, "a", 1), row(1, 6, "a", 1), provisional(1, 7, "a", 1)]);
    let gap = |from, to, view| {
        let missing = Offset(from)..Offset(to);
        Gap { topic: TOPIC.into(), partition: PARTITION, missing, view }
    };
    cache.skip(&gap(2, 3, Some(events()))).expect("it is passed already");
    cache.skip(&gap(3, 4, None)).expect("nothing that is missed");
    assert_eq!(settled(&reader).await.len(), 2);
    let beyond = cache.skip(&gap(5, 9, Some(events())));
    assert!(matches!(beyond, Err(WriteError::Gap { .. })), "{beyond:?}");
    cache.skip(&gap(4, 9, Some(events()))).expect("it begins at the position");
    assert_eq!(settled(&reader).await, [""; 0]);
    assert_eq!(live(&reader).await, ["7: a.count=1"]);
    let applied = apply(&mut cache, vec![row(2, 6, "b", 1), row(2, 7, "a", 2)]);
    assert_eq!(applied, Applied { old: 1, put: 1, ..Applied::default() });
    assert_eq!(settled(&reader).await, ["7: a.count=2"]);
    assert_eq!(next(&mut cache), 11);
}

/// The position goes back, and windows of the old log stay until newer rows of the same windows come.
pub async fn a_new_log_begins_anew_and_windows_stay(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 5, "a", 1), row(1, 6, "a", 1), row(1, 7, "a", 1)]);
    let source = (Arc::from(TOPIC), PARTITION);
    for _ in 0..2 {
        cache.adopt(&source, Offset(1)).expect("the cache is there");
        assert_eq!(positions(&mut cache)[&source], Position { next: Offset(1), last: None });
    }
    let applied = apply(&mut cache, vec![row(9, 6, "a", 2), row(9, 8, "a", 2)]);
    assert_eq!(applied.put, 2);
    assert_eq!(settled(&reader).await, ["8: a.count=2", "7: a.count=1", "6: a.count=2"]);
    assert_eq!(next(&mut cache), 3);
}

/// A safety net: what is never written to goes, and does not come back in part.
pub async fn windows_go_when_nothing_is_written_to_them(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let ttl_ms = small().hash_ttl_ms;
    apply(&mut cache, vec![row(1, 5, "a", 1), row(1, 6, "a", 1)]);
    let later = NOW.plus_ms(ttl_ms / 2);
    apply_at(&mut cache, later, vec![row(2, 5, "b", 2)]);
    cache.expire(NOW.plus_ms(ttl_ms - 1)).expect("the cache answers");
    assert_eq!(settled(&reader).await.len(), 2);
    cache.expire(NOW.plus_ms(ttl_ms)).expect("the cache answers");
    assert_eq!(settled(&reader).await, ["5: a.count=1 b.count=2"]);
    let applied = apply_at(&mut cache, later, vec![row(3, 6, "b", 1), row(3, 5, "b", 3)]);
    assert_eq!(applied, Applied { old: 1, put: 1, ..Applied::default() });
    cache.expire(later.plus_ms(ttl_ms)).expect("the cache answers");
    assert_eq!(settled(&reader).await, [""; 0]);
}

/// No window grows without a limit; the labels that are there go on.
pub async fn labels_beyond_the_limit_are_refused(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let rows = ["a", "b", "c", "d"].map(|label| row(1, 5, label, 1));
    assert_eq!(apply(&mut cache, rows.into()), Applied { put: 3, refused: 1, ..Applied::default() });
    assert_eq!(apply(&mut cache, vec![row(2, 5, "c", 2)]).put, 1);
    assert_eq!(apply(&mut cache, vec![retraction(2, 5, "a"), row(2, 5, "d", 4)]).put, 1);
    assert_eq!(settled(&reader).await, ["5: b.count=1 c.count=2 d.count=4"]);
}

/// Fields are named by label and view, and numbers come back as they went in.
pub async fn fields_and_numbers_are_those_of_the_schema(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let session = |label: &str, values: [Number; 4]| Row {
        view: sessions(),
        label: label.into(),
        effect: Effect::Put(values.into()),
        ..row(1, 5, "", 0)
    };
    let largest = Number::UInt(i64::MAX.unsigned_abs());
    let values = [largest, Number::UInt(0), Number::Float(0.1 + 0.2), Number::Float(1e300)];
    apply(&mut cache, vec![session("a.b \"é\"", values)]);
    let found = ask(&reader, Ask::Newest { kind: sessions().kind, limit: 9 }).await;
    let names = ["sessions", "bounces", "avg_duration", "avg_page_count"];
    let expected =
        names.into_iter().zip(values).map(|(name, value)| (format!("a.b \"é\".{name}").into(), value));
    assert_eq!(found[0].fields, expected.collect());
    assert_eq!(found[0].window, window(5));
}

//! What provisional rows do, and what ends their values.

use tidegate_model::{Offset, PartitionId};

use super::{
    NOW, Subject, TOPIC, apply, apply_at, as_of, batch, live, positions, positions_after, provisional,
    retraction, row, said_as_of, say, sessions, settled,
};
use crate::batch::{Applied, Batch, Effect, Position, Positions, Row};
use crate::read::CacheReader;
use crate::window::Number;
use crate::write::{CacheWriter, Standing, WriteError};

/// A final row takes the place of the provisional value of its window and label, and of no other; a
/// provisional row that comes after it changes nothing.
pub async fn final_values_end_provisional_ones(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![provisional(1, 5, "a", 1), provisional(1, 5, "b", 1), provisional(1, 6, "a", 1)]);
    apply(&mut cache, vec![row(2, 5, "a", 2)]);
    assert_eq!(live(&reader).await, ["6: a.count=1", "5: b.count=1"]);
    let applied = apply(&mut cache, vec![provisional(1, 5, "a", 1), provisional(3, 5, "a", 3)]);
    assert_eq!(applied, Applied { stale: 2, ..Applied::default() });
    assert_eq!(live(&reader).await, ["6: a.count=1", "5: b.count=1"]);
    apply(&mut cache, vec![retraction(3, 5, "b")]);
    assert_eq!(live(&reader).await, ["6: a.count=1"], "a retraction is final as well");
    assert_eq!(settled(&reader).await, ["5: a.count=2"]);
}

/// Provisional values are never among the final ones; of several the newest counts.
pub async fn provisional_values_are_apart(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![provisional(2, 5, "a", 2), row(1, 4, "a", 1)]);
    let applied = apply(&mut cache, vec![provisional(1, 5, "a", 1), provisional(3, 5, "b", 1)]);
    assert_eq!(applied, Applied { stale: 1, put: 1, ..Applied::default() });
    assert_eq!(live(&reader).await, ["5: a.count=2 b.count=1"]);
    assert_eq!(settled(&reader).await, ["4: a.count=1"]);
    let withdrawn = Row { provisional: true, ..retraction(4, 5, "a") };
    apply(&mut cache, vec![withdrawn]);
    assert_eq!(live(&reader).await, ["5: b.count=1"]);
    let never = Row {
        view: sessions(),
        effect: Effect::Put([0; 4].map(Number::UInt).into()),
        ..provisional(4, 5, "Mobile", 0)
    };
    assert_eq!(apply(&mut cache, vec![never]).refused, 1, "sessions are not shown while they are open");
}

/// When everything up to a frontier is in, windows that ended by then have no provisional values: what is
/// left was retracted, or comes from before.
pub async fn the_frontier_ends_provisional_values(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![provisional(1, 5, "a", 1), provisional(1, 6, "a", 1)]);
    say(&mut cache, Some(as_of(2, 6)));
    assert_eq!(live(&reader).await, ["6: a.count=1"], "the window at 5 ends where the one at 6 starts");
    assert_eq!(apply(&mut cache, vec![provisional(2, 5, "a", 2)]).old, 1);
    assert_eq!(live(&reader).await, ["6: a.count=1"]);
}

/// A window that nobody writes to any more is not shown for ever.
pub async fn provisional_values_last_for_two_windows(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![provisional(1, 5, "a", 1)]);
    cache.expire(NOW.plus_ms(119_999)).expect("the cache answers");
    assert_eq!(live(&reader).await, ["5: a.count=1"]);
    apply_at(&mut cache, NOW.plus_ms(60_000), vec![provisional(2, 5, "b", 1)]);
    cache.expire(NOW.plus_ms(179_999)).expect("the cache answers");
    assert_eq!(live(&reader).await, ["5: a.count=1 b.count=1"]);
    cache.expire(NOW.plus_ms(180_000)).expect("the cache answers");
    assert_eq!(live(&reader).await, [""; 0]);
}

/// Open windows have a limit of their own, and no part in that of the closed ones.
pub async fn open_windows_are_limited(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, (1..=3).map(|minute| row(1, minute, "a", 1)).collect());
    apply(&mut cache, (4..=7).map(|minute| provisional(1, minute, "a", 1)).collect());
    assert_eq!(live(&reader).await, ["7: a.count=1", "6: a.count=1"]);
    assert_eq!(settled(&reader).await.len(), 3);
}

/// Ready is a cache whose writer has caught up once, also when there was nothing to read.
pub async fn ready_is_who_has_caught_up(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    reader.ping().await.expect("the cache answers");
    assert_eq!(reader.ready().await, Ok(false));
    apply(&mut cache, vec![row(1, 5, "a", 1)]);
    assert_eq!(reader.ready().await, Ok(false));
    say(&mut cache, None);
    assert_eq!(reader.ready().await, Ok(true));
    assert_eq!(said_as_of(&reader).await, None);
    say(&mut cache, Some(as_of(3, 6)));
    assert_eq!(said_as_of(&reader).await, Some(as_of(3, 6)));
}

/// A cache that was restored from an old state does not pass for new, although no row comes.
pub async fn a_cache_that_stands_elsewhere_is_as_of_nothing_new(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 5, "a", 1)]);
    say(&mut cache, Some(as_of(1, 5)));
    let mut ahead = positions(&mut cache);
    for position in ahead.values_mut() {
        position.next = position.next.plus(1);
    }
    let mut of_another = positions(&mut cache);
    of_another.insert(("another".into(), PartitionId(3)), Position { next: Offset(7), last: None });
    for (at, expected, actual) in [(ahead, 2, 1), (Positions::new(), 0, 1), (of_another, 7, 0)] {
        let error = cache.set_as_of(Some(as_of(3, 6)), &at).expect_err("it stands elsewhere");
        let found = match &error {
            WriteError::Moved { expected, actual, .. } => (expected.0, actual.0),
            other => panic!("{other}"),
        };
        assert_eq!(found, (expected, actual), "{error}");
    }
    assert_eq!(said_as_of(&reader).await, Some(as_of(1, 5)));
}

/// A step of a sink: its batches, in order, then what is too old, then as of when that is. One that lacks rows in
/// between is as of nothing new, whatever else of it is done.
pub async fn a_step_is_as_of_what_is_in(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let elsewhere = |batch| Batch { topic: "live_metrics".into(), ..batch };
    let open = elsewhere(batch(0, vec![provisional(1, 5, "a", 1), provisional(1, 6, "a", 1)]));
    let batches = [open, batch(0, vec![row(1, 4, "a", 1), retraction(1, 3, "a")])];
    let at = positions_after(&batches);
    let said = Standing { as_of: Some(as_of(1, 6)), at: &at };
    let applied = cache.advance(&batches, Some(said), NOW).expect("it is done");
    let expected = [(2, 0), (1, 1)].map(|(put, removed)| Applied { put, removed, ..Applied::default() });
    assert_eq!(applied, expected);
    assert_eq!(
        (settled(&reader).await, live(&reader).await),
        (vec!["4: a.count=1".to_owned()], vec!["6: a.count=1".to_owned()])
    );
    assert_eq!((positions(&mut cache), said_as_of(&reader).await), (at, Some(as_of(1, 6))));

    let follows = elsewhere(batch(2, vec![provisional(2, 7, "a", 1)]));
    let batches = [follows, batch(3, vec![row(2, 5, "a", 1)])];
    let at = positions_after(&batches);
    let said = Standing { as_of: Some(as_of(2, 6)), at: &at };
    match cache.advance(&batches, Some(said), NOW) {
        Err(WriteError::Gap { topic, next, .. }) => assert_eq!((&*topic, next), (TOPIC, Offset(2))),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        (settled(&reader).await, said_as_of(&reader).await),
        (vec!["4: a.count=1".to_owned()], Some(as_of(1, 6)))
    );

    // Without a word about it, and with nothing but what is too old.
    assert_eq!(cache.advance(&[], None, NOW.plus_ms(120_000)).expect("it is done"), []);
    assert_eq!((live(&reader).await, said_as_of(&reader).await), (vec![], Some(as_of(1, 6))));
}

//! What subscribers are told.

use tidegate_model::Epoch;

use super::{
    Mirror, NOW, Subject, TOPIC, apply, as_of, changes, events, next_update, provisional, retraction, row,
    say, settled, small, updates_until, window,
};
use crate::batch::{Seed, SeededKind};
use crate::change::{Change, UpdateKind};
use crate::read::{Ask, CacheReader};
use crate::window::Number;
use crate::write::CacheWriter;

fn field(name: &str, value: u64) -> (Box<str>, Number) {
    (name.into(), Number::UInt(value))
}

/// One change for each window that a batch changed: what is new and what is gone, by name.
pub async fn every_change_is_told_once(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    apply(&mut cache, vec![row(1, 5, "a", 1), row(1, 5, "b", 1), provisional(1, 6, "a", 2)]);
    let mut updates = reader.subscribe().await.expect("the cache answers");
    apply(&mut cache, vec![row(2, 5, "a", 3), retraction(3, 5, "b"), row(4, 6, "a", 4)]);
    say(&mut cache, Some(as_of(4, 7)));
    let seq = reader.read(&[]).await.expect("the cache answers").seq;
    let updates = updates_until(&mut updates, seq).await;
    let of = |minute, provisional, epoch| Change {
        kind: "event",
        window_start: window(minute).start,
        window_end: window(minute).end,
        provisional,
        fields: [].into(),
        removed: Vec::new(),
        epoch: Epoch(epoch),
    };
    let names = |label: &str| vec![format!("{label}.count").into(), format!("{label}.users").into()];
    let expected = [
        Change {
            fields: [field("a.count", 3), field("a.users", 3)].into(),
            removed: names("b"),
            ..of(5, false, 3)
        },
        Change { fields: [field("a.count", 4), field("a.users", 4)].into(), ..of(6, false, 4) },
        Change { removed: names("a"), ..of(6, true, 4) },
    ];
    let found: Vec<Change> = changes(&updates).iter().map(|change| Change::clone(change)).collect();
    assert_eq!(found, expected);
    let last = updates.last().expect("there are updates");
    assert_eq!(last.kind, UpdateKind::AsOf(as_of(4, 7)), "it follows what belongs to it");
}

/// A row that says what is known already, or is too late, is no news.
pub async fn nothing_is_told_when_nothing_changed(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let old = (1..=4).map(|minute| row(5, minute, "a", 1)).collect();
    apply(&mut cache, old);
    say(&mut cache, Some(as_of(5, 5)));
    let before = reader.read(&[]).await.expect("the cache answers").seq;
    let rows = vec![
        row(6, 4, "a", 1),
        row(4, 3, "a", 9),
        row(6, 1, "a", 2),
        row(6, 4, "b", 1),
        retraction(6, 4, "b"),
        retraction(6, 4, "c"),
        provisional(6, 4, "a", 7),
    ];
    apply(&mut cache, rows);
    say(&mut cache, Some(as_of(5, 5)));
    cache.expire(NOW).expect("the cache answers");
    assert_eq!(reader.read(&[]).await.expect("the cache answers").seq, before);
}

/// An answer says which updates it holds; those after it are exactly what it does not.
pub async fn answers_and_updates_are_counted_together(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let mut updates = reader.subscribe().await.expect("the cache answers");
    for count in 1..=3 {
        apply(&mut cache, vec![row(count, 5, "a", count)]);
        let answer = reader.read(&[Ask::Newest { kind: events().kind, limit: 1 }]).await;
        let answer = answer.expect("the cache answers");
        let update = next_update(&mut updates).await;
        assert_eq!(update.seq, answer.seq);
        let UpdateKind::Changed(change) = update.kind else { panic!("{update:?}") };
        assert_eq!(change.fields, answer.windows[0][0].fields);
    }
}

/// Whoever applies every change has what is read, also when windows make room, expire or are seeded.
pub async fn changes_lead_to_what_is_read(subject: &impl Subject) {
    let (mut cache, reader) = (subject.writer(), subject.reader());
    let mut updates = reader.subscribe().await.expect("the cache answers");
    let mut mirror = Mirror::default();
    let mut told = 0;
    for step in 0..8_u64 {
        let minute = i64::try_from(step).expect("a small number");
        match step {
            0..5 => {
                let rows = vec![row(step, minute, "a", 1), provisional(step, minute + 1, "b", 1)];
                apply(&mut cache, rows);
            }
            5 => say(&mut cache, Some(as_of(5, 6))),
            6 => {
                let kind = SeededKind {
                    view: events(),
                    topic: TOPIC.into(),
                    positions: [].into(),
                    left_out: None,
                    rows: Vec::new(),
                };
                cache.seed(&Seed { kinds: vec![kind] }, NOW).expect("the cache answers");
                apply(&mut cache, vec![row(6, 3, "c", 1)]);
            }
            _ => cache.expire(NOW.plus_ms(2 * small().hash_ttl_ms)).expect("the cache answers"),
        }
        let seq = reader.read(&[]).await.expect("the cache answers").seq;
        if seq > told {
            for change in changes(&updates_until(&mut updates, seq).await) {
                mirror.follow(&change);
            }
            told = seq;
        }
        mirror.check(&reader).await;
    }
    assert_eq!(settled(&reader).await, [""; 0], "everything has expired");
}

//! A table holds what a map would, and what it shared stays as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_model::{DeviceCategory, EventTime};

use super::*;
use crate::jobs::sessions::keyed::Session;

/// What a key holds: its names, and the pages of its sessions.
type Model = BTreeMap<Key, (String, Vec<u64>)>;

/// A key of one of two groups, and its names; some are long.
fn key(number: u64) -> (Key, String, String) {
    let user = (number % 2) << 40 | number;
    ((user, number), format!("s{number}"), "\u{e4}".repeat(usize::try_from(number % 5 * 20).expect("small")))
}

fn session(pages: u64) -> Session {
    // Far from each other: none is merged.
    let at = EventTime::from_millis(i64::try_from(pages).expect("small") * 1_000_000);
    Session { start: at, last: at, pages, device: DeviceCategory::Mobile, emitted: false }
}

fn add(table: &mut Table, place: Place, pages: u64) {
    table.get_mut(place).1.sessions.add(session(pages), 1, |_| panic!("nothing was said"));
}

/// What a copy holds.
fn shared(mut copy: SharedSessions) -> Model {
    let mut model = Model::new();
    copy.sort();
    for group in 0..KEY_GROUPS {
        let mut keyed = Keyed::default();
        copy.take(group, &mut keyed);
        for (row, sessions, names) in keyed.each_key() {
            assert_eq!(group_of(row.user), group);
            let names = String::from_utf8(names.to_vec()).expect("a text");
            let pages = sessions.iter().map(|session| session.pages).collect();
            assert_eq!(model.insert((row.user, row.session), (names, pages)), None, "each key once");
        }
    }
    model
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Another session for a key.
    Add(u64),
    Remove(u64),
    Share,
}

fn step() -> impl Strategy<Value = Step> {
    // More keys of each group than a chunk has.
    let number = 0..800_u64;
    prop_oneof![
        6 => number.clone().prop_map(Step::Add),
        4 => number.prop_map(Step::Remove),
        1 => Just(Step::Share),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_a_map_would(grown in 0..1_500_u64, steps in prop::collection::vec(step(), 0..2_000)) {
        let (mut table, mut model) = (Table::default(), Model::new());
        let mut copies = Vec::new();
        let all = (0..grown).map(Step::Add).chain(steps);
        for (step, pages) in all.zip(1..) {
            match step {
                Step::Add(number) => {
                    let (key, session_id, user_id) = key(number);
                    let place = table.find(key).unwrap_or_else(|| table.insert(key, (&session_id, &user_id)));
                    let ((found_session, found_user), _) = table.get_mut(place);
                    prop_assert_eq!((found_session, found_user), (&*session_id, &*user_id));
                    add(&mut table, place, pages);
                    model.entry(key).or_insert_with(|| (session_id + &user_id, Vec::new())).1.push(pages);
                }
                Step::Remove(number) => {
                    let (key, ..) = key(number);
                    let place = table.find(key);
                    prop_assert_eq!(place.is_some(), model.remove(&key).is_some());
                    if let Some(place) = place {
                        table.remove(place);
                        prop_assert_eq!(table.find(key), None);
                    }
                }
                Step::Share => copies.push((table.share(), model.clone())),
            }
        }
        copies.push((table.share(), model));
        for (copy, model) in copies {
            prop_assert_eq!(shared(copy), model);
        }
    }
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut table = Table::default();
    for round in 0..3 {
        for number in 0..5_000 {
            let (key, session_id, user_id) = key(number);
            let place = table.insert(key, (&session_id, &user_id));
            add(&mut table, place, round);
        }
        for number in 0..5_000 {
            let place = table.find(key(number).0).expect("it was put in");
            table.remove(place);
        }
        assert!(table.chunks.len() <= 20, "places are taken again: {} chunks", table.chunks.len());
        assert!(table.chunks.iter().all(|chunk| chunk.entries.is_empty()), "empty chunks let go");
        assert!(table.parts.iter().all(|part| part.places.capacity() < 100), "and so does the index");
    }
}

#[test]
fn the_text_of_a_chunk_is_made_short_again() {
    let mut table = Table::default();
    let name = "x".repeat(100);
    let keep = table.insert((0, 0), ("kept", "user"));
    add(&mut table, keep, 1);
    for number in 1..5_000 {
        let place = table.insert((0, number), (&name, &name));
        table.remove(place);
    }
    let chunk = &table.chunks[0];
    assert!(chunk.text.capacity() < 1_000, "{} bytes", chunk.text.capacity());
    assert_eq!(table.get_mut(keep).0, ("kept", "user"));
}

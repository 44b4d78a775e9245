//! Every key is looked at when one of its sessions is due, and none is kept in mind for nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_model::DeviceCategory;

use super::*;
use crate::jobs::sessions::keyed::Session;
use crate::jobs::sessions::table::Key;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record of a key at a time.
    Record(u64, i64),
    /// The frontier moves so far.
    Advance(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Within some steps of time, and at their borders.
        5 => (0..30_u64, 0..60_000_i64).prop_map(|(key, at)| Step::Record(key, at)),
        1 => (0..30_u64, 0..15_i64).prop_map(|(key, step)| Step::Record(key, step * STEP_MS)),
        1 => (0..6_000_i64).prop_map(Step::Advance),
        1 => Just(Step::Advance(STEP_MS)),
    ]
}

fn key(number: u64) -> Key {
    (number, 7)
}

/// Looks at what is due, as the job does, and says which keys had a session that was.
fn look(timers: &mut Timers, table: &mut Table, rules: Rules, close_to: EventTime) -> BTreeSet<Place> {
    let places = timers.due(close_to, table);
    let due: BTreeSet<Place> = places.iter().copied().collect();
    assert_eq!(due.len(), places.len(), "each once");
    for place in places {
        let (_, held) = table.get_mut(place);
        assert!(held.timer <= close_to, "none before its time");
        held.timer = EventTime::MAX;
        held.sessions.close(rules, close_to, |_| {});
        if held.sessions.is_empty() {
            table.remove(place);
        } else {
            timers.remind(place, held, rules);
        }
    }
    due
}

proptest! {
    #[test]
    fn every_key_is_looked_at_in_time(
        steps in prop::collection::vec(step(), 0..400),
        gap_ms in prop::sample::select(vec![1, 1_000, STEP_MS, 20_000]),
        lateness_ms in prop::sample::select(vec![0, 500, 10_000]),
    ) {
        let rules = Rules { gap_ms, lateness_ms };
        let (mut table, mut timers) = (Table::default(), Timers::default());
        let mut close_to = EventTime::from_millis(0);
        let end = Step::Advance(1_000_000);
        for step in steps.into_iter().chain([end]) {
            match step {
                Step::Record(number, at) => {
                    let at = EventTime::from_millis(at);
                    if !rules.accepts(at, close_to) {
                        continue;
                    }
                    let found = table.find(key(number));
                    let place = found.unwrap_or_else(|| table.insert(key(number), ("s", "u")));
                    let session =
                        Session { start: at, last: at, pages: 1, device: DeviceCategory::Mobile, emitted: false };
                    let (_, held) = table.get_mut(place);
                    held.sessions.add(session, gap_ms, |_| {});
                    timers.remind(place, held, rules);
                }
                Step::Advance(by) => {
                    close_to = close_to.plus_ms(by);
                    let is_due = |place: &Place| table.get(*place).is_some_and(|held| held.due(rules) <= close_to);
                    let expected: BTreeSet<Place> =
                        (0..30).filter_map(|number| table.find(key(number))).filter(is_due).collect();
                    let looked_at = look(&mut timers, &mut table, rules, close_to);
                    prop_assert!(expected.is_subset(&looked_at), "{expected:?} of {looked_at:?}");
                }
            }
        }
        prop_assert_eq!((0..30).find(|number| table.find(key(*number)).is_some()), None);
        prop_assert!(timers.soon.is_empty() && timers.later.is_empty(), "nothing is kept: {timers:?}");
    }
}

//! The pace as a conversation: what it is told, which ticks it sends.

use std::collections::BTreeMap;

use tidegate_dataflow::hash::HashKey;
use tidegate_model::{Generation, Ledger, PartitionState};

use super::*;

fn at(ms: i64) -> EventTime {
    EventTime::from_millis(ms)
}

fn bound(epoch: u64, end: u64) -> ReplayEpoch {
    let state = PartitionState { end: Offset(end), largest: at(7), active_at: at(7) };
    ReplayEpoch {
        epoch: Epoch(epoch),
        now: at(i64::try_from(epoch).expect("small")),
        journaled: Journaled { close_to: at(-3), partitions: BTreeMap::from([(PartitionId(0), state)]) },
    }
}

fn recovery(replay: Vec<ReplayEpoch>, next: u64) -> Recovery {
    let time = replay
        .last()
        .map_or_else(TimeState::default, |last| TimeState::journaled(last.now, last.journaled.clone()));
    Recovery {
        generation: Generation(1),
        definitions: BTreeMap::new(),
        starts: BTreeMap::new(),
        hash_key: HashKey(0, 0),
        origin: None,
        replay: replay.into_iter().collect(),
        next: Epoch(next),
        time,
        last_records: BTreeMap::new(),
        ledger: Ledger::default(),
        replay_events: 0,
        snapshot: None,
        manifests: Vec::new(),
        named: std::collections::BTreeSet::new(),
        accepted: None,
    }
}

fn facts(now: i64) -> Facts {
    Facts {
        now: at(now),
        complete: Epoch(u64::MAX),
        uncommitted: 0,
        stop: Stop::No,
        records: 0,
        bound: 0,
        snapshot_under_way: false,
    }
}

fn next_of(tick: &Tick) -> (u64, Reading) {
    let plan = tick.next.clone().expect("something follows");
    (plan.epoch.0, plan.reading)
}

#[test]
fn a_new_deployment_goes_live_at_once_and_ticks_by_the_clock() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    let first = pace.step(facts(1_000)).expect("nothing to wait for");
    assert_eq!((first.ends, next_of(&first)), (Epoch(999), (1_000, Reading::Live)));
    let nothing = Journaled { close_to: EventTime::MIN, partitions: BTreeMap::new() };
    assert_eq!(first.close, Close::Journaled(nothing));
    assert_eq!(pace.step(facts(1_099)), None);
    let tick = pace.step(facts(1_100)).expect("100 ms have passed");
    assert_eq!((tick.ends, tick.now, tick.close.clone()), (Epoch(1_000), at(1_100), Close::Decide));
    assert_eq!(next_of(&tick), (1_001, Reading::Live));
}

#[test]
fn a_clock_set_back_does_not_stop_the_ticks() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    assert!(pace.step(facts(-50_000)).is_some());
    assert!(pace.step(facts(-49_950)).is_none());
    assert!(pace.step(facts(-49_900)).is_some());
}

#[test]
fn replay_repeats_what_is_bound_and_then_goes_live() {
    let mut pace = Pace::new(recovery(vec![bound(10, 5), bound(14, 9)], 15), Script::Live, 100, 4);
    let ticks: Vec<Tick> = std::iter::from_fn(|| pace.step(facts(20_000))).collect();
    let [recover, first, second] = &ticks[..] else { panic!("{ticks:?}") };
    let up_to = |end| Reading::UpTo(BTreeMap::from([(PartitionId(0), Offset(end))]));
    assert_eq!((recover.ends, next_of(recover)), (Epoch(9), (10, up_to(5))));
    assert_eq!((first.ends, first.now, next_of(first)), (Epoch(10), at(10), (14, up_to(9))));
    assert_eq!(first.close, Close::Journaled(bound(10, 5).journaled));
    assert_eq!((second.ends, next_of(second)), (Epoch(14), (15, Reading::Live)));
}

#[test]
fn only_so_many_epochs_are_under_way() {
    let replay = (1..100).map(|epoch| bound(epoch, epoch)).collect();
    let mut pace = Pace::new(recovery(replay, 100), Script::Live, 100, 4);
    let stuck = Facts { complete: Epoch(0), ..facts(0) };
    // The first epoch, number 0, counts as complete.
    let ticks = std::iter::from_fn(|| pace.step(stuck)).count() as u64;
    assert_eq!(ticks, EPOCHS_UNDER_WAY_MAX + 1);
    assert!(pace.step(Facts { complete: Epoch(1), ..stuck }).is_some());
}

#[test]
fn live_epochs_get_longer_while_commits_wait() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    assert_eq!(pace.step(Facts { uncommitted: 4, ..facts(5_000) }), None);
    assert!(pace.step(Facts { uncommitted: 3, ..facts(5_000) }).is_some());
}

#[test]
fn a_bounded_run_ends_with_its_last_cut() {
    let cuts = Cuts::default();
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Bounded(cuts.clone()), 100, 4);
    assert_eq!(pace.step(facts(0)), None, "the first epoch is not known yet");
    let cut = |end, last| Cut { ends: BTreeMap::from([(PartitionId(0), Offset(end))]), now: at(3), last };
    cuts.push(cut(5, false), Duration::ZERO).expect("room");
    assert!(pace.step(facts(0)).is_some());
    assert_eq!(pace.step(facts(0)), None, "what follows is not known yet");
    cuts.push(cut(8, true), Duration::ZERO).expect("room");
    let middle = pace.step(facts(0)).expect("the next is known");
    assert_eq!((middle.now, middle.close.clone()), (at(3), Close::Decide));
    let last = pace.step(facts(0)).expect("the last one waits for nothing");
    assert_eq!((last.close.clone(), last.next.clone()), (Close::DecideAndCloseAll, None));
    assert!(pace.ended());
    assert_eq!(pace.step(facts(0)), None);
}

#[test]
fn cuts_wait_for_commits_and_a_stop_waits_for_no_cut() {
    let cuts = Cuts::default();
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Bounded(cuts.clone()), 100, 4);
    for _ in 0..2 {
        let cut = Cut { ends: BTreeMap::new(), now: at(3), last: false };
        cuts.push(cut, Duration::ZERO).expect("room");
    }
    assert!(pace.step(facts(0)).is_some());
    assert_eq!(pace.step(Facts { uncommitted: 4, ..facts(0) }), None);
    assert!(pace.step(facts(0)).is_some());
    assert_eq!(pace.step(facts(0)), None, "the next cut is not known");
    let last = pace.step(Facts { stop: Stop::Now, ..facts(0) }).expect("it ends where it is");
    assert_eq!((last.close, last.next), (Close::Decide, None));
}

#[test]
fn too_many_cuts_have_to_wait() {
    let cuts = Cuts::default();
    let cut = Cut { ends: BTreeMap::new(), now: at(0), last: false };
    for _ in 0..CUTS_WAITING_MAX {
        cuts.push(cut.clone(), Duration::ZERO).expect("room");
    }
    assert_eq!(cuts.push(cut.clone(), Duration::ZERO), Err(cut.clone()));
    assert_eq!(cuts.pop(), Some(cut.clone()));
    assert_eq!(cuts.push(cut, Duration::ZERO), Ok(()));
}

#[test]
fn a_stop_ends_a_live_run_with_the_open_epoch() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    let last = pace.step(Facts { stop: Stop::Now, ..facts(1_001) }).expect("no tick is waited for");
    assert_eq!((last.ends, last.close.clone(), last.next.clone()), (Epoch(1_000), Close::Decide, None));
    assert!(pace.ended());
}

/// A partition that is read up to `position` of `end`.
fn standing(id: u32, position: u64, end: Option<u64>) -> Standing {
    Standing {
        partition: PartitionId(id),
        position: Offset(position),
        look: end.map(Offset),
        largest: at(0),
        watermark: at(0),
        idle: false,
    }
}

/// Ends the next live epoch, of which this is the survey; whether it was the last one.
fn drains(pace: &mut Pace, now: i64, surveyed: &[Standing]) -> bool {
    let tick = pace.step(Facts { stop: Stop::Drained, ..facts(now) }).expect("100 ms have passed");
    pace.surveyed(tick.ends, surveyed);
    tick.next.is_none()
}

#[test]
fn a_drain_ends_when_everything_is_read_that_was_there() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    pace.surveyed(Epoch(999), &[standing(0, 5, Some(5))]);
    assert!(!drains(&mut pace, 1_100, &[standing(0, 5, Some(9)), standing(1, 3, Some(3))]));
    assert!(!drains(&mut pace, 1_200, &[standing(0, 8, Some(50)), standing(1, 3, Some(40))]));
    assert!(!drains(&mut pace, 1_300, &[standing(0, 9, Some(50)), standing(1, 3, None)]));
    let last = pace.step(Facts { stop: Stop::Drained, ..facts(1_301) }).expect("no tick is waited for");
    assert_eq!((last.ends, last.next), (Epoch(1_003), None));
    assert!(pace.ended());
}

#[test]
fn a_drain_trusts_only_looks_that_succeed_after_it_was_asked_for() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    pace.step(facts(1_100)).expect("the second");
    assert_eq!(pace.step(Facts { stop: Stop::Drained, ..facts(1_101) }), None, "asked for during 1001");
    pace.surveyed(Epoch(1_000), &[standing(0, 5, Some(5))]);
    assert!(!drains(&mut pace, 1_200, &[standing(0, 5, None), standing(1, 3, Some(3))]), "that was before");
    assert!(!drains(&mut pace, 1_300, &[standing(0, 5, Some(6)), standing(1, 3, Some(3))]), "a look failed");
    assert!(!drains(&mut pace, 1_400, &[standing(0, 6, Some(6)), standing(1, 3, Some(3))]));
    assert!(drains(&mut pace, 1_401, &[]));
}

#[test]
fn a_stop_cuts_a_drain_short() {
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Live, 100, 4);
    pace.step(facts(1_000)).expect("the first");
    assert!(!drains(&mut pace, 1_100, &[standing(0, 5, Some(9))]));
    assert_eq!(pace.step(Facts { stop: Stop::Now, ..facts(1_101) }).expect("at once").next, None);
}

#[test]
fn a_drain_replays_first_and_reads_what_is_new() {
    let mut pace = Pace::new(recovery(vec![bound(10, 5)], 11), Script::Live, 100, 4);
    let asked = Facts { stop: Stop::Drained, ..facts(0) };
    let ticks: Vec<Tick> = std::iter::from_fn(|| pace.step(asked)).collect();
    assert_eq!(ticks.last().map(next_of), Some((11, Reading::Live)));
    pace.surveyed(Epoch(9), &[]);
    pace.surveyed(Epoch(10), &[standing(0, 5, Some(5))]);
    let new = standing(1, 2, Some(7));
    assert!(!drains(&mut pace, 100, &[standing(0, 5, Some(5)), new]), "a partition that no epoch bound");
    assert!(!drains(&mut pace, 200, &[standing(0, 5, Some(5)), Standing { position: Offset(7), ..new }]));
    assert!(drains(&mut pace, 201, &[]));
}

#[test]
fn a_bounded_run_has_no_end_to_drain_to() {
    let cuts = Cuts::default();
    let mut pace = Pace::new(recovery(Vec::new(), 1_000), Script::Bounded(cuts), 100, 4);
    let last = pace.step(Facts { stop: Stop::Drained, ..facts(0) }).expect("it ends where it is");
    assert_eq!(last.next, None);
}

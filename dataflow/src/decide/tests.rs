//! `decide` as a table: what is known, what is stated, what follows. Times are seconds after noon.

use super::*;
use crate::survey::Appended;
use tidegate_model::Offset;

const NOON_MS: i64 = 1_600_000_000_000;

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(NOON_MS + seconds * 1_000)
}

/// A partition before the epoch: where it stood, the largest time seen, when it last gave a record.
fn partition(end: u64, largest: EventTime, active_at: EventTime) -> PartitionState {
    PartitionState { end: Offset(end), largest, active_at }
}

fn state(now: i64, frontier: i64, partitions: &[(u32, PartitionState)]) -> TimeState {
    let partitions = partitions.iter().map(|(id, state)| (PartitionId(*id), *state)).collect();
    TimeState { now: at(now), frontier: at(frontier), partitions }
}

/// A partition that was read to its end.
fn at_end(id: u32, position: u64, largest: EventTime) -> Statement {
    let position = Offset(position);
    Statement {
        partition: PartitionId(id),
        position,
        largest,
        latest: largest,
        look: Some(position),
        records: 0,
        appended: None,
        last: None,
    }
}

fn decided(previous: &TimeState, statements: &[Statement], now: i64) -> Decision {
    decide(&TimeSettings::default(), previous, statements, at(now), None)
}

#[test]
fn the_watermark_is_the_largest_time_less_the_bound() {
    let before = state(0, -20, &[(0, partition(5, at(-10), at(0)))]);
    let decision = decided(&before, &[at_end(0, 6, at(1))], 1);
    assert_eq!(decision.state.frontier, at(-9));
    assert!(decision.journal);
}

#[test]
fn an_older_record_does_not_take_it_back() {
    let before = state(0, -10, &[(0, partition(5, at(0), at(0)))]);
    let decision = decided(&before, &[at_end(0, 6, at(-30))], 1);
    assert_eq!(decision.state.frontier, at(-10));
    assert_eq!(decision.state.partitions[&PartitionId(0)].largest, at(0));
}

#[test]
fn the_slowest_partition_counts() {
    let before = state(0, -60, &[(0, partition(1, at(-50), at(0))), (1, partition(1, at(-20), at(0)))]);
    let decision = decided(&before, &[at_end(0, 2, at(-30)), at_end(1, 2, at(0))], 1);
    assert_eq!(decision.state.frontier, at(-40));
}

#[test]
fn a_partition_without_a_record_that_was_not_looked_at_holds_everything() {
    let unread = Statement { look: None, ..at_end(1, 0, EventTime::MIN) };
    let before = TimeState::default();
    let first = decided(&before, &[at_end(0, 1, at(0)), unread], 0);
    assert_eq!(first.state.frontier, EventTime::MIN);
    let later = decided(&first.state, &[at_end(0, 2, at(100)), unread], 100);
    assert_eq!(later.state.frontier, EventTime::MIN, "it was not read to its end in all that time");
}

#[test]
fn a_silent_partition_is_idle_after_five_seconds_and_not_before() {
    let silent = partition(3, at(-100), at(0));
    let before = state(0, -110, &[(0, partition(1, at(0), at(0))), (1, silent)]);
    let statements = |position, time| [at_end(0, position, at(time)), at_end(1, 3, EventTime::MIN)];
    let waiting = decide(&TimeSettings::default(), &before, &statements(2, 4), at(5).minus_ms(1), None);
    assert_eq!(waiting.state.frontier, at(-110));
    assert_eq!(decided(&before, &statements(2, 4), 5).state.frontier, at(-6));
}

#[test]
fn silence_is_no_idleness_without_a_look_at_the_end() {
    let before = state(0, -110, &[(0, partition(1, at(0), at(0))), (1, partition(3, at(-100), at(0)))]);
    for look in [None, Some(Offset(4))] {
        let behind = Statement { look, ..at_end(1, 3, EventTime::MIN) };
        let decision = decided(&before, &[at_end(0, 2, at(50)), behind], 60);
        assert_eq!(decision.state.frontier, at(-110), "{look:?}");
    }
}

#[test]
fn when_all_are_idle_time_goes_on_at_the_clocks_rate() {
    let quiet = [at_end(0, 1, EventTime::MIN)];
    let live = state(20, -2, &[(0, partition(1, at(8), at(8)))]);
    assert_eq!(decided(&live, &quiet, 23).state.frontier, at(1));

    // A backfill of old data that pauses for a minute loses a minute.
    let backfill = state(20, -90_000, &[(0, partition(1, at(-89_990), at(8)))]);
    assert_eq!(decided(&backfill, &quiet, 80).state.frontier, at(-89_940));
}

#[test]
fn the_clock_less_the_bound_is_never_passed() {
    let before = state(20, 11, &[(0, partition(1, at(21), at(10)))]);
    let decision = decided(&before, &[at_end(0, 1, EventTime::MIN)], 22);
    assert_eq!(decision.state.frontier, at(12), "two seconds passed, and ten behind the clock is 12");
    let ahead = state(20, 15, &[(0, partition(1, at(25), at(10)))]);
    assert_eq!(decided(&ahead, &[at_end(0, 1, EventTime::MIN)], 21).state.frontier, at(15));
}

#[test]
fn a_clock_that_is_set_back_stops_time() {
    let before = state(100, 80, &[(0, partition(1, at(90), at(10)))]);
    let quiet = [at_end(0, 1, EventTime::MIN)];
    let decision = decided(&before, &quiet, -500);
    assert_eq!((decision.state.now, decision.state.frontier), (at(100), at(80)));
    assert!(!decision.journal);
    let record = decided(&before, &[at_end(0, 2, at(91))], -500);
    assert_eq!(record.state.now, at(100));
    assert_eq!(record.state.frontier, at(81));
}

#[test]
fn a_quiet_system_journals_once_a_second() {
    let before = state(100, 80, &[(0, partition(1, at(90), at(90)))]);
    let quiet = [at_end(0, 1, EventTime::MIN)];
    let early = decide(&TimeSettings::default(), &before, &quiet, at(101).minus_ms(1), None);
    assert!(!early.journal);
    assert_eq!(early.state, before, "what is not journaled changes nothing");
    let due = decided(&before, &quiet, 101);
    assert!(due.journal);
    assert_eq!(due.state.frontier, at(81));
}

#[test]
fn nothing_is_journaled_when_time_stands_still() {
    let before = state(100, 90, &[(0, partition(1, at(100), at(99)))]);
    let decision = decided(&before, &[at_end(0, 1, EventTime::MIN)], 103);
    assert_eq!(decision.state.frontier, at(90), "the partition is not idle yet");
    assert!(!decision.journal);
}

#[test]
fn a_new_partition_joins_with_nothing_and_is_journaled() {
    let before = state(100, 80, &[(0, partition(1, at(90), at(99)))]);
    let statements = [at_end(0, 1, EventTime::MIN), at_end(1, 0, EventTime::MIN)];
    let decision = decided(&before, &statements, 101);
    assert!(decision.journal);
    assert_eq!(decision.state.partitions[&PartitionId(1)], partition(0, EventTime::MIN, at(101)));
    assert_eq!(decision.state.frontier, at(80), "it holds the others until it is idle");
    let joined = decided(&decision.state, &statements, 106);
    assert_eq!(joined.state.frontier, at(85), "all are idle: five seconds at the clock's rate");
}

#[test]
fn without_partitions_time_stands() {
    let decision = decided(&TimeState::default(), &[], 100);
    assert_eq!(decision.state, TimeState::default());
    assert!(!decision.journal);
}

#[test]
fn the_end_of_the_input_closes_everything_at_once() {
    let before = state(100, 80, &[(0, partition(1, at(90), at(100)))]);
    let quiet = [at_end(0, 1, EventTime::MIN)];
    let decision = decide(&TimeSettings::default(), &before, &quiet, at(100), Some(at(2_000)));
    assert!(decision.journal);
    assert_eq!(decision.state.frontier, at(2_000));
}

#[test]
fn nobody_runs_ahead_while_two_have_a_backlog() {
    let behind = |id| Statement { look: Some(Offset(100)), ..at_end(id, 1, at(0)) };
    let both = decided(&TimeState::default(), &[behind(0), behind(1)], 0);
    assert_eq!(both.hold_above, at(600), "ten minutes ahead of the frontier, the bound included");
    let one = decided(&TimeState::default(), &[behind(0), at_end(1, 1, at(0))], 0);
    assert_eq!(one.hold_above, EventTime::MAX);
}

/// What holds the frontier: the partitions by number, each with its reason, or what else does.
fn holder(decision: &Decision) -> String {
    match &decision.survey.holder {
        Holder::Partitions(partitions) => {
            let each = partitions.iter().map(|(id, reason)| format!("{id} {}", reason.as_str()));
            each.collect::<Vec<_>>().join(", ")
        }
        other => other.as_str().to_owned(),
    }
}

#[test]
fn what_holds_the_frontier_is_named_with_its_reason() {
    let fast = (0, partition(1, at(0), at(0)));
    let silent = (1, partition(3, at(-100), at(0)));
    let before = state(0, -110, &[fast, silent]);
    let new = state(0, -110, &[fast, (1, partition(0, EventTime::MIN, at(0)))]);
    let backlog = |id| Statement { look: Some(Offset(100)), ..at_end(id, 3, EventTime::MIN) };
    let unknown = |id| Statement { look: None, ..at_end(id, 3, EventTime::MIN) };
    let quiet = |id, position| at_end(id, position, EventTime::MIN);
    let same = Statement { largest: at(-100), ..quiet(2, 7) };
    for (known, statements, now, expected) in [
        (&before, vec![at_end(0, 2, at(4)), quiet(1, 3)], 4, "1 lowest_watermark"),
        (&before, vec![at_end(0, 2, at(5)), quiet(1, 3)], 5, "0 lowest_watermark"),
        (&before, vec![at_end(0, 2, at(60)), unknown(1)], 60, "1 look_failed"),
        (&before, vec![at_end(0, 2, at(60))], 60, "1 look_failed"),
        (&before, vec![at_end(0, 2, at(60)), backlog(1)], 60, "1 backlog"),
        (&new, vec![at_end(0, 2, at(4)), quiet(1, 0)], 4, "1 no_record"),
        (&before, vec![quiet(0, 1), quiet(1, 3), same], 4, "1 lowest_watermark, 2 lowest_watermark"),
        (&before, vec![quiet(0, 1), quiet(1, 3)], 60, "clock"),
        (&TimeState::default(), vec![], 60, "no_partition"),
    ] {
        assert_eq!(holder(&decided(known, &statements, now)), expected, "{statements:?} at {now}");
    }
    let settings = TimeSettings::default();
    let ended = decide(&settings, &before, &[quiet(0, 1), quiet(1, 3)], at(0), Some(at(900)));
    assert_eq!(holder(&ended), "end_of_input");
    let journaled = Journaled { close_to: at(-50), partitions: before.partitions.clone() };
    let replayed = Decision::journaled(&settings, at(60), journaled, &[backlog(0)]);
    assert_eq!(holder(&replayed), "journal");
}

#[test]
fn the_survey_tells_where_every_partition_stands() {
    let before = state(0, -110, &[(0, partition(1, at(0), at(0))), (1, partition(3, at(-100), at(0)))]);
    let appended = |oldest, newest| Some(Appended { oldest: at(oldest), newest: at(newest) });
    let first =
        Statement { look: Some(Offset(9)), records: 3, appended: appended(2, 5), ..at_end(0, 4, at(5)) };
    let second = Statement { records: 0, ..at_end(1, 3, EventTime::MIN) };
    let third = Statement { records: 1, appended: appended(1, 1), ..at_end(2, 1, at(1)) };
    let survey = decided(&before, &[third, first, second], 6).survey;
    assert_eq!((survey.now, survey.records, survey.appended), (at(6), 4, appended(1, 5)));
    let seen: Vec<_> = survey
        .standings
        .iter()
        .map(|it| (it.partition.0, it.position.0, it.lag_records(), it.watermark, it.idle))
        .collect();
    let expected =
        [(0, 4, Some(5), at(-5), false), (1, 3, Some(0), at(-110), true), (2, 1, Some(0), at(-9), false)];
    assert_eq!(seen, expected);
}

#[test]
fn an_epoch_that_is_not_journaled_is_surveyed_all_the_same() {
    let before = state(100, 94, &[(0, partition(1, at(100), at(99)))]);
    let decision = decided(&before, &[at_end(0, 1, EventTime::MIN)], 104);
    assert!(!decision.journal);
    assert_eq!((decision.state.now, decision.survey.now), (at(100), at(104)));
    assert!(decision.survey.standings[0].idle, "five seconds have passed since 99");
}

//! The sink as a state machine: what it reads, stores, acknowledges, and how it goes on after failures.

mod common;

use tidegate_model::EventTime;
use tidegate_model::row::Op;
use tidegate_sinks::store::{Applied, Expiry, Gap, NewLog, Positions};
use tidegate_sinks::{Batch, Config, MetricStore, Sink, SinkError, SqliteStore, StoreError};

use common::{EVENTS, MemoryLog, Place, event_json};

const NOW: EventTime = EventTime::from_millis(0);

/// Rows for minutes 0, 1, 2, … of one event type, counted by their minute.
fn log_of(rows: i64) -> MemoryLog {
    let log = MemoryLog::default();
    for minute in 0..rows {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", minute.cast_unsigned()));
    }
    log
}

fn run(log: &MemoryLog, place: &Place, config: Config) {
    let mut sink = Sink::new(log.clone(), place.store(), config);
    while !sink.step(NOW).expect("a step").caught_up {}
}

#[test]
fn a_step_reads_a_limited_number_of_rows_and_says_when_there_are_no_more() {
    let (log, place) = (log_of(25), Place::new());
    let mut sink =
        Sink::new(log.clone(), place.store(), Config { rows_per_topic_max: 10, ..Config::default() });
    let mut steps = Vec::new();
    for _ in 0..4 {
        let progress = sink.step(NOW).expect("a step");
        steps.push((progress.applied.put, progress.caught_up, log.acknowledged(EVENTS, 0)));
    }
    let expected = [(10, false, Some(10)), (10, false, Some(20)), (5, false, Some(25)), (0, true, Some(25))];
    assert_eq!(steps, expected);
    assert_eq!(sink.totals().put, 25);
}

#[test]
fn the_limit_is_shared_by_the_partitions_of_a_topic_in_turns() {
    let (log, place) = (MemoryLog::default(), Place::new());
    for minute in 0..20 {
        for partition in 0..3 {
            log.push(EVENTS, partition, 5, Op::Final, event_json(minute, &partition.to_string(), 1));
        }
    }
    let mut sink =
        Sink::new(log.clone(), place.store(), Config { rows_per_topic_max: 5, ..Config::default() });
    for _ in 0..3 {
        assert_eq!(sink.step(NOW).expect("a step").applied.put, 5);
    }
    for partition in 0..3 {
        assert_eq!(log.acknowledged(EVENTS, partition), Some(5), "each partition had its turn");
    }
    while !sink.step(NOW).expect("a step").caught_up {}
    assert_eq!(place.dump(EVENTS).len(), 60);
}

#[test]
fn a_batch_is_limited_in_bytes_but_holds_a_row_at_least() {
    let (log, place) = (log_of(10), Place::new());
    let row_bytes = event_json(0, "click", 0).len();
    for (batch_bytes_max, rows) in [(0, 0), (1, 1), (row_bytes, 1), (row_bytes + 1, 2), (3 * row_bytes, 3)] {
        let place = Place::new();
        let config = Config { batch_bytes_max: batch_bytes_max.max(1), ..Config::default() };
        let progress = Sink::new(log.clone(), place.store(), config).step(NOW).expect("a step");
        assert_eq!(progress.applied.put, rows.max(1), "{batch_bytes_max}");
    }
    run(&log, &place, Config { batch_bytes_max: row_bytes + 1, ..Config::default() });
    assert_eq!(place.dump(EVENTS).len(), 10);
}

#[test]
fn a_topic_may_have_another_name_than_its_table() {
    let (log, place) = (MemoryLog::default(), Place::new());
    log.push("their_metrics", 0, 5, Op::Final, event_json(0, "click", 1));
    log.push(EVENTS, 0, 5, Op::Final, event_json(1, "click", 1));
    run(&log, &place, Config::default().with_topic(EVENTS, "their_metrics"));
    assert_eq!(place.dump(EVENTS).len(), 1);
    assert_eq!(place.dump("sink_positions")[0][0], "their_metrics");
}

/// The old job's rows have neither epoch nor op: the last one wins.
#[test]
fn rows_without_headers_replace_each_other() {
    let (log, place) = (MemoryLog::default(), Place::new());
    for count in [1, 3, 2] {
        let json = format!(
            r#"{{"event_type":"click","window_start":"2015-05-17 10:05:00","window_end":"2015-05-17 10:06:00","event_count":{count},"user_count":1}}"#
        );
        log.push(EVENTS, 0, 0, Op::Final, json);
    }
    run(&log, &place, Config::default());
    let expected = ["2015-05-17 10:05:00.000", "2015-05-17 10:06:00.000", "click", "2", "1", "0", "0", "2"];
    assert_eq!(place.dump(EVENTS), [expected]);
}

#[test]
fn a_row_that_does_not_fit_is_put_aside_and_named_and_the_others_go_on() {
    let (log, place) = (log_of(1), Place::new());
    log.push(EVENTS, 0, 6, Op::Correct, r#"{"window_start":"soon"}"#);
    log.push(EVENTS, 0, 6, Op::Final, b"\xff\xfe");
    log.push(EVENTS, 0, u64::MAX, Op::Final, event_json(3, "click", 1));
    log.push(EVENTS, 0, 7, Op::Final, event_json(2, "click", 1));
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    let applied = sink.step(NOW).expect("a step").applied;
    assert_eq!((applied.put, applied.unreadable), (2, 3));
    assert_eq!(
        applied.first_unreadable.expect("one is named").to_string(),
        "row 1 of partition 0 of topic event_metrics does not fit its table: column window_start is \"soon\", \
         expected an instant such as \"2015-05-17T10:05:03.000Z\""
    );
    assert_eq!(log.acknowledged(EVENTS, 0), Some(5));
    let kept = place.dump("unreadable_rows");
    assert_eq!(kept[0][3], r#"{"window_start":"soon"}"#);
    assert!(kept[1][2].starts_with("header epoch is 18446744073709551615"), "{:?}", kept[1]);
    assert_eq!(kept[2][3], "[ff, fe]", "bytes that are no text are kept as bytes");
    run(&log, &place, Config::default());
    assert_eq!(place.dump("unreadable_rows"), kept);
}

#[test]
fn a_death_between_storing_and_acknowledging_loses_and_repeats_nothing() {
    let (log, place) = (log_of(10), Place::new());
    log.fail_acknowledgements(1);
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    let error = sink.step(NOW).expect_err("the log could not be told");
    assert!(matches!(error, SinkError::Acknowledge { .. }), "{error}");
    assert_eq!(sink.totals().put, 10);
    drop(sink);
    let before = place.dump_all();
    assert_eq!(log.acknowledged(EVENTS, 0), None);

    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    let progress = sink.step(NOW).expect("a step");
    assert_eq!((progress.applied, progress.caught_up), (Applied::default(), true));
    assert_eq!(log.acknowledged(EVENTS, 0), Some(10), "the log is told by whoever comes next");
    assert_eq!(place.dump_all(), before);
}

#[test]
fn a_failed_acknowledgement_is_made_up_for_by_the_next_step() {
    let (log, place) = (log_of(10), Place::new());
    log.fail_acknowledgements(2);
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    sink.step(NOW).expect_err("the log could not be told");
    sink.step(NOW).expect_err("nor again");
    assert!(sink.step(NOW).expect("a step").caught_up);
    assert_eq!(log.acknowledged(EVENTS, 0), Some(10));
}

#[test]
fn offsets_without_rows_are_read_over_and_never_written_alone() {
    let (log, place) = (log_of(3), Place::new());
    for _ in 0..4 {
        log.leave_out(EVENTS, 0);
    }
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    while !sink.step(NOW).expect("a step").caught_up {}
    log.leave_out(EVENTS, 0);
    assert!(sink.step(NOW).expect("a step").caught_up);
    assert_eq!(log.acknowledged(EVENTS, 0), Some(7));
    log.take_reads();
    sink.step(NOW).expect("a step");
    assert_eq!(log.take_reads(), [(EVENTS.to_owned(), 0, 8)]);
    log.push(EVENTS, 0, 6, Op::Final, event_json(9, "click", 9));
    assert_eq!(sink.step(NOW).expect("a step").applied.put, 1);
    assert_eq!(place.dump(EVENTS).len(), 4);
}

#[test]
fn a_partition_that_cannot_be_read_does_not_hold_up_the_others() {
    let (log, place) = (log_of(3), Place::new());
    for partition in 1..3 {
        log.push(EVENTS, partition, 5, Op::Final, event_json(0, &partition.to_string(), 1));
    }
    log.damage(EVENTS, 1);
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    let error = sink.step(NOW).expect_err("a partition cannot be read");
    assert_eq!(error.to_string(), "cannot read partition 1 of topic event_metrics from offset 0 on");
    assert_eq!(log.acknowledged(EVENTS, 0), Some(3));
    assert_eq!(log.acknowledged(EVENTS, 2), Some(1));
}

#[test]
fn rows_removed_before_they_were_stored_are_an_error_unless_the_gap_is_accepted() {
    let (log, place) = (log_of(2), Place::new());
    run(&log, &place, Config::default());
    for minute in 2..10 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    log.remove_before(EVENTS, 0, 4);
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    for _ in 0..2 {
        let error = sink.step(NOW).expect_err("rows are gone").to_string();
        assert!(
            error.starts_with("offsets 2 to 4 (exclusive) of partition 0 of topic event_metrics are gone"),
            "{error}"
        );
        assert!(error.ends_with("--accept-gap"), "{error}");
    }
    assert_eq!(place.dump(EVENTS).len(), 2);
    run(&log, &place, Config { accept_gap: true, ..Config::default() });
    assert_eq!(place.dump(EVENTS).len(), 8);
    assert_eq!(place.dump("sink_gaps"), [[EVENTS, "0", "2", "4"]]);
}

/// The new log has as many rows as the old one had by the time that it is looked at again.
#[test]
fn a_partition_that_was_wiped_while_the_sink_runs_is_begun_anew() {
    let (log, place) = (log_of(2), Place::new());
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    while !sink.step(NOW).expect("a step").caught_up {}
    log.wipe(EVENTS, 0);
    assert!(sink.step(NOW).expect("an empty partition says nothing").caught_up);
    for minute in 2..4 {
        log.push(EVENTS, 0, 7, Op::Final, event_json(minute, "click", 1));
    }
    let mut adopted = 0;
    loop {
        let progress = sink.step(NOW).expect("all its rows are newer");
        adopted += progress.adopted;
        if progress.caught_up {
            break;
        }
    }
    assert_eq!((adopted, place.dump(EVENTS).len()), (1, 4));
}

/// A store that is put beside a deployment of some age: nothing can be missing in it that it ever had.
#[test]
fn a_new_store_begins_with_what_the_log_still_has() {
    let (log, place) = (log_of(10), Place::new());
    log.remove_before(EVENTS, 0, 4);
    run(&log, &place, Config::default());
    assert_eq!(place.dump(EVENTS).len(), 6);
    assert_eq!(place.dump("sink_gaps"), [[EVENTS, "0", "0", "4"]]);
}

#[test]
fn rows_that_were_stored_may_be_removed_from_the_log() {
    let (log, place) = (log_of(10), Place::new());
    run(&log, &place, Config::default());
    log.remove_before(EVENTS, 0, 10);
    run(&log, &place, Config::default());
    log.push(EVENTS, 0, 6, Op::Final, event_json(20, "click", 1));
    run(&log, &place, Config::default());
    assert_eq!(place.dump(EVENTS).len(), 11);
}

/// A log whose rows are not all newer than those of the store may be the same one, cut off or restored.
#[test]
fn another_log_than_the_one_the_rows_came_from_is_refused() {
    let place = Place::new();
    run(&log_of(10), &place, Config::default());
    let other_epoch = log_of(9);
    for minute in 9..20 {
        other_epoch.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 1));
    }
    for (log, found) in [
        (other_epoch, "the log has offset 9 of epoch 6 there"),
        (log_of(9), "the log ends before it"),
        (log_of(3), "the log ends at offset 3 (exclusive)"),
    ] {
        let before = place.dump_all();
        let error = Sink::new(log.clone(), place.store(), Config::default()).step(NOW);
        let error = error.expect_err("it is another log").to_string();
        assert!(error.contains(found), "{error}");
        assert!(
            error.contains("rows up to offset 9 (epoch 5) of partition 0 of topic event_metrics"),
            "{error}"
        );
        assert_eq!(log.acknowledged(EVENTS, 0), None);
        assert_eq!(place.dump_all(), before);
    }
}

/// The log was wiped. What comes into the new one is stored beside what there was, be it shorter or longer than
/// the old one.
#[test]
fn a_log_whose_rows_are_all_newer_takes_the_place_of_the_old_one() {
    for rows in [4, 20] {
        let place = Place::new();
        run(&log_of(10), &place, Config::default());
        let log = MemoryLog::default();
        log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
        log.remove_before(EVENTS, 0, 1);
        let mut sink = Sink::new(log.clone(), place.store(), Config::default());
        let progress = sink.step(NOW).expect("an empty log says nothing");
        assert!(progress.caught_up && progress.adopted == 0, "{progress:?}");
        for minute in 8..8 + rows {
            log.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 7));
        }
        let progress = sink.step(NOW).expect("all its rows are newer");
        assert_eq!((progress.adopted, progress.applied.put), (1, rows.cast_unsigned()));
        assert!(sink.step(NOW).expect("it goes on").caught_up);
        let kept = 8 + usize::try_from(rows).expect("a few");
        assert_eq!(place.dump(EVENTS).len(), kept, "of two rows of a key the new one is there");
        assert_eq!(log.acknowledged(EVENTS, 0), Some(1 + rows.cast_unsigned()));
        // Whoever starts anew knows which log it is.
        log.push(EVENTS, 0, 7, Op::Final, event_json(90, "click", 7));
        run(&log, &place, Config::default());
        assert_eq!(place.dump(EVENTS).len(), kept + 1);
    }
}

/// The new log is as long as the old one: the position looks as if nothing had happened.
#[test]
fn a_log_that_was_away_is_compared_when_it_answers_again() {
    let (log, place) = (log_of(10), Place::new());
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    while !sink.step(NOW).expect("a step").caught_up {}
    log.set_away(true);
    let error = sink.step(NOW).expect_err("nobody answers");
    assert!(matches!(error, SinkError::Partitions { .. }), "{error}");
    log.wipe(EVENTS, 0);
    for minute in 20..30 {
        log.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 7));
    }
    log.set_away(false);
    let progress = sink.step(NOW).expect("it answers");
    assert_eq!((progress.adopted, progress.applied.put), (1, 10));
    assert_eq!(place.dump(EVENTS).len(), 20);
}

#[test]
fn retention_works_by_event_time_a_limited_number_a_step_and_not_at_every_step() {
    let (log, place) = (log_of(60), Place::new());
    let config = Config {
        retention_ms: Some(600_000),
        retention_every_ms: 1_000,
        retention_rows_max: 30,
        ..Config::default()
    };
    let mut sink = Sink::new(log.clone(), place.store(), config);
    let at = |ms: i64| EventTime::from_millis(100 * 60_000 + ms);
    let expired = |sink: &mut Sink<_, _>, now| sink.step(now).expect("a step").expired;
    assert_eq!(expired(&mut sink, at(0)), 30, "the limit");
    assert_eq!(expired(&mut sink, at(0)), 18, "the rest follows at once");
    let oldest = common::dump(&place.file(), "SELECT min(window_start), count(*) FROM event_metrics");
    assert_eq!(
        oldest,
        [["1970-01-01 00:48:00.000", "12"]],
        "newest start 00:59 less ten minutes is the end of 00:48"
    );
    log.push(EVENTS, 0, 6, Op::Final, event_json(60, "click", 1));
    assert_eq!(expired(&mut sink, at(999)), 0, "not yet due");
    assert_eq!(expired(&mut sink, at(1_000)), 1);
    log.push(EVENTS, 0, 7, Op::Final, event_json(61, "click", 1));
    assert_eq!(expired(&mut sink, at(0)), 1, "a clock set back does not put it off");
    log.push(EVENTS, 0, 8, Op::Final, event_json(1_000_000, "click", 1));
    assert_eq!(expired(&mut sink, at(5_000)), 12, "of a row of the far future, the clock is right");
    assert_eq!(place.dump(EVENTS).len(), 1);
}

/// Fails one call, before or after it took place, and works again.
struct Failing {
    store: SqliteStore,
    calls: usize,
    fails_at: usize,
    after: bool,
}

impl Failing {
    fn call<T>(
        &mut self,
        act: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.calls += 1;
        let fails = self.calls == self.fails_at;
        let error =
            StoreError::Indefinite { path: "metrics.db".to_owned(), reason: "told to fail".to_owned() };
        if fails && !self.after {
            return Err(error);
        }
        let result = act(&mut self.store)?;
        if fails { Err(error) } else { Ok(result) }
    }
}

impl MetricStore for Failing {
    fn positions(&mut self) -> Result<Positions, StoreError> {
        self.call(MetricStore::positions)
    }
    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        self.call(|store| store.apply(batch))
    }
    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError> {
        self.call(|store| store.skip(gap))
    }
    fn adopt(&mut self, log: &NewLog) -> Result<(), StoreError> {
        self.call(|store| store.adopt(log))
    }
    fn expire(&mut self, expiry: Expiry) -> Result<u64, StoreError> {
        self.call(|store| store.expire(expiry))
    }
}

/// Whichever call of the store's fails, before or after it took place, and whether the sink lives on or
/// is made anew: the tables end up the same.
#[test]
fn any_call_of_the_stores_may_fail_once() {
    let log = MemoryLog::default();
    for minute in 0..12_i64 {
        for partition in 0..2 {
            let count = minute.cast_unsigned();
            log.push(EVENTS, partition, 5, Op::Final, event_json(minute % 4, &partition.to_string(), count));
        }
        if minute % 3 == 2 {
            log.push(EVENTS, 0, 6, Op::Retract, event_json(minute % 4, "0", 0));
        }
    }
    log.remove_before(EVENTS, 1, 2);
    let config = Config {
        rows_per_topic_max: 3,
        accept_gap: true,
        retention_ms: Some(0),
        retention_every_ms: 0,
        ..Config::default()
    };
    let undisturbed = Place::new();
    run(&log, &undisturbed, config.clone());
    let expected = undisturbed.dump_all();
    for fails_at in 1.. {
        let mut calls = 0;
        for (after, anew) in [(false, false), (false, true), (true, false), (true, true)] {
            let place = Place::new();
            let store = Failing { store: place.store(), calls: 0, fails_at, after };
            let mut sink = Sink::new(log.clone(), store, config.clone());
            loop {
                match sink.step(NOW) {
                    Ok(progress) if progress.caught_up => break,
                    Ok(_) => {}
                    Err(error) => {
                        assert!(!error.is_definite(), "{error}");
                        if anew {
                            let (reader, store) = sink.into_parts();
                            sink = Sink::new(reader, store, config.clone());
                        }
                    }
                }
            }
            calls = sink.store().calls;
            assert_eq!(place.dump_all(), expected, "call {fails_at} failed, after: {after}, anew: {anew}");
        }
        if calls < fails_at {
            break;
        }
    }
}

//! Live runs on the embedded log: committed once, replayed by any number of workers.
#![allow(missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::faults::Faults;
use support::{Deployment, NOON_MS, open, open_with};
use tidegate_log::{EventAppender as _, EventReader as _, Journal as _, NewEvent};
use tidegate_model::{Binding, EventTime, Offset, PartitionId};
use tidegate_runner::{Cut, Cuts, Script};

/// No key of a table may be final twice.
fn assert_no_duplicates(rows: &[String]) {
    let mut seen = BTreeMap::new();
    for row in rows {
        *seen.entry(row).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:#?}");
}

#[test]
fn restarts_with_other_workers_say_nothing_twice_and_forget_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path(), 2, NOON_MS);
    for second in 0..90 {
        first.append(&format!("u{}", second % 5), NOON_MS + second * 1_000);
        first.clock.0.store(NOON_MS + second * 1_000, Ordering::SeqCst);
    }
    first.until("the events are committed", 0, |it| it.accepted() == 90);
    let frontier = first.frontier_ms();
    let rows_before = first.stop();
    assert_no_duplicates(&rows_before);

    // Another number of workers replays what is bound and goes on; nothing is said again.
    let now = NOON_MS + 90_000;
    let second = open(dir.path(), 4, now);
    second.until("the replay", 0, |it| it.running.status().progress().live());
    assert!(second.frontier_ms() >= frontier);
    second.append("u0", now);
    second.until("the new event is committed", 0, |it| it.accepted() == 91);
    second.until("every session is closed", 20, |it| it.frontier_ms() > now + 30_000 + 330_000);
    let rows_after = second.stop();
    assert_no_duplicates(&rows_after);
    assert!(rows_before.iter().all(|row| rows_after.contains(row)), "what was said stands");
    let sessions: Vec<_> = rows_after.iter().filter(|row| row.starts_with("session_metrics")).collect();
    assert_eq!(sessions.len(), 5, "{sessions:#?}");
    assert!(
        sessions.iter().any(|row| row.contains(r#""user_id":"u0""#) && row.contains(r#""page_count":19"#))
    );

    // Nothing new: a third start changes nothing at all.
    let third = open(dir.path(), 1, now + 1_000_000);
    third.until("the replay", 0, |it| it.running.status().progress().live());
    assert_eq!(third.stop(), rows_after);
}

#[test]
fn an_event_of_the_future_and_a_broken_one_are_kept_as_they_came() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = open(dir.path(), 2, NOON_MS);
    run.append("u1", NOON_MS + 61_000);
    let appender = run.log.appender();
    let broken = NewEvent { partition: PartitionId(0), key: String::new(), value: b"{\"event\":".to_vec() };
    appender.append_blocking(vec![broken]).expect("the log takes any bytes");
    run.until("both are committed", 0, |it| it.accepted() == 2);
    let progress = run.running.status().progress();
    let counts = progress.ledger.jobs["EventAggregator"];
    assert_eq!((counts.future, counts.rejected, counts.counted), (1, 1, 0));
    let rows = run.stop();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().any(|row| row == "dropped_events final {\"event\":"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("\"user\":{\"id\":\"u1\"}")), "{rows:#?}");
}

/// A bounded run over cuts of which each holds ten events of one busy user; a second user, in another
/// partition, has a single event in the fourth. Returns the frontier of every binding.
fn frontiers_of_bounded_run(all_appended_first: bool) -> Vec<i64> {
    let dir = tempfile::tempdir().expect("a directory");
    let cuts = Cuts::default();
    let run =
        open_with(dir.path(), 2, NOON_MS + 1_000_000, Script::Bounded(cuts.clone()), &Faults::default());
    let appender = run.log.appender();
    let other = (0..1_000)
        .map(|i| format!("u{i}"))
        .find(|user| appender.partition_of(user) != appender.partition_of("busy"));
    let other = other.expect("there are three partitions");
    let mut ends = Vec::new();
    for cut in 0..6_i64 {
        for event in 0..10 {
            run.append("busy", NOON_MS + cut * 100_000 + event * 10_000);
        }
        if cut == 3 {
            run.append(&other, NOON_MS + cut * 100_000);
        }
        let mut reader = run.log.reader();
        let partitions = reader.partitions().expect("there are some");
        let end = |id| (id, reader.bounds(id).expect("it is there").end);
        ends.push(partitions.into_iter().map(end).collect::<BTreeMap<_, _>>());
        if !all_appended_first {
            push(&run, &cuts, cut, ends[ends.len() - 1].clone());
        }
    }
    if all_appended_first {
        for (cut, ends) in (0..).zip(ends) {
            push(&run, &cuts, cut, ends);
        }
    }
    run.running.handle().wake();
    run.running.join().expect("ends in order");
    let mut frontiers = Vec::new();
    let keep = &mut |binding: Binding| frontiers.push(binding.close_to.as_millis());
    run.log.journal().read_bindings(None, keep).expect("reads");
    frontiers
}

fn push(run: &Deployment, cuts: &Cuts, cut: i64, ends: BTreeMap<PartitionId, Offset>) {
    let now = EventTime::from_millis(NOON_MS + cut * 100_000 + 90_000);
    cuts.push(Cut { ends, now, last: cut == 5 }, Duration::ZERO).expect("there is room");
    run.running.handle().wake();
}

#[test]
fn a_bounded_run_does_not_depend_on_how_far_its_writer_is_ahead() {
    let step_by_step = frontiers_of_bounded_run(false);
    assert_eq!(step_by_step.len(), 6, "{step_by_step:?}");
    assert_eq!(frontiers_of_bounded_run(true), step_by_step);
}

//! Ends in order: what was appended is read and committed, within a deadline, and never lost.
#![allow(missing_docs)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use support::faults::{Faults, disk_full};
use support::{Deployment, NOON_MS, open, open_with};
use tidegate_runner::status::State;
use tidegate_runner::{Cuts, DrainLimits, Script};

const EVENTS: u64 = 2_000;

/// More than one step reads.
fn append_many(it: &Deployment) {
    it.append_all(
        (0..EVENTS).map(|event| (format!("u{}", event % 50), NOON_MS + i64::try_from(event).expect("small"))),
    );
}

/// What the next start has, once it has read everything.
fn assert_nothing_is_lost(dir: &std::path::Path) {
    let it = open(dir, 3, NOON_MS + 10_000);
    it.until("everything is counted once", 0, |it| it.accepted() == EVENTS);
    it.stop();
}

#[test]
fn a_drain_reads_and_commits_what_was_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    faults.reads.store(true, Ordering::SeqCst);
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    append_many(&it);
    it.running.begin_drain();
    assert_eq!(it.running.status().progress().state(), State::Stopping);
    assert!(!it.running.wait(Duration::from_millis(50)), "it waits for what it cannot read");
    faults.reads.store(false, Ordering::SeqCst);
    let drained = it.running.drain(DrainLimits::default()).expect("ends in order");
    assert!(drained.read_all && drained.committed_all);
    assert_eq!(drained.progress.ledger.jobs["SessionTracker"].accepted, EVENTS);
    drop(it.log);
    assert_nothing_is_lost(dir.path());
}

#[test]
fn a_drain_of_a_quiet_run_ends_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let it = open(dir.path(), 2, NOON_MS);
    let drained = it.running.drain(DrainLimits::default()).expect("ends in order");
    assert!(drained.read_all && drained.committed_all);
}

#[test]
fn what_a_drain_cannot_read_in_time_stays_in_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    faults.reads.store(true, Ordering::SeqCst);
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    append_many(&it);
    let limits = DrainLimits { reading: Duration::from_millis(50), committing: Duration::from_mins(1) };
    let drained = it.running.drain(limits).expect("ends in order");
    assert!(!drained.read_all && drained.committed_all);
    drop(it.log);
    assert_nothing_is_lost(dir.path());
}

#[test]
fn what_a_drain_cannot_commit_in_time_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    faults.fail_commits(Some(disk_full()));
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    append_many(&it);
    it.until("commits wait", 0, |it| it.running.status().progress().waits.is_some());
    let limits = DrainLimits { reading: Duration::from_millis(200), committing: Duration::from_millis(50) };
    let drained = it.running.drain(limits).expect("it ended because it was asked to");
    assert!(!drained.committed_all);
    assert!(drained.progress.ledger.jobs.is_empty(), "nothing was committed");
    drop(it.log);
    assert_nothing_is_lost(dir.path());
}

#[test]
fn a_stop_ends_with_the_open_epoch_and_the_next_start_reads_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    append_many(&it);
    it.until("something is committed", 0, |it| it.accepted() > 0);
    it.running.stop();
    assert!(it.running.wait(Duration::from_mins(1)), "it ends by itself");
    let progress = it.running.join().expect("ends in order");
    assert!(progress.ledger.adds_up());
    drop(it.log);
    assert_nothing_is_lost(dir.path());
}

/// Leaves a directory behind of which the next start has something to replay.
fn commit_many(dir: &std::path::Path) {
    let first = open(dir, 2, NOON_MS);
    append_many(&first);
    first.until("all is committed", 0, |it| it.accepted() == EVENTS);
    first.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_replay() {
    // A replay that cannot go on, and one whose last epoch waits for a cut that never comes.
    for (script, reads_fail) in [(Script::Live, true), (Script::Bounded(Cuts::default()), false)] {
        let dir = tempfile::tempdir().expect("a directory");
        commit_many(dir.path());
        let faults = Faults::default();
        faults.reads.store(reads_fail, Ordering::SeqCst);
        let it = open_with(dir.path(), 2, NOON_MS + 10_000, script, &faults);
        it.running.stop();
        assert!(it.running.wait(Duration::from_mins(1)), "it ends by itself");
        let progress = it.running.join().expect("it ended because it was asked to");
        assert!(!progress.recovered);
        assert_eq!(progress.ledger.jobs["SessionTracker"].accepted, EVENTS, "as the journal says");
        drop(it.log);
        assert_nothing_is_lost(dir.path());
    }
}

#[test]
fn a_drain_does_not_wait_for_a_replay() {
    let dir = tempfile::tempdir().expect("a directory");
    commit_many(dir.path());
    let faults = Faults::default();
    faults.reads.store(true, Ordering::SeqCst);
    let it = open_with(dir.path(), 2, NOON_MS + 10_000, Script::Live, &faults);
    let limits = DrainLimits { reading: Duration::from_hours(1), committing: Duration::from_hours(1) };
    let drained = it.running.drain(limits).expect("it ended because it was asked to");
    assert!(!drained.read_all && drained.committed_all);
    drop(it.log);
    assert_nothing_is_lost(dir.path());
}

//! Imports that are killed go on exactly where they stopped.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tidegate_model::{Epoch, PartitionId};

use super::{copy_of, open};
use crate::conformance::event;
use crate::embedded::{EmbeddedLog, ImportState};

fn append(log: &EmbeddedLog, partitions: &[u32]) {
    let events = partitions.iter().map(|partition| event(*partition, "x")).collect();
    log.appender().append_blocking(events).expect("it is stored");
}

fn counts(counts: [u64; 2]) -> BTreeMap<PartitionId, u64> {
    (0..).map(PartitionId).zip(counts).collect()
}

fn begin(log: &EmbeddedLog, fingerprint: &str) -> BTreeMap<PartitionId, u64> {
    log.import_begin(fingerprint, Epoch(7)).expect("it begins").done
}

fn state(log: &EmbeddedLog, fingerprint: &str) -> ImportState {
    log.import_state(fingerprint).expect("it can be read")
}

#[test]
fn a_killed_import_knows_what_is_already_there() {
    let first = TempDir::new().expect("a temporary directory");
    let log = open(first.path(), 2);
    append(&log, &[0, 0, 1]);
    assert_eq!(state(&log, "a"), ImportState::NotSeen);
    assert_eq!(begin(&log, "a"), counts([0, 0]));
    append(&log, &[0, 1, 1, 1]);
    append(&log, &[1]);

    // Others append after the crash, before the import is taken up again.
    let second = copy_of(first.path());
    let log = open(second.path(), 2);
    assert_eq!(state(&log, "a"), ImportState::Unfinished);
    append(&log, &[0, 0, 0, 1]);
    assert_eq!(begin(&log, "a"), counts([1, 4]));
    append(&log, &[0]);

    // It is killed once more, then twice before it appended anything.
    let third = copy_of(second.path());
    let log = open(third.path(), 2);
    assert_eq!(begin(&log, "a"), counts([2, 4]));
    let fourth = copy_of(third.path());
    open(fourth.path(), 2).close();
    let log = open(fourth.path(), 2);
    assert_eq!(state(&log, "a"), ImportState::Unfinished);
    assert_eq!(begin(&log, "a"), counts([2, 4]));
    append(&log, &[0, 1]);
    log.import_finish("a").expect("it finishes");
    assert_eq!(state(&log, "a"), ImportState::Finished);
    append(&log, &[0, 1]);
    log.close();
    let log = open(fourth.path(), 2);
    assert_eq!(state(&log, "a"), ImportState::Finished);
    assert_eq!(begin(&log, "a"), counts([3, 5]), "what others appended is not counted");
}

#[test]
fn another_import_does_not_disturb_an_unfinished_one() {
    let dir = TempDir::new().expect("a temporary directory");
    let log = open(dir.path(), 2);
    begin(&log, "a");
    append(&log, &[0]);
    assert_eq!(begin(&log, "b"), counts([0, 0]));
    append(&log, &[0, 1]);
    log.close();
    let log = open(dir.path(), 2);
    assert_eq!(begin(&log, "a"), counts([1, 0]));
    append(&log, &[1]);
    assert_eq!(begin(&log, "b"), counts([1, 1]));
    log.import_finish("b").expect("it finishes");
    assert_eq!((state(&log, "a"), state(&log, "b")), (ImportState::Unfinished, ImportState::Finished));
}

#[test]
fn an_import_goes_on_when_partitions_were_added() {
    let dir = TempDir::new().expect("a temporary directory");
    let log = open(dir.path(), 1);
    begin(&log, "a");
    append(&log, &[0]);
    log.close();
    let log = open(dir.path(), 2);
    assert_eq!(begin(&log, "a"), counts([1, 0]));
    append(&log, &[0, 1]);
    log.close();
    assert_eq!(begin(&open(dir.path(), 2), "a"), counts([2, 1]));
}

#[test]
fn an_import_that_goes_on_knows_what_it_began_after() {
    let dir = TempDir::new().expect("a temporary directory");
    let log = open(dir.path(), 1);
    let before = |name, epoch| log.import_begin(name, Epoch(epoch)).expect("it begins").before;
    assert_eq!(before("a", 3), Epoch(3));
    assert_eq!(before("a", 9), Epoch(3), "it goes on");
    log.import_finish("a").expect("it finishes");
    assert_eq!(before("b", 10), Epoch(10));
    log.import_finish("b").expect("it finishes");
    assert_eq!(before("a", 12), Epoch(12), "once more, from the beginning");
}

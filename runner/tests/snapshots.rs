//! Restarts of a deployment on disk, through snapshots: with other numbers of workers, after an end in order and
//! after a crash, with objects that are gone.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use support::faults::Faults;
use support::{Deployment, NOON_MS, open_with_limits, open_with_snapshots};
use tidegate_log::Journal as _;
use tidegate_model::Binding;
use tidegate_runner::{ObjectSnapshots, Script, SnapshotLimits, SnapshotStore};

fn open(dir: &Path, workers: usize, clock_ms: i64) -> Deployment {
    let store = ObjectSnapshots::in_folder(&dir.join("snapshots")).expect("it is made");
    open_with_snapshots(dir, workers, clock_ms, Script::Live, &Faults::default(), Some(Arc::new(store)))
}

fn views(part: i64) -> impl Iterator<Item = (String, i64)> {
    (0..40).map(move |no| (format!("u{}", no % 7), NOON_MS + part * 20_000 + no * 450))
}

/// Sends a part, and waits until it is counted; the clock stands still, so that nobody is late.
fn send(it: &Deployment, part: i64) {
    it.clock.0.store(NOON_MS + part * 20_000, Ordering::SeqCst);
    it.append_all(views(part));
    let all = 40 * u64::try_from(part + 1).expect("small");
    it.until("the part to be counted", 0, |it| it.accepted() == all);
}

/// What a run that is never stopped makes of all parts.
fn undisturbed(parts: i64) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let it = support::open(dir.path(), 2, NOON_MS);
    (0..parts).for_each(|part| send(&it, part));
    finish(it)
}

/// Lets everything close, ends the run, and shows the rows in an order that says nothing of epochs.
fn finish(it: Deployment) -> Vec<String> {
    let closed = NOON_MS + 3_600_000;
    it.until("everything to close", 500, |it| it.frontier_ms() > closed);
    let mut rows = it.stop();
    rows.sort();
    rows
}

#[test]
fn a_deployment_is_rescaled_through_its_snapshots() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let workers = [1, 4, 2, 1];
    for (part, workers) in (0..).zip(workers) {
        let it = open(dir.path(), workers, NOON_MS + part * 20_000);
        let snapshots = it.running.status().progress().snapshots;
        assert_eq!(snapshots.newest.is_some(), part > 0, "an end in order leaves a snapshot");
        assert_eq!(it.running.status().progress().replay_events, 0, "and that of the last epoch");
        send(&it, part);
        if part == 3 {
            assert_eq!(finish(it), undisturbed(4));
            return;
        }
        let progress = {
            it.running.stop();
            it.running.join().expect("it ends in order")
        };
        assert_eq!((progress.snapshots.written, progress.snapshots.failed), (1, 0));
    }
}

#[test]
fn a_run_that_is_cut_off_goes_on_from_a_snapshot_of_its_middle() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store: Arc<dyn SnapshotStore> =
        Arc::new(ObjectSnapshots::in_folder(&dir.path().join("snapshots")).expect("it is made"));
    // One for each part, before its end.
    let limits = SnapshotLimits { records: 30, every_ms: i64::MAX, history_epochs: 0, last_wait_ms: 0 };
    for (part, workers) in (0..).zip([2, 3, 1, 4]) {
        let snapshots = (Some(Arc::clone(&store)), limits);
        let now = NOON_MS + part * 20_000;
        let it = open_with_limits(dir.path(), workers, now, Script::Live, &Faults::default(), snapshots);
        let newest = |it: &Deployment| it.running.status().progress().snapshots.newest;
        let before = newest(&it);
        assert_eq!(before.is_some(), part > 0, "the run before was cut off after one");
        let all: Vec<_> = views(part).collect();
        it.append_all(all[..30].to_vec());
        it.until("the snapshot to be written", 0, |it| it.running.status().progress().snapshots.written > 0);
        // It is named by the binding of a later epoch.
        it.append_all(all[30..].to_vec());
        it.until("the snapshot to count", 0, |it| newest(it) > before);
        if part == 3 {
            assert_eq!(finish(it), undisturbed(4));
            return;
        }
        it.running.handle().abort();
        it.running.join().expect("nothing failed");
    }
}

#[test]
fn a_snapshot_that_is_gone_gives_way_to_a_replay() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let it = open(dir.path(), 2, NOON_MS);
    send(&it, 0);
    it.stop();
    std::fs::remove_dir_all(dir.path().join("snapshots")).expect("it is there");
    let it = open(dir.path(), 4, NOON_MS + 20_000);
    let progress = it.running.status().progress();
    assert_eq!((progress.snapshots.newest, progress.replay_events), (None, 40));
    send(&it, 1);
    assert_eq!(finish(it), undisturbed(2));
}

#[test]
fn what_only_older_snapshots_need_goes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folder = dir.path().join("snapshots");
    for part in 0..4 {
        let it = open(dir.path(), 2, NOON_MS + part * 20_000);
        send(&it, part);
        it.running.stop();
        let progress = it.running.join().expect("it ends in order");
        let from: u64 = progress.snapshots.events_from.values().map(|offset| offset.0).sum();
        assert_eq!(from, 40 * u64::try_from(part).expect("small"), "events of all parts but the last");
        if part == 2 {
            // A process that crashed between write and commit leaves this.
            std::fs::write(folder.join("00000000000000000001-00000000000000000007-00000.snapshot"), b"half")
                .expect("it is written");
        }
    }
    // Both workers' objects of the two newest, and of the one before: what the last commit replaced goes with
    // the next snapshot or start at the latest.
    let store = ObjectSnapshots::in_folder(&folder).expect("it is there");
    let listed = store.list().expect("it can be listed");
    assert!((4..=6).contains(&listed.len()), "{listed:?}");
    assert!(!listed.iter().any(|name| name.contains("-00000000000000000007-")), "{listed:?}");
    let it = open(dir.path(), 1, NOON_MS + 80_000);
    let (mut first, mut named) = (None, Vec::new());
    let visit = &mut |binding: Binding| {
        first.get_or_insert(binding.epoch);
        named.extend(binding.snapshot.map(|manifest| manifest.epoch));
    };
    it.log.journal().read_bindings(None, visit).expect("it is readable");
    assert_eq!((named.len(), first), (2, named.first().copied()), "nothing before the older of two");
    assert_eq!(finish(it), undisturbed(4));
}

//! What a start makes of journals, whole ones and others.

use std::ops::Range;

use tidegate_dataflow::snapshot::{Captured, encode};
use tidegate_log::event::Wake;
use tidegate_log::journal::JournalError;
use tidegate_log::{Commit, CommitError, ReadError, RecordRef};
use tidegate_model::binding::SnapshotObject;
use tidegate_model::{EventTime, JobStart, PartitionId, PartitionState};

mod gap;

use super::*;
use crate::error::{Found, Remedy};
use crate::snapshot::StoreError;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> EventTime {
        EventTime::from_millis(1_600_000_000_000)
    }
}

struct Sevens;

impl Entropy for Sevens {
    fn secret(&mut self) -> (u64, u64) {
        (7, 77)
    }
}

/// When a record of [`Bounds`] was appended.
fn append_time(offset: u64) -> EventTime {
    EventTime::from_millis(1_000_000 * i64::try_from(offset).expect("small"))
}

/// A log of which only the bounds matter, and when its records were appended.
struct Bounds(Range<Offset>);

impl EventReader for Bounds {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        Ok(vec![PartitionId(0)])
    }

    fn bounds(&mut self, _: PartitionId) -> Result<Range<Offset>, ReadError> {
        Ok(self.0.clone())
    }

    fn read(
        &mut self,
        _: PartitionId,
        from: Offset,
        _: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        if !self.0.contains(&from) {
            return Ok(from);
        }
        visit(RecordRef { offset: from, append_time: append_time(from.0), value: b"" });
        Ok(from.plus(1))
    }

    fn on_append(&mut self, _: Wake) {}
}

fn binding(epoch: u64, end: u64, close_to: i64) -> Binding {
    let state = PartitionState {
        end: Offset(end),
        largest: EventTime::from_millis(close_to + 10_000),
        active_at: EventTime::from_millis(1),
    };
    Binding {
        version: 1,
        epoch: Epoch(epoch),
        generation: Generation(3),
        definitions: job::definitions(&JobSettings::default()),
        now: EventTime::from_millis(i64::try_from(epoch).expect("small")),
        close_to: EventTime::from_millis(close_to),
        partitions: BTreeMap::from([(PartitionId(0), state)]),
        ledger: Ledger::default(),
        starts: BTreeMap::new(),
        origin: None,
        snapshot: None,
        gap: None,
        last_records: BTreeMap::new(),
    }
}

fn journal() -> Vec<Binding> {
    let origin = Some(Origin { hash_key: (1, 2) });
    vec![Binding { origin, ..binding(10, 5, 100) }, binding(12, 9, 200)]
}

/// A journal that holds these bindings, and is never written.
struct Bound(Vec<Binding>);

impl Journal for Bound {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        Ok(Recovered { generation: Generation(4), last: self.0.last().cloned() })
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        self.0.iter().filter(|binding| Some(binding.epoch) > after).cloned().for_each(visit);
        Ok(())
    }

    fn commit(&mut self, _: &Commit) -> Result<(), CommitError> {
        unreachable!("a start commits nothing")
    }

    fn prune(&mut self, _: Epoch) -> Result<bool, CommitError> {
        unreachable!("a start removes nothing")
    }
}

fn start(bindings: Vec<Binding>, settings: &JobSettings, log: Range<u64>) -> Result<Recovery, RunError> {
    let mut journal = Bound(bindings);
    let mut log = Bounds(Offset(log.start)..Offset(log.end));
    recover(&mut journal, settings, Accept::default(), &mut log, None, &Noon, &mut Sevens)
}

/// `journal()`, of which the last record read has offset 8 and this append time.
fn read_to(appended: EventTime) -> Vec<Binding> {
    let mut bindings = journal();
    let read = LastRecord { offset: Offset(8), appended };
    bindings.last_mut().expect("two").last_records = BTreeMap::from([(PartitionId(0), read)]);
    bindings
}

#[test]
fn a_log_that_was_replaced_and_filled_again_is_refused_and_read_anew_when_that_is_accepted() {
    let settings = JobSettings::default();
    let recovery = start(read_to(append_time(8)), &settings, 0..20).expect("it is the log that was read");
    assert_eq!(recovery.last_records[&PartitionId(0)].appended, append_time(8));
    // The offsets of the other one are those of the first.
    let error = start(read_to(append_time(7)), &settings, 0..20).expect_err("another log");
    let RunError::EventsReplaced { offset: Offset(8), read, found, .. } = error else {
        panic!("refused for another reason: {error}")
    };
    assert_eq!((read, found), (append_time(7), Found::Appended(append_time(8))));
    // What is gone cannot be compared.
    let accept = Accept { gap: true, ..Accept::default() };
    let (mut journal, mut log) = (Bound(read_to(append_time(7))), Bounds(Offset(0)..Offset(20)));
    let recovery = recover(&mut journal, &settings, accept, &mut log, None, &Noon, &mut Sevens);
    let recovery = recovery.expect("it was accepted");
    let start = recovery.snapshot.expect("of nothing").ends();
    assert_eq!(start[&PartitionId(0)], Offset(0), "nothing of it was read");
    assert_eq!(recovery.last_records, BTreeMap::new());
    // Nobody knows what the other one held.
    assert!(recovery.starts.values().all(|start| start.after >= Noon.now()), "{:?}", recovery.starts);
}

/// What a new deployment starts from.
pub(crate) fn fresh() -> Recovery {
    start(Vec::new(), &JobSettings::default(), 0..0).expect("nothing can be wrong")
}

#[test]
fn a_new_deployment_begins_with_the_unix_time_and_a_secret() {
    let recovery = start(Vec::new(), &JobSettings::default(), 0..0).expect("nothing can be wrong");
    assert_eq!(recovery.next, Epoch(1_600_000_000_000));
    assert_eq!(recovery.hash_key, HashKey(7, 77));
    assert_eq!(recovery.origin, Some(Origin { hash_key: (7, 77) }));
    assert_eq!(recovery.time, TimeState::default());
}

#[test]
fn a_new_deployment_begins_in_a_log_where_it_is_told_to() {
    let settings = JobSettings::default();
    for (begins_at, first, appended_by) in
        [(BeginsAt::Oldest, 5, append_time(5)), (BeginsAt::Newest, 20, Noon.now())]
    {
        let (mut log, accept) = (Bounds(Offset(5)..Offset(20)), Accept { begins_at, ..Accept::default() });
        let recovery = recover(&mut Bound(Vec::new()), &settings, accept, &mut log, None, &Noon, &mut Sevens)
            .expect("it is told where to begin");
        let accepted = recovery.accepted.as_ref().expect("its first binding says where");
        assert_eq!(accepted.gap(), None, "nothing is missing");
        assert_eq!(recovery.ledger, Ledger::default());
        let ends = recovery.snapshot.expect("a snapshot of nothing").ends();
        assert_eq!(ends, BTreeMap::from([(PartitionId(0), Offset(first))]));
        // Of windows that were under way some events are none of its business.
        let begin = JobStart { epoch: recovery.next, after: appended_by.plus_ms(60_000) };
        assert!(recovery.starts.len() == recovery.definitions.len());
        assert!(recovery.starts.values().all(|own| *own == begin));
        // A restart goes on from there, and from nowhere else.
        let nothing = Some(accepted.manifest.clone());
        let first_bound =
            Binding { origin: recovery.origin, snapshot: nothing, ..binding(2_000, first + 1, 100) };
        let first_bound = Binding { epoch: recovery.next, ..first_bound };
        let again = start_with(&Objects::default(), vec![first_bound], 0..30).expect("it is whole");
        assert_eq!(again.snapshot.expect("that of nothing").ends()[&PartitionId(0)], Offset(first));
        assert_eq!((again.replay.len(), again.replay_events), (1, 1));
    }
}

#[test]
fn a_restart_goes_on_where_the_journal_ends() {
    let recovery = start(journal(), &JobSettings::default(), 0..20).expect("it is whole");
    assert_eq!(recovery.next, Epoch(13));
    assert_eq!(recovery.hash_key, HashKey(1, 2), "the journaled one, no new one");
    assert_eq!(recovery.origin, None);
    assert_eq!(recovery.time.frontier.as_millis(), 200);
    let replay: Vec<_> = recovery.replay.iter().collect();
    for (bound, replayed) in journal().into_iter().zip(&replay) {
        let Binding { epoch, now, close_to, partitions, .. } = bound;
        assert_eq!(replayed, &ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } });
    }
    assert_eq!(replay.len(), 2);
    assert_eq!(recovery.replay_events, 9);
}

/// The same start, with changed jobs accepted.
fn accepted(bindings: Vec<Binding>, settings: &JobSettings) -> Recovery {
    let mut log = Bounds(Offset(0)..Offset(20));
    let accept = Accept { changed_jobs: true, ..Accept::default() };
    let recovery = recover(&mut Bound(bindings), settings, accept, &mut log, None, &Noon, &mut Sevens);
    recovery.expect("what changed is accepted")
}

#[test]
fn an_accepted_job_begins_anew_after_everything_read() {
    let settings = JobSettings { event_window_ms: 1_000, ..JobSettings::default() };
    let recovery = accepted(journal(), &settings);
    // The largest time read is 10 s beyond the frontier, and an event may be a minute ahead of that.
    let start = JobStart { epoch: Epoch(13), after: EventTime::from_millis(200 + 10_000 + 60_000) };
    assert_eq!(recovery.starts, BTreeMap::from([("EventAggregator".to_owned(), start)]));
    assert_eq!(recovery.definitions, job::definitions(&settings));
}

#[test]
fn a_start_is_remembered_until_the_job_changes_again() {
    let settings = JobSettings { event_window_ms: 1_000, ..JobSettings::default() };
    let old = JobStart { epoch: Epoch(11), after: EventTime::from_millis(150) };
    let mut bindings = journal();
    let last = bindings.last_mut().expect("there are two");
    last.definitions = job::definitions(&settings);
    last.starts = BTreeMap::from([("EventAggregator".to_owned(), old)]);
    let same = start(bindings.clone(), &settings, 0..20).expect("nothing changed since");
    assert_eq!(same.starts["EventAggregator"], old);
    let again = JobSettings { event_window_ms: 2_000, ..JobSettings::default() };
    start(bindings.clone(), &again, 0..20).expect_err("it changed again");
    assert_eq!(accepted(bindings, &again).starts["EventAggregator"].epoch, Epoch(13));
}

#[test]
fn a_job_that_was_not_there_begins_without_being_asked() {
    let mut bindings = journal();
    bindings.last_mut().expect("there are two").definitions.remove("SessionOverview");
    let recovery = start(bindings, &JobSettings::default(), 0..20).expect("a new job contradicts nothing");
    let jobs: Vec<_> = recovery.starts.keys().collect();
    assert_eq!(jobs, ["SessionOverview"]);
}

#[test]
fn a_changed_setting_is_refused_by_its_name() {
    let settings = JobSettings { session_gap_ms: 1, ..JobSettings::default() };
    let error = start(journal(), &settings, 0..20).expect_err("another gap makes other rows");
    let text = error.to_string();
    assert!(text.contains("session_gap_ms = 1800000") && text.contains("with 1:"), "{text}");
    assert!(text.contains("SessionOverview") || text.contains("SessionTracker"), "{text}");
}

#[test]
fn watermark_settings_are_no_part_of_a_definition() {
    // They are not even handed in: their results are journaled.
    assert!(start(journal(), &JobSettings::default(), 0..9).is_ok());
}

#[test]
fn events_that_are_gone_are_refused() {
    for (log, shown) in
        [(0..8, "up to offset 9, but the log holds offsets 0 to 8"), (3..20, "offsets 3 to 20")]
    {
        let error = start(journal(), &JobSettings::default(), log).expect_err("events are missing");
        assert!(error.to_string().contains(shown), "{error}");
    }
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let backwards = vec![journal().remove(0), binding(9, 9, 200)];
    let frontier_back = vec![journal().remove(0), binding(12, 9, 99)];
    let no_origin = vec![binding(12, 9, 99)];
    let nowhere = Binding { partitions: BTreeMap::new(), ..binding(12, 9, 200) };
    let partition_gone = vec![journal().remove(0), nowhere, binding(13, 9, 200)];
    for (journal, shown) in [
        (backwards, "epoch 9 follows epoch 10"),
        (frontier_back, "epoch 12 follows epoch 10"),
        (no_origin, "none of its bindings has an origin"),
        (partition_gone, "epoch 10 has partition 0, and epoch 12, after it, has not"),
    ] {
        let error = start(journal, &JobSettings::default(), 0..20).expect_err("it cannot be");
        assert!(matches!(error, RunError::JournalDamaged { .. }), "{error}");
        assert!(error.to_string().contains(shown), "{error}");
    }
}

/// An object that cannot be read.
const UNREADABLE: &[u8] = b"unreadable";

/// Objects in memory, and the names of those that were read.
#[derive(Default)]
struct Objects(std::sync::Mutex<BTreeMap<String, Vec<u8>>>, std::sync::Mutex<Vec<String>>);

impl SnapshotStore for Objects {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.0.lock().expect("no panic").insert(name.to_owned(), bytes);
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.1.lock().expect("no panic").push(name.to_owned());
        let found = self.0.lock().expect("no panic").get(name).cloned();
        if found.as_deref() == Some(UNREADABLE) {
            let reason = "the disk is gone".to_owned();
            return Err(StoreError { what: "read", name: name.to_owned(), reason });
        }
        Ok(found)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.get(name)?.map(|bytes| bytes.len() as u64))
    }

    fn remove(&self, _: &str) -> Result<(), StoreError> {
        unreachable!("a start removes what nobody names, and everything is named here")
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().expect("no panic").keys().cloned().collect())
    }
}

/// A snapshot at the end of what `binding` binds, of which the store has the object.
fn snapshot(store: &Objects, binding: &Binding) -> Manifest {
    let bytes = encode(Captured::new(binding.epoch, 0));
    let name = format!("{}.snapshot", binding.epoch);
    let (length, crc32) = (bytes.len() as u64, crc32fast::hash(&bytes));
    store.put(&name, bytes).expect("it is in memory");
    Manifest {
        epoch: binding.epoch,
        now: binding.now,
        close_to: binding.close_to,
        partitions: binding.partitions.clone(),
        origin: Origin { hash_key: (1, 2) },
        objects: vec![SnapshotObject { name, bytes: length, crc32 }],
    }
}

/// Epochs 10, 12, 14 and 16; snapshots of 10 and of 14, each named by the binding after it.
fn with_snapshots(store: &Objects) -> Vec<Binding> {
    let mut bindings = journal();
    bindings.extend([binding(14, 12, 300), binding(16, 15, 400)]);
    bindings[1].snapshot = Some(snapshot(store, &bindings[0]));
    bindings[3].snapshot = Some(snapshot(store, &bindings[2]));
    bindings
}

fn start_with(store: &Objects, bindings: Vec<Binding>, log: Range<u64>) -> Result<Recovery, RunError> {
    let mut log = Bounds(Offset(log.start)..Offset(log.end));
    let (settings, accept) = (JobSettings::default(), Accept::default());
    recover(&mut Bound(bindings), &settings, accept, &mut log, Some(store), &Noon, &mut Sevens)
}

/// The epoch of the snapshot, and the epochs replayed.
fn begins_with(recovery: &Recovery) -> (Option<u64>, Vec<u64>) {
    let epoch = recovery.snapshot.as_ref().map(|snapshot| snapshot.restored.epoch().0);
    (epoch, recovery.replay.iter().map(|bound| bound.epoch.0).collect())
}

#[test]
fn a_restart_begins_with_the_newest_snapshot_and_replays_what_follows_it() {
    let store = Objects::default();
    let recovery = start_with(&store, with_snapshots(&store), 0..20).expect("it is whole");
    assert_eq!(begins_with(&recovery), (Some(14), vec![16]));
    let from = recovery.snapshot.as_ref().expect("just seen");
    assert_eq!(from.ends(), BTreeMap::from([(PartitionId(0), Offset(12))]));
    assert_eq!((from.time.frontier.as_millis(), from.time.now.as_millis()), (300, 14));
    assert_eq!(recovery.replay_events, 3);
    assert_eq!(recovery.manifests.len(), 2);
    assert_eq!((recovery.hash_key, recovery.origin), (HashKey(1, 2), None));
}

#[test]
fn a_spoilt_snapshot_gives_way_to_an_older_one_and_then_to_all_epochs() {
    type Spoil = fn(&mut BTreeMap<String, Vec<u8>>, &str);
    let spoils: [Spoil; 3] = [
        |objects, name| drop(objects.remove(name)),
        |objects, name| objects.get_mut(name).expect("it is there").truncate(9),
        |objects, name| objects.get_mut(name).expect("it is there")[30] ^= 1,
    ];
    for spoil in spoils {
        let store = Objects::default();
        let bindings = with_snapshots(&store);
        spoil(&mut store.0.lock().expect("no panic"), "14.snapshot");
        let older = start_with(&store, bindings.clone(), 0..20).expect("an older one is there");
        assert_eq!(begins_with(&older), (Some(10), vec![12, 14, 16]));
        assert_eq!(older.manifests.len(), 1, "the spoilt one does not count");
        spoil(&mut store.0.lock().expect("no panic"), "10.snapshot");
        let all = start_with(&store, bindings, 0..20).expect("everything is there");
        assert_eq!(begins_with(&all), (None, vec![10, 12, 14, 16]));
    }
}

#[test]
fn an_older_snapshot_that_is_spoilt_is_not_counted_on() {
    let store = Objects::default();
    let bindings = with_snapshots(&store);
    store.0.lock().expect("no panic").remove("10.snapshot");
    let recovery = start_with(&store, bindings, 0..20).expect("the newest one is whole");
    let usable: Vec<_> = recovery.manifests.iter().map(|manifest| manifest.epoch.0).collect();
    assert_eq!((begins_with(&recovery).0, usable), (Some(14), vec![14]));
}

#[test]
fn a_refusal_says_what_helps() {
    let store = Objects::default();
    let pruned = with_snapshots(&store).split_off(2);
    let remedy = |store: &Objects| match start_with(store, pruned.clone(), 12..20) {
        Err(RunError::SnapshotsUnusable { remedy, .. }) => remedy,
        other => panic!("it is not refused: {other:?}"),
    };
    store.0.lock().expect("no panic").insert("14.snapshot".to_owned(), UNREADABLE.to_vec());
    assert_eq!(remedy(&store), Remedy::Again);
    store.0.lock().expect("no panic").clear();
    assert_eq!(remedy(&store), Remedy::Restore);
}

/// To restore the folder of snapshots was advised, which could not help.
#[test]
fn where_bindings_are_gone_that_would_follow_a_snapshot_the_journal_is_to_be_restored() {
    let store = Objects::default();
    let error = start_with(&store, with_snapshots(&store).split_off(3), 0..20).expect_err("14 is not there");
    assert!(error.is_gap(), "{error}");
    assert!(error.to_string().contains("restore journal.db from a copy, or go on"), "{error}");
}

#[test]
fn of_many_spoilt_snapshots_the_newest_are_told_and_the_others_counted() {
    let store = Objects::default();
    let mut bindings: Vec<_> = (20..27).map(|epoch| binding(epoch, epoch - 10, 500)).collect();
    for at in 1..bindings.len() {
        bindings[at].snapshot = Some(snapshot(&store, &bindings[at - 1]));
    }
    store.0.lock().expect("no panic").clear();
    let text = start_with(&store, bindings, 0..20).expect_err("there is none").to_string();
    let told: Vec<_> =
        text.match_indices("the snapshot of epoch").map(|(at, _)| &text[at + 22..at + 24]).collect();
    assert_eq!(told, ["25", "24", "23"], "{text}");
    assert!(text.contains("23.snapshot is missing; and 3 older ones; restore"), "{text}");
}

#[test]
fn a_start_goes_on_without_what_came_before_its_snapshot() {
    let store = Objects::default();
    let pruned = with_snapshots(&store).split_off(2);
    let recovery = start_with(&store, pruned.clone(), 12..20).expect("the snapshot is there");
    assert_eq!(begins_with(&recovery), (Some(14), vec![16]));
    assert_eq!(recovery.hash_key, HashKey(1, 2), "the manifest has it");

    store.0.lock().expect("no panic").clear();
    let error = start_with(&store, pruned.clone(), 0..20).expect_err("nothing can stand for what is gone");
    let text = error.to_string();
    assert!(matches!(error, RunError::SnapshotsUnusable { .. }), "{text}");
    assert!(text.contains("the snapshot of epoch 14: its object 14.snapshot is missing"), "{text}");
    let error = start(pruned, &JobSettings::default(), 0..20).expect_err("there is no store");
    assert!(error.to_string().contains("this run has no store of snapshots"), "{error}");
}

#[test]
fn a_snapshot_whose_events_are_gone_is_not_begun_with() {
    let store = Objects::default();
    let error = start_with(&store, with_snapshots(&store), 13..20).expect_err("events after it are gone");
    assert!(error.to_string().contains("events that it would be followed by are gone"), "{error}");
}

#[test]
fn no_snapshot_is_begun_with_whose_followers_are_gone() {
    let store = Objects::default();
    let mut bindings = with_snapshots(&store);
    bindings.extend([binding(18, 16, 500), binding(20, 17, 600)]);
    bindings[5].snapshot = Some(snapshot(&store, &bindings[4]));
    // The binding of epoch 16 still names the snapshot of 14, and then that of 10, whose followers are not all
    // there.
    for (named, first, begun) in [(14, 2, Some(14)), (10, 2, None), (14, 3, None)] {
        bindings[3].snapshot = Some(snapshot(&store, &binding(named, 12, 300)));
        store.0.lock().expect("no panic").remove("18.snapshot");
        let started = start_with(&store, bindings[first..].to_vec(), 0..20);
        let begins = started.as_ref().map(begins_with).map_err(RunError::is_gap);
        let expected = begun.map(|epoch| (Some(epoch), vec![16, 18, 20])).ok_or(true);
        assert_eq!(begins, expected, "{named}, {first}");
    }
}

/// Old epochs, and three that are far from them: 1000000 to 1000002, of which two have snapshots.
fn far_from_the_old_ones(store: &Objects) -> Vec<Binding> {
    let mut bindings = with_snapshots(store);
    bindings.extend((0..3).map(|at| binding(1_000_000 + at, 16 + at, 500)));
    for at in [4, 5] {
        bindings[at + 1].snapshot = Some(snapshot(store, &bindings[at]));
    }
    bindings
}

#[test]
fn old_bindings_are_read_only_where_they_are_needed() {
    let store = Objects::default();
    let bindings = far_from_the_old_ones(&store);
    let manifests = |store: &Objects| {
        let recovery = start_with(store, bindings.clone(), 0..20).expect("it is whole");
        (begins_with(&recovery).0, recovery.manifests.len())
    };
    assert_eq!(manifests(&store), (Some(1_000_001), 2), "two are enough");
    store.0.lock().expect("no panic").retain(|name, _| name == "14.snapshot");
    assert_eq!(manifests(&store), (Some(14), 1), "both are spoilt");
    store.0.lock().expect("no panic").clear();
    store.1.lock().expect("no panic").clear();
    assert_eq!(manifests(&store), (None, 0), "and all others");
    let read = store.1.lock().expect("no panic").join(" ");
    assert_eq!(read, "1000001.snapshot 1000000.snapshot 14.snapshot 10.snapshot", "each once");
}

/// A journal of which only the newest bindings may be read.
struct NewestOnly(Bound);

impl Journal for NewestOnly {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        self.0.recover()
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        assert!(after.is_some(), "all of them are read");
        self.0.read_bindings(after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        self.0.commit(commit)
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        self.0.prune(before)
    }
}

#[test]
fn no_old_binding_is_read_where_events_are_missing_that_none_can_stand_for() {
    let store = Objects::default();
    let mut journal = NewestOnly(Bound(far_from_the_old_ones(&store)));
    let (settings, accept) = (JobSettings::default(), Accept::default());
    // Up to 18 was read.
    let mut log = Bounds(Offset(0)..Offset(17));
    let error = recover(&mut journal, &settings, accept, &mut log, Some(&store), &Noon, &mut Sevens);
    assert!(matches!(error, Err(RunError::EventsMissing { .. })), "{error:?}");
}

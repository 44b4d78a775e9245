//! From where epochs are computed again, over journals that are whole and others.

use std::sync::Mutex;

use tidegate_dataflow::snapshot::{Captured, encode};
use tidegate_model::binding::{BINDING_VERSION, Gap, Origin, SnapshotObject};
use tidegate_model::{Binding, EventTime, Generation, Ledger, PartitionState};

use super::*;

const PARTITION: PartitionId = PartitionId(0);
const ORIGIN: Origin = Origin { hash_key: (1, 2) };

/// Objects in memory.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Vec<u8>>>);

impl SnapshotStore for Objects {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.0.lock().expect("no panic").insert(name.to_owned(), bytes);
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().expect("no panic").get(name).cloned())
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.get(name)?.map(|bytes| bytes.len() as u64))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.lock().expect("no panic").remove(name);
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().expect("no panic").keys().cloned().collect())
    }
}

fn binding(epoch: u64, end: u64) -> Binding {
    let now = EventTime::from_millis(i64::try_from(epoch).expect("small"));
    let state = PartitionState { end: Offset(end), largest: now, active_at: now };
    Binding {
        version: BINDING_VERSION,
        epoch: Epoch(epoch),
        generation: Generation(1),
        definitions: job::definitions(&JobSettings::default()),
        now,
        close_to: now,
        partitions: BTreeMap::from([(PARTITION, state)]),
        ledger: Ledger::default(),
        starts: BTreeMap::new(),
        origin: None,
        snapshot: None,
        gap: None,
        last_records: BTreeMap::new(),
    }
}

/// The checksum that a manifest names, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A snapshot of the end of an epoch, in the store.
fn snapshot(store: &Objects, binding: &Binding) -> Manifest {
    let Binding { epoch, now, close_to, ref partitions, .. } = *binding;
    let (name, bytes) = (format!("{epoch}.snapshot"), encode(Captured::new(epoch, 0)));
    let object = SnapshotObject { name: name.clone(), bytes: bytes.len() as u64, crc32: crc32(&bytes) };
    store.put(&name, bytes).expect("memory");
    Manifest { epoch, now, close_to, partitions: partitions.clone(), origin: ORIGIN, objects: vec![object] }
}

/// The epochs 10, 12, 14 and 16, with the events up to 5, 9, 12 and 15, and snapshots of 10 and 14, each named by
/// the binding after it.
fn with_snapshots(store: &Objects) -> Vec<Binding> {
    let mut bindings = vec![binding(10, 5), binding(12, 9), binding(14, 12), binding(16, 15)];
    bindings[0].origin = Some(ORIGIN);
    bindings[1].snapshot = Some(snapshot(store, &bindings[0]));
    bindings[3].snapshot = Some(snapshot(store, &bindings[2]));
    bindings
}

/// A plan over `bindings`, for the epochs from `from` to `to`; the log has the events from `log` on.
fn planned(
    store: &Objects,
    bindings: &[Binding],
    (from, to): (Option<u64>, Option<u64>),
    log: u64,
) -> Result<Plan, String> {
    let question = Question { from: from.map(Epoch), to: to.map(Epoch) };
    let mut bound = Bound::default();
    for binding in bindings {
        bound.add(binding.clone(), question.to);
    }
    let sources = Sources {
        configured: [JobSettings::default(), JobSettings::default()],
        events_from: BTreeMap::from([(PARTITION, Offset(log))]),
        snapshots: Ok(store),
    };
    plan(&question, bound, &sources).map_err(|error| error.to_string())
}

/// The snapshot that a replay starts from, the first epoch compared, and the epochs computed.
fn shape(plan: &Plan) -> (Option<u64>, u64, Vec<u64>) {
    let snapshot = plan.snapshot.as_ref().map(|snapshot| snapshot.restored.epoch().0);
    (snapshot, plan.from.0, plan.epochs.iter().map(|bound| bound.epoch.0).collect())
}

#[test]
fn it_starts_with_the_newest_snapshot_before_what_is_asked_for() {
    let store = Objects::default();
    let bindings = with_snapshots(&store);
    for (asked, snapshot, from, computed) in [
        ((None, None), None, 10, vec![10, 12, 14, 16]),
        ((Some(10), Some(10)), None, 10, vec![10]),
        ((Some(11), None), Some(10), 12, vec![12, 14, 16]),
        ((Some(14), Some(14)), Some(10), 14, vec![12, 14]),
        ((Some(15), None), Some(14), 16, vec![16]),
        ((None, Some(12)), None, 10, vec![10, 12]),
    ] {
        let plan = planned(&store, &bindings, asked, 0).expect("it is whole");
        assert_eq!(shape(&plan), (snapshot, from, computed), "{asked:?}");
    }
}

#[test]
fn a_spoilt_snapshot_gives_way_to_an_older_one() {
    let store = Objects::default();
    let bindings = with_snapshots(&store);
    store.0.lock().expect("no panic").get_mut("14.snapshot").expect("it is there")[30] ^= 1;
    let plan = planned(&store, &bindings, (Some(16), None), 0).expect("an older one is there");
    assert_eq!(shape(&plan), (Some(10), 16, vec![12, 14, 16]));
}

#[test]
fn where_the_beginning_is_gone_the_oldest_epoch_that_can_be_is_named_and_works() {
    let store = Objects::default();
    // Without the first bindings, or without the events that came before the snapshots.
    let whole = with_snapshots(&store);
    for (bindings, log, oldest, computed) in [
        (&whole[2..], 12, 15, vec![16]),
        (&whole[..], 12, 15, vec![16]),
        (&whole[..], 5, 11, vec![12, 14, 16]),
    ] {
        let plan = planned(&store, bindings, (None, None), log).expect("some can be");
        assert_eq!(shape(&plan).2, computed);
        let before = oldest - 1;
        let text = planned(&store, bindings, (Some(before), None), log).expect_err("it is gone");
        assert!(text.contains(&format!("that can be is {oldest}: --from-epoch {oldest}")), "{text}");
        let plan = planned(&store, bindings, (Some(oldest), None), log).expect("it was named");
        assert_eq!(shape(&plan).2, computed);
    }
    store.remove("14.snapshot").expect("memory");
    for asked in [None, Some(16), Some(14)] {
        let text = planned(&store, &whole[2..], (asked, None), 0).expect_err("nothing is left");
        assert!(text.contains("when the next snapshots are made"), "{text}");
        assert_eq!(text.contains("14.snapshot is missing"), asked != Some(14), "{text}");
    }
}

/// Bindings after the snapshot of 10 are gone, which a binding that is left still names, and its object too.
#[test]
fn a_snapshot_that_epochs_are_missing_after_is_not_started_from() {
    let store = Objects::default();
    let mut bindings = with_snapshots(&store);
    bindings[2].snapshot = bindings[1].snapshot.take();
    let plan = planned(&store, &bindings[2..], (None, None), 0).expect("the newer one is there");
    assert_eq!(shape(&plan), (Some(14), 16, vec![16]));
    bindings[3].snapshot = None;
    let text = planned(&store, &bindings[2..], (None, None), 0).expect_err("nothing is left");
    assert!(text.contains("there is no snapshot to start from"), "{text}");
}

/// A snapshot is written while epochs go on, so that one before `--to-epoch` may be named after it.
#[test]
fn a_snapshot_that_is_named_after_the_last_epoch_asked_for_is_started_from() {
    let store = Objects::default();
    let mut bindings = with_snapshots(&store);
    bindings[2].snapshot = bindings[1].snapshot.take();
    let plan = planned(&store, &bindings, (Some(11), Some(12)), 5).expect("it follows the snapshot of 10");
    assert_eq!(shape(&plan), (Some(10), 12, vec![12]));
    // That of 14 is too new.
    let plan = planned(&store, &bindings, (None, Some(14)), 5).expect("it follows the snapshot of 10");
    assert_eq!(shape(&plan), (Some(10), 12, vec![12, 14]));
}

#[test]
fn what_came_before_a_gap_is_not_computed() {
    let store = Objects::default();
    let mut bindings = with_snapshots(&store);
    let nothing = Manifest { objects: Vec::new(), ..snapshot(&store, &binding(13, 30)) };
    bindings[2].snapshot = Some(nothing);
    bindings[2].gap = Some(BTreeMap::from([(PARTITION, Gap { bound: Offset(9), resumed: Offset(30) })]));
    let plan = planned(&store, &bindings, (None, None), 30).expect("it goes on after the gap");
    assert_eq!(shape(&plan), (Some(13), 14, vec![14, 16]));
}

#[test]
fn epochs_that_are_none_are_refused_by_name() {
    let store = Objects::default();
    let bindings = with_snapshots(&store);
    for (asked, shown) in [
        ((None, Some(17)), "--to-epoch 17 is not among the epochs that the journal has, which are 10 to 16"),
        ((Some(9), None), "--from-epoch 9 is not among"),
        ((Some(14), Some(12)), "exchange them"),
    ] {
        let text = planned(&store, &bindings, asked, 0).expect_err("there is none");
        assert!(text.contains(shown), "{text}");
    }
    let text = planned(&store, &[], (None, None), 0).expect_err("there is nothing");
    assert!(text.contains("no epoch was committed yet"), "{text}");
}

/// Advice to ask for the first epoch of the new definitions led to the same refusal, because the snapshot to
/// start from is older.
#[test]
fn a_job_that_began_anew_is_no_reason_to_refuse() {
    let store = Objects::default();
    let mut bindings = with_snapshots(&store);
    for old in &mut bindings[..2] {
        let settings = &mut old.definitions.get_mut("EventAggregator").expect("it is there").settings;
        settings.insert("event_window_ms".to_owned(), "7".to_owned());
    }
    let start = JobStart { epoch: Epoch(13), after: EventTime::MIN };
    for new in &mut bindings[2..] {
        new.starts.insert("EventAggregator".to_owned(), start);
    }
    for (from, snapshot) in [(None, None), (Some(14), Some(10)), (Some(15), Some(14))] {
        let plan = planned(&store, &bindings, (from, None), 0).expect("a start would do the same");
        assert_eq!((shape(&plan).0, &plan.starts["EventAggregator"]), (snapshot, &start), "{from:?}");
    }
    // Of the old epochs alone the rows were made by what is not configured.
    let text = planned(&store, &bindings, (None, Some(12)), 0).expect_err("other rows would come out");
    assert!(text.contains("EventAggregator event_window_ms = 7, now 60000"), "{text}");
}

//! Commits against a journal that does as it is told.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::open::OpenState;
use tidegate_dataflow::report::DropReason;
use tidegate_dataflow::survey::{Appended, Holder, Survey};
use tidegate_log::RecordRef;
use tidegate_log::event::Wake;
use tidegate_log::journal::{JournalError, Recovered};
use tidegate_model::{Counts, EventTime, Offset, PartitionId};

use super::*;
use crate::recovery::ReplayEpochs;

/// What the journal answers, commit by commit (then always yes), and the commits that it took.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<CommitError>>>,
    taken: Arc<Mutex<Vec<Commit>>>,
}

impl Journal for Scripted {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        unreachable!("it was recovered before")
    }

    fn read_bindings(&mut self, _: Option<Epoch>, _: &mut dyn FnMut(Binding)) -> Result<(), JournalError> {
        unreachable!("it was recovered before")
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        if let Some(error) = self.answers.lock().expect("no panic").pop_front() {
            return Err(error);
        }
        self.taken.lock().expect("no panic").push(commit.clone());
        Ok(())
    }

    fn prune(&mut self, _: Epoch) -> Result<bool, CommitError> {
        unreachable!("there is no snapshot")
    }
}

/// A log with one record, at offset 7, that can be read when it may.
struct OneRecord(Arc<Mutex<Option<ReadError>>>);

impl EventReader for OneRecord {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        Ok(vec![PartitionId(0)])
    }

    fn bounds(&mut self, _: PartitionId) -> Result<Range<Offset>, ReadError> {
        Ok(Offset(7)..Offset(8))
    }

    fn read(
        &mut self,
        _: PartitionId,
        from: Offset,
        _: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        if let Some(error) = self.0.lock().expect("no panic").clone() {
            return Err(error);
        }
        visit(RecordRef { offset: from, append_time: EventTime::MIN, value: b"as it came" });
        Ok(from.plus(1))
    }

    fn on_append(&mut self, _: Wake) {}
}

struct Setting {
    journal: Scripted,
    reads: Arc<Mutex<Option<ReadError>>>,
    committer: Committer<Scripted, OneRecord>,
}

fn setting(answers: Vec<CommitError>) -> Setting {
    let recovery = Recovery {
        generation: Generation(3),
        definitions: BTreeMap::new(),
        starts: BTreeMap::new(),
        hash_key: HashKey(1, 2),
        origin: Some(Origin { hash_key: (1, 2) }),
        replay: ReplayEpochs::default(),
        next: Epoch(10),
        time: TimeState::default(),
        ledger: Ledger::default(),
        last_records: BTreeMap::new(),
        replay_events: 0,
        snapshot: None,
        manifests: Vec::new(),
        named: std::collections::BTreeSet::new(),
        accepted: None,
    };
    let journal = Scripted { answers: Arc::new(Mutex::new(answers.into())), ..Scripted::default() };
    let reads = Arc::default();
    let reader = OneRecord(Arc::clone(&reads));
    let jobs = JobSettings::default();
    let committer = Committer::new(journal.clone(), reader, Topics::default(), &jobs, &recovery);
    Setting { journal, reads, committer }
}

/// An epoch with one row, and one record that two jobs dropped.
fn epoch(epoch: u64) -> EpochResult {
    let mut ledger = Ledger::default();
    ledger.add("SessionTracker", Counts { accepted: 1, expired: 1, ..Counts::default() });
    let at = Position { partition: PartitionId(0), offset: Offset(7) };
    let dropped = |job: &str| Dropped { at, job: job.to_owned(), reason: DropReason::Expired };
    let row = OutRow {
        table: "event_metrics".into(),
        key: "click".to_owned(),
        value: format!("{{\"epoch\":{epoch}}}"),
        op: Op::Final,
    };
    EpochResult {
        epoch: Epoch(epoch),
        commit: true,
        snapshot: false,
        now: EventTime::from_millis(1),
        close_to: EventTime::from_millis(0),
        partitions: BTreeMap::new(),
        last_records: BTreeMap::new(),
        ledger,
        rows: vec![row.clone()],
        provisional: vec![row],
        dropped: vec![dropped("EventAggregator"), dropped("SessionTracker")],
        survey: Survey {
            now: EventTime::from_millis(2),
            records: 1,
            appended: Some(Appended { oldest: EventTime::MIN, newest: EventTime::MAX }),
            standings: Vec::new(),
            holder: Holder::NoPartition,
        },
        open: OpenState::default(),
    }
}

fn disk_full() -> CommitError {
    CommitError::DiskFull { path: "journal.db".to_owned() }
}

#[test]
fn all_complete_epochs_go_into_one_commit_in_order() {
    let mut it = setting(Vec::new());
    it.committer.push(epoch(10));
    it.committer.push(epoch(12));
    let committed = it.committer.step().expect("it works").expect("something waited");
    assert_eq!((committed.epochs.len(), committed.rows, committed.binding.epoch), (2, 8, Epoch(12)));
    let facts = EpochFacts {
        epoch: Epoch(10),
        now: EventTime::from_millis(1),
        frontier: EventTime::from_millis(0),
        records: 1,
        appended: Some(Appended { oldest: EventTime::MIN, newest: EventTime::MAX }),
        rows: 1,
        provisional: 1,
        dropped: 2,
        closed: true,
    };
    assert_eq!(committed.epochs[0], facts);
    assert!(it.committer.idle());
    assert_eq!(it.committer.step().expect("it works"), None);

    let taken = it.journal.taken.lock().expect("no panic");
    let [commit] = &taken[..] else { panic!("{taken:?}") };
    let totals: Vec<_> = commit.bindings.iter().map(|b| b.ledger.jobs["SessionTracker"].accepted).collect();
    assert_eq!(totals, [1, 2], "totals, not differences");
    assert!(commit.bindings[0].origin.is_some() && commit.bindings[1].origin.is_none());
    let topics: Vec<_> = commit.rows[..4].iter().map(|row| &*row.topic).collect();
    assert_eq!(topics, ["event_metrics", "live_metrics", "dropped_events", "dropped_events"]);
    assert_eq!(commit.rows[1].headers, [("job", "EventAggregator".to_owned())]);
    assert_eq!(commit.rows[2].value, b"as it came");
    assert_eq!(commit.rows[3].headers[1], ("job", "SessionTracker".to_owned()));
}

#[test]
fn what_surely_failed_is_sent_again_unchanged() {
    let mut it = setting(vec![disk_full(), disk_full()]);
    it.committer.push(epoch(10));
    for _ in 0..2 {
        assert!(matches!(it.committer.step(), Err(StepError::Retry { epoch: Epoch(10), .. })));
        assert!(!it.committer.idle());
        // What comes meanwhile waits for its turn.
        it.committer.push(epoch(if it.journal.answers.lock().expect("no panic").is_empty() {
            12
        } else {
            11
        }));
    }
    assert_eq!(it.committer.step().expect("it works").expect("it waited").binding.epoch, Epoch(10));
    assert_eq!(it.committer.step().expect("it works").expect("they waited").epochs.len(), 2);
    assert_eq!(it.journal.taken.lock().expect("no panic").len(), 2);
}

#[test]
fn what_may_have_happened_or_never_will_is_fatal() {
    let path = "journal.db".to_owned();
    for error in [
        CommitError::Indefinite { path, reason: "power".to_owned() },
        CommitError::Fenced { own: Generation(3), other: Generation(4) },
        CommitError::Invalid { reason: "epochs go back".to_owned() },
    ] {
        let mut it = setting(vec![error]);
        it.committer.push(epoch(10));
        assert!(matches!(it.committer.step(), Err(StepError::Fatal { epoch: Epoch(10), .. })));
        assert!(it.journal.taken.lock().expect("no panic").is_empty());
    }
}

#[test]
fn a_dropped_record_that_cannot_be_read_now_loses_nothing() {
    let mut it = setting(Vec::new());
    let reason = "try again".to_owned();
    *it.reads.lock().expect("no panic") = Some(ReadError::Storage { path: "a segment".to_owned(), reason });
    it.committer.push(epoch(10));
    assert!(matches!(it.committer.step(), Err(StepError::Read(ReadError::Storage { .. }))));
    *it.reads.lock().expect("no panic") = None;
    assert_eq!(it.committer.step().expect("it works").expect("it waited").rows, 4);
}

//! What the journal and the rows promise.

use tidegate_model::{AsOf, Binding, Epoch, EventTime, Generation, Offset, Op, PartitionId};

use super::{Subject, bell, binding, eventually, wait_for};
use crate::event::ReadError;
use crate::journal::{Commit, CommitError, Journal, RowRecord};
use crate::rows::RowReader;

const TOPIC: &str = "event_metrics";

/// A row of the topic of these checks.
pub fn row(epoch: u64, value: &str) -> RowRecord {
    RowRecord {
        topic: TOPIC.into(),
        key: b"page_view".to_vec(),
        value: value.as_bytes().to_vec(),
        epoch: Epoch(epoch),
        op: Op::Final,
        headers: Vec::new(),
    }
}

/// A commit of one epoch.
pub fn commit(epoch: u64, generation: Generation, rows: Vec<RowRecord>) -> Commit {
    Commit { bindings: vec![binding(epoch, generation)], rows }
}

/// The bindings after an epoch, or all of them.
pub fn bindings(journal: &mut impl Journal, after: Option<Epoch>) -> Vec<Binding> {
    let mut bindings = Vec::new();
    journal.read_bindings(after, &mut |binding| bindings.push(binding)).expect("the bindings can be read");
    bindings
}

/// The values of all rows of the topic, over all partitions.
fn values<R: RowReader>(rows: &mut R) -> Vec<String> {
    let mut values = Vec::new();
    for partition in rows.partitions(TOPIC).expect("partitions") {
        let mut from = Offset(0);
        loop {
            let next = rows
                .read(TOPIC, partition, from, 2, &mut |row| {
                    values.push(String::from_utf8_lossy(row.value).into_owned());
                })
                .expect("the rows can be read");
            if next == from {
                break;
            }
            from = next;
        }
    }
    values
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The next process finds the bindings of the one before, and is of a greater generation.
pub fn bindings_survive(subject: &impl Subject) {
    let mut first = subject.journal();
    let recovered = first.recover().expect("it recovers");
    assert_eq!(recovered.last, None);
    assert_eq!(bindings(&mut first, None), []);
    let [ten, eleven, twenty] = [10, 11, 20].map(|epoch| binding(epoch, recovered.generation));
    let two = Commit { bindings: vec![ten.clone(), eleven.clone()], rows: Vec::new() };
    first.commit(&two).expect("it commits");
    let later = Commit { bindings: vec![twenty.clone()], rows: Vec::new() };
    first.commit(&later).expect("it commits");
    let mut next = subject.journal();
    let again = next.recover().expect("it recovers");
    assert!(again.generation > recovered.generation);
    assert_eq!(again.last.as_ref(), Some(&twenty));
    let all = [ten, eleven, twenty];
    for (after, shown) in [
        (None, &all[..]),
        (Some(9), &all[..]),
        (Some(10), &all[1..]),
        (Some(15), &all[2..]),
        (Some(20), &[]),
        (Some(u64::MAX), &[]),
    ] {
        assert_eq!(bindings(&mut next, after.map(Epoch)), shown, "after {after:?}");
    }
}

/// What is pruned is gone for everybody, and everything else stays; the newest binding always does.
pub fn old_bindings_can_be_pruned(subject: &impl Subject) {
    let mut journal = subject.journal();
    let generation = journal.recover().expect("it recovers").generation;
    let all = [10, 11, 20].map(|epoch| binding(epoch, generation));
    let three = Commit { bindings: all.to_vec(), rows: vec![row(10, "a")] };
    journal.commit(&three).expect("it commits");
    for (before, left) in [
        (9, &all[..]),
        (10, &all[..]),
        // What follows epoch 19, of which nothing happened, begins with what is bound before it.
        (19, &all[1..]),
        (20, &all[2..]),
        (20, &all[2..]),
        (21, &all[2..]),
    ] {
        while journal.prune(Epoch(before)).expect("it prunes") {}
        assert_eq!(bindings(&mut journal, None), left, "before {before}");
    }
    eventually(&texts(&["a"]), || values(&mut subject.rows()));
    journal.commit(&commit(15, generation, vec![])).expect_err("epochs still increase");
    let mut next = subject.journal();
    let again = next.recover().expect("it recovers");
    assert_eq!((bindings(&mut next, None), again.last), (all[2..].to_vec(), Some(all[2].clone())));
    let fenced = journal.prune(Epoch(20));
    assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "{fenced:?}");
}

/// Rows of a key are seen in their order, and only when they are committed.
pub fn rows_become_visible_with_their_binding(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    assert_eq!(values(&mut rows), [""; 0]);
    journal.commit(&commit(1, generation, vec![row(1, "a"), row(1, "b")])).expect("it commits");
    eventually(&texts(&["a", "b"]), || values(&mut rows));
    let two = Commit {
        bindings: vec![binding(2, generation), binding(3, generation)],
        rows: vec![row(2, "c"), row(3, "d")],
    };
    journal.commit(&two).expect("it commits");
    eventually(&texts(&["a", "b", "c", "d"]), || values(&mut rows));
    eventually(&texts(&["a", "b", "c", "d"]), || values(&mut subject.rows()));
}

/// Whoever goes back, because a store failed, sees the same once more and comes to the same end.
pub fn rows_can_be_read_again(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    for epoch in 1..4 {
        journal.commit(&commit(epoch, generation, vec![row(epoch, "a")])).expect("it commits");
    }
    eventually(&texts(&["a", "a", "a"]), || values(&mut rows));
    let mut read = |partition, from| {
        let mut seen = 0;
        let next = rows.read(TOPIC, partition, from, 10, &mut |_| seen += 1).expect("the rows can be read");
        (next, seen)
    };
    for partition in subject.rows().partitions(TOPIC).expect("partitions") {
        let (end, all) = read(partition, Offset(0));
        for _ in 0..3 {
            assert_eq!(read(partition, end), (end, 0));
            assert_eq!(read(partition, Offset(0)), (end, all));
            assert_eq!(read(partition, Offset(0)), (end, all), "from the same place, without a way between");
        }
    }
}

/// Key, value, epoch, op, generation and headers come back as they were.
pub fn rows_keep_everything(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    let odd = RowRecord {
        topic: "dropped_events".into(),
        key: vec![0, 255],
        value: vec![0xff, 0, b'"'],
        epoch: Epoch(7),
        op: Op::Retract,
        headers: vec![("reason", "expired \"\u{e9}".to_owned()), ("job", String::new())],
    };
    journal.commit(&commit(7, generation, vec![odd.clone()])).expect("it commits");
    eventually(&1, || {
        let mut found = 0;
        for partition in rows.partitions("dropped_events").expect("partitions") {
            rows.read("dropped_events", partition, Offset(0), 10, &mut |row| {
                found += 1;
                assert_eq!((row.key, row.value), (&odd.key[..], &odd.value[..]));
                assert_eq!((row.epoch, row.op, row.generation), (odd.epoch, odd.op, generation));
                let headers = odd.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                assert_eq!(row.headers, headers.collect::<Vec<_>>());
            })
            .expect("the rows can be read");
        }
        found
    });
}

/// An epoch that is not greater than the last one is refused, and nothing of its commit is there.
pub fn epochs_increase(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    journal.commit(&commit(5, generation, vec![row(5, "a")])).expect("it commits");
    let backwards =
        Commit { bindings: vec![binding(7, generation), binding(6, generation)], rows: Vec::new() };
    let wrong = [commit(5, generation, vec![row(5, "b")]), commit(4, generation, vec![]), backwards];
    for wrong in wrong {
        let error = journal.commit(&wrong).expect_err("the epoch is not greater");
        assert!(matches!(error, CommitError::Invalid { .. }), "{error}");
    }
    journal.commit(&commit(6, generation, vec![row(6, "c")])).expect("it commits");
    eventually(&texts(&["a", "c"]), || values(&mut rows));
}

/// A row is visible exactly when its binding is, so it needs one.
pub fn rows_of_unbound_epochs_are_refused(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    let unordered = Commit {
        bindings: vec![binding(1, generation), binding(2, generation)],
        rows: vec![row(2, "a"), row(1, "b")],
    };
    for wrong in [commit(1, generation, vec![row(2, "a")]), unordered] {
        let error = journal.commit(&wrong).expect_err("a row has no binding");
        assert!(matches!(error, CommitError::Invalid { .. }), "{error}");
    }
    assert_eq!(values(&mut rows), [""; 0]);
}

/// Whoever recovers takes over; the one before cannot commit any more.
pub fn an_older_generation_is_fenced(subject: &impl Subject) {
    let (mut old, mut new) = (subject.journal(), subject.journal());
    let own = old.recover().expect("it recovers").generation;
    old.commit(&commit(1, own, vec![row(1, "a")])).expect("it commits");
    let other = new.recover().expect("it recovers").generation;
    match old.commit(&commit(2, own, vec![row(2, "zombie")])) {
        Err(CommitError::Fenced { own: fenced, other: winner }) => {
            assert_eq!((fenced, winner), (own, other));
        }
        outcome => panic!("{outcome:?}"),
    }
    new.commit(&commit(2, other, vec![row(2, "b")])).expect("it commits");
    eventually(&texts(&["a", "b"]), || values(&mut subject.rows()));
}

/// A reader of rows is told of a commit, and can read it then.
pub fn row_readers_are_woken(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    let (wake, rung) = bell();
    rows.on_commit(wake);
    journal.commit(&commit(1, generation, vec![row(1, "a")])).expect("it commits");
    wait_for(&rung);
    while values(&mut rows).is_empty() {
        wait_for(&rung);
    }
    // And of the next one as well.
    for epoch in 2..5 {
        while rung.try_recv().is_ok() {}
        journal.commit(&commit(epoch, generation, vec![row(epoch, "b")])).expect("it commits");
        wait_for(&rung);
        while values(&mut rows).len() < usize::try_from(epoch).expect("small") {
            wait_for(&rung);
        }
    }
}

/// What rows are as of is the last binding committed, also for a reader that was there before and for one
/// of the next process; a commit that was refused changes nothing.
pub fn readers_know_the_last_binding(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    assert_eq!(rows.as_of().expect("it is readable"), None);
    let frontier = EventTime::from_millis(1_431_857_103_007);
    let mut last = binding(3, generation);
    last.close_to = frontier;
    let two = Commit { bindings: vec![binding(1, generation), last], rows: vec![row(3, "a")] };
    journal.commit(&two).expect("it commits");
    let expected = Some(AsOf { epoch: Epoch(3), frontier });
    eventually(&expected, || rows.as_of().expect("it is readable"));
    eventually(&texts(&["a"]), || values(&mut rows));
    journal.commit(&commit(2, generation, vec![])).expect_err("the epoch is not greater");
    eventually(&expected, || subject.rows().as_of().expect("it is readable"));
    journal.commit(&commit(4, generation, vec![])).expect("it commits");
    let expected = AsOf { epoch: Epoch(4), frontier: EventTime::MIN };
    eventually(&Some(expected), || rows.as_of().expect("it is readable"));
}

/// Sinks may say how far they are, also twice, also of what they said before.
pub fn acknowledgements_are_accepted(subject: &impl Subject) {
    let (mut journal, mut rows) = (subject.journal(), subject.rows());
    let generation = journal.recover().expect("it recovers").generation;
    journal.commit(&commit(1, generation, vec![row(1, "a")])).expect("it commits");
    for partition in rows.partitions(TOPIC).expect("partitions") {
        for offset in [1, 1, 0] {
            rows.acknowledge("tables", TOPIC, partition, Offset(offset)).expect("it is noted");
        }
    }
    let unknown = rows.read(TOPIC, PartitionId(1_000_000), Offset(0), 1, &mut |_| ());
    assert!(matches!(unknown, Err(ReadError::UnknownPartition(_))), "{unknown:?}");
    eventually(&texts(&["a"]), || values(&mut rows));
}

//! What the log of events promises.

use tidegate_model::{EventTime, Offset, PartitionId};

use super::{Subject, bell, block_on, event, read_from, read_some, wait_for};
use crate::event::{AppendError, Appended, EventAppender, EventReader, NewEvent, ReadError};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

fn append<A: EventAppender>(appender: &A, events: Vec<NewEvent>) -> Vec<Appended> {
    block_on(appender.append(events)).expect("the append succeeds")
}

/// What was appended is read back in order, from the partition it was appended to.
pub fn appended_events_are_read_back(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    assert!(reader.partitions().expect("partitions").starts_with(&[P0, P1]));
    assert_eq!(reader.bounds(P0).expect("bounds"), Offset(0)..Offset(0));
    assert_eq!(append(&appender, Vec::new()), []);
    let positions = append(&appender, vec![event(0, "a"), event(1, "b"), event(0, "")]);
    let position = |partition, offset| Appended { partition, offset: Offset(offset) };
    assert_eq!(positions, [position(P0, 0), position(P1, 0), position(P0, 1)]);
    assert_eq!(append(&appender, vec![event(0, "c")]), [position(P0, 2)]);
    assert_eq!(reader.bounds(P0).expect("bounds"), Offset(0)..Offset(3));
    let values = |records: Vec<(Offset, String)>| -> Vec<_> {
        records.into_iter().map(|(offset, value)| (offset.0, value)).collect()
    };
    let read = values(read_from(&mut reader, P0, Offset(0), 1 << 20));
    assert_eq!(read, [(0, "a".to_owned()), (1, String::new()), (2, "c".to_owned())]);
    assert_eq!(values(read_from(&mut reader, P1, Offset(0), 1 << 20)), [(0, "b".to_owned())]);
}

/// Reading may begin anywhere, forwards and backwards.
pub fn reading_goes_on_from_any_offset(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    for append_no in 0..20 {
        append(&appender, (0..5).map(|no| event(0, &format!("{}", append_no * 5 + no))).collect());
    }
    for from in [99, 0, 50, 49, 51, 3, 98, 99] {
        let read = read_from(&mut reader, P0, Offset(from), 7);
        let expected: Vec<_> = (from..100).map(|offset| (Offset(offset), offset.to_string())).collect();
        assert_eq!(read, expected, "from {from}");
    }
}

/// Single records are read wherever they lie: a little ahead, far ahead, and behind.
pub fn single_records_are_read_wherever_they_lie(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    for append_no in 0..20 {
        append(&appender, (0..1_000).map(|no| event(0, &format!("{}", append_no * 1_000 + no))).collect());
    }
    for from in [3, 4, 7, 60, 59, 61, 9_000, 19_998, 19_999, 12, 13, 11_000, 0] {
        let mut read = Vec::new();
        let next = read_some(&mut reader, P0, Offset(from), 1, &mut |record| {
            read.push((record.offset.0, String::from_utf8_lossy(record.value).into_owned()));
        });
        assert_eq!((read, next), (vec![(from, from.to_string())], Offset(from + 1)));
    }
}

/// `max_bytes` ends a read, after the first record at the earliest.
pub fn a_read_is_limited_in_bytes_but_never_empty(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    append(&appender, (0..10).map(|_| event(0, "0123456789")).collect());
    for (max_bytes, next) in [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (1000, 10)] {
        let mut shown = 0;
        // What is on its way may come in parts.
        let mut read = read_some(&mut reader, P0, Offset(0), max_bytes, &mut |_| shown += 1);
        while max_bytes == 1000 && read < Offset(next) {
            read = read_some(&mut reader, P0, read, max_bytes, &mut |_| shown += 1);
        }
        assert_eq!((read, shown), (Offset(next), next), "at most {max_bytes} bytes");
    }
    let nothing = reader.read(P0, Offset(10), 1000, &mut |_| panic!("there is nothing to show"));
    assert_eq!(nothing.expect("the end can be read from"), Offset(10));
}

/// Reading never jumps.
pub fn offsets_that_do_not_exist_are_errors(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    append(&appender, vec![event(0, "a")]);
    let beyond = reader.read(P0, Offset(2), 1000, &mut |_| panic!("there is nothing to show"));
    match beyond {
        Err(ReadError::OutOfRange { partition, asked, available }) => {
            assert_eq!((partition, asked, available), (P0, Offset(2), Offset(0)..Offset(1)));
        }
        other => panic!("{other:?}"),
    }
    let nowhere = PartitionId(1_000_000);
    let unknown = reader.read(nowhere, Offset(0), 1000, &mut |_| ());
    assert!(matches!(unknown, Err(ReadError::UnknownPartition(id)) if id == nowhere), "{unknown:?}");
    let unknown = reader.bounds(nowhere);
    assert!(matches!(unknown, Err(ReadError::UnknownPartition(id)) if id == nowhere), "{unknown:?}");
}

/// All of an append or none of it.
pub fn a_refused_append_leaves_nothing_behind(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    let refused = block_on(appender.append(vec![event(0, "a"), event(1_000_000, "b")]));
    let error = refused.expect_err("there is no such partition");
    assert!(matches!(error, AppendError::UnknownPartition { .. }) && error.is_definite(), "{error}");
    append(&appender, vec![event(0, "c")]);
    assert_eq!(read_from(&mut reader, P0, Offset(0), 1000), [(Offset(0), "c".to_owned())]);
}

/// Append times increase with offsets, or stay.
pub fn append_times_never_go_back(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    for _ in 0..10 {
        append(&appender, vec![event(0, "a")]);
    }
    let (mut last, mut next) = (EventTime::MIN, Offset(0));
    while next < Offset(10) {
        next = read_some(&mut reader, P0, next, 1000, &mut |record| {
            assert!(record.append_time >= last, "{} after {last}", record.append_time);
            last = record.append_time;
        });
    }
}

/// A reader is told of an append, and can read it then.
pub fn readers_are_woken(subject: &impl Subject) {
    let (appender, mut reader) = (subject.appender(), subject.reader());
    let (wake, rung) = bell();
    reader.on_append(wake);
    assert_eq!(reader.read(P1, Offset(0), 1, &mut |_| ()).expect("a read"), Offset(0));
    append(&appender, vec![event(1, "a")]);
    wait_for(&rung);
    while reader.bounds(P1).expect("bounds").end < Offset(1) {
        wait_for(&rung);
    }
    assert_eq!(read_from(&mut reader, P1, Offset(0), 1000).len(), 1);
    // And of the next one as well.
    for count in 1..4 {
        while rung.try_recv().is_ok() {}
        append(&appender, vec![event(1, "b")]);
        wait_for(&rung);
        assert_eq!(read_from(&mut reader, P1, Offset(count), 1000).len(), 1);
    }
}

/// Appends from several threads: each event is there once, those of a thread in their order.
pub fn many_appenders_lose_and_double_nothing(subject: &impl Subject) {
    const THREADS: usize = 4;
    const APPENDS: usize = 25;
    let mut reader = subject.reader();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let appender = subject.appender();
            std::thread::spawn(move || {
                let mut positions = Vec::new();
                for no in 0..APPENDS {
                    let value = format!("{thread}:{no:05}");
                    let events = vec![event(0, &value), event(1, &value)];
                    positions.push((append(&appender, events), value));
                }
                positions
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for thread in threads {
        acknowledged.extend(thread.join().expect("the thread does not panic"));
    }
    for (index, partition) in [P0, P1].into_iter().enumerate() {
        let mut expected: Vec<_> =
            acknowledged.iter().map(|(positions, value)| (positions[index].offset, value.clone())).collect();
        expected.sort();
        let read = read_from(&mut reader, partition, Offset(0), 64);
        assert_eq!(read, expected);
        for thread in 0..THREADS {
            let prefix = format!("{thread}:");
            let own: Vec<_> = read.iter().filter(|(_, value)| value.starts_with(&prefix)).collect();
            assert_eq!(own.len(), APPENDS);
            assert!(own.is_sorted_by_key(|(_, value)| value));
        }
    }
}

/// The partition of a user is a function of the user, and one that exists.
pub fn users_stay_in_their_partition(subject: &impl Subject) {
    let (one, other) = (subject.appender(), subject.appender());
    let partitions = subject.reader().partitions().expect("partitions");
    for user in 0..100 {
        let user = format!("user-{user}");
        let partition = one.partition_of(&user);
        assert!(partitions.contains(&partition), "{user} in {partition}");
        assert_eq!(partition, other.partition_of(&user));
    }
}

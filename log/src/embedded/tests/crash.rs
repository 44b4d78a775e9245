//! The n-th operation fails, for every n: with and without a crash, once and from then on.
//!
//! Whatever happens, an acknowledged record is there once, at the offset that was said; a definitely
//! refused one is not; and within a partition an append is there as a whole or not at all.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tidegate_model::{EventTime, Offset, PartitionId};

use super::options;
use crate::embedded::events::{Events, Step};
use crate::embedded::files::memory::{Crash, Fail, MemoryFiles};
use crate::embedded::reader::EmbeddedReader;
use crate::embedded::{Clock, EmbeddedAppender, OpenError, Options};
use crate::event::{AppendError, Appended, EventReader, NewEvent};

const PARTITIONS: u32 = 2;
const DIR: &str = "data";

/// A clock that goes back now and then.
fn unsteady_clock() -> Clock {
    let ticks = AtomicI64::new(0);
    Arc::new(move || {
        let tick = ticks.fetch_add(1, Ordering::Relaxed);
        EventTime::from_millis(1_000 + tick - 5 * (tick % 3))
    })
}

fn open(files: &MemoryFiles) -> Result<Events, OpenError> {
    let options = Options { segment_bytes_max: 4096, ..options(PARTITIONS) };
    Events::open(Arc::new(files.clone()), unsteady_clock(), Path::new(DIR), &options)
}

/// An append, and what became of it.
struct Outcome {
    events: Vec<NewEvent>,
    answer: Result<Vec<Appended>, AppendError>,
}

/// One append, or several that are written together, some of them to both partitions.
fn round(no: u32) -> Vec<Vec<NewEvent>> {
    let value = |append: u32, event: u32| {
        let mut value = format!("{no}.{append}.{event} ").into_bytes();
        value.resize(250 + 400 * usize::try_from(event % 3).expect("small"), b'.');
        value
    };
    let event = |append, event| NewEvent {
        partition: PartitionId((append + event) % PARTITIONS),
        key: String::new(),
        value: value(append, event),
    };
    (0..=no % 3).map(|append| (0..=(no + append) % 4).map(|no| event(append, no)).collect()).collect()
}

/// Appends a round and lets the writer take a step.
fn run_round(events: &mut Events, no: u32) -> Vec<Outcome> {
    let appender = EmbeddedAppender { queue: Arc::clone(&events.queue) };
    let submitted: Vec<_> = round(no)
        .into_iter()
        .map(|events| (events.clone(), appender.submit(events).expect("the queue has room")))
        .collect();
    while events.driver.step() == Step::Wrote {}
    submitted.into_iter().map(|(events, receipt)| Outcome { events, answer: receipt.wait() }).collect()
}

type Records = BTreeMap<PartitionId, Vec<Vec<u8>>>;

/// All that can be read, offsets and append times checked.
fn read_all(events: &Events) -> Records {
    let mut reader = EmbeddedReader::new(Arc::clone(&events.shared));
    let read = |partition| {
        let mut values = Vec::new();
        let mut last = EventTime::MIN;
        let end = events.shared.partition(partition).expect("it exists").end();
        while (values.len() as u64) < end {
            let from = Offset(values.len() as u64);
            reader
                .read(partition, from, 1_000, &mut |record| {
                    assert_eq!(record.offset.0, values.len() as u64);
                    assert!(record.append_time >= last);
                    last = record.append_time;
                    values.push(record.value.to_vec());
                })
                .expect("what is durable can be read");
        }
        (partition, values)
    };
    (0..PARTITIONS).map(PartitionId).map(read).collect()
}

/// Checks what is there against what was answered.
fn check(records: &Records, outcomes: &[Outcome], context: &str) {
    let mut acknowledged: BTreeMap<PartitionId, u64> = BTreeMap::new();
    for Outcome { events, answer } in outcomes {
        let count = |event: &NewEvent| {
            records[&event.partition].iter().filter(|value| **value == event.value).count()
        };
        match answer {
            Ok(positions) => {
                for (event, position) in events.iter().zip(positions) {
                    assert_eq!(position.partition, event.partition, "{context}");
                    let offset = usize::try_from(position.offset.0).expect("small");
                    let found = records[&event.partition].get(offset);
                    assert!(found == Some(&event.value), "an acknowledged record is there: {context}");
                    assert_eq!(count(event), 1, "an acknowledged record is there once: {context}");
                    *acknowledged.entry(event.partition).or_default() += 1;
                }
            }
            Err(error) if error.is_definite() => {
                assert!(events.iter().all(|event| count(event) == 0), "{error}: {context}");
            }
            Err(_) => {
                for partition in (0..PARTITIONS).map(PartitionId) {
                    let here: Vec<usize> =
                        events.iter().filter(|event| event.partition == partition).map(&count).collect();
                    let whole = here.iter().all(|count| *count == 1);
                    assert!(whole || here.iter().all(|count| *count == 0), "{here:?}: {context}");
                }
            }
        }
    }
    let indefinite =
        outcomes.iter().any(|outcome| outcome.answer.as_ref().is_err_and(|error| !error.is_definite()));
    if !indefinite {
        for (partition, records) in records {
            let expected = acknowledged.get(partition).copied().unwrap_or(0);
            assert_eq!(records.len() as u64, expected, "there is nothing else: {context}");
        }
    }
}

/// How many operations the rounds take when nothing fails.
fn operations(rounds: u32) -> u64 {
    let files = MemoryFiles::default();
    files.fail(Fail::Only(u64::MAX), ErrorKind::Other);
    let mut events = open(&files).expect("it opens");
    for no in 0..rounds {
        run_round(&mut events, no);
    }
    files.operations()
}

const ROUNDS: u32 = 14;

/// Lets operations fail, goes on after healing, then ends with a crash or without one.
fn fail_and_reopen(fail: Fail, kind: ErrorKind, heal: bool, crash: Option<Crash>) -> usize {
    let context = format!("{fail:?} {kind:?}, healed: {heal}, then {crash:?}");
    let files = MemoryFiles::default();
    files.fail(fail, kind);
    let mut outcomes = Vec::new();
    let (mut refused, mut healed) = (0, false);
    if let Ok(mut events) = open(&files) {
        for no in 0..ROUNDS {
            let round = run_round(&mut events, no);
            let failed = round.iter().filter(|outcome| outcome.answer.is_err()).count();
            assert!(!healed || failed == 0, "it heals: {context}");
            refused += failed;
            outcomes.extend(round);
            if failed > 0 && heal {
                files.heal();
                healed = true;
            }
        }
        files.heal();
        // Readers of this process see what was acknowledged, and nothing else.
        let acknowledged: Vec<Outcome> = outcomes
            .iter()
            .filter(|outcome| outcome.answer.is_ok())
            .map(|outcome| Outcome { events: outcome.events.clone(), answer: outcome.answer.clone() })
            .collect();
        check(&read_all(&events), &acknowledged, &context);
    }
    files.heal();
    if let Some(crash) = crash {
        files.crash(crash);
    }
    let mut events = open(&files).unwrap_or_else(|error| panic!("{error}: {context}"));
    let seen = read_all(&events);
    check(&seen, &outcomes, &context);
    // It can be written on, and that can be read by the next process, whatever was there before.
    outcomes.extend(run_round(&mut events, ROUNDS));
    assert!(outcomes.last().is_some_and(|last| last.answer.is_ok()), "{context}");
    drop(events);
    files.crash(Crash::Lose);
    let events = open(&files).unwrap_or_else(|error| panic!("{error}: {context}"));
    let records = read_all(&events);
    check(&records, &outcomes, &context);
    for (partition, seen) in seen {
        assert!(records[&partition].starts_with(&seen), "what was seen stays: {context}");
    }
    refused
}

const ENDS: [Option<Crash>; 4] = [None, Some(Crash::Lose), Some(Crash::Keep), Some(Crash::Tear)];

#[test]
fn an_operation_that_fails_once_loses_and_doubles_nothing() {
    let mut refused = 0;
    for n in 0..operations(ROUNDS) {
        for crash in ENDS {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                refused += fail_and_reopen(Fail::Only(n), kind, true, crash);
            }
        }
    }
    assert!(refused > 100, "the failures were felt: {refused}");
}

#[test]
fn a_disk_that_fails_for_a_while_loses_and_doubles_nothing() {
    for n in 0..operations(ROUNDS) {
        for crash in ENDS {
            fail_and_reopen(Fail::From(n), ErrorKind::Other, true, crash);
        }
    }
}

#[test]
fn a_disk_that_fails_until_the_end_loses_and_doubles_nothing() {
    for n in 0..operations(ROUNDS) {
        for crash in ENDS {
            fail_and_reopen(Fail::From(n), ErrorKind::StorageFull, false, crash);
        }
    }
}

#[test]
fn a_crash_while_the_log_is_opened_leaves_it_openable() {
    for n in 0..operations(0) {
        for crash in [Crash::Lose, Crash::Keep, Crash::Tear] {
            let files = MemoryFiles::default();
            files.fail(Fail::From(n), ErrorKind::Other);
            open(&files).err().expect("an operation failed");
            files.crash(crash);
            let mut events = open(&files).expect("it opens after the crash");
            let outcomes = run_round(&mut events, 2);
            check(&read_all(&events), &outcomes, "after a crash during the first open");
        }
    }
}

//! A producer that met a fatal error, on a real broker.

#![expect(unsafe_code, reason = "a fatal error is provoked through librdkafka's own function for tests")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::atomic::AtomicBool;

use rdkafka::bindings as raw;
use tidegate_model::{Offset, PartitionId};
use tidegate_services::{Kafka, test_kafka};

use super::*;
use crate::block_on::block_on;
use crate::event::EventReader as _;
use crate::kafka::{KafkaLog, TopicNames};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Those who append at once.
const WRITERS: usize = 4;

/// Events in each of their appends.
const EVENTS: usize = 100;

fn log(bootstrap: &str, name: &str) -> KafkaLog {
    let name = format!("{name}-{}", std::process::id());
    let topics = TopicNames { events: format!("{name}-events"), rows: Vec::new() };
    let bootstrap = bootstrap.to_owned();
    let options = Options { bootstrap, topics, deployment: name, events_partitions: 1, ..Options::default() };
    KafkaLog::open(options).expect("the broker answers")
}

/// Has the producer meet a fatal error, if it has not met one already.
fn provoke(appender: &KafkaAppender) {
    let reason = CString::new("a test wants it").expect("it has no zero");
    let code = raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    appender.0.producer.with_native(|native| {
        // SAFETY: the producer lives while this is called, and librdkafka copies the reason.
        unsafe { raw::rd_kafka_test_fatal_error(native, code, reason.as_ptr()) };
    });
}

fn append(appender: &KafkaAppender, values: &[String]) -> Result<Vec<Appended>, AppendError> {
    let event = |value: &String| NewEvent {
        partition: PartitionId(0),
        key: "u".to_owned(),
        value: value.as_bytes().to_vec(),
    };
    block_on(appender.append(values.iter().map(event).collect()))
}

/// Appends until that works.
fn append_at_last(appender: &KafkaAppender, value: &str) {
    let began = Instant::now();
    while let Err(error) = append(appender, &[value.to_owned()]) {
        assert!(began.elapsed() < PATIENCE, "nothing can be appended: {error}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// An append of some events, and what was said of it.
type Told = (Vec<String>, Result<Vec<Appended>, AppendError>);

/// Appends for as long as that is wanted.
fn write(appender: &KafkaAppender, writer: usize, is_over: &AtomicBool) -> Vec<Told> {
    let mut told = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let value = |event: usize| format!("{writer}-{}-{event}", told.len());
        let values: Vec<String> = (0..EVENTS).map(value).collect();
        let outcome = append(appender, &values);
        if outcome.is_err() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        told.push((values, outcome));
    }
    told
}

/// Compares what is in the log with what was said: how many appends were acknowledged, refused, unknown.
fn check(told: &[Told], stored: &BTreeMap<String, usize>) -> [usize; 3] {
    let mut counts = [0; 3];
    for (values, outcome) in told {
        let (kind, least, most) = match outcome {
            Ok(_) => (0, 1, 1),
            Err(error) if error.is_definite() => (1, 0, 0),
            Err(_) => (2, 0, 1),
        };
        counts[kind] += 1;
        for value in values {
            let count = stored.get(value).copied().unwrap_or(0);
            assert!((least..=most).contains(&count), "{value} is there {count} times: {outcome:?}");
        }
    }
    println!("appends: acknowledged {}, refused {}, unknown {}", counts[0], counts[1], counts[2]);
    counts
}

/// How often each value is in the log.
fn stored(log: &KafkaLog) -> BTreeMap<String, usize> {
    let mut reader = log.reader().expect("the settings are right");
    let end = reader.bounds(PartitionId(0)).expect("the broker answers").end;
    let (mut next, mut stored) = (Offset(0), BTreeMap::new());
    let began = Instant::now();
    while next < end {
        assert!(began.elapsed() < PATIENCE, "the log cannot be read beyond {next}");
        next = reader
            .read(PartitionId(0), next, 1_000, &mut |record| {
                *stored.entry(String::from_utf8_lossy(record.value).into_owned()).or_default() += 1;
            })
            .expect("the events can be read");
    }
    stored
}

#[test]
fn a_fatal_error_is_followed_by_a_new_producer_and_nothing_is_lost_or_doubled() {
    let Ok(bootstrap) = test_kafka() else { return };
    let log = log(&bootstrap, "fatal");
    let appender = log.appender().expect("the broker answers");
    let is_over = AtomicBool::new(false);
    let told: Vec<Told> = std::thread::scope(|scope| {
        let start = |writer| {
            scope.spawn({
                let (appender, is_over) = (&appender, &is_over);
                move || write(appender, writer, is_over)
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(start).collect();
        for round in 0..3 {
            // Under load: events are queued and on their way.
            std::thread::park_timeout(Duration::from_millis(100));
            provoke(&appender);
            append_at_last(&appender, &format!("after {round}"));
        }
        is_over.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("it does not panic")).collect()
    });
    let stored = stored(&log);
    let [acknowledged, refused, unknown] = check(&told, &stored);
    assert!(acknowledged > 0 && refused + unknown > 0);
    assert!((0..3).all(|round| stored.contains_key(&format!("after {round}"))));
}

#[test]
fn what_is_on_its_way_at_a_fatal_error_may_have_been_stored() {
    if test_kafka().is_err() {
        return;
    }
    // One of its own, which is stopped.
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let broker = Kafka::start(dir.path()).expect("a broker starts");
    let log = log(broker.address(), "on-its-way");
    let appender = log.appender().expect("the broker answers");
    append(&appender, &["first".to_owned()]).expect("it is stored");
    broker.pause().expect("it is stopped");
    let values = vec!["unknown".to_owned()];
    let outcome = std::thread::scope(|scope| {
        let waits = scope.spawn(|| append(&appender, &values));
        // Longer than it lingers: it is with the broker, which does not answer.
        std::thread::park_timeout(Duration::from_millis(500));
        provoke(&appender);
        waits.join().expect("it does not panic")
    });
    assert!(matches!(outcome, Err(AppendError::Indefinite { .. })), "{outcome:?}");
    broker.resume().expect("it goes on");
    append_at_last(&appender, "last");
    let stored = stored(&log);
    check(&[(values, outcome)], &stored);
    assert_eq!((stored["first"], stored["last"]), (1, 1));
}

#[test]
fn a_producer_takes_the_place_of_another_one_once_a_second_at_most() {
    let now = Instant::now();
    let after = |ms: u64| producer::rest(Some(now), now + Duration::from_millis(ms));
    assert_eq!(producer::rest(None, now), Duration::ZERO);
    assert_eq!([0, 400, 1_000, 5_000].map(after).map(|rest| rest.as_millis()), [1_000, 600, 0, 0]);
}

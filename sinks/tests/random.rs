//! Random rows, corrections and retractions, read in random pieces by sinks that come and go, against a
//! map that is right by being simple.

mod common;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use tidegate_model::EventTime;
use tidegate_model::row::Op;
use tidegate_sinks::{Config, Sink};

use common::{EVENTS, MemoryLog, Place, event_json};

const NOW: EventTime = EventTime::from_millis(0);
const PARTITIONS: u32 = 2;

/// What happens to one key. The partition follows from the key.
#[derive(Clone, Debug)]
struct Change {
    minute: i64,
    op: Op,
    epoch_passes: bool,
    offset_left_out: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let op = prop_oneof![3 => Just(Op::Final), 2 => Just(Op::Correct), 2 => Just(Op::Retract)];
    (0..6_i64, op, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(minute, op, epoch_passes, offset_left_out)| Change { minute, op, epoch_passes, offset_left_out },
    )
}

/// What the sink is made to do with what is in the log so far.
#[derive(Clone, Debug)]
enum Act {
    Append(Vec<Change>),
    Steps {
        count: usize,
        rows_max: usize,
        bytes_max: usize,
    },
    /// The sink dies; its acknowledgements may have failed before.
    Die {
        unacknowledged: bool,
    },
    /// The log removes what was acknowledged.
    Remove,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => prop::collection::vec(change(), 1..20).prop_map(Act::Append),
        4 => (1..4_usize, 1..8_usize, 1..2_000_usize)
            .prop_map(|(count, rows_max, bytes_max)| Act::Steps { count, rows_max, bytes_max }),
        2 => any::<bool>().prop_map(|unacknowledged| Act::Die { unacknowledged }),
        1 => Just(Act::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_the_map(acts in prop::collection::vec(act(), 1..25)) {
        let (log, place) = (MemoryLog::default(), Place::new());
        let mut model: HashMap<i64, u64> = HashMap::new();
        let (mut epoch, mut count) = (1_000, 0);
        let mut sink = None;
        for act in acts {
            match act {
                Act::Append(changes) => for change in changes {
                    let partition = u32::try_from(change.minute).expect("a small number") % PARTITIONS;
                    epoch += u64::from(change.epoch_passes);
                    count += 1;
                    if change.offset_left_out {
                        log.leave_out(EVENTS, partition);
                    }
                    log.push(EVENTS, partition, epoch, change.op, event_json(change.minute, "click", count));
                    match change.op {
                        Op::Final | Op::Correct => model.insert(change.minute, count),
                        Op::Retract => model.remove(&change.minute),
                    };
                },
                Act::Steps { count, rows_max, bytes_max } => {
                    let config = Config {
                        rows_per_topic_max: rows_max,
                        batch_bytes_max: bytes_max,
                        ..Config::default()
                    };
                    // A new sink on the old parts every time, so that batches are cut anew.
                    let (reader, store) =
                        sink.take().map_or_else(|| (log.clone(), place.store()), Sink::into_parts);
                    let sink = sink.insert(Sink::new(reader, store, config));
                    for _ in 0..count {
                        // An acknowledgement may have been told to fail; the next step makes up for it.
                        let _ = sink.step(NOW);
                    }
                }
                Act::Die { unacknowledged } => {
                    sink = None;
                    if unacknowledged {
                        log.fail_acknowledgements(2);
                    }
                }
                Act::Remove => for partition in 0..PARTITIONS {
                    if let Some(offset) = log.acknowledged(EVENTS, partition) {
                        log.remove_before(EVENTS, partition, offset);
                    }
                },
            }
        }
        drop(sink);
        log.fail_acknowledgements(0);
        let mut sink = Sink::new(log, place.store(), Config::default());
        while !sink.step(NOW).expect("nothing is in the way now").caught_up {}
        let start = |minute: i64| EventTime::from_millis(minute * 60_000).to_table_text();
        let expected: BTreeMap<String, String> =
            model.iter().map(|(minute, count)| (start(*minute), count.to_string())).collect();
        let found = common::dump(&place.file(), "SELECT window_start, event_count FROM event_metrics");
        let found: BTreeMap<String, String> =
            found.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        prop_assert_eq!(found, expected);
    }
}

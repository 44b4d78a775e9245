//! Random rows, gaps, frontiers and times: the cache in Redis does what the one in process does, and tells
//! the same changes.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tidegate_cache::conformance::{
    NOW, Subject, TOPIC, batch, events, provisional, retraction, row, small, window,
};
use tidegate_cache::redis::{RedisReader, RedisWriter};
use tidegate_cache::{
    Ask, CacheReader, CacheWriter, CachedWindow, Gap, MemoryCache, Position, Row, Seed, SeededKind,
    SeededRow, Standing, UpdateKind, Updates,
};
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId};

use crate::subject::{Server, next_update};

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(i64, u8, u64, u8)>),
    Skip(bool),
    AsOf(u64, i64),
    Expire,
    Advance(Vec<(i64, u8, u64, u8)>, Vec<(i64, u8, u64, u8)>, Option<(u64, i64)>),
    Seed(Vec<(i64, u8, u64)>, Option<i64>),
}

fn step() -> impl Strategy<Value = Step> {
    let rows = || prop::collection::vec((0..8_i64, 0..4_u8, 0..6_u64, 0..6_u8), 1..8);
    prop_oneof![
        8 => rows().prop_map(Step::Rows),
        1 => any::<bool>().prop_map(Step::Skip),
        1 => (0..4_u64, 0..8_i64).prop_map(|(epoch, minute)| Step::AsOf(epoch, minute)),
        1 => Just(Step::Expire),
        4 => (rows(), rows(), prop::option::of((0..4_u64, 0..8_i64)))
            .prop_map(|(rows, more, as_of)| Step::Advance(rows, more, as_of)),
        1 => (prop::collection::vec((0..8_i64, 0..4_u8, 0..6_u64), 0..6), prop::option::of(0..8_i64))
            .prop_map(|(rows, left_out)| Step::Seed(rows, left_out)),
    ]
}

fn label(label: u8) -> &'static str {
    ["a", "b", "c", "d"][usize::from(label)]
}

fn made((minute, name, epoch, kind): (i64, u8, u64, u8), count: u64) -> Row {
    match kind {
        0 => retraction(epoch, minute, label(name)),
        1 | 2 => provisional(epoch, minute, label(name), count),
        _ => row(epoch, minute, label(name), count),
    }
}

/// Does a step, and says what came of it.
fn carry_out(cache: &mut impl CacheWriter, step: &Step, count: u64, now: EventTime) -> String {
    let positions = cache.positions().expect("it answers");
    let at = positions.values().next().map_or(0, |position| position.next.0);
    match step {
        Step::Rows(rows) => {
            // Some of them come again.
            let from = at.saturating_sub(2);
            let batch = batch(from, rows.iter().map(|row| made(*row, count)).collect());
            format!("{:?}", cache.apply(&batch, now))
        }
        Step::Skip(is_final) => {
            let missing = Offset(at)..Offset(at + 2);
            let (topic, partition) = ("event_metrics".into(), PartitionId(0));
            format!("{:?}", cache.skip(&Gap { topic, partition, missing, view: is_final.then(events) }))
        }
        Step::AsOf(epoch, minute) => {
            let as_of = AsOf { epoch: Epoch(*epoch), frontier: window(*minute).start };
            format!("{:?}", cache.set_as_of(Some(as_of), &positions))
        }
        Step::Expire => format!("{:?}", cache.expire(now)),
        Step::Advance(rows, more, as_of) => {
            let made = |rows: &[_]| rows.iter().map(|row| made(*row, count)).collect();
            let first = batch(at, made(rows));
            // Some of them come again, and now and then it stands elsewhere in the end.
            let second = batch(first.range.end.0.saturating_sub(count % 3), made(more));
            let mut after = positions;
            let next = if count.is_multiple_of(5) { first.range.end } else { second.range.end };
            let position = Position { next, last: second.last };
            after.insert((TOPIC.into(), PartitionId(0)), position);
            let standing = as_of.map(|(epoch, minute)| Standing {
                as_of: Some(AsOf { epoch: Epoch(epoch), frontier: window(minute).start }),
                at: &after,
            });
            format!("{:?}", cache.advance(&[first, second], standing, now))
        }
        Step::Seed(rows, left_out) => {
            let rows = rows.iter().map(|(minute, name, epoch)| {
                let Row { window, label, epoch, effect, .. } = row(*epoch, *minute, label(*name), count);
                let tidegate_cache::Effect::Put(values) = effect else { unreachable!("it has values") };
                SeededRow { window, label, epoch, values }
            });
            let kind = SeededKind {
                view: events(),
                topic: "event_metrics".into(),
                positions: positions
                    .iter()
                    .map(|((_, partition), position)| (*partition, *position))
                    .collect(),
                left_out: left_out.map(|minute| window(minute).start),
                rows: rows.collect(),
            };
            format!("{:?}", cache.seed(&Seed { kinds: vec![kind] }, now))
        }
    }
}

/// What is read: as of, ready, final windows, provisional ones, positions.
async fn look(reader: &impl CacheReader, cache: &mut impl CacheWriter) -> String {
    let asks = [Ask::Newest { kind: "event", limit: usize::MAX }, Ask::Live { kind: "event" }];
    let answer = reader.read(&asks).await.expect("it answers");
    let windows: Vec<Vec<CachedWindow>> = answer
        .windows
        .iter()
        .map(|windows| windows.iter().map(|window| CachedWindow::clone(window)).collect())
        .collect();
    let ready = reader.ready().await.expect("it answers");
    let sizes = cache.sizes().expect("it answers");
    format!("{:?} {ready} {windows:?} {:?} {sizes:?}", answer.as_of, cache.positions())
}

/// What was told, up to the update that an answer has.
async fn told(reader: &impl CacheReader, updates: &mut impl Updates, last: &mut u64) -> Vec<String> {
    let seq = reader.read(&[]).await.expect("it answers").seq;
    let mut told = Vec::new();
    while *last < seq {
        let update = next_update(updates).await.expect("nothing is missed");
        *last = update.seq;
        told.push(match update.kind {
            UpdateKind::Changed(change) => format!("{change:?}"),
            UpdateKind::AsOf(as_of) => format!("{as_of:?}"),
        });
    }
    told
}

async fn compare(mut memory: MemoryCache, (mut cache, reader): (RedisWriter, RedisReader), steps: &[Step]) {
    let mut expected_updates = memory.subscribe().await.expect("it answers");
    let mut updates = reader.subscribe().await.expect("it answers");
    let (mut expected_last, mut last) = (0, 0);
    let mut now = NOW;
    for (count, step) in (1..).zip(steps) {
        now = now.plus_ms(small().hash_ttl_ms / 4);
        let expected = carry_out(&mut memory, step, count, now);
        assert_eq!(carry_out(&mut cache, step, count, now), expected, "{step:?}");
        let expected = look(&memory.clone(), &mut memory).await;
        assert_eq!(look(&reader, &mut cache).await, expected, "{step:?}");
        let expected = told(&memory, &mut expected_updates, &mut expected_last).await;
        assert_eq!(told(&reader, &mut updates, &mut last).await, expected, "{step:?}");
    }
}

#[test]
fn it_does_what_the_cache_in_process_does() {
    let Some(server) = Server::start(&[]) else { return };
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::with_cases(150) });
    let run = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        let subject = server.fresh(small());
        runtime.block_on(compare(MemoryCache::new(small()), (subject.writer(), subject.reader()), &steps));
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

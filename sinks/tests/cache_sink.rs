//! The cache sink as a state machine: what it reads, seeds, acknowledges, and how it goes on after failures.

mod common;

use std::sync::{Arc, Mutex};

use tidegate_cache::{
    Applied, Batch, CacheWriter, Config as CacheLimits, Gap, KindSize, MemoryCache, Positions, Seed,
    Standing, WriteError,
};
use tidegate_log::RowReader as _;
use tidegate_model::row::{EventMetrics, MetricRow as _, Op, PerformanceMetrics, SessionWindowMetrics};
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId};
use tidegate_sinks::cache::NoSeed;
use tidegate_sinks::{
    CacheConfig, CacheProgress, CacheSink, CacheSinkError, Config, SeedSource, Sink, SqliteSeed,
};

use common::cached::{Shown, is_ready, live, read, settled, tables};
use common::{EVENTS, MemoryLog, Place, event_json};

const NOW: EventTime = EventTime::from_millis(1_431_857_100_000);
const LIVE: &str = "live_metrics";
const JOB: (&str, &str) = ("job", "EventAggregator");

fn count(shown: &Shown, minute: i64, label: &str) -> Option<String> {
    shown.get(&("event", minute * 60_000, format!("{label}.count"))).cloned()
}

fn store_all(log: &MemoryLog, place: &Place) {
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    while !sink.step(NOW).expect("a step").caught_up {}
}

fn run<C: CacheWriter, S: SeedSource>(sink: &mut CacheSink<MemoryLog, C, S>) -> Vec<CacheProgress> {
    let mut steps = Vec::new();
    while steps.last().is_none_or(|last: &CacheProgress| !last.caught_up) {
        steps.push(sink.step(NOW).expect("a step"));
    }
    steps
}

fn sink_of(log: &MemoryLog) -> (MemoryCache, CacheSink<MemoryLog, MemoryCache, NoSeed>) {
    let cache = MemoryCache::new(CacheLimits::default());
    let sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, CacheConfig::default());
    (cache, sink)
}

#[test]
fn every_cached_table_arrives_by_its_schema() {
    let log = MemoryLog::default();
    let start = EventTime::from_millis(300_000);
    let end = start.plus_ms(300_000);
    let events = event_json(5, "click", 7);
    let performance = PerformanceMetrics {
        window_start: start,
        window_end: end,
        device_category: "Mobile".to_owned(),
        avg_load_time: 120.0,
        p95_load_time: 250.5,
    };
    let sessions = SessionWindowMetrics {
        window_start: start,
        window_end: end,
        device_category: "Bot".to_owned(),
        sessions: 3,
        bounces: 1,
        avg_duration: 1.5,
        avg_page_count: 2.0,
    };
    let json = |row: &dyn erased::Json| row.json();
    log.push(EVENTS, 0, 5, Op::Final, events);
    log.push(PerformanceMetrics::SCHEMA.table, 1, 5, Op::Final, json(&performance));
    log.push(SessionWindowMetrics::SCHEMA.table, 2, 5, Op::Final, json(&sessions));
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    let expected = [
        ("event", "click.count", "7"),
        ("event", "click.users", "1"),
        ("perf", "Mobile.avg_load_time", "120.0"),
        ("perf", "Mobile.p95_load_time", "250.5"),
        ("session", "Bot.sessions", "3"),
        ("session", "Bot.bounces", "1"),
        ("session", "Bot.avg_duration", "1.5"),
        ("session", "Bot.avg_page_count", "2.0"),
    ];
    let expected = expected.map(|(kind, name, value)| ((kind, 300_000, name.to_owned()), value.to_owned()));
    assert_eq!(settled(&cache), Shown::from(expected));
    assert_eq!(sink.totals().rows, 3);
    assert_eq!(live(&cache), Shown::new());
}

mod erased {
    //! Rows of any type as JSON.

    pub(super) trait Json {
        fn json(&self) -> String;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).expect("a row serialises")
        }
    }
}

#[test]
fn provisional_rows_are_told_from_final_ones_by_their_job() {
    let log = MemoryLog::default();
    log.push_with_headers(LIVE, 0, 5, Op::Final, event_json(6, "click", 1), &[JOB]);
    log.push_with_headers(LIVE, 0, 6, Op::Final, event_json(6, "click", 2), &[JOB]);
    log.push_with_headers(LIVE, 0, 6, Op::Final, event_json(6, "click", 2), &[("job", "Unheard")]);
    log.push(LIVE, 0, 6, Op::Final, event_json(6, "click", 2));
    log.push_with_headers(LIVE, 0, 6, Op::Final, "{}", &[JOB]);
    log.push(EVENTS, 0, 6, Op::Final, event_json(5, "click", 9));
    log.push(EVENTS, 0, 6, Op::Final, "no row");
    let (cache, mut sink) = sink_of(&log);
    let steps = run(&mut sink);
    assert_eq!(count(&live(&cache), 6, "click").as_deref(), Some("2"));
    assert_eq!(count(&settled(&cache), 5, "click").as_deref(), Some("9"));
    assert_eq!((sink.totals().rows, sink.totals().unreadable), (7, 4));
    let first = steps[0].first_unreadable.as_ref().expect("there is one").to_string();
    assert!(first.contains("row 1 of partition 0 of topic event_metrics"), "{first}");
    log.push(EVENTS, 0, 7, Op::Final, event_json(6, "click", 3));
    run(&mut sink);
    assert_eq!(live(&cache), Shown::new(), "the window is closed");
}

/// A cache that is filled anew reads provisional values of long ago, with the final ones still to come.
#[test]
fn provisional_rows_of_closed_windows_are_never_shown() {
    let log = MemoryLog::default();
    for minute in 1..=3 {
        log.push_with_headers(LIVE, 0, 5, Op::Final, event_json(minute, "click", 1), &[JOB]);
    }
    for (minute, kind) in [(1, "click"), (1, "page_view"), (2, "click")] {
        log.push(EVENTS, 0, 6, Op::Final, event_json(minute, kind, 2));
    }
    log.set_as_of(6, EventTime::from_millis(3 * 60_000));
    let cache = MemoryCache::new(CacheLimits::default());
    let config = CacheConfig { rows_per_topic_max: 1, ..CacheConfig::default() };
    let mut sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, config);
    while !sink.step(NOW).expect("a step").caught_up {
        for minute in 1..=2 {
            assert_eq!(count(&live(&cache), minute, "click"), None, "window {minute} has closed");
        }
    }
    assert_eq!(count(&live(&cache), 3, "click").as_deref(), Some("1"));
    assert_eq!(count(&settled(&cache), 2, "click").as_deref(), Some("2"));
    let applied = sink.totals().applied;
    assert_eq!((applied.put, applied.old, applied.rows()), (4, 2, 6));
}

#[test]
fn the_cache_is_as_of_a_binding_only_when_everything_up_to_it_is_in() {
    let log = MemoryLog::default();
    let frontier = EventTime::from_millis(1);
    log.set_as_of(5, frontier);
    for minute in 0..4 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    let cache = MemoryCache::new(CacheLimits::default());
    let config = CacheConfig { rows_per_topic_max: 2, ..CacheConfig::default() };
    let mut sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, config);
    for _ in 0..2 {
        assert!(!sink.step(NOW).expect("a step").caught_up);
        assert_eq!((read(&cache, &[]).as_of, is_ready(&cache)), (None, false));
    }
    assert!(sink.step(NOW).expect("a step").caught_up);
    assert_eq!(read(&cache, &[]).as_of, Some(AsOf { epoch: Epoch(5), frontier }));
    assert!(is_ready(&cache));
    log.set_as_of(6, frontier);
    log.damage(EVENTS, 0);
    let error = sink.step(NOW).expect_err("it cannot be read");
    assert!(matches!(error, CacheSinkError::Read { .. }), "{error}");
    assert_eq!(
        read(&cache, &[]).as_of.map(|as_of| as_of.epoch),
        Some(Epoch(5)),
        "nobody knows what is there"
    );
    assert_eq!(sink.totals().errors, 1);
}

#[test]
fn a_cache_that_always_finds_rows_is_as_of_the_binding_before_them() {
    let log = MemoryLog::default();
    let (cache, mut sink) = sink_of(&log);
    for epoch in 1..=5 {
        log.push(EVENTS, 0, epoch, Op::Final, event_json(5, "click", epoch));
        log.set_as_of(epoch, EventTime::from_millis(1));
        let progress = sink.step(NOW).expect("a step");
        assert!(progress.complete && !progress.caught_up, "{progress:?}");
        assert_eq!(read(&cache, &[]).as_of.map(|as_of| as_of.epoch), Some(Epoch(epoch)));
    }
    assert!(is_ready(&cache));
}

#[test]
fn a_cache_restored_from_an_old_state_is_noticed_although_nothing_comes() {
    for backup_of_nothing in [false, true] {
        let log = MemoryLog::default();
        log.push(EVENTS, 0, 1, Op::Final, event_json(4, "click", 1));
        let cache = MemoryCache::new(CacheLimits::default());
        let held = Restorable::new(cache.clone());
        let mut sink = CacheSink::new(log.clone(), held.clone(), NoSeed, CacheConfig::default());
        run(&mut sink);
        let backup = if backup_of_nothing { MemoryCache::new(CacheLimits::default()) } else { cache.copy() };
        log.push(EVENTS, 0, 2, Op::Final, event_json(5, "click", 2));
        log.set_as_of(2, EventTime::from_millis(1));
        run(&mut sink);
        *held.cache.lock().expect("no panic") = backup.clone();
        let error = sink.step(NOW).expect_err("it is not where it was left");
        assert!(error.to_string().contains("of topic event_metrics"), "{error}");
        assert_eq!(count(&settled(&backup), 5, "click"), None, "nothing was said or done yet");
        run(&mut sink);
        assert_eq!(count(&settled(&backup), 4, "click").as_deref(), Some("1"));
        assert_eq!(count(&settled(&backup), 5, "click").as_deref(), Some("2"));
        assert_eq!(read(&backup, &[]).as_of.map(|as_of| as_of.epoch), Some(Epoch(2)));
    }
}

/// A cache that can be put back to another state, behind the back of whoever writes it.
#[derive(Clone)]
struct Restorable {
    cache: Arc<Mutex<MemoryCache>>,
    /// How many rows it was handed at once.
    handed_over: Arc<Mutex<Vec<usize>>>,
}

impl Restorable {
    fn new(cache: MemoryCache) -> Self {
        Self { cache: Arc::new(Mutex::new(cache)), handed_over: Arc::default() }
    }

    fn now(&self) -> MemoryCache {
        self.cache.lock().expect("no panic").clone()
    }
}

impl CacheWriter for Restorable {
    fn positions(&mut self) -> Result<Positions, WriteError> {
        self.now().positions()
    }

    fn seed(&mut self, seed: &Seed, now: EventTime) -> Result<(), WriteError> {
        self.now().seed(seed, now)
    }

    fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError> {
        self.now().apply(batch, now)
    }

    fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) -> Result<(), WriteError> {
        self.now().adopt(source, start)
    }
    fn skip(&mut self, gap: &Gap) -> Result<(), WriteError> {
        self.now().skip(gap)
    }

    fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError> {
        self.now().set_as_of(as_of, at)
    }

    fn expire(&mut self, now: EventTime) -> Result<(), WriteError> {
        self.now().expire(now)
    }

    fn advance(
        &mut self,
        batches: &[Batch],
        standing: Option<Standing<'_>>,
        now: EventTime,
    ) -> Result<Vec<Applied>, WriteError> {
        let rows = batches.iter().map(|batch| batch.rows.len()).sum();
        self.handed_over.lock().expect("no panic").push(rows);
        self.now().advance(batches, standing, now)
    }

    fn sizes(&mut self) -> Result<Vec<KindSize>, WriteError> {
        self.now().sizes()
    }
}

#[test]
fn a_batch_is_limited_in_bytes_but_holds_a_row_at_least() {
    let log = MemoryLog::default();
    for minute in 0..4 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    let row_bytes = event_json(0, "click", 1).len();
    for (batch_bytes_max, rows) in [(1, 1), (row_bytes, 1), (row_bytes + 1, 2), (9 * row_bytes, 4)] {
        let cache = MemoryCache::new(CacheLimits::default());
        let config = CacheConfig { batch_bytes_max, ..CacheConfig::default() };
        let mut sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, config);
        assert_eq!(sink.step(NOW).expect("a step").rows, rows, "{batch_bytes_max}");
        run(&mut sink);
        assert_eq!(settled(&cache).len(), 8, "every row is in");
    }
}

#[test]
fn the_log_is_told_now_and_then_what_it_may_remove() {
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let (_, mut sink) = sink_of(&log);
    log.fail_acknowledgements(1);
    let error = sink.step(NOW).expect_err("the log cannot be told");
    assert!(matches!(error, CacheSinkError::Acknowledge { .. }), "{error}");
    assert_eq!(sink.totals().unacknowledged, 1);
    sink.step(NOW).expect("a step");
    assert_eq!(log.acknowledged(EVENTS, 0), Some(1), "it is told again at once");
    log.push(EVENTS, 0, 6, Op::Final, event_json(1, "click", 1));
    sink.step(NOW.plus_ms(999)).expect("a step");
    assert_eq!((log.acknowledged(EVENTS, 0), sink.totals().unacknowledged), (Some(1), 1));
    sink.step(NOW.plus_ms(1_000)).expect("a step");
    assert_eq!((log.acknowledged(EVENTS, 0), sink.totals().unacknowledged), (Some(2), 0));
    assert_eq!(sink.totals().acknowledgements, 2);
}

#[test]
fn a_new_cache_begins_from_the_store_and_goes_on_in_the_log() {
    let (log, place) = (MemoryLog::default(), Place::new());
    for minute in 0..10 {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, "click", 1));
    }
    store_all(&log, &place);
    log.remove_before(EVENTS, 0, 10);
    log.push(EVENTS, 0, 6, Op::Correct, event_json(9, "click", 2));
    log.push(EVENTS, 0, 6, Op::Correct, event_json(2, "click", 2));
    let windows_kept = 4;
    let limits = CacheLimits { windows_kept, ..CacheLimits::default() };
    let config = CacheConfig { windows_kept, ..CacheConfig::default() };
    let cache = MemoryCache::new(limits);
    let mut sink = CacheSink::new(log.clone(), cache.clone(), SqliteSeed::new(&place.file()), config.clone());
    let steps = run(&mut sink);
    assert_eq!((steps[0].seeded, sink.totals().seeds, sink.totals().rows), (1, 1, 2));
    assert_eq!(steps[0].applied.old, 1, "the window at 2 was left out, and is not shown in part");
    store_all(&log, &place);
    assert_eq!(settled(&cache), tables(&place.file(), windows_kept));
    assert_eq!(count(&settled(&cache), 9, "click").as_deref(), Some("2"));
    assert_eq!(count(&settled(&cache), 5, "click"), None);

    // Another sink on the same cache, as one beside a cache elsewhere would be, has no need of a seed.
    let (_, cache, seeds) = sink.into_parts();
    let mut sink = CacheSink::new(log, cache, seeds, config);
    run(&mut sink);
    assert_eq!((sink.totals().seeds, sink.totals().rows), (0, 0));
}

#[test]
fn rows_that_the_log_has_removed_come_from_the_store() {
    let (log, place) = (MemoryLog::default(), Place::new());
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let cache = MemoryCache::new(CacheLimits::default());
    let seeds = SqliteSeed::new(&place.file());
    drop(place.store());
    let mut sink = CacheSink::new(log.clone(), cache.clone(), seeds, CacheConfig::default());
    run(&mut sink);
    log.push(EVENTS, 0, 6, Op::Correct, event_json(0, "click", 2));
    log.push(EVENTS, 0, 6, Op::Final, event_json(1, "click", 3));
    store_all(&log, &place);
    log.remove_before(EVENTS, 0, 3);
    log.push(EVENTS, 0, 7, Op::Final, event_json(2, "click", 4));
    let steps = run(&mut sink);
    assert_eq!(steps[0].seeded, 1);
    assert_eq!(steps.iter().flat_map(|step| &step.gaps).count(), 0);
    store_all(&log, &place);
    assert_eq!(settled(&cache), tables(&place.file(), 120));
    assert_eq!(settled(&cache).len(), 6);
}

#[test]
fn rows_that_nobody_has_any_more_are_told_and_their_windows_forgotten() {
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    for minute in 1..4 {
        log.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 1));
    }
    log.remove_before(EVENTS, 0, 3);
    let steps = run(&mut sink);
    let [gap] = &steps[0].gaps[..] else { panic!("{:?}", steps[0]) };
    assert_eq!((&*gap.topic, gap.missing.clone()), (EVENTS, Offset(1)..Offset(3)));
    assert_eq!(sink.totals().gaps, 1);
    assert_eq!(settled(&cache).keys().map(|(_, start, _)| *start).min(), Some(180_000));
    assert!(is_ready(&cache));
}

/// A log of three partitions, none of which has its first three rows any more: every step would begin anew for one of
/// them, and take back what was passed of the others.
fn trimmed_partitions() -> MemoryLog {
    let log = MemoryLog::default();
    for partition in 0..3 {
        for minute in 0..4 {
            let label = format!("p{partition}");
            log.push(EVENTS, partition, 5, Op::Final, event_json(minute, &label, 1));
        }
        log.remove_before(EVENTS, partition, 3);
    }
    log.set_as_of(5, EventTime::from_millis(4 * 60_000));
    log
}

/// Steps until it has caught up, which takes three steps at most: one that passes, one that reads, one that finds
/// nothing.
fn run_soon<S: SeedSource>(sink: &mut CacheSink<MemoryLog, MemoryCache, S>) -> Vec<CacheProgress> {
    let mut steps = Vec::new();
    while steps.last().is_none_or(|last: &CacheProgress| !last.caught_up) {
        assert!(steps.len() < 3, "it goes on for ever: {steps:?}");
        steps.push(sink.step(NOW).expect("a step"));
    }
    steps
}

#[test]
fn a_log_that_has_lost_the_beginning_of_every_partition_is_read_without_a_store() {
    let log = trimmed_partitions();
    let (cache, mut sink) = sink_of(&log);
    let steps = run_soon(&mut sink);
    assert_eq!(steps[0].gaps.len(), 3);
    assert_eq!(sink.totals().gaps, 3);
    let windows = settled(&cache);
    let counts = (0..3).map(|partition| count(&windows, 3, &format!("p{partition}")));
    assert_eq!(counts.flatten().count(), 3, "{windows:?}");
    assert!(is_ready(&cache));
    assert_eq!(read(&cache, &[]).as_of.map(|as_of| as_of.epoch), Some(Epoch(5)));
}

#[test]
fn a_store_that_is_behind_the_beginning_of_every_partition_is_asked_once() {
    let (log, place) = (MemoryLog::default(), Place::new());
    for partition in 0..3 {
        log.push(EVENTS, partition, 5, Op::Final, event_json(0, &format!("p{partition}"), 1));
    }
    store_all(&log, &place);
    let log = trimmed_partitions();
    let cache = MemoryCache::new(CacheLimits::default());
    let seeds = SqliteSeed::new(&place.file());
    let mut sink = CacheSink::new(log, cache.clone(), seeds, CacheConfig::default());
    run_soon(&mut sink);
    assert_eq!((sink.totals().seeds, sink.totals().gaps), (1, 3));
    let windows = settled(&cache);
    assert_eq!(count(&windows, 0, "p0"), None, "nobody knows whether it is right");
    assert_eq!(count(&windows, 3, "p2").as_deref(), Some("1"));
    assert!(is_ready(&cache));
}

/// A cache that is ahead of the store goes back to where that is, with rows of another partition on their way.
#[test]
fn rows_on_their_way_do_not_stand_in_the_way_of_a_seed() {
    let (log, stored, place) = (MemoryLog::default(), MemoryLog::default(), Place::new());
    let push = |log: &MemoryLog, partition: u32, minutes: std::ops::Range<i64>| {
        for minute in minutes {
            log.push(EVENTS, partition, 5, Op::Final, event_json(minute, &format!("p{partition}"), 1));
        }
    };
    push(&stored, 0, 0..2);
    push(&stored, 1, 0..4);
    store_all(&stored, &place);
    push(&log, 0, 0..5);
    push(&log, 1, 0..1);
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    push(&log, 0, 5..7);
    push(&log, 1, 1..5);
    log.remove_before(EVENTS, 1, 3);
    log.set_as_of(5, EventTime::from_millis(1));
    let seeds = SqliteSeed::new(&place.file());
    let mut sink = CacheSink::new(log, cache.clone(), seeds, CacheConfig::default());
    run_soon(&mut sink);
    let totals = sink.totals();
    assert_eq!((totals.errors, totals.seeds, totals.gaps), (0, 1, 0));
    assert_eq!(settled(&cache).len(), 2 * (7 + 5), "{:?}", settled(&cache));
    assert!(is_ready(&cache));
}

/// What was read before the gap was found is older than it.
#[test]
fn rows_on_their_way_are_forgotten_with_the_windows_of_a_gap() {
    let log = MemoryLog::default();
    for partition in 0..2 {
        log.push(EVENTS, partition, 5, Op::Final, event_json(0, "click", 1));
    }
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    log.push(EVENTS, 0, 6, Op::Final, event_json(1, "click", 1));
    for minute in 1..4 {
        log.push(EVENTS, 1, 6, Op::Final, event_json(minute, "view", 1));
    }
    log.remove_before(EVENTS, 1, 3);
    run_soon(&mut sink);
    let windows = settled(&cache);
    assert_eq!(count(&windows, 1, "click"), None, "its other label is gone: {windows:?}");
    assert_eq!(count(&windows, 3, "view").as_deref(), Some("1"));
}

#[test]
fn a_partition_that_cannot_be_read_keeps_no_other_from_the_cache() {
    let log = MemoryLog::default();
    for partition in 0..3 {
        log.push(EVENTS, partition, 5, Op::Final, event_json(5, &format!("p{partition}"), 1));
    }
    log.set_as_of(5, EventTime::from_millis(1));
    log.damage(EVENTS, 1);
    let (cache, mut sink) = sink_of(&log);
    let error = sink.step(NOW).expect_err("one of them cannot be read");
    assert!(matches!(error, CacheSinkError::Read { partition: PartitionId(1), .. }), "{error}");
    let windows = settled(&cache);
    let counts = (0..3).map(|partition| count(&windows, 5, &format!("p{partition}")).is_some());
    assert_eq!(counts.collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((read(&cache, &[]).as_of, sink.totals().rows), (None, 2));
}

/// Rows of several partitions are handed over together, but not more of them than the limit and one batch.
#[test]
fn rows_are_not_held_back_beyond_a_limit() {
    let log = MemoryLog::default();
    for partition in 0..4 {
        for minute in 0..2 {
            log.push(EVENTS, partition, 5, Op::Final, event_json(minute, &format!("p{partition}"), 1));
        }
    }
    let of_batch = 2 * event_json(0, "p0", 1).len();
    for (batch_bytes_max, handed_over) in
        [(of_batch, &[2; 4][..]), (of_batch + 1, &[4; 2]), (4 * of_batch + 1, &[8])]
    {
        let cache = Restorable::new(MemoryCache::new(CacheLimits::default()));
        let config = CacheConfig { batch_bytes_max, ..CacheConfig::default() };
        let mut sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, config);
        run(&mut sink);
        let mut found = cache.handed_over.lock().expect("no panic").clone();
        found.retain(|rows| *rows > 0);
        assert_eq!(found, handed_over, "{batch_bytes_max}");
    }
}

/// Its other labels may be among what is gone.
#[test]
fn a_late_correction_of_a_window_that_was_forgotten_does_not_bring_it_back() {
    let log = MemoryLog::default();
    for label in ["click", "view"] {
        log.push(EVENTS, 0, 5, Op::Final, event_json(1, label, 1));
    }
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    log.push(EVENTS, 0, 6, Op::Final, event_json(2, "click", 1));
    log.remove_before(EVENTS, 0, 3);
    log.push(EVENTS, 0, 7, Op::Correct, event_json(1, "click", 2));
    log.push(EVENTS, 0, 7, Op::Final, event_json(3, "click", 1));
    run(&mut sink);
    assert_eq!(count(&settled(&cache), 1, "click"), None, "it would show a part as if it were the whole");
    assert_eq!(count(&settled(&cache), 3, "click").as_deref(), Some("1"));
}

/// The bindings go on meanwhile: its rows went to other partitions.
#[test]
fn a_partition_that_was_wiped_and_is_empty_keeps_nobody_waiting() {
    let log = MemoryLog::default();
    for partition in 0..2 {
        log.push(EVENTS, partition, 5, Op::Final, event_json(1, "click", 1));
    }
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    log.wipe(EVENTS, 0);
    log.set_as_of(6, EventTime::from_millis(1));
    let progress = sink.step(NOW).expect("an empty partition says nothing");
    assert!(progress.caught_up && progress.complete, "{progress:?}");
    assert_eq!(read(&cache, &[]).as_of.map(|as_of| as_of.epoch), Some(Epoch(6)));
    // As many as there were before: the position looks as if nothing had happened.
    log.push(EVENTS, 0, 7, Op::Final, event_json(2, "click", 7));
    let steps = run(&mut sink);
    assert_eq!(steps.iter().map(|step| step.adopted).sum::<u64>(), 1);
    assert_eq!(count(&settled(&cache), 2, "click").as_deref(), Some("7"));
}

#[test]
fn provisional_rows_that_are_gone_are_passed() {
    let log = MemoryLog::default();
    for epoch in 1..5 {
        log.push_with_headers(LIVE, 0, epoch, Op::Final, event_json(6, "click", epoch), &[JOB]);
    }
    log.remove_before(LIVE, 0, 3);
    let (cache, mut sink) = sink_of(&log);
    let steps = run(&mut sink);
    assert_eq!(steps[0].live_skipped, 3);
    assert!(steps.iter().all(|step| step.gaps.is_empty()));
    assert_eq!(count(&live(&cache), 6, "click").as_deref(), Some("4"));
}

#[test]
fn another_log_under_the_store_or_the_cache_is_refused() {
    let (log, place) = (MemoryLog::default(), Place::new());
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    log.push(EVENTS, 0, 5, Op::Final, event_json(1, "click", 1));
    store_all(&log, &place);
    let other = MemoryLog::default();
    other.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 8));
    let cache = MemoryCache::new(CacheLimits::default());
    let step = |log: &MemoryLog| {
        let seeds = SqliteSeed::new(&place.file());
        CacheSink::new(log.clone(), cache.clone(), seeds, CacheConfig::default()).step(NOW)
    };
    let error = step(&other).expect_err("it ends before the position");
    assert!(matches!(error, CacheSinkError::LogReplaced { .. }), "{error}");
    other.push(EVENTS, 0, 6, Op::Final, event_json(1, "click", 8));
    let error = step(&other).expect_err("it has another epoch there").to_string();
    assert!(error.contains("the log has offset 1 of epoch 6 there"), "{error}");
    step(&log).expect("it is the one");
}

/// The log was wiped: what comes into the new one joins what the cache has, or was seeded with.
#[test]
fn a_log_whose_rows_are_all_newer_takes_the_place_of_the_old_one() {
    let (log, place) = (MemoryLog::default(), Place::new());
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    log.push(EVENTS, 0, 5, Op::Final, event_json(1, "click", 1));
    store_all(&log, &place);
    let next = MemoryLog::default();
    next.push(EVENTS, 0, 5, Op::Final, event_json(9, "click", 1));
    next.remove_before(EVENTS, 0, 1);
    let cache = MemoryCache::new(CacheLimits::default());
    let seeds = SqliteSeed::new(&place.file());
    let mut sink = CacheSink::new(next.clone(), cache.clone(), seeds, CacheConfig::default());
    assert_eq!(sink.step(NOW).expect("an empty log says nothing").adopted, 0);
    for minute in 1..4 {
        next.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 7));
    }
    assert_eq!(sink.step(NOW).expect("all its rows are newer").adopted, 1);
    run(&mut sink);
    let windows = settled(&cache);
    let counts = (0..4).map(|minute| count(&windows, minute, "click"));
    assert_eq!(counts.flatten().collect::<Vec<_>>(), ["1", "7", "7", "7"]);
}

/// The new log is as long as the old one, or longer: the position looks as if nothing had happened.
#[test]
fn a_log_that_was_away_is_compared_when_it_answers_again() {
    let log = MemoryLog::default();
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let (cache, mut sink) = sink_of(&log);
    run(&mut sink);
    log.set_away(true);
    let error = sink.step(NOW).expect_err("nobody answers");
    assert!(matches!(error, CacheSinkError::AsOf(_)), "{error}");
    log.wipe(EVENTS, 0);
    for minute in 1..4 {
        log.push(EVENTS, 0, 6, Op::Final, event_json(minute, "click", 7));
    }
    log.set_away(false);
    assert_eq!(sink.step(NOW).expect("it answers").adopted, 1);
    run(&mut sink);
    let windows = settled(&cache);
    let counts = (0..4).map(|minute| count(&windows, minute, "click"));
    assert_eq!(counts.flatten().collect::<Vec<_>>(), ["1", "7", "7", "7"]);
}

#[test]
fn a_store_that_cannot_be_read_is_an_error_until_it_can() {
    let (log, place) = (MemoryLog::default(), Place::new());
    log.push(EVENTS, 0, 5, Op::Final, event_json(0, "click", 1));
    let cache = MemoryCache::new(CacheLimits::default());
    let seeds = SqliteSeed::new(&place.file());
    let mut sink = CacheSink::new(log.clone(), cache.clone(), seeds, CacheConfig::default());
    let error = sink.step(NOW).expect_err("there is no file");
    assert!(matches!(error, CacheSinkError::Seed(_)), "{error}");
    store_all(&log, &place);
    run(&mut sink);
    assert_eq!(settled(&cache), tables(&place.file(), 120));
    assert!(!settled(&cache).is_empty());
}

#[test]
fn a_topic_may_have_another_name_than_its_table() {
    let log = MemoryLog::default();
    log.push("their_metrics", 0, 5, Op::Final, event_json(0, "click", 1));
    let config = CacheConfig::default().with_topic(EventMetrics::SCHEMA.table, "their_metrics");
    let names: Vec<&str> = config.topic_names().map(|name| &**name).collect();
    assert_eq!(names, ["their_metrics", "performance_metrics", "session_window_metrics", LIVE]);
    let cache = MemoryCache::new(CacheLimits::default());
    let mut sink = CacheSink::new(log.clone(), cache.clone(), NoSeed, config);
    run(&mut sink);
    assert_eq!(settled(&cache).len(), 2);
    assert_eq!(sink.cache().sizes().expect("it answers")[0].windows, 1);
    assert_eq!(log.clone().as_of().expect("it is readable"), None);
}

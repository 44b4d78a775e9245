//! The cache sink on the log and beside the store that it has in one process: random rows, corrections and
//! retractions, restarts and retention, and then the cache has what the tables have.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use tidegate_cache::{Config as CacheLimits, MemoryCache};
use tidegate_log::embedded::files::Disk;
use tidegate_log::embedded::{EmbeddedJournal, EmbeddedLog, EmbeddedRowReader, Needed, NeededRows, Options};
use tidegate_log::{Commit, Journal as _, RowRecord};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, Epoch, EventTime, Generation, Ledger, Op};
use tidegate_sinks::{CacheConfig, CacheSink, Config, Sink, SqliteSeed};

use common::cached::{live, read, settled, tables};
use common::{EVENTS, Place, event_json};

const LIVE: &str = "live_metrics";
const WINDOWS_KEPT: usize = 120;

/// One process: the log and what writes it.
struct Process {
    log: EmbeddedLog,
    journal: EmbeddedJournal,
    generation: Generation,
}

impl Process {
    fn start(directory: &Path, clock: &Arc<AtomicI64>) -> Self {
        let clock = Arc::clone(clock);
        let now = Arc::new(move || EventTime::from_millis(clock.load(Ordering::Relaxed)));
        let options = Options { retention_ms: Some(1_000), partitions: 1, ..Options::default() };
        let log = EmbeddedLog::open_with(directory, options, Arc::new(Disk::default()), now)
            .expect("the log opens");
        let mut journal = log.journal();
        let generation = journal.recover().expect("the journal is readable").generation;
        Self { log, journal, generation }
    }

    fn commit(&mut self, epoch: u64, close_to: EventTime, rows: Vec<RowRecord>) {
        let binding = Binding {
            version: BINDING_VERSION,
            epoch: Epoch(epoch),
            generation: self.generation,
            definitions: BTreeMap::new(),
            now: EventTime::from_millis(0),
            close_to,
            partitions: BTreeMap::new(),
            ledger: Ledger::default(),
            starts: BTreeMap::new(),
            origin: None,
            snapshot: None,
            gap: None,
            last_records: BTreeMap::new(),
        };
        self.journal.commit(&Commit { bindings: vec![binding], rows }).expect("the commit succeeds");
    }

    /// Has the log remove what both sinks have, as the service does.
    fn retain(&self) -> u64 {
        let (store, cache) = (Config::default(), CacheConfig::default());
        let mut rows: BTreeMap<String, NeededRows> = BTreeMap::new();
        for topic in &store.topics {
            rows.entry(topic.name.to_string()).or_default().sinks.push(store.name.clone());
        }
        for topic in cache.topic_names() {
            rows.entry(topic.to_string()).or_default().sinks.push(cache.name.clone());
        }
        rows.entry(LIVE.to_owned()).or_default().keep_ms = Some(500);
        self.log.retain(&Needed { rows, ..Needed::default() }).expect("retention works").rows
    }

    fn rows(&self) -> EmbeddedRowReader {
        self.log.row_reader().expect("the journal opens")
    }
}

fn record(topic: &str, epoch: u64, op: Op, json: String) -> RowRecord {
    let job = (topic == LIVE).then(|| ("job", "EventAggregator".to_owned()));
    RowRecord {
        topic: topic.into(),
        key: b"key".to_vec(),
        value: json.into_bytes(),
        epoch: Epoch(epoch),
        op,
        headers: job.into_iter().collect(),
    }
}

type Caching = CacheSink<EmbeddedRowReader, MemoryCache, SqliteSeed>;

fn cache_sink(process: &Process, place: &Place, rows_per_topic_max: usize) -> (MemoryCache, Caching) {
    let cache = MemoryCache::new(CacheLimits::default());
    let config = CacheConfig { rows_per_topic_max, acknowledge_every_ms: 0, ..CacheConfig::default() };
    let sink = CacheSink::new(process.rows(), cache.clone(), SqliteSeed::new(&place.file()), config);
    (cache, sink)
}

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Act {
    /// An epoch: changes of minutes, each with its op, and provisional values of minutes.
    Commit(Vec<(i64, u8, Op)>, Vec<(i64, u8)>),
    Store,
    Cache,
    /// The process dies, and its cache with it.
    Restart {
        rows_max: usize,
    },
    Retain,
}

fn act() -> impl Strategy<Value = Act> {
    let op = prop_oneof![3 => Just(Op::Final), 2 => Just(Op::Correct), 2 => Just(Op::Retract)];
    let rows = prop::collection::vec((0..8_i64, 0..3_u8, op), 0..6);
    let provisional = prop::collection::vec((5..10_i64, 0..3_u8), 0..4);
    prop_oneof![
        5 => (rows, provisional).prop_map(|(rows, provisional)| Act::Commit(rows, provisional)),
        3 => Just(Act::Store),
        3 => Just(Act::Cache),
        1 => (1..20_usize).prop_map(|rows_max| Act::Restart { rows_max }),
        2 => Just(Act::Retain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_has_what_the_tables_have(acts in prop::collection::vec(act(), 1..30)) {
        let (directory, place) = (Place::new(), Place::new());
        let clock = Arc::new(AtomicI64::new(1_431_857_100_000));
        let now = || EventTime::from_millis(clock.load(Ordering::Relaxed));
        let mut process = Process::start(directory.directory(), &clock);
        let mut store = Sink::new(process.rows(), place.store(), Config::default());
        let (mut cache, mut caching) = cache_sink(&process, &place, 10_000);
        let mut epoch = 1_000;
        let label = |number: u8| ["click", "page_view", "conversion"][usize::from(number)];
        for act in acts {
            match act {
                Act::Commit(rows, provisional) => {
                    epoch += 1;
                    clock.fetch_add(400, Ordering::Relaxed);
                    let rows = rows.into_iter().map(|(minute, number, op)| {
                        record(EVENTS, epoch, op, event_json(minute, label(number), epoch))
                    });
                    let live = provisional.into_iter().map(|(minute, number)| {
                        record(LIVE, epoch, Op::Final, event_json(minute, label(number), epoch))
                    });
                    process.commit(epoch, EventTime::from_millis(0), rows.chain(live).collect());
                }
                Act::Store => { store.step(now()).expect("a step"); }
                Act::Cache => {
                    let progress = caching.step(now()).expect("a step");
                    prop_assert_eq!(progress.gaps, []);
                }
                Act::Restart { rows_max } => {
                    drop((store, caching, process));
                    process = Process::start(directory.directory(), &clock);
                    store = Sink::new(process.rows(), place.store(), Config::default());
                    (cache, caching) = cache_sink(&process, &place, rows_max);
                }
                Act::Retain => { process.retain(); }
            }
        }
        epoch += 1;
        let frontier = EventTime::from_millis(9 * 60_000);
        process.commit(epoch, frontier, Vec::new());
        while !store.step(now()).expect("a step").caught_up {}
        while !caching.step(now()).expect("a step").caught_up {}
        prop_assert_eq!(settled(&cache), tables(&place.file(), WINDOWS_KEPT));
        let as_of = read(&cache, &[]).as_of.expect("it is caught up");
        prop_assert_eq!((as_of.epoch, as_of.frontier), (Epoch(epoch), frontier));
        for (_, start, name) in live(&cache).keys() {
            prop_assert_eq!(*start, frontier.as_millis(), "{} of a closed window", name);
        }
    }
}

/// Provisional rows go soon after they were read; those of windows that are open now are there for the
/// cache of the next process.
#[test]
fn provisional_rows_do_not_pile_up_and_outlive_a_restart() {
    let (directory, place) = (Place::new(), Place::new());
    let clock = Arc::new(AtomicI64::new(1_431_857_100_000));
    let now = || EventTime::from_millis(clock.load(Ordering::Relaxed));
    let mut process = Process::start(directory.directory(), &clock);
    drop(place.store());
    let (_, mut caching) = cache_sink(&process, &place, 10_000);
    let mut removed = 0;
    for epoch in 1..=20 {
        let row = record(LIVE, epoch, Op::Final, event_json(5, "click", epoch));
        process.commit(epoch, EventTime::MIN, vec![row]);
        clock.fetch_add(100, Ordering::Relaxed);
        if epoch == 10 {
            assert_eq!(process.retain(), 0, "nobody has read them");
        }
        if epoch > 10 {
            caching.step(now()).expect("a step");
            removed += process.retain();
        }
    }
    assert_eq!(removed, 15, "those of the last half second are kept");
    drop((caching, process));

    let process = Process::start(directory.directory(), &clock);
    let (cache, mut caching) = cache_sink(&process, &place, 10_000);
    let first = caching.step(now()).expect("a step");
    assert_eq!(first.live_skipped, 15);
    while !caching.step(now()).expect("a step").caught_up {}
    let shown = live(&cache);
    assert_eq!(shown[&("event", 300_000, "click.count".to_owned())], "20");
}

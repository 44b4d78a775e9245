//! Everything outside of the processes: the clock, the log, the store, the cache, and what goes wrong.
//!
//! All of it lies behind one lock, which is never contended: one actor runs at a time. What is in here
//! survives a crash; what is not, does not.

pub mod cache;
pub mod events;
pub mod faults;
pub mod journal;
pub mod rows;
pub mod snapshots;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tidegate_cache::{CacheReader as _, MemoryCache};
use tidegate_dataflow::settings::JobSettings;
use tidegate_log::conformance::block_on;
use tidegate_log::event::Wake;
use tidegate_model::{AsOf, Binding, Epoch, EventTime, Generation};
use tidegate_runner::run::Handle;
use tidegate_runner::{Clock, Entropy};

use self::events::EventPartition;
use self::faults::Faults;
use self::rows::Topics;
use self::store::Tables;

/// A process, as the world knows it: whoever does I/O says which one it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub u32);

/// What is outside of the processes.
pub struct World {
    state: Mutex<State>,
}

/// What the lock guards.
pub struct State {
    /// The clock that every process reads. It may be set back.
    pub now: EventTime,
    /// The log's own clock, of append times; it never goes back.
    pub append_time: EventTime,
    /// The topic of events.
    pub events: Vec<EventPartition>,
    /// The topics of rows.
    pub topics: Topics,
    /// The epochs topic.
    pub bindings: Vec<Binding>,
    /// Bindings before this epoch are pruned: nobody but the checks sees them.
    pub pruned_before: Epoch,
    /// Whether a process that starts goes on without events that are gone.
    pub accepts_gap: bool,
    /// The store of snapshots.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// Objects that were lost or damaged.
    pub spoilt: BTreeSet<String>,
    /// Snapshots that processes began from.
    pub restored: u64,
    /// The settings of each generation.
    pub jobs: BTreeMap<Generation, JobSettings>,
    /// The generation that may commit.
    pub generation: u64,
    /// The metric store.
    pub tables: Tables,
    /// The cache, which is a server of its own.
    pub cache: MemoryCache,
    /// Who waits for events.
    pub on_append: Wakes,
    /// Who waits for rows.
    pub on_commit: Wakes,
    /// What goes wrong.
    pub faults: Faults,
    /// Decides how I/O goes where that is left open: how much a read gives, say.
    pub rng: ChaCha8Rng,
    /// What the cache may be restored from.
    pub cache_backup: Option<MemoryCache>,
    /// The most bytes that one worker ever had in flight.
    pub in_flight_bytes_max: usize,
    /// The most epochs that were ever in one commit.
    pub epochs_per_commit_max: usize,
    /// A hash of everything that happened, in order: equal seeds must give equal ones.
    pub trace: u64,
}

/// Wake-up calls, each for as long as the reader that asked for it is there.
#[derive(Default)]
pub struct Wakes(Vec<Weak<dyn Fn() + Send + Sync>>);

impl Wakes {
    /// Adds one.
    pub fn add(&mut self, wake: &Wake) {
        self.0.push(Arc::downgrade(wake));
    }

    /// Calls all of them.
    pub fn ring(&mut self) {
        self.0.retain(|wake| wake.upgrade().inspect(|wake| wake()).is_some());
    }
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(seed: u64, now: EventTime, partitions: u32) -> Arc<Self> {
        let state = State {
            now,
            append_time: now,
            events: (0..partitions).map(|_| EventPartition::default()).collect(),
            topics: Topics::default(),
            bindings: Vec::new(),
            pruned_before: Epoch(0),
            accepts_gap: false,
            objects: BTreeMap::new(),
            spoilt: BTreeSet::new(),
            restored: 0,
            jobs: BTreeMap::new(),
            generation: 0,
            tables: Tables::default(),
            cache: cache::empty(),
            on_append: Wakes::default(),
            on_commit: Wakes::default(),
            faults: Faults::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            cache_backup: None,
            in_flight_bytes_max: 0,
            epochs_per_commit_max: 0,
            trace: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("an actor that panics ends the simulation")
    }
}

impl State {
    /// Restores the cache from what was kept; from nothing, when nothing was.
    pub fn restore_cache(&mut self) {
        self.cache = self.cache_backup.as_ref().map_or_else(cache::empty, MemoryCache::copy);
    }

    /// How far the cache says that it is.
    pub fn cache_as_of(&self) -> Option<AsOf> {
        block_on(self.cache.read(&[])).expect("it is in memory").as_of
    }

    /// Looks at how much a run has in flight.
    pub fn watch(&mut self, run: &Handle) {
        let in_flight = run.status().in_flight_bytes().max().unwrap_or(0);
        self.in_flight_bytes_max = self.in_flight_bytes_max.max(in_flight);
    }

    /// Takes note that something happened.
    pub fn note(&mut self, what: &str, number: u64) {
        for byte in what.bytes().chain(number.to_le_bytes()) {
            // FNV-1a: the order counts, and nothing else is asked of it.
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The clock, as processes see it.
#[derive(Clone)]
pub struct SimClock(pub Arc<World>);

impl Clock for SimClock {
    fn now(&self) -> EventTime {
        self.0.lock().now
    }
}

/// A secret that everybody can guess.
pub struct SimEntropy;

impl Entropy for SimEntropy {
    fn secret(&mut self) -> (u64, u64) {
        (0x5eed, 0xc0de)
    }
}

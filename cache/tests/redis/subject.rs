//! A cache in a real Redis, for tests.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_cache::conformance::Subject;
use tidegate_cache::redis::{RedisAt, RedisConfig, RedisReader, RedisWriter};
use tidegate_cache::{Config, Update, UpdateError, Updates};
use tidegate_model::{AsOf, Epoch, EventTime};
use tidegate_services::redis::{Reply, command};
use tidegate_services::{Redis, redis, tools};

/// A server of the test's own, and the folder that it keeps everything in.
pub(crate) struct Server {
    pub(crate) redis: Redis,
    dir: TempDir,
    subjects: AtomicU32,
}

impl Server {
    /// Starts one; `None`, after a word about it, where there is none to start.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        redis::installed().map_err(|missing| tools::left_out(&format!("{missing:#}"))).ok()?;
        let dir = tempfile::tempdir().expect("there is room");
        let redis = Redis::start_with(dir.path(), settings).expect("it starts");
        Some(Self { redis, dir, subjects: AtomicU32::new(0) })
    }

    /// Where its data lies.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The cache of the contract's names.
    pub(crate) fn cache(&self, limits: Config) -> RedisCache {
        let at = RedisAt::Server(self.redis.address().parse().expect("it has a port"));
        RedisCache(RedisConfig { at, limits, ..RedisConfig::default() })
    }

    /// An empty cache beside the others.
    pub(crate) fn fresh(&self, limits: Config) -> RedisCache {
        let prefix = format!("{}:", self.subjects.fetch_add(1, Ordering::Relaxed));
        RedisCache(RedisConfig { prefix, ..self.cache(limits).0 })
    }

    /// What it answers to a command.
    pub(crate) fn ask(&self, words: &str) -> Reply {
        command(self.redis.address(), &words.split(' ').collect::<Vec<_>>()).expect("it answers")
    }

    /// The same as text: lists in order, with spaces between.
    pub(crate) fn told(&self, words: &str) -> String {
        told(&self.ask(words))
    }

    /// How often it was given a command, by the name that its statistics have for it.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats = self.told("INFO commandstats");
        let name = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |line| line.split(',').next().expect("a count").parse().expect("a number"))
    }
}

/// An epoch whose frontier closes no window.
pub(crate) fn as_of(epoch: u64) -> AsOf {
    AsOf { epoch: Epoch(epoch), frontier: EventTime::from_millis(0) }
}

/// A reply as text.
pub(crate) fn told(reply: &Reply) -> String {
    match reply {
        Reply::Nothing => "(nil)".to_owned(),
        Reply::Text(text) => text.clone(),
        Reply::Number(number) => number.to_string(),
        Reply::List(items) => items.iter().map(told).collect::<Vec<_>>().join(" "),
    }
}

/// A cache by its configuration.
pub(crate) struct RedisCache(pub(crate) RedisConfig);

impl Subject for RedisCache {
    type Writer = RedisWriter;
    type Reader = RedisReader;

    fn writer(&self) -> RedisWriter {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        RedisWriter::new(self.0.clone(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    fn reader(&self) -> RedisReader {
        RedisReader::new(self.0.clone())
    }
}

/// How long something may take; far longer than it does. Sentinels alone take up to half a minute to have a master that
/// came back follow the new one.
const DEADLINE: Duration = Duration::from_mins(4);

/// Waits for the next update.
pub(crate) async fn next_update(updates: &mut impl Updates) -> Result<Update, UpdateError> {
    tokio::time::timeout(DEADLINE, updates.next()).await.expect("there is news")
}

/// Waits for something that comes by itself.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what}: not yet");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

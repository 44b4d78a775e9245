//! The cache, whichever it is, and the sink that fills it.

use std::sync::Arc;

use tidegate_cache::MemoryCache;
#[cfg(feature = "redis")]
use tidegate_cache::redis::{HostPort, Password, RedisAt, RedisConfig, RedisWriter, Sentinels};
use tidegate_runner::clock::SystemClock;
#[cfg(feature = "redis")]
use tidegate_sinks::NoSeed;
use tidegate_sinks::{CacheConfig, CacheSink, SeedSource};

use super::any_log::{Log, is_on_kafka};
use super::sink_thread::SinkThread;
use super::watched::{CacheSteps, WatchedCache};
use super::{cache_config, topic_of};
#[cfg(feature = "redis")]
use crate::config::duration;
use crate::config::{Config, size};
use crate::exit::{CommandError, Exit};

/// A cache.
#[derive(Clone)]
pub(crate) enum Cache {
    /// The one in this process, which nobody else reaches.
    InProcess(MemoryCache),
    /// A Redis. One process fills it, and any number answer from it.
    #[cfg(feature = "redis")]
    Redis(Box<RedisConfig>),
}

/// Whether the configuration names a Redis, and one is used: the embedded log has its cache in its process.
fn is_in_redis(config: &Config) -> bool {
    is_on_kafka(config) && (config.redis_host.is_some() || config.redis_sentinels.is_some())
}

impl Cache {
    /// The one that the configuration names; nothing is connected.
    pub(crate) fn of(config: &Config) -> Result<Self, CommandError> {
        if is_in_redis(config) {
            return redis(config);
        }
        Ok(Self::InProcess(MemoryCache::new(cache_config(config))))
    }

    /// Whether other processes reach it, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.in_process().is_none()
    }

    /// The one in this process, if it is that.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unnecessary_wraps, reason = "there is another one with the feature")
    )]
    pub(crate) fn in_process(&self) -> Option<&MemoryCache> {
        match self {
            Self::InProcess(cache) => Some(cache),
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
        }
    }
}

#[cfg(feature = "redis")]
fn redis(config: &Config) -> Result<Cache, CommandError> {
    let password = |password: &str| (!password.is_empty()).then(|| Password::new(password.to_owned()));
    let at = match (&config.redis_sentinels, &config.redis_host) {
        (Some(sentinels), _) => {
            let addresses = sentinels.split(',').map(|address| address.trim().parse());
            let addresses = addresses.collect::<Result<Vec<HostPort>, _>>();
            RedisAt::Sentinels(Sentinels {
                addresses: addresses.map_err(|error| {
                    CommandError::new(Exit::Usage, format!("redis.sentinels = {sentinels:?}: {error}"))
                })?,
                master: config.redis_sentinel_master.clone(),
                password: password(config.redis_sentinel_password.reveal()),
            })
        }
        (None, host) => {
            let host = host.as_deref().unwrap_or_default();
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            RedisAt::Server(HostPort { host: bare.to_owned(), port: config.redis_port })
        }
    };
    Ok(Cache::Redis(Box::new(RedisConfig {
        at,
        db: u16::try_from(config.redis_db).unwrap_or(u16::MAX),
        username: config.redis_user.clone(),
        password: password(config.redis_password.reveal()),
        prefix: config.redis_prefix.clone().unwrap_or_default(),
        answers_held: duration(config.redis_answers_held_ms),
        limits: cache_config(config),
        ..RedisConfig::default()
    })))
}

/// This program knows no Redis.
#[cfg(not(feature = "redis"))]
fn redis(_: &Config) -> Result<Cache, CommandError> {
    let text = "this tidegate was built without the feature redis: remove redis.host and redis.sentinels";
    Err(CommandError::new(Exit::Usage, text))
}

/// Starts the sink that fills it. One in this process begins from `seed`; a Redis knows itself where it stands.
pub(super) fn start(
    log: &Log,
    config: &Config,
    watched: WatchedCache,
    seed: Box<dyn SeedSource>,
) -> Result<SinkThread, CommandError> {
    let (reader, own, clock) = (log.row_reader()?, sink_config(config), Arc::new(SystemClock));
    match watched.cache.clone() {
        Cache::InProcess(cache) => {
            let sink = CacheSink::new(reader, cache, seed, own);
            SinkThread::start(CacheSteps::new(sink, watched), clock)
        }
        #[cfg(feature = "redis")]
        Cache::Redis(redis) => {
            let cache = RedisWriter::new(*redis, super::random());
            let sink = CacheSink::new(reader, cache, Box::new(NoSeed) as Box<dyn SeedSource>, own);
            SinkThread::start(CacheSteps::new(sink, watched), clock)
        }
    }
}

/// What it reads.
pub(super) fn sink_config(config: &Config) -> CacheConfig {
    let mut sink = CacheConfig { windows_kept: size(config.cache_windows_kept), ..CacheConfig::default() };
    sink.live.name = config.topic_live_metrics.as_str().into();
    let tables = tidegate_model::Schema::ALL.into_iter().map(|schema| schema.table);
    tables.fold(sink, |sink, table| sink.with_topic(table, topic_of(config, table)))
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::config::{Flag, Inputs};

    fn cache(settings: &[(&str, &str)]) -> Result<Cache, CommandError> {
        let flag = |(key, value): &(&str, &str)| Flag {
            name: "--set".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let inputs = Inputs { flags: settings.iter().map(flag).collect(), ..Inputs::default() };
        Cache::of(&inputs.resolve().expect("they are settings").config)
    }

    fn address(settings: &[(&str, &str)]) -> String {
        match cache(settings).expect("it can be understood") {
            Cache::Redis(redis) => redis.address(),
            Cache::InProcess(_) => "in process".to_owned(),
        }
    }

    #[test]
    fn a_redis_is_used_around_kafka_where_one_is_named() {
        let kafka = ("log.url", "kafka://");
        let sentinels = ("redis.sentinels", "a:26379, b:26379");
        for (settings, expected) in [
            (vec![], "in process"),
            (vec![kafka], "in process"),
            (vec![("redis.host", "r")], "in process"),
            (vec![kafka, ("redis.host", "r")], "r:6379/0"),
            (vec![kafka, ("redis.host", "[::1]"), ("redis.port", "1"), ("redis.db", "2")], "[::1]:1/2"),
            (vec![kafka, ("redis.host", "r"), sentinels], "mymaster/0 of the Sentinels at a:26379, b:26379"),
        ] {
            assert_eq!(address(&settings), expected, "{settings:?}");
        }
        let error = cache(&[kafka, ("redis.sentinels", "a:26379,b")]).err().expect("b has no port");
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.to_string().contains("\"b\" is no host:port"), "{error}");
    }
}

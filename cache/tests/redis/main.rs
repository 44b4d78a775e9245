//! The cache in a real Redis passes the suite that every cache passes, and what only a server of its own can
//! do to it.

mod against_memory;
mod contract;
mod failover;
mod held;
mod loss;
mod refusals;
mod steps;
mod subject;
mod wire;
mod writers;

use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_cache::conformance::run_all;
use tidegate_cache::redis::{RedisAt, RedisConfig};
use tidegate_services::redis::command;
use tidegate_services::test_redis;

use subject::{RedisCache, told};

/// The server that all tests share: beside whatever else it has.
#[tokio::test]
async fn the_cache_in_redis_conforms() {
    let Ok(address) = test_redis() else { return };
    let at = RedisAt::Server(address.parse().expect("it has a port"));
    let (own, count) = (format!("conforms-{}-", std::process::id()), AtomicU32::new(0));
    run_all(|limits| {
        let prefix = format!("{own}{}:", count.fetch_add(1, Ordering::Relaxed));
        RedisCache(RedisConfig { at: at.clone(), prefix, limits, ..RedisConfig::default() })
    })
    .await;
    let keys = told(&command(&address, &["KEYS", &format!("{own}*")]).expect("it answers"));
    assert!(keys.contains("tidegate:positions"), "it was there that all of this lay: {keys}");
    let delete: Vec<&str> = ["DEL"].into_iter().chain(keys.split(' ')).collect();
    command(&address, &delete).expect("it answers");
}

//! The cache in a real Redis passes the suite that every cache passes, and what only a server of its own can
//! do to it.

mod against_memory;
mod contract;
mod failover;
mod loss;
mod refusals;
mod subject;
mod wire;
mod writers;

use tidegate_cache::conformance::run_all;

use subject::Server;

#[tokio::test]
async fn the_cache_in_redis_conforms() {
    let Some(server) = Server::start(&[]) else { return };
    run_all(|config| server.fresh(config)).await;
    assert!(server.told("KEYS *").contains("tidegate:positions"), "it was there that all of this lay");
}

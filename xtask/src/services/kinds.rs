//! The kinds of servers that there are, and which of them `cargo xtask test` starts.

use std::path::Path;

use tidegate_services::clickhouse::Address;
use tidegate_services::{ClickHouse, Kafka, Redis, clickhouse, kafka, redis};

use super::Started;

/// One kind of server.
pub(super) struct Kind {
    /// What its folder is called.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) title: &'static str,
    /// Has tests take the server that it names.
    pub(super) variable: &'static str,
    /// Whether the environment names one.
    pub(super) is_named: fn() -> bool,
    /// Starts one in a folder.
    pub(super) start: fn(&Path) -> anyhow::Result<Started>,
    /// Starts one in a folder that stays; says its process id and where it listens.
    pub(super) start_to_stay: fn(&Path) -> anyhow::Result<(u32, String)>,
    /// Which version listens at an address.
    pub(super) version: fn(&str) -> anyhow::Result<String>,
}

const KAFKA: Kind = Kind {
    name: "kafka",
    title: "Kafka",
    variable: kafka::VARIABLE,
    is_named: || kafka::named().is_some(),
    start: |dir| Kafka::start(dir).map(|own| Started::new(kafka::VARIABLE, own.address().to_owned(), own)),
    start_to_stay: Kafka::start_to_stay,
    version: |_| Ok(kafka::VERSION.to_owned()),
};

const CLICKHOUSE: Kind = Kind {
    name: "clickhouse",
    title: "ClickHouse",
    variable: clickhouse::VARIABLE,
    is_named: || clickhouse::named().is_some(),
    start: |dir| {
        ClickHouse::start(dir).map(|own| Started::new(clickhouse::VARIABLE, own.address().to_string(), own))
    },
    start_to_stay: |dir| ClickHouse::start_to_stay(dir).map(|(pid, address)| (pid, address.to_string())),
    version: |address| address.parse::<Address>()?.version(),
};

const REDIS: Kind = Kind {
    name: "redis",
    title: "Redis",
    variable: redis::VARIABLE,
    is_named: || redis::named().is_some(),
    start: |dir| Redis::start(dir).map(|own| Started::new(redis::VARIABLE, own.address().to_owned(), own)),
    start_to_stay: Redis::start_to_stay,
    version: redis::version,
};

/// Every kind.
pub(super) const ALL: [Kind; 3] = [KAFKA, CLICKHOUSE, REDIS];

/// The kinds that tests in the workspace talk to. Those that only the tests of `services` start are not among
/// them.
pub(super) const FOR_TESTS: &[Kind] = &[KAFKA, CLICKHOUSE, REDIS];

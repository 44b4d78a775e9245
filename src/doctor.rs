//! What `tidegate doctor` says: every part that the configuration names is reached and looked at, and what is
//! not as it should be is told with its remedy. Looking changes nothing.
//!
//! Each part gathers facts from its server, and a pure function judges them.

#[cfg(feature = "clickhouse")]
mod clickhouse;
mod deployment;
mod finding;
#[cfg(feature = "kafka")]
mod kafka;
mod local;
mod print;
#[cfg(feature = "redis")]
mod redis;

use tidegate_model::EventTime;

use crate::assembly::{Cache, is_on_kafka};
use crate::config::{Config, LogUrl};
use finding::Finding;
pub(crate) use finding::State;

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis(Vec<Finding>);

impl Diagnosis {
    /// Looks at everything that the configuration names. `now` is this machine's clock.
    pub(crate) fn of(config: &Config, now: impl Fn() -> EventTime) -> Self {
        // Roles are on Kafka, too, where nothing but the brokers is named.
        let has_brokers = config.log_url == LogUrl::Embedded && config.kafka_bootstrap_servers.is_some();
        let log_url = if has_brokers { LogUrl::Kafka(None) } else { config.log_url.clone() };
        let config = &Config { log_url, ..config.clone() };
        let mut findings = Vec::new();
        if is_on_kafka(config) {
            findings.extend(on_kafka(config, now()));
        } else {
            findings.extend(local::examine(config, now()));
        }
        if config.clickhouse_host.is_some() {
            findings.extend(on_clickhouse(config, &now));
        }
        if config.redis_host.is_some() || config.redis_sentinels.is_some() {
            findings.extend(in_redis(config, &now));
        }
        Self(findings)
    }

    /// The worst that was found.
    pub(crate) fn state(&self) -> State {
        self.0.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }

    /// Columns for people, and below them what to do.
    pub(crate) fn table(&self) -> String {
        print::table(&self.0)
    }

    /// One object for programs.
    pub(crate) fn json(&self) -> String {
        print::json(&self.0)
    }
}

#[cfg(feature = "kafka")]
fn on_kafka(config: &Config, now: EventTime) -> Vec<Finding> {
    kafka::examine(config, now)
}

#[cfg(feature = "clickhouse")]
fn on_clickhouse(config: &Config, now: &impl Fn() -> EventTime) -> Vec<Finding> {
    clickhouse::examine(config, now)
}

#[cfg(not(feature = "clickhouse"))]
fn on_clickhouse(_: &Config, _: &impl Fn() -> EventTime) -> Vec<Finding> {
    let error = crate::assembly::without_clickhouse();
    vec![
        Finding::new("clickhouse", "clickhouse.host", State::Wrong, "this program knows no ClickHouse")
            .with_remedy(error),
    ]
}

/// Looks at the Redis that the roles around Kafka use.
fn in_redis(config: &Config, now: &impl Fn() -> EventTime) -> Vec<Finding> {
    let log_url = LogUrl::Kafka(None);
    match Cache::of(&Config { log_url, ..config.clone() }) {
        #[cfg(feature = "redis")]
        Ok(Cache::Redis(server)) => redis::examine(&server, now),
        Ok(Cache::InProcess(_)) => Vec::new(),
        Err(error) => {
            let wrong = Finding::new("redis", "settings", State::Wrong, "they cannot be used");
            vec![wrong.with_remedy(error)]
        }
    }
}

#[cfg(not(feature = "kafka"))]
fn on_kafka(_: &Config, _: EventTime) -> Vec<Finding> {
    let error = crate::assembly::without_kafka();
    vec![Finding::new("kafka", "log.url", State::Wrong, "this program knows no Kafka").with_remedy(error)]
}

//! The log on Kafka, as the configuration wants it.

use tidegate_log::kafka::{OpenError, Options, TopicNames};
use tidegate_model::Schema;

use super::topic_of;
use crate::config::{Config, LogUrl, duration, size};
use crate::exit::{CommandError, Exit};

/// What a log on Kafka is opened with.
pub(crate) fn kafka_options(config: &Config) -> Options {
    let defaults = Options::default();
    let hosts = match &config.log_url {
        LogUrl::Kafka(hosts) => hosts.clone(),
        LogUrl::Embedded => None,
    };
    let bootstrap =
        hosts.or_else(|| config.kafka_bootstrap_servers.clone()).unwrap_or(defaults.bootstrap.clone());
    let tables = Schema::ALL.into_iter().map(|schema| topic_of(config, schema.table).to_owned());
    let others = [config.topic_live_metrics.clone(), config.topic_dropped_events.clone()];
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Options {
        bootstrap,
        deployment: config.deployment.clone(),
        topics: TopicNames { events: config.topic_events.clone(), rows: tables.chain(others).collect() },
        events_partitions: count(config.topic_partitions),
        rows_partitions: count(config.kafka_rows_partitions),
        replicas: config.kafka_replicas.map(count),
        queue_bytes_max: size(config.log_queue_bytes_max),
        request_timeout: duration(config.kafka_request_timeout_ms),
        client: config
            .kafka_client
            .iter()
            .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
            .collect(),
    }
}

/// The exit code of an error of Kafka's.
pub(crate) fn kafka_error(error: OpenError) -> CommandError {
    let exit = match error {
        OpenError::Client { .. } => Exit::Usage,
        OpenError::Topic { .. } => Exit::Refused,
        _ => Exit::Failure,
    };
    CommandError::new(exit, error)
}

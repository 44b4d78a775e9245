//! The arguments of the roles: parts of the pipeline, each a process of its own, around Kafka.

use clap::{Args, ValueEnum};

use super::{DataDir, Flags};
use crate::config::Config;
use crate::service::Roles;

pub(super) const AFTER_ROLES: &str = "\
Examples:
  tidegate ingest --log kafka://broker-1:9092,broker-2:9092
  tidegate dataflow --log kafka://broker-1:9092 --data-dir /var/lib/tidegate --workers 4
  tidegate dataflow --log kafka://broker-1:9092 --data-dir /shared/tidegate --hosts one:2101,two:2101 --process 1
  tidegate sink --log kafka://broker-1:9092 --data-dir /var/lib/tidegate-store
  tidegate sink clickhouse --log kafka://broker-1:9092 --clickhouse clickhouse-1
  tidegate sink redis --log kafka://broker-1:9092 --redis redis-1:6379 --sink-listen 8002
  tidegate cache-api --log kafka://broker-1:9092 --redis redis-1:6379 --api-listen 0.0.0.0:8080

Without --log the brokers are those of kafka.bootstrap_servers (KAFKA_BOOTSTRAP_SERVERS), or localhost:9092.";

/// The log that the roles share.
#[derive(Debug, Args)]
pub(crate) struct KafkaLog {
    #[arg(
        long,
        value_name = "URL",
        help = "The brokers: kafka://host:port [default: kafka://localhost:9092]"
    )]
    log: Option<String>,
}

/// Arguments of `ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    log: KafkaLog,

    /// Where events come in [default: 8000]
    #[arg(long, value_name = "ADDRESS")]
    ingest_listen: Option<String>,
}

/// Arguments of `dataflow`.
#[derive(Debug, Args)]
pub struct DataflowArgs {
    #[command(flatten)]
    log: KafkaLog,

    #[command(flatten)]
    data_dir: DataDir,

    /// Worker threads; the rows do not depend on it [default: 2]
    #[arg(long, value_name = "N")]
    workers: Option<String>,

    /// How many processes the dataflow has [default: as many as --hosts names]
    #[arg(long, value_name = "N")]
    processes: Option<String>,

    /// The number of this one; process 0 commits [default: 0]
    #[arg(long, value_name = "I")]
    process: Option<String>,

    /// Where each process listens for the others, in the order of their numbers: host-0:2101,host-1:2101
    #[arg(long, value_name = "HOSTS")]
    hosts: Option<String>,

    /// Where it says how it is [default: 8081]
    #[arg(long, value_name = "ADDRESS")]
    dataflow_listen: Option<String>,

    /// Its Prometheus metrics [default: 9249]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,

    /// Have jobs begin anew whose settings changed, as `tidegate up` does
    #[arg(long)]
    pub accept_changed_jobs: bool,

    /// Go on although something is gone that a start needs, as `tidegate up` does
    #[arg(long)]
    pub accept_gap: bool,
}

/// Arguments of `sink`.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// Only this one; on this machine, if no host is configured. Without it, every one that is configured
    #[arg(value_enum, value_name = "WHICH")]
    only: Option<OneSink>,

    #[command(flatten)]
    log: KafkaLog,

    #[command(flatten)]
    data_dir: DataDir,

    /// Where ClickHouse is, instead of the metric store in the data directory
    #[arg(long, value_name = "HOST[:PORT]")]
    clickhouse: Option<String>,

    /// Where Redis is, for the cache
    #[arg(long, value_name = "HOST[:PORT]")]
    redis: Option<String>,

    /// Its Prometheus metrics and health [default: 8001]
    #[arg(long, value_name = "ADDRESS")]
    sink_listen: Option<String>,

    /// Go on behind rows that are gone from the log and that the metric store never had; the gap is noted in `sink_gaps`
    #[arg(long)]
    pub accept_gap: bool,
}

/// A sink of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OneSink {
    /// The metric tables, in ClickHouse
    Clickhouse,
    /// The cache, in Redis
    Redis,
}

/// Arguments of `cache-api`.
#[derive(Debug, Args)]
pub struct CacheApiArgs {
    #[command(flatten)]
    log: KafkaLog,

    /// Where Redis is, for a cache that `tidegate sink` fills; without it, a cache of its own
    #[arg(long, value_name = "HOST[:PORT]")]
    redis: Option<String>,

    /// Where the cache is read [default: 8080]
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<String>,
}

impl KafkaLog {
    fn add_to(&self, flags: &mut Flags) {
        flags.add("--log", "log.url", self.log.as_ref());
    }
}

impl IngestArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        self.log.add_to(flags);
        flags.add("--ingest-listen", "ingest.listen", self.ingest_listen.as_ref());
    }
}

impl DataflowArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        self.log.add_to(flags);
        self.data_dir.add_to(flags);
        flags.add("--workers", "workers", self.workers.as_ref());
        flags.add("--processes", "cluster.processes", self.processes.as_ref());
        flags.add("--process", "cluster.process", self.process.as_ref());
        flags.add("--hosts", "cluster.hosts", self.hosts.as_ref());
        flags.add("--dataflow-listen", "dataflow.listen", self.dataflow_listen.as_ref());
        flags.add("--metrics-listen", "dataflow.metrics_listen", self.metrics_listen.as_ref());
    }
}

impl SinkArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        self.log.add_to(flags);
        self.data_dir.add_to(flags);
        flags.add_server("--clickhouse", "clickhouse", self.clickhouse.as_ref());
        flags.add_server("--redis", "redis", self.redis.as_ref());
        flags.add("--sink-listen", "sink.listen", self.sink_listen.as_ref());
    }

    /// The roles that it has.
    pub(crate) fn roles(&self) -> Roles {
        match self.only {
            None => Roles::SINK,
            Some(OneSink::Clickhouse) => Roles::STORE_SINK,
            Some(OneSink::Redis) => Roles::CACHE_SINK,
        }
    }

    /// The configuration, with a host for the sink that was asked for.
    pub(crate) fn with_host(&self, mut config: Config) -> Config {
        let here = || Some("127.0.0.1".to_owned());
        match self.only {
            Some(OneSink::Clickhouse) => config.clickhouse_host = config.clickhouse_host.or_else(here),
            Some(OneSink::Redis) if config.redis_sentinels.is_none() => {
                config.redis_host = config.redis_host.or_else(here);
            }
            Some(OneSink::Redis) | None => {}
        }
        config
    }
}

impl CacheApiArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        self.log.add_to(flags);
        flags.add_server("--redis", "redis", self.redis.as_ref());
        flags.add("--api-listen", "api.listen", self.api_listen.as_ref());
    }
}

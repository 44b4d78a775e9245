//! The arguments of `doctor`.

use clap::Args;

use super::{DataDir, Flags, ReportFormat};

pub(super) const AFTER_DOCTOR: &str = "\
Examples:
  tidegate doctor --log kafka://broker-1:9092 --config /etc/tidegate.toml
  tidegate doctor --format json

It looks at Kafka, where --log, log.url or kafka.bootstrap_servers names one, at ClickHouse, where clickhouse.host does, at \
Redis, where redis.host or redis.sentinels does, and otherwise at the data directory. It changes nothing.

Ends with 0 when the pipeline would run, whatever it was warned of; with 3 when a part of it would refuse to start or would lose \
something; with 1 when something could not be looked at.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The log, where it is not the one in the data directory: kafka://host:port
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    #[command(flatten)]
    data_dir: DataDir,

    /// How the findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

impl DoctorArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        flags.add("--log", "log.url", self.log.as_ref());
        self.data_dir.add_to(flags);
    }
}

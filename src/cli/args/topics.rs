//! The arguments of `topics`.

use clap::{Args, Subcommand};

use super::{Flags, ReportFormat};

pub(super) const AFTER_TOPICS: &str = "\
Examples:
  tidegate topics check --log kafka://broker-1:9092
  tidegate topics create --log kafka://broker-1:9092 --set topics.partitions=12 --set kafka.replicas=3
  tidegate topics check --config /etc/tidegate.toml --format json

Ends with 0 when every topic is as it must be, and with 3 when one is missing or set otherwise.";

/// What is done with the topics of a deployment.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Shows what each topic is, and what is wrong with it; changes nothing
    #[command(after_help = AFTER_TOPICS)]
    Check(TopicsArgs),
    /// Creates the topics that are missing, then checks all of them
    #[command(after_help = AFTER_TOPICS)]
    Create(TopicsArgs),
}

/// Arguments of `topics check` and `topics create`.
#[derive(Debug, Args)]
pub struct TopicsArgs {
    /// The brokers: `kafka://host:port` [default: the setting log.url]
    #[arg(long, value_name = "URL", help = "The brokers: kafka://host:port [default: the setting log.url]")]
    log: Option<String>,

    /// How the topics are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

impl TopicsCommand {
    /// The arguments, whichever it is.
    pub fn args(&self) -> &TopicsArgs {
        match self {
            Self::Check(args) | Self::Create(args) => args,
        }
    }
}

impl TopicsArgs {
    pub(super) fn add_to(&self, flags: &mut Flags) {
        flags.add("--log", "log.url", self.log.as_ref());
    }
}

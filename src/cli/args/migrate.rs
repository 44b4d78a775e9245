//! The arguments of `migrate`.

use clap::{Args, Subcommand};

pub(super) const AFTER_MIGRATE: &str = "\
Examples:
  tidegate migrate clickhouse --dry-run
  tidegate migrate clickhouse --config /etc/tidegate.toml

The tables are those of clickhouse.database (CLICKHOUSE_DB) on the server that clickhouse.host (CLICKHOUSE_HOST) names, or on 127.0.0.1. A table \
that is replaced stays beside the new one, as <table>_before_tidegate. Stop whoever inserts before; what waits in Kafka is not lost.

Ends with 0 when every table is as it must be, and of --dry-run with 3 when there is something to do.";

/// What is made fit.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Makes the tables of the old stack fit, and those that are missing
    #[command(after_help = AFTER_MIGRATE)]
    Clickhouse(MigrateClickhouseArgs),
}

/// Arguments of `migrate clickhouse`.
#[derive(Debug, Args)]
pub struct MigrateClickhouseArgs {
    /// Only print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

//! The arguments of `replay`.

use clap::Args;

use super::{DataDir, ReportFormat};

pub(super) const AFTER_REPLAY: &str = "\
Examples:
  tidegate replay
  tidegate replay --from-epoch 1767225600100 --to-epoch 1767225600900 --workers 4

It starts from the newest snapshot before the first epoch, or from the beginning of the deployment, computes what the \
bindings say once more, and compares the rows with those committed, byte by byte. It reads the data directory beside whoever \
writes it, and writes nothing.";

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The first epoch whose rows are compared [default: the oldest that there is a snapshot for]
    #[arg(long, value_name = "EPOCH")]
    pub from_epoch: Option<u64>,

    /// The last one [default: the newest that is committed]
    #[arg(long, value_name = "EPOCH")]
    pub to_epoch: Option<u64>,

    #[command(flatten)]
    pub(super) data_dir: DataDir,

    /// Worker threads; the rows do not depend on it [default: 2]
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<String>,

    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

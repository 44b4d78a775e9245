//! The program `tidegate`, of the same build as the benchmarks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::{Scale, built};

/// The built program.
#[derive(Debug)]
pub(super) struct Program(PathBuf);

impl Program {
    /// Builds the program, and finds it.
    pub(super) fn find(scale: Scale) -> anyhow::Result<Self> {
        built::program("tidegate", "tidegate", scale).map(Self)
    }

    /// Imports a file into a data directory.
    pub(super) fn import(&self, file: &Path, folder: &Path, workers: usize) -> anyhow::Result<()> {
        let workers = workers.to_string();
        self.run(folder, &["import", &file.display().to_string(), "--workers", &workers])?;
        Ok(())
    }

    /// How many events are in closed windows.
    pub(super) fn events(&self, folder: &Path) -> anyhow::Result<usize> {
        self.number(folder, "SELECT sum(event_count) AS number FROM event_metrics")
    }

    /// How many sessions are closed.
    pub(super) fn sessions(&self, folder: &Path) -> anyhow::Result<usize> {
        self.number(folder, "SELECT count(*) AS number FROM session_metrics")
    }

    fn number(&self, folder: &Path, sql: &str) -> anyhow::Result<usize> {
        let csv = self.run(folder, &["query", sql, "--format", "csv"])?;
        let number = csv.lines().nth(1).unwrap_or_default();
        number.parse().with_context(|| format!("{sql:?} gave {csv:?}"))
    }

    /// Without environment and configuration file: with the defaults.
    fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.0);
        command.env_clear().current_dir(folder).args(arguments).args(["--data-dir", "data"]);
        let output = command.output().with_context(|| format!("cannot run {}", self.0.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{command:?}` ended with {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}

//! A place for files that are measured.

use std::path::PathBuf;

use anyhow::Context;

/// The folder of the running program, which is one that a build made.
///
/// # Errors
/// When the system does not say where the program is.
pub fn build_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("the program does not know where it is")?;
    Ok(program.parent().context("a program lies in a folder")?.to_owned())
}

/// A folder that goes away by itself. It is beside the program and not where temporary files go, because
/// that is in memory on many machines, where an fsync costs nothing.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> anyhow::Result<tempfile::TempDir> {
    let parent = build_folder()?;
    tempfile::Builder::new()
        .prefix("tidegate-bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))
}

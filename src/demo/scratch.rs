//! A directory that goes away again.

use std::path::{Path, PathBuf};

/// A new directory among the system's temporary ones; removed, with all that is in it, when dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Creates it.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(super) fn create() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tidegate-demo-{:016x}", crate::assembly::random()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the demo's directory could not be removed");
        }
    }
}

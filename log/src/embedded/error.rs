//! Why a data directory cannot be opened.

use std::io;
use std::path::Path;

use crate::journal::JournalError;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes it.
    #[error(
        "{dir} is being written by the process with pid {pid}; stop that one first, or name another directory"
    )]
    Locked {
        /// The directory.
        dir: String,
        /// The other process, as far as it has said so.
        pid: String,
    },
    /// It was written by a later version.
    #[error(
        "{path} has format version {found}; this version of tidegate reads up to {supported}: use the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
        /// The newest one that is understood.
        supported: u32,
    },
    /// What lies there is not what was written.
    #[error("{path} is damaged at byte {at}: {reason}; restore the file from a copy")]
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        at: u64,
        /// What does not fit.
        reason: String,
    },
    /// Partitions cannot be taken away, because their events would be.
    #[error("partitions = {asked}, but {dir} has {found}; partitions can only be added: set {found} or more")]
    FewerPartitions {
        /// The directory.
        dir: String,
        /// The number asked for.
        asked: u32,
        /// The number there is.
        found: u32,
    },
    /// An option has a value that is not allowed.
    #[error("{setting} = {value} is not allowed: {allowed}")]
    Setting {
        /// The option.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        allowed: String,
    },
    /// The storage failed.
    #[error("cannot open {path}: {reason}")]
    Storage {
        /// The file or directory.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl OpenError {
    /// The storage's own words about `path`.
    pub(super) fn storage(path: &Path, error: &io::Error) -> Self {
        Self::Storage { path: path.display().to_string(), reason: error.to_string() }
    }
}

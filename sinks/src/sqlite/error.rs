//! What `SQLite` says, as errors of the store.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why a metric store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It was written by a later version.
    #[error(
        "{path} has format version {found}; this version of tidegate reads up to {supported}: \
         use the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
        /// The newest one that is understood.
        supported: u32,
    },
    /// It is something else.
    #[error(
        "{path} is no metric store of tidegate's: {reason}; move it away, or name another data directory"
    )]
    NotAMetricStore {
        /// The file.
        path: String,
        /// What it is instead.
        reason: String,
    },
    /// A table has other columns than the job's rows.
    #[error(
        "table {table} of {path} has the columns ({found}), expected ({expected}); \
         move the file away: it is written anew from the log"
    )]
    TableDiffers {
        /// The file.
        path: String,
        /// The table.
        table: String,
        /// Its columns.
        found: String,
        /// Those of the rows.
        expected: String,
    },
    /// What lies there is not what was written.
    #[error("{path} is damaged: {reason}; move it away: it is written anew from what the log still holds")]
    Damaged {
        /// The file.
        path: String,
        /// What `SQLite` said.
        reason: String,
    },
    /// No space.
    #[error("no space is left to open {path}; free some and start again")]
    DiskFull {
        /// The file.
        path: String,
    },
    /// The storage failed.
    #[error("cannot open {path}: {reason}")]
    Storage {
        /// The file.
        path: String,
        /// What `SQLite` said.
        reason: String,
    },
}

/// An error while opening.
pub(super) fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, reason) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, reason },
        Some(ErrorCode::NotADatabase) => OpenError::NotAMetricStore { path, reason },
        _ => OpenError::Storage { path, reason },
    }
}

/// An error before the commit: the transaction is rolled back, so surely nothing changed.
pub(super) fn write_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
        _ => StoreError::Storage { path, reason: error.to_string() },
    }
}

/// An error of the commit itself. A full disk or a busy file leaves the commit mark unwritten; any
/// other failure, a failed fsync above all, may leave it in the write-ahead log for recovery to find.
pub(super) fn commit_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => write_error(path, error),
        _ => StoreError::Indefinite { path: path.display().to_string(), reason: error.to_string() },
    }
}

//! One transaction, and what is known when it fails.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::event::ReadError;
use crate::journal::JournalError;

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// It was rolled back because its body said so.
    Body(E),
    /// Nothing of it is in the file: there was no room.
    Full,
    /// Nothing of it is in the file.
    Definite(rusqlite::Error),
    /// It may be in the file.
    Indefinite(rusqlite::Error),
}

/// Why a body ended: what SQLite said, or what the body itself found.
#[derive(Debug)]
pub(super) enum Abort<E> {
    Sqlite(rusqlite::Error),
    Own(E),
}

impl<E> From<rusqlite::Error> for Abort<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Runs `body` in a transaction.
///
/// What SQLite refuses before COMMIT is definite: without a commit frame nothing in the WAL counts.
/// So is a full disk at COMMIT, because the commit frame is the last one written, and it was not; and
/// so is a lock at COMMIT. Any other error at COMMIT leaves open whether the commit frame survives.
pub(super) fn transaction<T, E>(
    connection: &mut Connection,
    body: impl FnOnce(&Connection) -> Result<T, Abort<E>>,
) -> Result<T, Failure<E>> {
    if !connection.is_autocommit() {
        // An earlier rollback failed, which undid nothing and committed nothing.
        connection.execute_batch("ROLLBACK").map_err(definite)?;
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(definite)?;
    let result = body(connection);
    let (value, failure) = match result {
        Ok(value) => match connection.execute_batch("COMMIT") {
            Ok(()) => return Ok(value),
            Err(error) => (Some(value), at_commit(error)),
        },
        Err(Abort::Own(error)) => (None, Failure::Body(error)),
        Err(Abort::Sqlite(error)) => (None, definite(error)),
    };
    drop(value);
    // After some errors SQLite has rolled back already. Should this one fail, the next transaction
    // tries again before it begins.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "cannot roll back; trying again with the next transaction");
    }
    Err(failure)
}

fn definite<E>(error: rusqlite::Error) -> Failure<E> {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        Failure::Full
    } else {
        Failure::Definite(error)
    }
}

fn at_commit<E>(error: rusqlite::Error) -> Failure<E> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => definite(error),
        _ => Failure::Indefinite(error),
    }
}

impl Failure<std::convert::Infallible> {
    /// In words, where it does not matter whether it took place.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Body(never) => match *never {},
            Self::Full => "no space is left".to_owned(),
            Self::Definite(error) | Self::Indefinite(error) => error.to_string(),
        }
    }
}

/// A failed read of the journal.
pub(super) fn journal_error(path: &Path, error: &rusqlite::Error) -> JournalError {
    let (what, reason) = (path.display().to_string(), error.to_string());
    if is_damage(error) {
        JournalError::Damaged { what, reason }
    } else {
        JournalError::Storage { what, reason }
    }
}

/// A failed read of rows.
pub(super) fn read_error(path: &Path, error: &rusqlite::Error) -> ReadError {
    let (path, reason) = (path.display().to_string(), error.to_string());
    if is_damage(error) {
        ReadError::Damaged { path, at: 0, reason }
    } else {
        ReadError::Storage { path, reason }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        error => error.sqlite_error_code().is_some_and(|code| damage.contains(&code)),
    }
}

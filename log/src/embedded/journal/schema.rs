//! Opening `journal.db`: connections, tables, version.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::transaction::{Failure, journal_error, transaction};
use crate::journal::JournalError;

/// The format version of `journal.db`.
pub const JOURNAL_VERSION: u32 = 1;

/// How long a connection waits for another one's lock. The writer only ever waits for a reader that is
/// recovering the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 32;

const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -32768;
";

/// It came later than the others, and is made where it is missing.
const AGES: &str =
    "CREATE TABLE IF NOT EXISTS ages (epoch INTEGER PRIMARY KEY, committed_at INTEGER NOT NULL)";

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE bindings (epoch INTEGER PRIMARY KEY, committed_at INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE topics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL
    );
    CREATE TABLE rows (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
        epoch INTEGER NOT NULL, op TEXT NOT NULL, generation INTEGER NOT NULL,
        key BLOB NOT NULL, value BLOB NOT NULL, headers TEXT,
        PRIMARY KEY (topic, partition, offset)
    ) WITHOUT ROWID;
    CREATE TABLE acknowledged (
        sink TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (sink, topic, partition)
    ) WITHOUT ROWID;
    CREATE TABLE imports (fingerprint TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE import_progress (
        fingerprint TEXT NOT NULL, partition INTEGER NOT NULL,
        done_before INTEGER NOT NULL, base INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, partition)
    ) WITHOUT ROWID;
    INSERT INTO meta VALUES ('generation', 0);
";

/// Opens the file for writing; makes what is missing.
pub(super) fn open_writer(path: &Path, vfs: Option<&str>) -> Result<Connection, JournalError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags, vfs)?;
    let failed = |error: rusqlite::Error| journal_error(path, &error);
    connection.execute_batch(SETTINGS).map_err(failed)?;
    if has_tables(&connection).map_err(failed)? {
        check_version(&connection, path)?;
        connection.execute_batch(AGES).map_err(failed)?;
        return Ok(connection);
    }
    let made = transaction::<_, Infallible>(&mut connection, |connection| {
        connection.execute_batch(TABLES)?;
        connection.execute_batch(AGES)?;
        connection.execute("INSERT INTO meta VALUES ('version', ?1)", [JOURNAL_VERSION])?;
        Ok(())
    });
    made.map_err(|failure| storage(path, &failure))?;
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path, vfs: Option<&str>) -> Result<Connection, JournalError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX, vfs)
}

fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> Result<Connection, JournalError> {
    let failed = |error: rusqlite::Error| journal_error(path, &error);
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
    .map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT 1 FROM sqlite_master WHERE name = 'meta'", [], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Refuses a file of a later version by name.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let what = || path.display().to_string();
    let version = connection
        .query_row("SELECT value FROM meta WHERE key = 'version'", [], |row| row.get::<_, u32>(0))
        .optional()
        .map_err(|error| journal_error(path, &error))?;
    match version {
        Some(found) if found > JOURNAL_VERSION => {
            Err(JournalError::NewerFormat { what: what(), found, supported: JOURNAL_VERSION })
        }
        Some(_) => Ok(()),
        None => Err(JournalError::Damaged { what: what(), reason: "it has no version".to_owned() }),
    }
}

/// A transaction that failed where only success matters.
pub(super) fn storage(path: &Path, failure: &Failure<Infallible>) -> JournalError {
    match failure {
        Failure::Definite(error) | Failure::Indefinite(error) => journal_error(path, error),
        failure => JournalError::Storage { what: path.display().to_string(), reason: failure.reason() },
    }
}

//! Opening the file: what it is, how it is written, and whether its tables are the ones wanted.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tidegate_model::Schema;

use super::SqliteConfig;
use super::error::{OpenError, open_error};
use super::layout::{self, Stamp};

pub(super) fn open(
    path: &Path,
    schemas: &[&'static Schema],
    config: &SqliteConfig,
) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    // No URI flag: a file name that happens to look like one is a file name.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_millis(config.busy_timeout_ms.into())).map_err(failed)?;
    check_stamp(path, &connection)?;
    set_up(&connection, config).map_err(failed)?;
    create_tables(&mut connection, schemas).map_err(failed)?;
    check_tables(path, &connection, schemas)?;
    // Two statements a table, and the fixed ones.
    connection.set_prepared_statement_cache_capacity(2 * schemas.len() + 16);
    Ok(connection)
}

fn check_stamp(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let stamp = layout::read_stamp(connection).map_err(|error| open_error(path, &error))?;
    let path = path.display().to_string();
    match stamp {
        Stamp::Empty | Stamp::Metrics => Ok(()),
        Stamp::Newer { found, supported } => Err(OpenError::NewerFormat { path, found, supported }),
        Stamp::Foreign => {
            let reason = "it is an SQLite file of another program".to_owned();
            Err(OpenError::NotAMetricStore { path, reason })
        }
    }
}

fn set_up(connection: &Connection, config: &SqliteConfig) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", config.wal_bytes_kept.cast_signed())?;
    // A negative size is in KiB, a positive one in pages.
    connection.pragma_update(None, "cache_size", -i64::from(config.cache_kib))
}

fn create_tables(connection: &mut Connection, schemas: &[&'static Schema]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(layout::FIXED_TABLES)?;
    for schema in schemas {
        transaction.execute(&layout::create_table(schema), [])?;
    }
    transaction.pragma_update(None, "application_id", layout::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", layout::FORMAT_VERSION)?;
    transaction.commit()
}

/// A table from before a change of its schema would take rows that do not belong into its columns.
fn check_tables(path: &Path, connection: &Connection, schemas: &[&'static Schema]) -> Result<(), OpenError> {
    for schema in schemas {
        let columns = || -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
            statement.query_map([schema.table], |row| row.get(0))?.collect()
        };
        let found = columns().map_err(|error| open_error(path, &error))?;
        let expected = layout::all_columns(schema);
        if found != expected {
            return Err(OpenError::TableDiffers {
                path: path.display().to_string(),
                table: schema.table.to_owned(),
                found: found.join(", "),
                expected: expected.join(", "),
            });
        }
    }
    Ok(())
}

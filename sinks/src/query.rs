//! Reading the embedded metric store with SQL, beside the process that writes it or alone.
//!
//! Nothing that is asked here can change the file: it is opened read-only, and only a statement that
//! `SQLite` itself calls read-only and that gives rows is carried out. Rows are shown one by one, so that
//! a result may be larger than memory.

mod error;
pub mod format;

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::sqlite::{Stamp, read_stamp};

pub use error::QueryError;
pub use format::{Format, write};

/// How long a query waits for a lock of the writer's, in milliseconds. In the normal course there is
/// nothing to wait for.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// A value of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A string.
    Text(&'a str),
    /// Bytes, or what is no UTF-8.
    Blob(&'a [u8]),
}

/// Takes the result of a query, piece by piece.
pub trait RowVisitor {
    /// The names of the columns: once, before the first row, also when there is none.
    ///
    /// # Errors
    /// Ends the query.
    fn columns(&mut self, names: &[&str]) -> io::Result<()>;

    /// A row: as many cells as there are columns.
    ///
    /// # Errors
    /// Ends the query.
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()>;
}

/// Runs one read-only statement `sql` on the metric store at `path`, with `parameters` for `?1`, `?2`, …,
/// and shows its result to `visitor`. Returns the number of rows.
///
/// # Errors
/// When there is no metric store, the statement is wrong or would write, or `visitor` fails.
pub fn query(
    path: &Path,
    sql: &str,
    parameters: &[Cell<'_>],
    visitor: &mut impl RowVisitor,
) -> Result<u64, QueryError> {
    let connection = open(path)?;
    let explain = |error: rusqlite::Error| error::sql_error(path, &connection, sql, &error);
    let mut statement = connection.prepare(sql).map_err(explain)?;
    if !statement.readonly() {
        return Err(QueryError::Writes);
    }
    if statement.column_count() == 0 {
        return Err(QueryError::NoQuery);
    }
    if statement.parameter_count() != parameters.len() {
        let (expected, given) = (statement.parameter_count(), parameters.len());
        return Err(QueryError::Parameters { expected, given });
    }
    for (cell, at) in parameters.iter().zip(1..) {
        statement
            .raw_bind_parameter(at, rusqlite::types::ToSqlOutput::Borrowed((*cell).into()))
            .map_err(explain)?;
    }
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    visitor.columns(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(QueryError::Output)?;
    let mut count = 0;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(explain)? {
        let cells = (0..names.len()).map(|at| row.get_ref(at).map(Cell::from));
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(explain)?;
        visitor.row(&cells).map_err(QueryError::Output)?;
        count += 1;
    }
    Ok(count)
}

/// Opens the file for reading only.
fn open(path: &Path) -> Result<Connection, QueryError> {
    if !path.exists() {
        return Err(QueryError::Missing { path: path.display().to_string() });
    }
    let connection = match open_shared(path) {
        // Reading a write-ahead log needs a shared-memory file beside it. Where that can neither be
        // opened nor made, but no such log is there either, nobody writes: the file is read as it lies.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !has_wal(path) => {
            open_immutable(path)
        }
        opened => opened,
    };
    let failed = |error: rusqlite::Error| error::open_error(path, &error);
    let connection = connection.map_err(failed)?;
    let display = || path.display().to_string();
    match read_stamp(&connection).map_err(failed)? {
        Stamp::Metrics => Ok(connection),
        Stamp::Empty => Err(QueryError::Missing { path: display() }),
        Stamp::Newer { found, supported } => {
            Err(QueryError::NewerFormat { path: display(), found, supported })
        }
        Stamp::Foreign => Err(QueryError::NotAMetricStore {
            path: display(),
            reason: "it is an SQLite file of another program".to_owned(),
        }),
    }
}

fn open_shared(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    ready(Connection::open_with_flags(path, flags)?)
}

fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let path = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    ready(Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)?)
}

/// Sets a connection up, and reads a first page: only then does `SQLite` look at the files.
fn ready(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|metadata| metadata.len() > 0)
}

impl<'a> From<ValueRef<'a>> for Cell<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => std::str::from_utf8(text).map_or(Self::Blob(text), Self::Text),
            ValueRef::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

impl<'a> From<Cell<'a>> for ValueRef<'a> {
    fn from(cell: Cell<'a>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(number) => Self::Integer(number),
            Cell::Real(number) => Self::Real(number),
            Cell::Text(text) => Self::Text(text.as_bytes()),
            Cell::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way in where no shared-memory file can be made. (The tests may run as a user whom no
    /// permission stops, so the refusal itself is not played.)
    #[test]
    fn a_closed_file_is_read_as_it_lies_whatever_its_name() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a b?immutable=0#%41.db");
        drop(crate::SqliteStore::open(&path).expect("the store opens"));
        assert!(!has_wal(&path));
        let connection = open_immutable(&path).expect("it opens");
        assert_eq!(read_stamp(&connection), Ok(Stamp::Metrics));
        let files = std::fs::read_dir(directory.path()).expect("the directory").count();
        assert_eq!(files, 1, "nothing was made beside it");
    }
}

//! Why a query gave no result, in words that help to ask again.

use std::io;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Params};

/// Why a query gave no, or not the whole, result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no metric store.
    #[error("there is no metric store {path}; `tidegate import FILE --data-dir DIR` makes one")]
    Missing {
        /// The file.
        path: String,
    },
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
    /// The file is something else.
    #[error("{path} is no metric store of tidegate's: {reason}")]
    NotAMetricStore {
        /// The file.
        path: String,
        /// What it is instead.
        reason: String,
    },
    /// The statement would change something.
    #[error(
        "the statement would write; the metric store is only written from the log, and queries only read (SELECT …)"
    )]
    Writes,
    /// The statement gives no rows.
    #[error("the statement gives no rows; ask a query (SELECT …)")]
    NoQuery,
    /// There is more than one statement.
    #[error("there is more than one statement; ask one query at a time")]
    SeveralStatements,
    /// The number of parameters is not the one of the statement.
    #[error("the statement has {expected} parameters, {given} values were given")]
    Parameters {
        /// Those of the statement.
        expected: usize,
        /// Those given.
        given: usize,
    },
    /// The statement is wrong.
    #[error("{message}{}{}", at_place(.near.as_ref()), and_help(.help.as_ref()))]
    Sql {
        /// What `SQLite` said.
        message: String,
        /// The statement from the place of the error on, when `SQLite` names one.
        near: Option<String>,
        /// What there is instead.
        help: Option<String>,
    },
    /// The storage failed.
    #[error("cannot read {path}: {reason}")]
    Storage {
        /// The file.
        path: String,
        /// What `SQLite` said.
        reason: String,
    },
    /// The result could not be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

fn at_place(near: Option<&String>) -> String {
    near.map(|near| format!(", at {near:?}")).unwrap_or_default()
}

fn and_help(help: Option<&String>) -> String {
    help.map(|help| format!("; {help}")).unwrap_or_default()
}

/// An error while opening the file.
pub(super) fn open_error(path: &Path, error: &rusqlite::Error) -> QueryError {
    let (path, reason) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => QueryError::NotAMetricStore { path, reason },
        _ => QueryError::Storage { path, reason },
    }
}

/// An error of the statement, or of the storage while it ran.
pub(super) fn sql_error(
    path: &Path,
    connection: &Connection,
    sql: &str,
    error: &rusqlite::Error,
) -> QueryError {
    let storage = || QueryError::Storage { path: path.display().to_string(), reason: error.to_string() };
    match error {
        rusqlite::Error::MultipleStatement => QueryError::SeveralStatements,
        rusqlite::Error::SqlInputError { msg, offset, .. } => {
            let near = usize::try_from(*offset).ok().and_then(|offset| sql.get(offset..)).map(first_words);
            QueryError::Sql { message: msg.clone(), near, help: suggest(connection, sql, msg) }
        }
        rusqlite::Error::SqliteFailure(failure, message) => match failure.code {
            // The code of everything that is wrong with the statement rather than with the file.
            ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
                let message = message.clone().unwrap_or_else(|| failure.to_string());
                let help = suggest(connection, sql, &message);
                QueryError::Sql { message, near: None, help }
            }
            ErrorCode::ReadOnly => QueryError::Writes,
            _ => storage(),
        },
        _ => storage(),
    }
}

/// Enough of the statement to find the place.
fn first_words(text: &str) -> String {
    const CHARS_MAX: usize = 30;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What there is instead of the table or column that is not there.
fn suggest(connection: &Connection, sql: &str, message: &str) -> Option<String> {
    let tables =
        names(connection, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name", []);
    if message.starts_with("no such table") {
        return Some(format!("the tables are {}", tables.join(", ")));
    }
    if !message.starts_with("no such column") {
        return None;
    }
    let asked = tables.iter().filter(|table| sql.contains(table.as_str()));
    let columns: Vec<String> = asked
        .map(|table| {
            let columns =
                names(connection, "SELECT name FROM pragma_table_info(?1) ORDER BY cid", [table.as_str()]);
            format!("{table} has {}", columns.join(", "))
        })
        .collect();
    (!columns.is_empty()).then(|| columns.join("; "))
}

/// The first column of a result; nothing when it fails, because it only decorates another error.
fn names(connection: &Connection, sql: &str, parameters: impl Params) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map(parameters, |row| row.get(0))?.collect()
    };
    read().unwrap_or_default()
}
